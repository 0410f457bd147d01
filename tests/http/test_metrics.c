/* The form of /metrics, sums that must agree, and the log. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { NAME = 128 };

/* What a linter knows while it reads down the page. */
struct lint {
    char name[NAME]; /* of the metric whose lines these are */
    char type[NAME];
    char series[1024];   /* of the histogram that is being read, without le */
    double bound, count; /* its last bucket */
    int samples;
};

static bool is_name(const char *name, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return size > 0 && strspn(name, allowed) >= size && (name[0] < '0' || name[0] > '9');
}

static void lint_comment(struct lint *lint, const char *line)
{
    char kind[8], name[NAME], rest[NAME];
    cr_assert_eq(sscanf(line, "# %7s %127s %127[^\n]", kind, name, rest), 3, "%s", line);
    if (strcmp(kind, "HELP") == 0) {
        snprintf(lint->name, sizeof lint->name, "%s", name);
        lint->type[0] = 0;
    } else {
        cr_assert_str_eq(kind, "TYPE");
        cr_assert_str_eq(name, lint->name, "TYPE follows HELP: %s", line);
        snprintf(lint->type, sizeof lint->type, "%s", rest);
        bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
        cr_expect_eq(strcmp(rest, "counter") == 0, total, "counters end in _total: %s", line);
    }
    lint->series[0] = 0;
}

static void lint_bucket(struct lint *lint, const char *labels, double value)
{
    char series[1024];
    const char *le = strstr(labels, "le=\"");
    cr_assert(le, "%s", labels);
    snprintf(series, sizeof series, "%.*s", (int)(le - labels), labels);
    double bound = strtod(le + 4, NULL);
    if (strcmp(series, lint->series) == 0) {
        cr_expect(bound > lint->bound && value >= lint->count, "%s", labels);
    } else {
        snprintf(lint->series, sizeof lint->series, "%s", series);
    }
    lint->bound = bound;
    lint->count = value;
}

static void lint_sample(struct lint *lint, const char *line)
{
    size_t size = strcspn(line, "{ "), base = strlen(lint->name);
    const char *labels = line[size] == '{' ? line + size : "";
    const char *end = strrchr(line, ' ');
    char *rest;
    cr_assert(end && is_name(line, size), "%s", line);
    double value = strtod(end + 1, &rest);
    cr_expect(*rest == 0 && isfinite(value) && value >= 0, "%s", line);
    cr_assert(lint->type[0] && strncmp(line, lint->name, base) == 0, "%s is not below its TYPE",
              line);
    const char *suffix = line + base;
    if (strcmp(lint->type, "histogram") != 0) {
        cr_expect_eq(size, base, "%s", line);
    } else if (strncmp(suffix, "_bucket", 7) == 0) {
        lint_bucket(lint, labels, value);
    } else if (strncmp(suffix, "_count", 6) == 0) {
        cr_expect(isinf(lint->bound) && lint->count == value, "%s: +Inf has %g", line, lint->count);
    } else {
        cr_expect(strncmp(suffix, "_sum", 4) == 0, "%s", line);
    }
    lint->samples++;
}

/* Every line of a page; returns the number of samples. */
static int lint_page(const char *page)
{
    struct lint lint = {0};
    char *copy = strdup(page), *rest = copy, *line;
    cr_assert(copy && *page && page[strlen(page) - 1] == '\n');
    copy[strlen(copy) - 1] = 0;
    while ((line = strsep(&rest, "\n"))) {
        if (*line == '#')
            lint_comment(&lint, line);
        else
            lint_sample(&lint, line);
    }
    free(copy);
    return lint.samples;
}

/* Sum over all series that begin so. */
static double sum_of(const char *page, const char *begins)
{
    double sum = 0;
    for (const char *line = strstr(page, begins); line; line = strstr(line + 1, begins))
        if (line == page || line[-1] == '\n') sum += strtod(strchr(line, ' ') + 1, NULL);
    return sum;
}

static void ask_all_sorts(const struct r2_daemon *daemon)
{
    static const char *const targets[] = {"/classify", "/classify?top_k=0", "/embed",
                                          "/analyze",  "/classify?bad=1",   "/nothing",
                                          "/livez"};
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct r2_response response =
            r2_client_ask(daemon->port, "POST", targets[i], "", file.data, file.size);
        cr_expect(response.status);
        r2_response_finish(&response);
    }
    r2_buffer_finish(&file);
}

Test(metrics, form_and_sums)
{
    static const char *const wanted[] = {
        "res2netd_requests_total{route=\"segment\",code=\"200\"} 0\n",
        "res2netd_requests_total{route=\"classify\",code=\"200\"} 2\n",
        "res2netd_requests_total{route=\"classify\",code=\"422\"} 1\n",
        "res2netd_requests_total{route=\"other\",code=\"404\"} 1\n",
        "res2netd_requests_total{route=\"livez\",code=\"405\"} 1\n",
        "res2netd_queue_length 0\n",
        "res2netd_queue_capacity ",
        "res2netd_requests_in_flight 1\n",
        "res2netd_rejected_total{reason=\"queue_full\"} 0\n",
        "res2netd_cancelled_total{where=\"queue\"} 0\n",
        "res2netd_decode_errors_total{format=\"png\"} 0\n",
        "res2netd_plan_cache_hits_total ",
        "res2netd_plan_cache_misses_total ",
        "res2netd_worker_busy_seconds_total ",
        "res2netd_trunk_passes_total 4\n",
        "res2netd_reloads_total{result=\"ok\"} 0\n",
        "res2netd_cpu_quota_cores ",
        "res2netd_build_info{version=\"",
        ",onednn=\"",
        ",isa=\"",
        "res2netd_model_info{model=\"",
        "process_cpu_seconds_total ",
        "process_open_fds ",
        "process_resident_memory_bytes ",
        "process_start_time_seconds ",
        "process_threads ",
    };
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_response fresh = r2_client_get(daemon.port, "/metrics");
    cr_expect_eq(fresh.status, 200);
    cr_expect_str_eq(r2_response_header(&fresh, "Content-Type"),
                     "text/plain; version=0.0.4; charset=utf-8");
    int samples = lint_page(fresh.body);
    r2_response_finish(&fresh);

    ask_all_sorts(&daemon);
    struct r2_response response = r2_client_get(daemon.port, "/metrics");
    cr_expect_eq(lint_page(response.body), samples, "all series are there from the start");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        cr_expect(strstr(response.body, wanted[i]), "no %s", wanted[i]);
    cr_expect_eq(sum_of(response.body, "res2netd_requests_total{"), 8); /* 7 and a scrape */
    cr_expect_eq(sum_of(response.body, "res2netd_request_duration_seconds_count{"), 8);
    static const char *const stages[] = {"decode", "preprocess", "queue",  "backbone",
                                         "head",   "encode",     "receive"};
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        char name[NAME];
        snprintf(name, sizeof name, "res2netd_stage_duration_seconds_count{stage=\"%s\"}",
                 stages[i]);
        cr_expect_eq(sum_of(response.body, name), 4, "%s", name);
    }
    r2_response_finish(&response);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* Lines of the log that hold the text. */
static int count_lines(const char *log, const char *text)
{
    int count = 0;
    for (const char *at = strstr(log, text); at; at = strstr(at + 1, text)) count++;
    return count;
}

Test(metrics, the_log_has_one_line_a_request_and_takes_no_orders)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    static const char *const targets[] = {
        "/x%0A2026-01-01T00:00:00.000Z%20info%20request%20id=forged", "/x%22%20status=200%20y=%22",
        "/%1B[2J", "/%FF%FE"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct r2_response response =
            r2_client_ask(daemon.port, "GET", targets[i], "X-Request-ID: a b=\"c\"\r\n", NULL, 0);
        cr_expect_eq(response.status, 404);
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    char *log = r2_daemon_log(&daemon);
    cr_expect_eq(count_lines(log, "Z info request id=\"a b"), 4, "%s", log);
    cr_expect_eq(count_lines(log, "\n2026-01-01T00:00:00"), 0, "%s", log);
    cr_expect_eq(count_lines(log, " id=\"a b=\\\"c\\\"\" "), 4, "%s", log);
    cr_expect_eq(count_lines(log, " status=404 "), 4);
    cr_expect_eq(count_lines(log, "\033"), 0);
    free(log);
}

Test(metrics, the_log_as_json)
{
    static const char *const options[] = {"--log-format", "json", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    ask_all_sorts(&daemon);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    char *log = r2_daemon_log(&daemon), *rest = log, *line;
    int requests = 0;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line) continue;
        json_t *json = json_loads(line, 0, NULL);
        cr_assert(json, "%s", line);
        cr_expect(json_is_string(json_object_get(json, "time")));
        if (strcmp(json_string_value(json_object_get(json, "event")), "request") == 0) {
            cr_expect(json_is_string(json_object_get(json, "id")));
            cr_expect(json_is_integer(json_object_get(json, "status")));
            cr_expect(json_is_real(json_object_get(json, "total_ms")));
            requests++;
        }
        json_decref(json);
    }
    cr_expect_eq(requests, 7);
    free(log);
}
