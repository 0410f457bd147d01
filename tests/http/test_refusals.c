/* Bad input of every kind: the right code, a problem body, and good requests go on beside it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

struct refusal {
    const char *method, *target, *headers;
    int status;
    const char *says; /* part of the detail */
};

static void expect_problem(const struct r2_response *response, int status, const char *says)
{
    static const char *const titles[] = {"type", "title", "detail", "instance", "error"};
    cr_assert_eq(response->status, status, "%d, not %d: %s", response->status, status,
                 response->body);
    cr_expect_str_eq(r2_response_header(response, "Content-Type"), "application/problem+json");
    json_t *json = r2_response_json(response);
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        cr_expect(json_is_string(json_object_get(json, titles[i])), "%s", titles[i]);
    cr_expect_eq(json_integer_value(json_object_get(json, "status")), status);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    cr_expect_str_eq(json_string_value(json_object_get(json, "error")), detail);
    cr_expect(strstr(detail, says), "\"%s\" does not say \"%s\"", detail, says);
    cr_expect_str_eq(json_string_value(json_object_get(json, "instance")),
                     r2_response_header(response, "X-Request-ID"));
    json_decref(json);
}

static void expect_good(const struct r2_daemon *daemon)
{
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    struct r2_response response =
        r2_client_ask(daemon->port, "POST", "/classify", "", file.data, file.size);
    cr_expect_eq(response.status, 200, "%s", response.body);
    r2_response_finish(&response);
    r2_buffer_finish(&file);
}

static void expect_refused(const struct r2_daemon *daemon, const struct refusal *refusal,
                           const void *body, size_t size)
{
    struct r2_response response =
        r2_client_ask(daemon->port, refusal->method, refusal->target, refusal->headers, body, size);
    expect_problem(&response, refusal->status, refusal->says);
    r2_response_finish(&response);
}

Test(refusals, heads_of_requests)
{
    static const struct refusal refusals[] = {
        {"POST", "/nothing", "", 404, "/classify"},
        {"GET", "/", "", 404, "/classify"},
        {"POST", "/classify/", "", 404, "/classify"},
        {"POST", "/detect", "", 404, "classify"},
        {"POST", "/analyze?heads=classify,detect", "", 404, "classify"},
        {"POST", "/analyze?heads=", "", 422, "heads"},
        {"POST", "/classify", "Content-Type: text/plain\r\n", 415, "JPEG, PNG, WebP"},
        {"POST", "/classify", "Content-Type: text/plain\r\n", 415, "multipart/form-data"},
        {"POST", "/classify", "Content-Type: application/jsonx\r\n", 415, "application/json"},
        {"POST", "/classify", "Content-Type: multipart/form-data\r\n", 400, "boundary"},
        {"POST", "/classify", "Content-Type: image/gif\r\n", 415, "JPEG"},
        {"POST", "/classify?top_k=-1", "", 422, "top_k"},
        {"POST", "/classify?top_k=1e9", "", 422, "top_k"},
        {"POST", "/classify?top_k=", "", 422, "top_k"},
        {"POST", "/classify?top_k=five", "", 422, "top_k"},
        {"POST", "/classify?topk=5", "", 422, "top_k"},
        {"POST", "/classify?orientt=0", "", 422, "orient"},
        {"POST", "/classify?orient=maybe", "", 422, "orient"},
        {"POST", "/classify?strict=maybe", "", 422, "strict"},
        {"POST", "/classify?heads=classify", "", 422, "heads"},
        {"POST", "/classify?%0Aevil=1", "", 422, "evil"},
        {"POST", "/embed?top_k=1", "", 422, "top_k"},
        {"POST", "/embed", "X-Timeout-Ms: 0\r\n", 422, "X-Timeout-Ms: \"0\""},
        {"POST", "/embed", "X-Timeout-Ms: 3600001\r\n", 422, "from 1 to 3600000"},
        {"POST", "/embed", "X-Timeout-Ms: 99999999999999999999\r\n", 422, "X-Timeout-Ms"},
        {"POST", "/embed", "X-Timeout-Ms: -5\r\n", 422, "X-Timeout-Ms: \"-5\""},
        {"POST", "/embed", "X-Timeout-Ms: 1.5\r\n", 422, "X-Timeout-Ms"},
        {"POST", "/embed", "X-Timeout-Ms: 5s\r\n", 422, "X-Timeout-Ms"},
        {"POST", "/embed", "X-Timeout-Ms:\r\n", 422, "X-Timeout-Ms: \"\""},
        {"POST", "/classify?top_k=5&top_k=5", "", 400, "twice"},
        {"POST", "/classify?top_k=%4", "", 400, "hex"},
        {"POST", "/classify?top_k=%00", "", 400, "hex"},
        {"POST", "/classify?=5", "", 400, "name"},
    };
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        expect_refused(&daemon, &refusals[i], file.data, file.size);
    expect_good(&daemon);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(refusals, methods)
{
    static const struct {
        const char *method, *target, *allow;
    } cases[] = {
        {"GET", "/classify", "POST, OPTIONS"},      {"HEAD", "/analyze", "POST, OPTIONS"},
        {"PUT", "/embed", "POST, OPTIONS"},         {"DELETE", "/classify", "POST, OPTIONS"},
        {"POST", "/livez", "GET, HEAD, OPTIONS"},   {"POST", "/metrics", "GET, HEAD, OPTIONS"},
        {"PATCH", "/models", "GET, HEAD, OPTIONS"}, {"BREW", "/version", "GET, HEAD, OPTIONS"}};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct r2_response response =
            r2_client_ask(daemon.port, cases[i].method, cases[i].target, "", NULL, 0);
        cr_expect_eq(response.status, 405, "%s %s: %d", cases[i].method, cases[i].target,
                     response.status);
        const char *allow = r2_response_header(&response, "Allow");
        cr_assert(allow);
        cr_expect_str_eq(allow, cases[i].allow);
        if (strcmp(cases[i].method, "HEAD") != 0) expect_problem(&response, 405, cases[i].allow);
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* The header of a JPEG of 10,000 x 10,000 pixels. */
static const unsigned char huge[] = {
    0xFF, 0xD8, 0xFF, 0xC0, 0x00, 0x11, 0x08, 0x27, 0x10, 0x27, 0x10, 0x03,
    0x01, 0x22, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11, 0x01, 0xFF, 0xDA, 0x00,
    0x0C, 0x03, 0x01, 0x00, 0x02, 0x11, 0x03, 0x11, 0x00, 0x3F, 0x00, 0x00,
};

Test(refusals, pictures)
{
    static const struct refusal empty = {"POST", "/classify", "", 422, "empty"};
    static const struct refusal truncated = {"POST", "/classify?strict=1", "", 422, "truncated"};
    static const struct refusal rowless = {"POST", "/classify", "", 422, "truncated"};
    static const struct refusal text = {"POST", "/classify", "", 415, "JPEG, PNG, WebP"};
    static const struct refusal gif = {"POST", "/classify", "", 415, "GIF"};
    static const struct refusal pixels = {"POST", "/classify", "", 422, "pixels"};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    expect_refused(&daemon, &empty, NULL, 0);
    expect_refused(&daemon, &truncated, file.data, file.size - 1);
    expect_refused(&daemon, &rowless, file.data, 640);
    expect_good(&daemon);
    expect_refused(&daemon, &text, "this is no picture", 18);
    expect_refused(&daemon, &text, file.data + 1, file.size - 1);
    expect_refused(&daemon, &gif, "GIF89a\1\0\1\0\0\0\0;", 14);
    expect_refused(&daemon, &pixels, huge, sizeof huge);
    expect_good(&daemon);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_decode_errors_total{format=\"jpeg\"}"), 3);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_decode_errors_total{format=\"unknown\"}"), 2);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_decode_errors_total{format=\"gif\"}"), 1);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* libmicrohttpd answers these itself; they must be counted, and hurt nobody. */
Test(refusals, broken_http)
{
    static const char *const requests[] = {
        "nonsense\r\n\r\n",
        "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    };
    struct r2_daemon daemon = r2_daemon_start(NULL);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int fd = r2_client_connect(daemon.port);
        r2_client_print(fd, "%s", requests[i]);
        struct r2_response response = r2_client_receive(fd, 5000, false);
        cr_expect(response.status == 0 || (response.status >= 400 && response.status < 500),
                  "%s: %d", requests[i], response.status);
        r2_response_finish(&response);
        close(fd);
    }
    expect_good(&daemon);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_requests_in_flight"), 1); /* this one */
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
