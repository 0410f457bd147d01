/* The same picture as itself, as a form's part and as base64 in JSON; parameters in the body;
   bodies of those kinds that are broken. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

#define MULTIPART "Content-Type: multipart/form-data; boundary=b\r\n"
#define JSON "Content-Type: application/json\r\n"
#define DISPOSITION "Content-Disposition: form-data; name="

static struct r2_daemon daemon_of_test;
static struct r2_buffer file;

static void start(const char *const *options)
{
    daemon_of_test = r2_daemon_start(options);
    file = r2_sample_file("jpeg_420.jpg");
}

static void stop(void)
{
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon_of_test), 0);
}

static struct r2_response post(const char *target, const char *headers, struct r2_text *body)
{
    cr_assert(!body->failed);
    struct r2_response response =
        r2_client_ask(daemon_of_test.port, "POST", target, headers, r2_text_view(body), body->size);
    r2_text_finish(body);
    return response;
}

/* "--b", headers, content; a NULL content is the picture. */
static void add_part(struct r2_text *body, const char *headers, const char *content)
{
    r2_text_add(body, "--b\r\n%s\r\n\r\n", headers);
    if (content)
        r2_text_add(body, "%s", content);
    else
        r2_text_add_bytes(body, (const char *)file.data, file.size);
    r2_text_add(body, "\r\n");
}

/* As `base64` of coreutils writes it: lines of 76, with "\n" or whatever is given behind each. */
static void add_base64(struct r2_text *body, struct r2_bytes bytes, const char *line_end)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t count = 0;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        unsigned group = (unsigned)bytes.data[i] << 16;
        if (left > 1) group |= (unsigned)bytes.data[i + 1] << 8;
        if (left > 2) group |= bytes.data[i + 2];
        for (size_t c = 0; c < 4; c++) {
            r2_text_add(body, "%c", c <= left ? digits[group >> (18 - 6 * c) & 63] : '=');
            if (++count % 76 == 0) r2_text_add(body, "%s", line_end);
        }
    }
}

static void add_json(struct r2_text *body, const char *before, const char *line_end,
                     const char *after)
{
    r2_text_add(body, "{%s\"image\": \"", before);
    add_base64(body, r2_buffer_view(&file), line_end);
    r2_text_add(body, "\"%s}", after);
}

static json_t *classes_of(struct r2_response *response)
{
    cr_assert_eq(response->status, 200, "%d: %s", response->status, response->body);
    json_t *json = r2_response_json(response);
    json_t *classes = json_incref(json_object_get(json, "classes"));
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "image"), "width")), 75);
    json_decref(json);
    r2_response_finish(response);
    return classes;
}

/* Equal to the last digit: the network saw the same bytes. */
static void expect_same(struct r2_response response, const json_t *classes)
{
    json_t *other = classes_of(&response);
    cr_expect(json_array_size(other) > 0 && json_equal(other, classes));
    json_decref(other);
}

static void expect_refused(struct r2_response response, int status, const char *says)
{
    cr_expect_eq(response.status, status, "%d, not %d: %s", response.status, status, response.body);
    cr_expect_str_eq(r2_response_header(&response, "Content-Type"), "application/problem+json");
    json_t *json = r2_response_json(&response);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    cr_expect(detail && strstr(detail, says), "\"%s\" does not say \"%s\"", detail, says);
    json_decref(json);
    r2_response_finish(&response);
}

Test(bodies, the_same_picture_in_every_form)
{
    start(NULL);
    struct r2_text body = {0};
    r2_text_add_bytes(&body, (const char *)file.data, file.size);
    struct r2_response response = post("/classify", "Content-Type: image/jpeg\r\n", &body);
    json_t *classes = classes_of(&response);

    /* as curl -F sends it; as a plain field among others; with all that the syntax allows */
    add_part(&body, DISPOSITION "\"image\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg", NULL);
    r2_text_add(&body, "--b--\r\n");
    expect_same(post("/classify", MULTIPART, &body), classes);
    add_part(&body, DISPOSITION "\"token\"", "secret");
    add_part(&body, DISPOSITION "image", NULL);
    add_part(&body, DISPOSITION "\"submit\"", "");
    r2_text_add(&body, "--b--");
    expect_same(post("/classify", MULTIPART, &body), classes);
    r2_text_add(&body, "preamble\r\n");
    add_part(&body,
             "Content-Transfer-Encoding: binary\r\ncontent-disposition: form-data; NAME=image",
             NULL);
    r2_text_add(&body, "--b--\r\nepilogue --b");
    expect_same(post("/classify", "Content-Type: Multipart/Form-Data; Boundary=\"b\"\r\n", &body),
                classes);

    /* base64 in one line, in lines as escapes, in raw lines; with a data: URI in front */
    add_json(&body, "", "", "");
    expect_same(post("/classify", JSON, &body), classes);
    add_json(&body, "", "\\r\\n", "");
    expect_same(post("/classify", "Content-Type: application/json; charset=utf-8\r\n", &body),
                classes);
    add_json(&body, " ", "\n", "\n");
    expect_same(post("/classify", JSON, &body), classes);
    r2_text_add(&body, "{\"image\":\"data:image\\/jpeg;base64,");
    add_base64(&body, r2_buffer_view(&file), "");
    r2_text_add(&body, "\"}");
    expect_same(post("/classify", JSON, &body), classes);
    cr_expect_eq(r2_daemon_metric(&daemon_of_test,
                                  "res2netd_requests_total{route=\"classify\",code=\"200\"}"),
                 8);
    json_decref(classes);
    stop();
}

static size_t count_of(struct r2_response response)
{
    json_t *classes = classes_of(&response);
    size_t count = json_array_size(classes);
    json_decref(classes);
    return count;
}

Test(bodies, parameters)
{
    start(NULL);
    struct r2_text body = {0};
    add_part(&body, DISPOSITION "top_k", "2");
    add_part(&body, DISPOSITION "image", NULL);
    add_part(&body, DISPOSITION "orient", "0");
    r2_text_add(&body, "--b--");
    cr_expect_eq(count_of(post("/classify", MULTIPART, &body)), 2);
    add_json(&body, "\"top_k\": 1, ", "", ", \"orient\": false");
    cr_expect_eq(count_of(post("/classify", JSON, &body)), 1);
    add_json(&body, "\"top_k\": \"1\", ", "", "");
    cr_expect_eq(count_of(post("/classify?orient=0", JSON, &body)), 1);
    add_json(&body, "", "", "");
    cr_expect_eq(count_of(post("/classify?top_k=2", JSON, &body)), 2);

    add_json(&body, "\"heads\": [\"classify\"], \"top_k\": 2, ", "", "");
    struct r2_response response = post("/analyze", JSON, &body);
    json_t *json = r2_response_json(&response);
    json_t *classify = json_object_get(json_object_get(json, "results"), "classify");
    cr_expect_eq(json_array_size(json_object_get(classify, "classes")), 2, "%s", response.body);
    json_decref(json);
    r2_response_finish(&response);

    static const struct {
        const char *target, *member;
        int status;
        const char *says;
    } refused[] = {
        {"/classify", "\"top_k\": -1", 422, "top_k"},
        {"/classify", "\"top_k\": 1.5", 422, "top_k"},
        {"/classify", "\"top_k\": null", 422, "\"top_k\" is or holds null"},
        {"/classify", "\"top_k\": {}", 422, "\"top_k\" is or holds an object"},
        {"/classify", "\"topk\": 1", 422, "top_k"},
        {"/classify", "\"orientt\": 1", 422, "orient"},
        {"/classify", "\"heads\": \"classify\"", 422, "heads"},
        {"/embed", "\"top_k\": 1", 422, "top_k"},
        {"/analyze", "\"heads\": [\"detect\"]", 404, "classify"},
        {"/analyze", "\"heads\": [[\"classify\"]]", 422, "holds an array"},
        {"/classify?top_k=1", "\"top_k\": 1", 400, "twice"},
        {"/classify", "\"top_k\": 1, \"top_k\": 1", 400, "top_k"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char before[128];
        snprintf(before, sizeof before, "%s, ", refused[i].member);
        add_json(&body, before, "", "");
        expect_refused(post(refused[i].target, JSON, &body), refused[i].status, refused[i].says);
    }
    static const char *const fields[][2] = {{"x", "a number"}, {"1", "is given twice"}};
    for (size_t i = 0; i < 2; i++) {
        add_part(&body, DISPOSITION "image", NULL);
        add_part(&body, DISPOSITION "top_k", fields[i][0]);
        if (i) add_part(&body, DISPOSITION "top_k", fields[i][0]);
        r2_text_add(&body, "--b--");
        expect_refused(post("/classify", MULTIPART, &body), i ? 400 : 422, i ? "twice" : "top_k");
    }
    stop();
}

Test(bodies, broken_multipart)
{
    static const struct {
        const char *type, *body;
        int status;
        const char *says;
    } cases[] = {
        {"multipart/form-data", "--b--", 400, "boundary"},
        {"multipart/form-data; boundary=", "--b--", 400, "1 to 70 characters"},
        {"multipart/mixed; boundary=b", "--b--", 415, "multipart/form-data"},
        {"multipart/form-data; boundary=b", "", 422, "the body is empty"},
        {"multipart/form-data; boundary=b", "x", 400, "\"--b\""},
        {"multipart/form-data; boundary=b", "--b--", 400, "\"image\"; there are no parts"},
        {"multipart/form-data; boundary=b", "--b\r\n" DISPOSITION "file\r\n\r\nx\r\n--b--", 400,
         "there is \"file\""},
        {"multipart/form-data; boundary=b", "--b\r\n" DISPOSITION "image\r\n\r\n\r\n--b--", 422,
         "the part \"image\" is empty"},
        {"multipart/form-data; boundary=b", "--b\r\n" DISPOSITION "image\r\n\r\nx\r\n", 400,
         "before the final boundary \"--b--\""},
        {"multipart/form-data; boundary=b",
         "--b\r\n" DISPOSITION "image\r\n\r\nx\r\n--b\r\n" DISPOSITION "image\r\n\r\nx\r\n--b--",
         400, "parts 1 and 2 both"},
        {"multipart/form-data; boundary=b", "--b\r\n" DISPOSITION "image\r\n\r\nGIF89a\r\n--b--",
         415, "GIF"},
        {"multipart/form-data; boundary=b", "--b\r\n" DISPOSITION "image\r\n\r\nplain\r\n--b--",
         415, "the part \"image\" is not a picture"},
        {"multipart/form-data; boundary=b",
         "--b\r\nContent-Transfer-Encoding: base64\r\n" DISPOSITION "image\r\n\r\nx\r\n--b--", 415,
         "Content-Transfer-Encoding"},
    };
    start(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char headers[128];
        struct r2_text body = {0};
        snprintf(headers, sizeof headers, "Content-Type: %s\r\n", cases[i].type);
        r2_text_add(&body, "%s", cases[i].body);
        expect_refused(post("/classify", headers, &body), cases[i].status, cases[i].says);
    }
    /* The picture's own ending tells: the part is cut, the multipart around it is whole. */
    struct r2_text body = {0};
    r2_text_add(&body, "--b\r\n" DISPOSITION "image\r\n\r\n");
    r2_text_add_bytes(&body, (const char *)file.data, file.size / 2);
    r2_text_add(&body, "\r\n--b--");
    expect_refused(post("/classify", MULTIPART, &body), 422, "truncated");
    cr_expect_eq(r2_daemon_metric(&daemon_of_test, "res2netd_decode_errors_total{format=\"jpeg\"}"),
                 1);
    cr_expect_eq(r2_daemon_metric(&daemon_of_test, "res2netd_decode_errors_total{format=\"gif\"}"),
                 1);
    stop();
}

Test(bodies, broken_json)
{
    static const struct {
        const char *body;
        int status;
        const char *says;
    } cases[] = {
        {"", 422, "the body is empty"},
        {"{", 400, "line 1"},
        {"[]", 400, "an array is not a JSON object"},
        {"{}", 400, "no key \"image\""},
        {"{\"picture\": \"Zm9v\"}", 400, "there is \"picture\""},
        {"{\"image\": 5}", 422, "an integer"},
        {"{\"image\": \"\"}", 422, "the value of \"image\" is empty"},
        {"{\"image\": \"Zm9v\", \"image\": \"Zm9v\"}", 400, "image"},
        {"{\"image\": \"Zm9v!\"}", 400, "character 5 is '!'"},
        {"{\"image\": \"data:image/png,Zm9v\"}", 422, "data:image/...;base64,"},
        {"{\"image\": \"Zm9v\"}", 415, "the value of \"image\" is not a picture"},
        {"{\"image\": \"R0lGODlh\"}", 415, "GIF"},
    };
    start(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct r2_text body = {0};
        r2_text_add(&body, "%s", cases[i].body);
        expect_refused(post("/classify", JSON, &body), cases[i].status, cases[i].says);
    }
    struct r2_text body = {0};
    add_json(&body, "", "", "");
    cr_expect_eq(count_of(post("/classify?top_k=1", JSON, &body)), 1);
    stop();
}

/* max_body is of the picture; JSON may be half as long again and 64 KiB. */
Test(bodies, limits)
{
    static const char *const options[] = {"--max-body", "64KiB", NULL};
    enum { LIMIT = 65536 };
    start(options);
    struct r2_text body = {0};
    uint8_t *zeros = calloc(1, LIMIT + 1);
    cr_assert(zeros);
    for (size_t more = 0; more < 2; more++) {
        r2_text_add(&body, "{\"image\": \"");
        add_base64(&body, (struct r2_bytes){zeros, LIMIT + more}, "\r\n");
        r2_text_add(&body, "\"}");
        cr_expect_gt(body.size, LIMIT);
        expect_refused(post("/classify", JSON, &body), more ? 413 : 415,
                       more ? "65537 bytes; the limit max_body is 65536" : "not a picture");
    }
    r2_text_add(&body, "%*s", LIMIT * 5 / 2 + 1, "{}");
    expect_refused(post("/classify", JSON, &body), 413, "163840 are accepted as JSON");
    r2_text_add(&body, "%*s", LIMIT + 1, "x");
    expect_refused(post("/classify", MULTIPART, &body), 413, "the limit max_body is 65536");
    cr_expect_eq(r2_daemon_metric(&daemon_of_test, "res2netd_rejected_total{reason=\"too_large\"}"),
                 3);

    /* without a length */
    int fd = r2_client_connect(daemon_of_test.port);
    r2_client_print(fd,
                    "POST /classify HTTP/1.1\r\nHost: test\r\n" JSON
                    "Transfer-Encoding: chunked\r\n\r\n%x\r\n",
                    LIMIT * 5 / 2 + 1);
    for (int left = LIMIT * 5 / 2 + 1; left > 0; left -= LIMIT)
        r2_client_send(fd, zeros, (size_t)(left < LIMIT ? left : LIMIT));
    r2_client_print(fd, "\r\n0\r\n\r\n");
    expect_refused(r2_client_receive(fd, 10000, false), 413, "163840 are accepted as JSON");
    close(fd);
    free(zeros);
    stop();
}
