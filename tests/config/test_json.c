#include "config/json.h"

#include "tests/base/expect.h"

static enum r2_status parse(const char *text, json_t **ret, struct r2_error *err)
{
    return r2_json_parse(text, strlen(text), "doc", ret, err);
}

Test(json, object_is_parsed)
{
    struct r2_error err = {0};
    json_t *json = NULL;
    ASSERT_OK(parse("{\"a\": [1, 2.5, \"x\"]}", &json, &err), err);
    cr_expect_eq(json_array_size(json_object_get(json, "a")), 3);
    json_decref(json);
}

Test(json, broken_text_is_a_bad_request_with_its_place)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "doc: line 1, column 0: unexpected token near end of file"},
        {"{\"a\": 1,\n \"b\" 2}", "doc: line 2, column 6: ':' expected near '2'"},
        {"{\"a\": 1, \"a\": 2}", "doc: line 1, column 12: duplicate object key near '\"a\"'"},
        {"{\"a\": 1} x", "doc: line 1, column 10: end of file expected near 'x'"},
        {"{\"a\": 1e999}", "doc: line 1, column 11: real number overflow near '1e999'"},
        {"{\"a\": 99999999999999999999}",
         "doc: line 1, column 26: too big integer near '99999999999999999999'"},
        {"{\"a\": \"\x1B\"}", "doc: line 1, column 7: control character 0x1b near '\"'"},
        {"{\"a\": \"\xFF\"}", "doc: line 1, column 7: unable to decode byte 0xff near '\"'"},
        {"[1]", "doc: an array is not a JSON object"},
        {"null", "doc: null is not a JSON object"},
        {"1.5", "doc: a real number is not a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct r2_error err = {0};
        json_t *json = NULL;
        enum r2_status status = parse(cases[i].text, &json, &err);
        cr_expect_eq(status, R2_BAD_REQUEST, "%s", cases[i].text);
        cr_expect_str_eq(err.message, cases[i].message, "%s", err.message);
        cr_expect_null(json);
    }
}

Test(json, nesting_has_a_limit)
{
    struct r2_error err = {0};
    json_t *json = NULL;
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = 0;
    cr_expect_eq(parse(deep, &json, &err), R2_BAD_REQUEST);
    cr_expect_not_null(strstr(err.message, "maximum parsing depth reached"), "%s", err.message);
    free(deep);
}

Test(json, file_is_read)
{
    struct r2_error err = {0};
    json_t *json = NULL;
    char wanted[200], *path = make_file("{\"a\":true}", 10);
    ASSERT_OK(r2_json_read(path, 10, &json, &err), err);
    cr_expect(json_is_true(json_object_get(json, "a")));
    json_decref(json);

    json = NULL;
    snprintf(wanted, sizeof wanted, "%s: 10 bytes are over the limit of 9", path);
    EXPECT_FAIL(r2_json_read(path, 9, &json, &err), err, R2_TOO_LARGE, wanted);
    drop_file(path);
    EXPECT_FAIL(r2_json_read("/nonexistent/x.json", 9, &json, &err), err, R2_NOT_FOUND,
                "/nonexistent/x.json: No such file or directory");
    path = make_file("{", 1);
    snprintf(wanted, sizeof wanted, "%s: line 1, column 1: string or '}' expected near end of file",
             path);
    EXPECT_FAIL(r2_json_read(path, 9, &json, &err), err, R2_BAD_REQUEST, wanted);
    drop_file(path);
    cr_expect_null(json);
}
