#include "server/multipart.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISPOSITION "Content-Disposition: form-data; name="
#define LINE_10 "0123456789"
#define LINE_70 LINE_10 LINE_10 LINE_10 LINE_10 LINE_10 LINE_10 LINE_10

static struct r2_error err;
static struct r2_part parts[R2_PARTS_MAX];
static size_t count;

/* In memory of exactly its size, so that a sanitizer sees every byte too many. The parts are of no
   more use then, but for their sizes. */
static enum r2_status parse_bytes(const char *body, size_t size)
{
    uint8_t *copy = malloc(size + !size);
    cr_assert(copy);
    memcpy(copy, body, size);
    enum r2_status status =
        r2_multipart_parse((struct r2_bytes){copy, size}, "b", parts, &count, &err);
    for (size_t i = 0; status == R2_OK && i < count; i++) {
        cr_assert(parts[i].content.data >= copy &&
                  parts[i].content.data + parts[i].content.size <= copy + size);
        cr_assert(parts[i].name.data >= copy &&
                  parts[i].name.data + parts[i].name.size <= copy + size);
    }
    free(copy);
    return status;
}

static enum r2_status parse(const char *body, const char *boundary)
{
    return r2_multipart_parse((struct r2_bytes){(const uint8_t *)body, strlen(body)}, boundary,
                              parts, &count, &err);
}

static bool is(struct r2_bytes bytes, const char *text)
{
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

Test(multipart, boundaries)
{
    static const struct {
        const char *type, *boundary; /* NULL: refused */
    } cases[] = {
        {"multipart/form-data; boundary=x", "x"},
        {"multipart/form-data;boundary=----WebKitFormBoundaryAbC123",
         "----WebKitFormBoundaryAbC123"},
        {"multipart/form-data; boundary=\"with space:and=\"", "with space:and="},
        {"multipart/form-data; charset=utf-8; BOUNDARY = x ;", "x"},
        {"multipart/form-data; a=\"; boundary=no\"; boundary=yes", "yes"},
        {"multipart/form-data; boundary=a'()+_,-./:=?z", "a'()+_,-./:=?z"},
        {"multipart/form-data; boundary=" LINE_70, LINE_70},
        {"multipart/form-data; boundary=" LINE_70 "x", NULL},
        {"multipart/form-data", NULL},
        {"multipart/form-data;", NULL},
        {"multipart/form-data; boundary", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary=\"x", NULL},
        {"multipart/form-data; boundary=\"x\"y", NULL},
        {"multipart/form-data; boundary=\"x \"", NULL},
        {"multipart/form-data; boundary=x; boundary=x", NULL},
        {"multipart/form-data; boundary=a\"b", NULL},
        {"multipart/form-data; boundary=a\\b", NULL},
        {"multipart/form-data; boundary=\xC3\xA9", NULL},
        {"multipart/form-data; =x; boundary=x", NULL},
        {"multipart/form-data; xboundary=x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char boundary[R2_BOUNDARY_MAX + 1] = "untouched";
        enum r2_status status = r2_multipart_boundary(cases[i].type, boundary, &err);
        cr_expect_eq(status, cases[i].boundary ? R2_OK : R2_BAD_REQUEST, "%s", cases[i].type);
        cr_expect_str_eq(boundary, cases[i].boundary ? cases[i].boundary : "untouched");
    }
}

Test(multipart, as_clients_send_it)
{
    /* curl -F image=@photo.jpg -F top_k=3 */
    cr_assert_eq(parse("--------------------------d74496d66958873e\r\n"
                       "Content-Disposition: form-data; name=\"image\"; filename=\"photo.jpg\"\r\n"
                       "Content-Type: image/jpeg\r\n\r\n"
                       "\xFF\xD8\r\n--\r\n\xFF\xD9\r\n"
                       "--------------------------d74496d66958873e\r\n"
                       "Content-Disposition: form-data; name=\"top_k\"\r\n\r\n"
                       "3\r\n"
                       "--------------------------d74496d66958873e--\r\n",
                       "------------------------d74496d66958873e"),
                 R2_OK, "%s", err.message);
    cr_assert_eq(count, 2);
    cr_expect(is(parts[0].name, "image"));
    cr_expect(is(parts[0].content, "\xFF\xD8\r\n--\r\n\xFF\xD9"));
    cr_expect(is(parts[0].encoding, ""));
    cr_expect(is(parts[1].name, "top_k"));
    cr_expect(is(parts[1].content, "3"));
}

Test(multipart, what_the_syntax_allows)
{
    static const struct {
        const char *body, *name, *content; /* of the one part */
    } cases[] = {
        {"--b\r\n" DISPOSITION "n\r\n\r\nx\r\n--b--", "n", "x"},
        {"--b\r\n" DISPOSITION "\"n\"\r\n\r\nx\r\n--b--\r\nepilogue\r\n--b\r\n", "n", "x"},
        {"preamble\r\n--b\r\n" DISPOSITION "n\r\n\r\nx\r\n--b--  \t\r\n", "n", "x"},
        {"--bee\r\n\r\n--b \t\r\n" DISPOSITION "n\r\n\r\nx\r\n--b--", "n", "x"},
        {"\r\n--b\r\n" DISPOSITION "n\r\n\r\nx\r\n--b--", "n", "x"},
        /* no content, with the CRLF of the delimiter and without */
        {"--b\r\n" DISPOSITION "n\r\n\r\n\r\n--b--", "n", ""},
        {"--b\r\n" DISPOSITION "n\r\n\r\n--b--", "n", ""},
        /* content that looks like a delimiter */
        {"--b\r\n" DISPOSITION "n\r\n\r\nx\n--b--\r\n--bb\r\n--b-\r\n--b--x\r\n--b--", "n",
         "x\n--b--\r\n--bb\r\n--b-\r\n--b--x"},
        {"--b\r\n" DISPOSITION "n\r\n\r\nx\n--b\n\r\r\n--b--", "n", "x\n--b\n\r"},
        {"--b\r\n" DISPOSITION "n\r\n\r\n\r\n\r\n\r\n\r\n--b--", "n", "\r\n\r\n\r\n"},
        /* headers */
        {"--b\r\nX: y\r\ncontent-DISPOSITION:FORM-DATA;NAME=n;\r\nz:\r\n\r\nx\r\n--b--", "n", "x"},
        {"--b\r\n" DISPOSITION "\"a \\\"b\\\" ; c\"; filename=\"x\"\r\n\r\nx\r\n--b--",
         "a \\\"b\\\" ; c", "x"},
        {"--b\r\nContent-Disposition: form-data; filename=\"; name=no\"; "
         "name=\"\"\r\n\r\nx\r\n--b--",
         "", "x"},
        {"--b\r\n" DISPOSITION "n; filename*=utf-8''x; filename=\r\n\r\nx\r\n--b--", "n", "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(parse(cases[i].body, "b"), R2_OK, "%zu: %s", i, err.message);
        cr_assert_eq(count, 1, "%zu: %zu parts", i, count);
        cr_expect(is(parts[0].name, cases[i].name), "%zu", i);
        cr_expect(is(parts[0].content, cases[i].content), "%zu", i);
    }
    cr_assert_eq(parse("--b--", "b"), R2_OK);
    cr_expect_eq(count, 0);
    cr_assert_eq(parse("--b\r\nContent-Transfer-Encoding:  base64 \r\n" DISPOSITION
                       "n\r\n\r\nx\r\n--b--",
                       "b"),
                 R2_OK);
    cr_expect(is(parts[0].encoding, "base64"));
}

Test(multipart, what_is_refused)
{
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"", "there is no line \"--b\""},
        {"-", "there is no line \"--b\""},
        {"--b", "there is no line \"--b\""},
        {"--bb--", "there is no line \"--b\""},
        {"x--b--", "there is no line \"--b\""},
        {"\n--b--", "there is no line \"--b\""},
        {"--b\n" DISPOSITION "n\n\nx\n--b--\n", "there is no line \"--b\""},
        {"--b\r\n", "ends in part 1, before the final boundary \"--b--\""},
        {"--b\r\n" DISPOSITION "n\r\n\r\nx\r\n--b\r\n" DISPOSITION "m\r\n\r\ny", "ends in part 2"},
        {"--b\r\n" DISPOSITION "n\r\n\r\nx--b--", "ends in part 1"},
        {"--b\r\n--b--", "part 1 has no empty line"},
        {"--b\r\nx\r\n--b--", "part 1 has no empty line"},
        {"--b\r\n" DISPOSITION "n\r\n--b--", "part 1 has no empty line"},
        {"--b\r\n\r\nx\r\n--b--", "part 1 has no header Content-Disposition"},
        {"--b\r\n\r\n\r\n--b--", "part 1 has no header Content-Disposition"},
        {"--b\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--b--", "part 1 has no header"},
        {"--b\r\nnonsense\r\n\r\nx\r\n--b--", "without \"name: value\""},
        {"--b\r\n: x\r\n\r\nx\r\n--b--", "without \"name: value\""},
        {"--b\r\n" DISPOSITION "n\r\n folded: x\r\n\r\nx\r\n--b--", "without \"name: value\""},
        {"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "part 1 has no name"},
        {"--b\r\nContent-Disposition: form-data; filename=\"name=n\"\r\n\r\nx\r\n--b--",
         "part 1 has no name"},
        {"--b\r\nContent-Disposition: attachment; name=n\r\n\r\nx\r\n--b--", "is not form-data"},
        {"--b\r\nContent-Disposition: form-datax; name=n\r\n\r\nx\r\n--b--", "is not form-data"},
        {"--b\r\n" DISPOSITION "\"n\r\n\r\nx\r\n--b--", "part 1 is malformed"},
        {"--b\r\n" DISPOSITION "\"n\\\"\r\n\r\nx\r\n--b--", "part 1 is malformed"},
        {"--b\r\n" DISPOSITION "n; name=n\r\n\r\nx\r\n--b--", "part 1 is malformed"},
        {"--b\r\n" DISPOSITION "\"n\" m\r\n\r\nx\r\n--b--", "part 1 is malformed"},
        {"--b\r\n" DISPOSITION "n\r\n" DISPOSITION "n\r\n\r\nx\r\n--b--", "two headers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        count = 77;
        cr_expect_eq(parse_bytes(cases[i].body, strlen(cases[i].body)), R2_BAD_REQUEST, "%s",
                     cases[i].body);
        cr_expect(strstr(err.message, cases[i].says), "%s: %s", cases[i].body, err.message);
        cr_expect_eq(count, 77, "untouched");
    }
}

Test(multipart, limits)
{
    enum { ROOM = 3 * R2_PART_HEAD_MAX };
    static const char start[] = "--b\r\n" DISPOSITION "n\r\nX: ";
    char *body = calloc(1, ROOM);
    cr_assert(body);
    for (size_t i = 0; i <= R2_PARTS_MAX; i++) {
        size_t used = strlen(body);
        cr_assert(used + 100 < ROOM);
        snprintf(body + used, ROOM - used, "--b--\r\n");
        cr_assert_eq(parse(body, "b"), R2_OK, "%zu: %s", i, err.message);
        cr_assert_eq(count, i);
        snprintf(body + used, ROOM - used, "--b\r\n" DISPOSITION "n\r\n\r\nx\r\n");
    }
    strcat(body, "--b--\r\n");
    cr_expect_eq(parse(body, "b"), R2_BAD_REQUEST);
    cr_expect(strstr(err.message, "more than 64 parts"), "%s", err.message);

    for (size_t more = 0; more < 2; more++) {
        size_t size = R2_PART_HEAD_MAX - (strlen(start) - strlen("--b\r\n")) + more;
        strcpy(body, start);
        memset(body + strlen(start), 'y', size);
        strcpy(body + strlen(start) + size, "\r\n\r\nx\r\n--b--");
        cr_expect_eq(parse(body, "b"), more ? R2_BAD_REQUEST : R2_OK, "%s", err.message);
    }
    cr_expect(strstr(err.message, "longer than 8192 bytes"), "%s", err.message);

    char line[R2_BOUNDARY_MAX + 64];
    snprintf(line, sizeof line, "--%s--", LINE_70);
    cr_expect_eq(parse(line, LINE_70), R2_OK);
    free(body);
}

static const char whole[] =
    "preamble\r\n--b\r\n" DISPOSITION "\"a\"; filename=\"x\"\r\n"
    "Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1A\n\r\n--b \r\n" DISPOSITION
    "top_k\r\n\r\n3\r\n--b--\r\nend";

Test(multipart, truncated_at_every_length)
{
    size_t end = (size_t)(strstr(whole, "--b--") + strlen("--b--") - whole);
    for (size_t size = 0; size <= strlen(whole); size++) {
        enum r2_status status = parse_bytes(whole, size);
        cr_expect_eq(status, size < end ? R2_BAD_REQUEST : R2_OK, "%zu", size);
        if (status == R2_OK) cr_expect_eq(count, 2);
    }
}

Test(multipart, with_every_byte_changed)
{
    static const uint8_t values[] = {0, '\r', '\n', ' ', '-', ';', '"', '=', ':', '\\', 'b', 0xFF};
    char changed[sizeof whole];
    for (size_t at = 0; at < strlen(whole); at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            memcpy(changed, whole, sizeof whole);
            changed[at] = (char)values[i];
            enum r2_status status = parse_bytes(changed, strlen(whole));
            cr_expect(status == R2_OK || status == R2_BAD_REQUEST);
        }
    }
}

/* A body of nothing but near misses costs one pass over it: a square would take minutes. */
Test(multipart, hostile_repetitions, .timeout = 10)
{
    static const char *const pieces[] = {"\r\n--b",  "\r\n--b ", "\r\n--b-",    "\r\n",
                                         "\r\n\r\n", "--b\r\n",  "\r\n--b\t \r"};
    enum { SIZE = 8 << 20 };
    char *body = malloc(SIZE);
    cr_assert(body);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t piece = strlen(pieces[i]);
        for (size_t at = 0; at < SIZE; at++) body[at] = pieces[i][at % piece];
        cr_expect_eq(parse_bytes(body, SIZE), R2_BAD_REQUEST);
        memcpy(body, "--b\r\n", 5);
        cr_expect_eq(parse_bytes(body, SIZE), R2_BAD_REQUEST);
    }
    free(body);
}
