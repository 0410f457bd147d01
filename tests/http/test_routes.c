/* Every route's good answer. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

static const char *const stages[] = {"receive",  "decode", "preprocess", "queue",
                                     "backbone", "head",   "total"};

static struct r2_response post(const struct r2_daemon *daemon, const char *target,
                               const char *headers)
{
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    struct r2_response response =
        r2_client_ask(daemon->port, "POST", target, headers, file.data, file.size);
    r2_buffer_finish(&file);
    return response;
}

/* What every answer to a picture carries; the picture is jpeg_420.jpg. */
static json_t *expect_answer(const struct r2_response *response)
{
    cr_assert_eq(response->status, 200, "%d: %s", response->status, response->body);
    cr_expect_str_eq(r2_response_header(response, "Content-Type"), "application/json");
    json_t *json = r2_response_json(response);
    cr_expect(json_string_length(json_object_get(json, "model")) > 0);
    cr_expect(json_string_length(json_object_get(json, "version")) > 0);
    json_t *image = json_object_get(json, "image");
    cr_expect_eq(json_integer_value(json_object_get(image, "width")), 75);
    cr_expect_eq(json_integer_value(json_object_get(image, "height")), 53);
    json_t *timing = json_object_get(json, "timing_ms");
    double total = json_number_value(json_object_get(timing, "total")), sum = 0;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        json_t *value = json_object_get(timing, stages[i]);
        cr_expect(json_is_number(value) && json_number_value(value) >= 0, "%s", stages[i]);
        if (strcmp(stages[i], "total") != 0) sum += json_number_value(value);
    }
    cr_expect(total > 0 && sum <= total + 0.01, "stages %g, total %g", sum, total);
    cr_expect_str_eq(json_string_value(json_object_get(json, "request_id")),
                     r2_response_header(response, "X-Request-ID"));
    const char *server_timing = r2_response_header(response, "Server-Timing");
    cr_assert(server_timing);
    cr_expect(strstr(server_timing, "backbone;dur=") && strstr(server_timing, "total;dur="));
    return json;
}

static void expect_classes(json_t *classes, size_t count)
{
    double before = INFINITY;
    cr_assert_eq(json_array_size(classes), count, "%zu", json_array_size(classes));
    for (size_t i = 0; i < count; i++) {
        json_t *class = json_array_get(classes, i);
        double score = json_number_value(json_object_get(class, "score"));
        cr_expect(score >= 0 && score <= 1 && score <= before);
        cr_expect(json_is_integer(json_object_get(class, "index")));
        cr_expect(json_is_string(json_object_get(class, "label")));
        before = score;
    }
}

Test(routes, classify)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_response response =
        post(&daemon, "/classify?top_k=2", "Content-Type: image/jpeg\r\n");
    json_t *json = expect_answer(&response);
    expect_classes(json_object_get(json, "classes"), 2);
    json_decref(json);
    r2_response_finish(&response);

    response = post(&daemon, "/classify?top_k=1&orient=0",
                    "Content-Type: APPLICATION/Octet-Stream; a=b\r\n");
    json = expect_answer(&response);
    expect_classes(json_object_get(json, "classes"), 1);
    json_decref(json);
    r2_response_finish(&response);

    /* No type at all, and a type that the bytes belie. */
    response = post(&daemon, "/classify?top%5Fk=%31", "");
    json = expect_answer(&response);
    expect_classes(json_object_get(json, "classes"), 1);
    json_decref(json);
    r2_response_finish(&response);
    response = post(&daemon, "/classify", "Content-Type: image/png\r\n");
    json_decref(expect_answer(&response));
    r2_response_finish(&response);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(routes, analyze_and_embed)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_response response = post(&daemon, "/analyze?heads=classify&top_k=3", "");
    json_t *json = expect_answer(&response);
    json_t *results = json_object_get(json, "results");
    cr_expect_eq(json_object_size(results), 1);
    expect_classes(json_object_get(json_object_get(results, "classify"), "classes"), 3);
    json_decref(json);
    r2_response_finish(&response);

    response = post(&daemon, "/analyze", "");
    json = expect_answer(&response);
    cr_expect(json_object_get(json_object_get(json, "results"), "classify"));
    json_decref(json);
    r2_response_finish(&response);

    response = post(&daemon, "/embed", "");
    json = expect_answer(&response);
    json_t *embedding = json_object_get(json, "embedding");
    cr_expect(json_array_size(embedding) >= 16);
    for (size_t i = 0; i < json_array_size(embedding); i++)
        cr_assert(json_is_real(json_array_get(embedding, i)));
    cr_expect_not(json_object_get(json, "classes"));
    json_decref(json);
    r2_response_finish(&response);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(routes, the_orientation_is_applied_unless_told_not_to)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("exif_6.jpg");
    json_int_t sizes[2][2];
    for (int orient = 0; orient < 2; orient++) {
        struct r2_response response =
            r2_client_ask(daemon.port, "POST", orient ? "/embed?orient=1" : "/embed?orient=0", "",
                          file.data, file.size);
        json_t *json = r2_response_json(&response);
        json_t *image = json_object_get(json, "image");
        sizes[orient][0] = json_integer_value(json_object_get(image, "width"));
        sizes[orient][1] = json_integer_value(json_object_get(image, "height"));
        json_decref(json);
        r2_response_finish(&response);
    }
    cr_expect_neq(sizes[0][0], sizes[0][1]);
    cr_expect_eq(sizes[0][0], sizes[1][1]);
    cr_expect_eq(sizes[0][1], sizes[1][0]);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* What is there is answered, with a word that not all was; strict=0 is the default. */
Test(routes, a_truncated_picture_is_answered_with_a_warning)
{
    static const char *const targets[] = {"/classify", "/classify?strict=0"};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("codecs/webp_lossy.webp");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct r2_response response = r2_client_ask(daemon.port, "POST", targets[i], "", file.data,
                                                    file.size - file.size / 4);
        json_t *json = expect_answer(&response), *warnings = json_object_get(json, "warnings");
        cr_assert_eq(json_array_size(warnings), 1, "%s", response.body);
        cr_expect_str_eq(json_string_value(json_array_get(warnings, 0)), "truncated");
        cr_expect_str_eq(r2_response_header(&response, "X-Warning"), "truncated");
        json_decref(json);
        r2_response_finish(&response);
    }
    struct r2_response response =
        r2_client_ask(daemon.port, "POST", "/classify?strict=1", "Content-Type: image/webp\r\n",
                      file.data, file.size);
    json_t *json = expect_answer(&response);
    cr_expect_null(json_object_get(json, "warnings"), "a whole one: %s", response.body);
    cr_expect_null(r2_response_header(&response, "X-Warning"));
    json_decref(json);
    r2_response_finish(&response);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

static void expect_page(const struct r2_daemon *daemon, const char *path, const char *member)
{
    struct r2_response response = r2_client_get(daemon->port, path);
    cr_assert_eq(response.status, 200, "%s: %s", path, response.body);
    json_t *json = r2_response_json(&response);
    cr_expect(json_object_get(json, member), "%s: %s", path, response.body);
    json_decref(json);
    char length[32];
    snprintf(length, sizeof length, "%zu", response.body_size);
    r2_response_finish(&response);

    response = r2_client_ask(daemon->port, "HEAD", path, "", NULL, 0);
    cr_expect_eq(response.status, 200);
    cr_expect_str_eq(r2_response_header(&response, "Content-Length"), length);
    r2_response_finish(&response);
}

Test(routes, pages)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    expect_page(&daemon, "/livez", "status");
    expect_page(&daemon, "/readyz?verbose=1", "status");
    expect_page(&daemon, "/version", "onednn");
    expect_page(&daemon, "/models", "models");
    struct r2_response response = r2_client_get(daemon.port, "/models");
    json_t *json = r2_response_json(&response);
    json_t *model = json_array_get(json_object_get(json, "models"), 0);
    cr_expect(json_is_string(json_object_get(model, "name")));
    cr_expect(json_object_get(model, "heads"));
    json_decref(json);
    r2_response_finish(&response);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(routes, request_ids)
{
    static const char *const kept[] = {"a", "trace-1/2 <x> \"y\" \\z"};
    struct r2_daemon daemon = r2_daemon_start(NULL);
    char header[400], longest[129], id[128];
    memset(longest, 'x', 128);
    longest[128] = 0;
    for (int i = 0; i < 3; i++) {
        const char *wanted = i < 2 ? kept[i] : longest;
        snprintf(header, sizeof header, "X-Request-ID: %s\r\n", wanted);
        struct r2_response response = post(&daemon, "/embed", header);
        cr_expect_str_eq(r2_response_header(&response, "X-Request-ID"), wanted);
        json_t *json = r2_response_json(&response);
        cr_expect_str_eq(json_string_value(json_object_get(json, "request_id")), wanted);
        json_decref(json);
        r2_response_finish(&response);
    }
    /* One byte too long, not ASCII, a tab, empty, none: a new one of 32 hex digits. */
    static const char *const bad[] = {"X-Request-ID: x%s\r\n", "X-Request-ID: \xC3\xA9\r\n",
                                      "X-Request-ID: a\tb\r\n", "X-Request-ID:\r\n", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(header, sizeof header, "%s", bad[i]);
        if (i == 0) snprintf(header, sizeof header, "X-Request-ID: x%s\r\n", longest);
        struct r2_response response = post(&daemon, "/nothing", header);
        snprintf(id, sizeof id, "%s", r2_response_header(&response, "X-Request-ID"));
        cr_expect_eq(strspn(id, "0123456789abcdef"), 32, "%s", id);
        cr_expect_eq(strlen(id), 32);
        json_t *json = r2_response_json(&response);
        cr_expect_str_eq(json_string_value(json_object_get(json, "instance")), id);
        json_decref(json);
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(routes, keep_alive)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    static const struct {
        const char *method, *target;
        bool body;
        int status;
    } requests[] = {
        {"POST", "/classify", true, 200},     {"GET", "/livez", false, 200},
        {"POST", "/classify?x=1", true, 422}, {"GET", "/classify", false, 405},
        {"POST", "/nothing", true, 404},      {"HEAD", "/livez", false, 200},
        {"POST", "/classify", false, 422},    {"POST", "/embed", true, 200},
        {"GET", "/livez", true, 200},         {"GET", "/livez", false, 200},
    };
    int fd = r2_client_connect(daemon.port);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        size_t size = requests[i].body ? file.size : 0;
        r2_client_print(fd, "%s %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n",
                        requests[i].method, requests[i].target, size);
        r2_client_send(fd, file.data, size);
        struct r2_response response =
            r2_client_receive(fd, 10000, strcmp(requests[i].method, "HEAD") == 0);
        cr_assert_eq(response.status, requests[i].status, "request %zu: %d", i, response.status);
        r2_response_finish(&response);
    }
    close(fd);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
