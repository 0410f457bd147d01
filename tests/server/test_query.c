#include "server/query.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct r2_error err;

Test(query, percent_decoding)
{
    static const struct {
        const char *text, *decoded; /* NULL: refused */
    } cases[] = {
        {"", ""},         {"plain", "plain"},     {"a+b", "a b"}, {"%41%7a%7A", "Azz"},
        {"%2B%25", "+%"}, {"%C3%A9", "\xC3\xA9"}, {"%0a", "\n"},  {"%", NULL},
        {"%4", NULL},     {"%4g", NULL},          {"%g4", NULL},  {"a%00b", NULL},
        {"%%41", NULL},   {"%-1", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        strcpy(text, cases[i].text);
        bool decoded = r2_percent_decode(text);
        cr_expect_eq(decoded, cases[i].decoded != NULL, "%s", cases[i].text);
        if (decoded && cases[i].decoded) cr_expect_str_eq(text, cases[i].decoded);
    }
}

Test(query, names_and_values)
{
    struct r2_query query;
    cr_assert_eq(r2_query_parse("a=1&&b&c=&d%3D=x=y&e=%26&", &query, &err), R2_OK);
    cr_assert_eq(query.count, 5);
    cr_expect_str_eq(r2_query_get(&query, "a"), "1");
    cr_expect_str_eq(r2_query_get(&query, "b"), "");
    cr_expect_str_eq(r2_query_get(&query, "c"), "");
    cr_expect_str_eq(r2_query_get(&query, "d="), "x=y");
    cr_expect_str_eq(r2_query_get(&query, "e"), "&");
    cr_expect_null(r2_query_get(&query, "f"));
    r2_query_finish(&query);
    r2_query_finish(&query);
    cr_assert_eq(r2_query_parse(NULL, &query, &err), R2_OK);
    cr_expect_eq(query.count, 0);
    r2_query_finish(&query);
}

Test(query, refusals)
{
    static const char *const bad[] = {"=1", "a=1&a=2", "a=1&%61=2", "a=%", "%zz=1", "a&=&b"};
    struct r2_query query = {.count = 77};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(r2_query_parse(bad[i], &query, &err), R2_BAD_REQUEST, "%s", bad[i]);
    char many[R2_QUERY_MAX * 8 + 8] = "";
    for (int i = 0; i <= R2_QUERY_MAX; i++) sprintf(many + strlen(many), "p%d=1&", i);
    cr_expect_eq(r2_query_parse(many, &query, &err), R2_BAD_REQUEST);
    cr_expect_eq(query.count, 77, "untouched");
}

static enum r2_status add(struct r2_query *query, const char *name, const char *value, size_t size)
{
    return r2_query_add(query, name, (struct r2_bytes){(const uint8_t *)value, size}, &err);
}

Test(query, further_parameters)
{
    static char big[R2_QUERY_VALUE_MAX + 1];
    struct r2_query query;
    memset(big, 'x', sizeof big);
    cr_assert_eq(r2_query_parse("a=1", &query, &err), R2_OK);
    cr_expect_eq(add(&query, "b", "%41+", 4), R2_OK);
    cr_expect_eq(add(&query, "c", NULL, 0), R2_OK);
    cr_expect_eq(add(&query, "d", big, R2_QUERY_VALUE_MAX), R2_OK);
    cr_expect_str_eq(r2_query_get(&query, "b"), "%41+", "not decoded");
    cr_expect_str_eq(r2_query_get(&query, "c"), "");
    cr_expect_eq(strlen(r2_query_get(&query, "d")), R2_QUERY_VALUE_MAX);
    cr_expect_eq(add(&query, "a", "2", 1), R2_BAD_REQUEST);
    cr_expect(strstr(err.message, "\"a\" is given twice"), "%s", err.message);
    cr_expect_eq(add(&query, "e", "x\0y", 3), R2_BAD_REQUEST);
    cr_expect_eq(add(&query, "e", big, R2_QUERY_VALUE_MAX + 1), R2_INVALID);
    cr_expect_eq(query.count, 4);
    for (char name[2] = "A"; query.count < R2_QUERY_MAX; name[0]++)
        cr_assert_eq(add(&query, name, "", 0), R2_OK);
    cr_expect_eq(add(&query, "e", "", 0), R2_BAD_REQUEST);
    r2_query_finish(&query);
    r2_query_finish(&query);
}
