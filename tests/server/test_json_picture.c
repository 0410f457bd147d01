#include "server/json_picture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct r2_error err;

/* In memory of exactly its size. `ret` gets the picture, NUL-terminated. */
static enum r2_status read_bytes(const char *text, size_t size, char *ret, json_t **rest)
{
    uint8_t *copy = malloc(size + !size);
    struct r2_bytes picture;
    cr_assert(copy);
    memcpy(copy, text, size);
    enum r2_status status = r2_json_picture_read(copy, size, &picture, rest, &err);
    if (status == R2_OK) {
        cr_assert(picture.data >= copy && picture.data + picture.size <= copy + size);
        memcpy(ret, picture.data, picture.size);
        ret[picture.size] = 0;
    }
    free(copy);
    return status;
}

static enum r2_status read_text(const char *text, char *ret, json_t **rest)
{
    return read_bytes(text, strlen(text), ret, rest);
}

Test(json_picture, what_is_accepted)
{
    static const struct {
        const char *text, *picture;
        size_t others;
    } cases[] = {
        {"{\"image\":\"Zm9v\"}", "foo", 0},
        {" { \"image\" \t:\r\n \"Zm9v\" } \n", "foo", 0},
        {"{\"image\":\"\"}", "", 0},
        {"{\"top_k\":3,\"image\":\"Zm9v\",\"heads\":[\"a\",\"b\"]}", "foo", 2},
        {"{\"x\":{\"image\":\"no\"},\"y\":[\"image\"],\"image\":\"Zm9v\",\"z\":\"image\"}", "foo",
         3},
        {"{\"x\":\"\\\"image\\\":\\\"\",\"image\":\"Zm9v\"}", "foo", 1},
        {"{\"x\\\"image\":\"no\",\"image\":\"Zm9v\"}", "foo", 1},
        /* what encoders and shells make of base64 */
        {"{\"image\":\"+\\/\\u002b\\u002F\"}", "\xFB\xFF\xBF", 0},
        {"{\"image\":\"Zm9v\\r\\nYmFy\\n\"}", "foobar", 0},
        {"{\"image\":\"Zm9v\r\nYmFy\n\"}", "foobar", 0},
        {"{\"image\":\"\\u005Am9v\"}", "foo", 0},
        {"{\"image\":\"data:image/jpeg;base64,Zm9v\"}", "foo", 0},
        {"{\"image\":\"data:image\\/jpeg;charset=x;base64,Zm9v\"}", "foo", 0},
        {"{\"image\":\"DATA:Image/PNG;Base64,Zg\"}", "f", 0},
        {"{\"image\":\"data:application/octet-stream;base64,Zg\"}", "f", 0},
    };
    char picture[256];
    json_t *rest;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(read_text(cases[i].text, picture, &rest), R2_OK, "%s: %s", cases[i].text,
                     err.message);
        cr_expect_str_eq(picture, cases[i].picture, "%s", cases[i].text);
        cr_expect_eq(json_object_size(rest), cases[i].others, "%s", cases[i].text);
        cr_expect_null(json_object_get(rest, "image"));
        json_decref(rest);
    }
}

Test(json_picture, what_is_refused)
{
    static const struct {
        const char *text;
        enum r2_status status;
        const char *says;
    } cases[] = {
        {"", R2_BAD_REQUEST, "JSON body"},
        {"{", R2_BAD_REQUEST, "line 1"},
        {"{\"image\":\"Zm9v\"", R2_BAD_REQUEST, "line 1"},
        {"{\"image\":\"Zm9v\"}}", R2_BAD_REQUEST, "line 1"},
        {"{\"image\":\"Zm9v\",}", R2_BAD_REQUEST, "line 1"},
        {"{\"image\":\"Zm9v", R2_BAD_REQUEST, "line 1"},
        {"{\"image\":\"Zm9v\" \"Zm9v\"}", R2_BAD_REQUEST, "line 1"},
        {"{\"x\" \"image\":\"Zm9v\"}", R2_BAD_REQUEST, "line 1"},
        {"{\"image\":\"Zm9v\",\"image\":\"Zm9v\"}", R2_BAD_REQUEST, "image"},
        {"{\"image\":1,\"image\":\"Zm9v\"}", R2_BAD_REQUEST, "image"},
        {"{\"image\":\"Zm9v\",\"im\\u0061ge\":\"Zm9v\"}", R2_BAD_REQUEST, "image"},
        {"{\"im\\u0061ge\":\"Zm9v\"}", R2_BAD_REQUEST, "without escapes"},
        {"{\"image\":\"Zm9v\",\"x\":1,\"x\":2}", R2_BAD_REQUEST, "x"},
        {"{\"image\":\"Zm9v\",\"x\":\"\xFF\"}", R2_BAD_REQUEST, "byte 0xff"},
        {"[\"image\"]", R2_BAD_REQUEST, "an array is not a JSON object"},
        {"[\"image\":\"Zm9v\"]", R2_BAD_REQUEST, "line 1"},
        {"[{\"image\":\"Zm9v\"}]", R2_BAD_REQUEST, "an array is not"},
        {"\"image\"", R2_BAD_REQUEST, "a string is not"},
        {"}{\"image\":\"Zm9v\"}", R2_BAD_REQUEST, "line 1"},
        {"{}", R2_BAD_REQUEST, "there is no key \"image\""},
        {"{\"img\":\"Zm9v\"}", R2_BAD_REQUEST, "there is \"img\""},
        {"{\"Image\":\"Zm9v\"}", R2_BAD_REQUEST, "there is \"Image\""},
        {"{\"x\":{\"image\":\"Zm9v\"}}", R2_BAD_REQUEST, "there is \"x\""},
        {"{\"image\":5}", R2_INVALID, "\"image\" is an integer"},
        {"{\"image\":null}", R2_INVALID, "\"image\" is null"},
        {"{\"image\":[\"Zm9v\"]}", R2_INVALID, "\"image\" is an array"},
        {"{\"image\":{\"b64\":\"Zm9v\"}}", R2_INVALID, "\"image\" is an object"},
        {"{\"image\":\"Zm9v!\"}", R2_BAD_REQUEST, "character 5 is '!'"},
        {"{\"image\":\"Zm9v\\u00e9\"}", R2_BAD_REQUEST, "backslash"},
        {"{\"image\":\"Zm9v\\x\"}", R2_BAD_REQUEST, "backslash"},
        {"{\"image\":\"Zm9v\\u00g1\"}", R2_BAD_REQUEST, "backslash"},
        {"{\"image\":\"Zm9v\\u00\"}", R2_BAD_REQUEST, "backslash"},
        {"{\"image\":\"Zm9v\\\"\"}", R2_BAD_REQUEST, "is '\"'"},
        {"{\"image\":\"https://example.org/x.jpg\"}", R2_BAD_REQUEST, "is ':'"},
        {"{\"image\":\"data:image/jpeg,Zm9v\"}", R2_INVALID, "data:image/...;base64,"},
        {"{\"image\":\"data:text/plain;base64,Zm9v\"}", R2_INVALID, "data:text/plain"},
        {"{\"image\":\"data:\"}", R2_INVALID, "data:"},
        {"{\"image\":\"data:image/\\u0000;base64,Zm9v\"}", R2_INVALID, "data:"},
    };
    char picture[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *rest = NULL;
        cr_expect_eq(read_text(cases[i].text, picture, &rest), cases[i].status, "%s: %s",
                     cases[i].text, err.message);
        cr_expect(strstr(err.message, cases[i].says), "%s: %s", cases[i].text, err.message);
        cr_expect_null(rest);
    }
}

Test(json_picture, only_the_text_may_be_long)
{
    enum { LONG = 400000 };
    char *text = malloc(LONG + 100), *picture = malloc(LONG);
    json_t *rest;
    cr_assert(text && picture);
    strcpy(text, "{\"image\":\"");
    memset(text + strlen(text), 'A', LONG + 1);
    strcpy(text + LONG, "\"}");
    cr_assert_eq(read_text(text, picture, &rest), R2_OK, "%s", err.message);
    json_decref(rest);
    memcpy(text, "{\"imagf\"", 8);
    cr_expect_eq(read_text(text, picture, &rest), R2_BAD_REQUEST);
    cr_expect(strstr(err.message, "no text under the key \"image\""), "%s", err.message);
    memcpy(text, "{\"imagf\"", 8);
    strcpy(text + LONG, "\",\"image\":\"Zm9v\"}");
    cr_expect_eq(read_text(text, picture, &rest), R2_TOO_LARGE);
    cr_expect(strstr(err.message, "the limit is 65536"), "%s", err.message);
    free(text);
    free(picture);
}

static const char whole[] = " {\"x\": [1, {\"image\": \"a\"}], \"image\": "
                            "\"data:image\\/png;base64,Zm9\\u0076Yg==\", \"y\": \"\\\\\"}";

Test(json_picture, truncated_at_every_length)
{
    char picture[256];
    json_t *rest;
    for (size_t size = 0; size < strlen(whole); size++)
        cr_expect_eq(read_bytes(whole, size, picture, &rest), R2_BAD_REQUEST, "%zu", size);
    cr_assert_eq(read_text(whole, picture, &rest), R2_OK, "%s", err.message);
    cr_expect_str_eq(picture, "foob");
    json_decref(rest);
}

Test(json_picture, with_every_byte_changed)
{
    static const uint8_t values[] = {0, '"', '\\', '{', '}', '[', ',', ':', 'u', '=', ' ', 0xFF};
    char changed[sizeof whole], picture[256];
    json_t *rest;
    for (size_t at = 0; at < strlen(whole); at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            memcpy(changed, whole, sizeof whole);
            changed[at] = (char)values[i];
            enum r2_status status = read_bytes(changed, strlen(whole), picture, &rest);
            cr_expect(status == R2_OK || status == R2_BAD_REQUEST || status == R2_INVALID);
            if (status == R2_OK) json_decref(rest);
        }
    }
}
