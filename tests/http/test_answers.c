/* Which answer a client gets by its headers, and many answers on one connection. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { WAIT_MS = 20000 };

static struct r2_response ask(const struct r2_daemon *daemon, const char *method,
                              const char *target, const char *headers)
{
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    bool posts = strcmp(method, "POST") == 0;
    struct r2_response response = r2_client_ask(daemon->port, method, target, headers,
                                                posts ? file.data : NULL, posts ? file.size : 0);
    r2_buffer_finish(&file);
    return response;
}

static void expect_header(const struct r2_response *response, const char *name, const char *value)
{
    const char *is = r2_response_header(response, name);
    if (value)
        cr_expect(is && strcmp(is, value) == 0, "%s: %s, not %s", name, is ? is : "(none)", value);
    else
        cr_expect(!is, "%s: %s", name, is);
}

static json_t *lasting_part(const struct r2_response *response)
{
    json_t *json = r2_response_json(response);
    json_object_del(json, "timing_ms");
    json_object_del(json, "request_id");
    return json;
}

Test(answers, accept_in_several_lines_and_of_any_length)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    char headers[6000] = "Accept: image/gif\r\nAccept: application/json\r\n";
    struct r2_response response = ask(&daemon, "POST", "/embed", headers);
    cr_expect_eq(response.status, 200);
    r2_response_finish(&response);
    size_t size = (size_t)snprintf(headers, sizeof headers, "Accept: image/gif");
    while (size < 4000) size += (size_t)snprintf(headers + size, 20, ", image/x%zu", size);
    snprintf(headers + size, sizeof headers - size, ", application/json\r\n");
    response = ask(&daemon, "POST", "/embed", headers);
    cr_expect_eq(response.status, 200);
    r2_response_finish(&response);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(answers, gzip_is_the_same_answer)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    static const char *const cases[][2] = {{"POST", "/embed"}, {"GET", "/models"}};
    for (size_t i = 0; i < 2; i++) {
        const char *gzip = "Accept-Encoding: br\r\nAccept-Encoding: gzip, identity;q=0\r\n";
        struct r2_response plain = ask(&daemon, cases[i][0], cases[i][1], "");
        struct r2_response packed = ask(&daemon, cases[i][0], cases[i][1], gzip);
        const char *vary = i == 0 ? "Accept, Accept-Encoding" : "Accept-Encoding";
        cr_assert_eq(packed.status, 200);
        expect_header(&plain, "Content-Encoding", NULL);
        expect_header(&packed, "Content-Encoding", "gzip");
        expect_header(&packed, "Content-Type", "application/json");
        expect_header(&plain, "Vary", vary);
        expect_header(&packed, "Vary", vary);
        r2_response_unzip(&packed);
        json_t *a = lasting_part(&plain), *b = lasting_part(&packed);
        cr_expect(json_equal(a, b));
        json_decref(a);
        json_decref(b);
        r2_response_finish(&plain);
        r2_response_finish(&packed);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(answers, what_is_short_or_an_error_stays_plain)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    static const char *const targets[] = {"/livez", "/nothing"};
    for (size_t i = 0; i < 2; i++) {
        struct r2_response response = ask(&daemon, "GET", targets[i], "Accept-Encoding: gzip\r\n");
        expect_header(&response, "Content-Encoding", NULL);
        json_decref(r2_response_json(&response));
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(answers, head_has_the_headers_of_get)
{
    static const char *const names[] = {"Content-Type", "Content-Length", "Content-Encoding",
                                        "Vary"};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    static const char *const headers[] = {"", "Accept-Encoding: gzip, identity;q=0\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct r2_response get = ask(&daemon, "GET", "/version", headers[i]);
        struct r2_response head = ask(&daemon, "HEAD", "/version", headers[i]);
        cr_expect_eq(head.status, 200);
        for (size_t name = 0; name < 4; name++) {
            const char *value = r2_response_header(&get, names[name]);
            char *copy = value ? strdup(value) : NULL;
            expect_header(&head, names[name], copy);
            free(copy);
        }
        r2_response_finish(&get);
        r2_response_finish(&head);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(answers, nothing_acceptable)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_response response = ask(&daemon, "POST", "/classify", "Accept: image/png\r\n");
    cr_expect_eq(response.status, 406);
    expect_header(&response, "Content-Type", "application/problem+json");
    json_t *json = r2_response_json(&response);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    cr_expect(detail && strstr(detail, "application/json") && strstr(detail, "image/png"));
    json_decref(json);
    r2_response_finish(&response);

    /* Before the body: the client that waits for a word gets this one. */
    int fd = r2_client_connect(daemon.port);
    r2_client_print(fd, "POST /embed HTTP/1.1\r\nHost: test\r\nAccept: text/html\r\n"
                        "Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n");
    response = r2_client_receive(fd, WAIT_MS, false);
    cr_expect_eq(response.status, 406);
    cr_expect_eq(response.interim, 0);
    r2_response_finish(&response);
    close(fd);

    static const char *const taken[] = {"Accept: */*\r\n", "Accept: image/png, */*;q=0.1\r\n"};
    for (size_t i = 0; i < 2; i++) {
        response = ask(&daemon, "POST", "/classify", taken[i]);
        cr_expect_eq(response.status, 200);
        expect_header(&response, "Content-Type", "application/json");
        r2_response_finish(&response);
    }
    /* A probe is not turned away. */
    response = ask(&daemon, "GET", "/livez", "Accept: image/png\r\n");
    cr_expect_eq(response.status, 200);
    r2_response_finish(&response);
    r2_daemon_expect_metric(&daemon, "res2netd_requests_total{route=\"classify\",code=\"406\"}", 1);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(answers, options)
{
    static const char *const cases[][2] = {{"/classify", "POST, OPTIONS"},
                                           {"/metrics", "GET, HEAD, OPTIONS"},
                                           {"*", "GET, HEAD, POST, OPTIONS"}};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    for (size_t i = 0; i < 3; i++) {
        struct r2_response response = ask(&daemon, "OPTIONS", cases[i][0], "");
        cr_expect_eq(response.status, 204, "%s: %d", cases[i][0], response.status);
        expect_header(&response, "Allow", cases[i][1]);
        cr_expect_eq(response.body_size, 0);
        r2_response_finish(&response);
    }
    struct r2_response response = ask(&daemon, "OPTIONS", "/nothing", "");
    cr_expect_eq(response.status, 404);
    r2_response_finish(&response);
    r2_daemon_expect_metric(&daemon, "res2netd_requests_total{route=\"metrics\",code=\"204\"}", 1);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* Everything is written before the first answer is read. */
Test(answers, pipelined_requests_are_answered_in_order)
{
    static const int wanted[] = {200, 200, 404, 204, 406, 200};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg"), sent = {0};
    struct r2_error err;
    char text[1024];
    int size = snprintf(text, sizeof text,
                        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
                        "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                        file.size);
    cr_assert_eq(r2_buffer_append(&sent, text, (size_t)size, &err), R2_OK);
    cr_assert_eq(r2_buffer_append(&sent, file.data, file.size, &err), R2_OK);
    static const char rest[] = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                               "OPTIONS /embed HTTP/1.1\r\nHost: x\r\n\r\n"
                               "POST /embed HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n"
                               "Content-Length: 3\r\n\r\nabc"
                               "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    cr_assert_eq(r2_buffer_append(&sent, rest, sizeof rest - 1, &err), R2_OK);
    int fd = r2_client_connect(daemon.port);
    cr_assert(r2_client_send(fd, sent.data, sent.size));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct r2_response response = r2_client_receive(fd, WAIT_MS, false);
        cr_expect_eq(response.status, wanted[i], "answer %zu: %d", i, response.status);
        if (i == 1) cr_expect(strstr(response.body, "\"classes\""));
        if (i == 5) cr_expect(strstr(response.body, "\"onednn\""));
        r2_response_finish(&response);
    }
    close(fd);
    r2_buffer_finish(&sent);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* What makes a page OpenMetrics; test_metrics.c reads the text form line by line. */
Test(answers, metrics_as_openmetrics)
{
    static const char type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    static const char *const parts[] = {
        "# TYPE res2netd_requests counter\n# HELP res2netd_requests ",
        "\nres2netd_requests_total{route=\"livez\",code=\"200\"} 0\n",
        "\n# TYPE res2netd_stage_duration_seconds histogram\n",
        " histogram\n# UNIT res2netd_stage_duration_seconds seconds\n# HELP ",
        "{stage=\"queue\",le=\"0.005\"} ",
        "{stage=\"queue\",le=\"1.0\"} ",
        "{stage=\"queue\",le=\"+Inf\"} ",
        "\n# TYPE res2netd_build info\n",
        "\nres2netd_build_info{version=\"",
        "\n# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n",
    };
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_response response =
        ask(&daemon, "GET", "/metrics",
            "Accept: application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.4\r\n"
            "Accept-Encoding: gzip\r\n");
    cr_assert_eq(response.status, 200);
    expect_header(&response, "Content-Type", type);
    expect_header(&response, "Vary", "Accept, Accept-Encoding");
    r2_response_unzip(&response);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_expect(strstr(response.body, parts[i]), "no %s", parts[i]);
    const char *end = strstr(response.body, "\n# EOF\n");
    cr_expect(end && end[strlen("\n# EOF\n")] == 0 && !strstr(response.body, "_total counter"));
    r2_response_finish(&response);
    static const char *const old[] = {"", "Accept: */*\r\n", "Accept: image/png\r\n"};
    for (size_t i = 0; i < 3; i++) {
        response = ask(&daemon, "GET", "/metrics", old[i]);
        expect_header(&response, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        cr_expect(!strstr(response.body, "# EOF") && strstr(response.body, ",le=\"1\"} "));
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
