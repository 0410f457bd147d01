/* The command line: exit codes, messages, and the verbs that are not `serve`. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

static const char *model(void)
{
    return getenv("R2_TEST_MODEL");
}

static const char *sample(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/golden/image/%s", getenv("R2_TEST_DATA"), name);
    return path;
}

/* Calls the program; it must give this code and say this on standard output or error. */
static void expect_call(const char *const *arguments, int code, const char *says)
{
    char *output, *error;
    int is = r2_program_call(arguments, &output, &error);
    cr_expect_eq(is, code, "%s %s: code %d, not %d: %s", arguments[0],
                 arguments[0] && arguments[1] ? arguments[1] : "", is, code, error);
    cr_expect(strstr(output, says) || strstr(error, says), "%s: no \"%s\" in %s%s", arguments[0],
              says, output, error);
    free(output);
    free(error);
}

Test(cli, help_and_version)
{
    static const char *const verbs[] = {"serve", "run", "bench", "check", "info", "health"};
    expect_call((const char *[]){"--help", NULL}, 0, "Usage");
    expect_call((const char *[]){"--version", NULL}, 0, "res2netd ");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        expect_call((const char *[]){verbs[i], "--help", NULL}, 0, "Usage");
    expect_call((const char *[]){"serve", "--help", NULL}, 0, "--queue-depth");
    expect_call((const char *[]){"bench", "-h", NULL}, 0, "--seconds");
}

Test(cli, wrong_usage_is_2_and_names_the_nearest)
{
    expect_call((const char *[]){NULL}, 2, "Usage");
    expect_call((const char *[]){"srve", NULL}, 2, "serve");
    expect_call((const char *[]){"serve", "--queu-depth", "5", NULL}, 2, "--queue-depth");
    expect_call((const char *[]){"serve", "--queue-depth", "0", NULL}, 2, "queue-depth");
    expect_call((const char *[]){"serve", "--queue-depth", NULL}, 2, "value");
    expect_call((const char *[]){"serve", "--listen=here", NULL}, 2, "here");
    expect_call((const char *[]){"serve", NULL}, 2, "--model");
    expect_call((const char *[]){"serve", "--model", "x", "stray", NULL}, 2, "stray");
    expect_call((const char *[]){"serve", "--cors-origin", "x", NULL}, 2, "cors-origin");
    expect_call((const char *[]){"run", "--model", "x", NULL}, 2, "IMAGE");
    expect_call((const char *[]){"run", "--model", "x", "--listen", "y", NULL}, 2, "--listen");
    expect_call((const char *[]){"bench", "--model", "x", "--secnds", "1", NULL}, 2, "--seconds");
    expect_call((const char *[]){"check", "--config", "/nowhere/x.json", NULL}, 2, "/nowhere");
    expect_call((const char *[]){"info", NULL}, 2, "missing");
}

Test(cli, serve_fails_with_a_reason)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%u", daemon.port);
    expect_call((const char *[]){"serve", "--model", model(), "--listen", address, NULL}, 1,
                "Address already in use");
    expect_call((const char *[]){"serve", "--model", "/nowhere", "--listen", "127.0.0.1:0", NULL},
                1, "/nowhere");
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(cli, health)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%u", daemon.port);
    const char *const arguments[] = {"health", "--listen", address, NULL};
    expect_call(arguments, 0, "");
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    expect_call(arguments, 1, "refused");
    r2_buffer_finish(&file);
}

Test(cli, a_unix_socket)
{
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/r2-test-%d.sock", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    const char *const options[] = {"--listen", address, NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    const char *const arguments[] = {"health", "--listen", address, NULL};
    expect_call(arguments, 0, "");
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    cr_expect_neq(access(path, F_OK), 0, "the socket's file is left");
}

Test(cli, run_prints_a_line_for_each_picture)
{
    char *good = strdup(sample("jpeg_420.jpg"));
    char *output, *error, *rest, *line;
    const char *const arguments[] = {"run", "--model",      model(), "--heads", "classify",
                                     good,  "/nowhere.jpg", good,    NULL};
    cr_expect_eq(r2_program_call(arguments, &output, &error), 1);
    rest = output;
    for (int i = 0; i < 3; i++) {
        line = strsep(&rest, "\n");
        json_t *json = line ? json_loads(line, 0, NULL) : NULL;
        cr_assert(json, "%s", output);
        cr_expect(json_is_string(json_object_get(json, "file")));
        cr_expect_eq(json_is_string(json_object_get(json, "error")), i == 1, "%s", line);
        json_t *results = json_object_get(json, "results");
        cr_expect_eq(
            json_is_array(json_object_get(json_object_get(results, "classify"), "classes")), i != 1,
            "%s", line);
        json_decref(json);
    }
    cr_expect_str_eq(rest, "");
    free(output);
    free(error);
    expect_call((const char *[]){"run", "--model", model(), good, NULL}, 0, "\"classes\"");
    expect_call((const char *[]){"run", "--model", model(), "--heads", "detect", good, NULL}, 1,
                "classify");
    free(good);
}

/* What the network computed: a file whose header names it. */
Test(cli, run_dumps_taps)
{
    static const char *const names[] = {"input", "stem",   "layer1.0",        "c2",
                                        "c5",    "pooled", "classify.logits", NULL};
    struct r2_error err;
    struct r2_buffer file = {0};
    char *good = strdup(sample("jpeg_420.jpg")), path[] = "/tmp/r2-taps-XXXXXX", wanted[64];
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    expect_call((const char *[]){"run", "--model", model(), "--heads", "classify", "--taps", path,
                                 good, NULL},
                0, "\"classes\"");
    cr_assert_eq(r2_file_read(path, 64 << 20, &file, &err), R2_OK, "%s", err.message);
    for (size_t i = 0; names[i]; i++) {
        snprintf(wanted, sizeof wanted, "\"%s\":{\"dtype\":\"F32\",\"shape\":[1,", names[i]);
        cr_expect_not_null(strstr((const char *)file.data + 8, wanted), "%s", names[i]);
    }
    r2_buffer_finish(&file);
    unlink(path);
    expect_call((const char *[]){"run", "--model", model(), "--taps", path, good, good, NULL}, 1,
                "option --taps: takes one picture, not 2");
    free(good);
}

static void expect_bench(const char *const *arguments, const char *stage)
{
    static const char *const members[] = {"threads", "workers",           "seconds",
                                          "images",  "images_per_second", NULL};
    static const char *const latencies[] = {"mean", "p50", "p90", "p99"};
    char *output, *error;
    cr_assert_eq(r2_program_call(arguments, &output, &error), 0, "%s", error);
    json_t *json = json_loads(output, 0, NULL);
    cr_assert(json, "%s", output);
    cr_expect(json_is_string(json_object_get(json, "model")));
    cr_expect(json_is_string(json_object_get(json, "precision")));
    cr_expect(json_is_array(json_object_get(json, "heads")));
    for (int i = 0; members[i]; i++)
        cr_expect(json_number_value(json_object_get(json, members[i])) > 0, "%s", members[i]);
    double before = 0;
    for (int i = 1; i < 4; i++) {
        json_t *value = json_object_get(json_object_get(json, "latency_ms"), latencies[i]);
        cr_expect(json_number_value(value) >= before, "%s", latencies[i]);
        before = json_number_value(value);
    }
    cr_expect_eq(json_object_get(json_object_get(json, "stage_ms"), "decode") != NULL,
                 strcmp(stage, "decode") == 0);
    cr_expect(json_object_get(json_object_get(json, "stage_ms"), "backbone"));
    cr_expect_eq(strlen(error), 0, "no progress where there is no terminal: %s", error);
    json_decref(json);
    free(output);
    free(error);
}

Test(cli, bench)
{
    expect_bench((const char *[]){"bench", "--model", model(), "--seconds", "0.3", "--json", NULL},
                 "backbone");
    expect_bench((const char *[]){"bench", "--model", model(), "--seconds", "0.3", "--json",
                                  "--workers", "2", "--threads", "1", "--image",
                                  sample("jpeg_420.jpg"), NULL},
                 "decode");
    expect_call((const char *[]){"bench", "--model", model(), "--seconds", "0.2", NULL}, 0,
                "images a second");
    expect_call((const char *[]){"bench", "--model", model(), "--image", "/nowhere.jpg", NULL}, 1,
                "/nowhere");
}

Test(cli, check_and_info)
{
    expect_call((const char *[]){"check", NULL}, 0, "\"queue_depth\": \"auto\"");
    expect_call((const char *[]){"check", "--model", model(), NULL}, 0, "\"model\"");
    expect_call((const char *[]){"check", "--model", "/nowhere", NULL}, 1, "/nowhere");
    expect_call((const char *[]){"info", model(), NULL}, 0, "\"heads\"");
    expect_call((const char *[]){"info", "--table", model(), NULL}, 0,
                "dialect  official: tensor names");
    expect_call((const char *[]){"info", "--table", model(), NULL}, 0, "\nlayer4 ");
    expect_call((const char *[]){"info", "/nowhere.safetensors", NULL}, 1, "/nowhere");
}

/* Whether the daemon has a sanitizer's memory beside its own; tests/slow/tsan.sh builds only the
   daemon with one. */
static bool is_sanitized(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return getenv("TSAN_OPTIONS") != NULL;
#endif
}

/* Bytes that a process had in memory at most. */
static double peak_memory(pid_t pid)
{
    char path[64], line[256];
    unsigned long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %lu", &kilobytes);
    fclose(file);
    cr_assert_gt(kilobytes, 0);
    return (double)kilobytes * 1024;
}

static void expect_memory(const char *detector)
{
    const char *const check[] = {"check",    "--model",      detector,   "--workers",
                                 "1",        "--max-pixels", "20000000", "--max-body",
                                 "16777216", "--plan-cache", "33554432", NULL};
    char *output = NULL;
    json_error_t where;
    cr_assert_eq(r2_program_call(check, &output, NULL), 0);
    json_t *report = json_loads(output, 0, &where);
    cr_assert(report, "%s", where.text);
    const json_t *memory = json_object_get(report, "memory");
    const double most = json_number_value(json_object_get(memory, "most_bytes"));
    struct r2_daemon daemon = r2_daemon_start(check + 1);
    struct r2_buffer large = r2_sample_jpeg(5000, 4000);
    struct r2_response response = r2_client_ask(daemon.port, "POST", "/detect",
                                                "Accept: image/png\r\n", large.data, large.size);
    cr_expect_eq(response.status, 200);
    const double peak = peak_memory(daemon.pid);
    cr_expect(peak < most || is_sanitized(), "%.0f of %.0f bytes", peak, most);
    cr_expect(peak > most / 3, "%.0f of %.0f bytes: the limit says little", peak, most);
    r2_response_finish(&response);
    r2_buffer_finish(&large);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    json_decref(report);
    free(output);
}

Test(cli, check_prints_a_memory_that_suffices)
{
    expect_memory(getenv("R2_TEST_DETECTOR"));
    expect_memory(getenv("R2_TEST_MASKS"));
}
