/*
 * Ten minutes of every fault at once: good, slow, stalled, leaving, corrupt, oversized and bursting
 * clients, and reloads of which some fail. Afterwards the counters add up, and in the second half
 * memory, descriptors and threads were flat. R2_FAULT_SECONDS sets another time.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"
#include "tests/http/scrape.h"

enum {
    SECONDS = 600,
    CLIENTS = 8, /* threads */
    BURST = 16,  /* 4 times the queue */
    STATUSES = 600,
    SAMPLES = 4096,
    TICK_MS = 500,
    RELOAD_TICKS = 10,
    LIVE_MS = 2000, /* /livez answers within this time, whatever goes on */
    DRIFT_MOST = 8 << 20,
};

#define MAX_BODY "65536"
#define QUIET "{\"log_level\": \"error\"}" /* from the first reload on */

static struct {
    struct r2_daemon daemon;
    struct r2_buffer good, corrupt, large;
    char *expected; /* the label of the good picture */
    uint64_t end_ns;
    atomic_uint answers[STATUSES]; /* that clients saw; 0: none came */
    atomic_uint wrong;             /* good pictures whose answer was another */
    atomic_uint left;              /* requests whose client did not wait for the answer */
} mix;

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static void send_head(int fd, size_t size)
{
    r2_client_print(fd, "POST /classify HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n",
                    size);
}

static char *first_label(const struct r2_response *response)
{
    json_t *json = json_loadb(response->body, response->body_size, 0, NULL);
    const char *label = json_string_value(
        json_object_get(json_array_get(json_object_get(json, "classes"), 0), "label"));
    char *copy = label ? strdup(label) : NULL;
    json_decref(json);
    return copy;
}

/* Takes the answer and counts it. */
static void receive(int fd, bool is_good)
{
    struct r2_response response = r2_client_receive(fd, 30000, false);
    mix.answers[response.status]++;
    if (is_good && response.status == 200) {
        char *label = first_label(&response);
        if (!label || strcmp(label, mix.expected) != 0) mix.wrong++;
        free(label);
    }
    r2_response_finish(&response);
}

static void post(const struct r2_buffer *file, bool is_good)
{
    int fd = r2_client_connect(mix.daemon.port);
    send_head(fd, file->size);
    r2_client_send(fd, file->data, file->size);
    receive(fd, is_good);
    close(fd);
}

static void post_form(void)
{
    int fd = r2_client_connect(mix.daemon.port);
    static const char before[] = "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n";
    static const char after[] = "\r\n--b--\r\n";
    r2_client_print(fd,
                    "POST /classify HTTP/1.1\r\nHost: test\r\nContent-Type: "
                    "multipart/form-data; boundary=b\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(before) + mix.good.size + strlen(after), before);
    r2_client_send(fd, mix.good.data, mix.good.size);
    r2_client_print(fd, "%s", after);
    receive(fd, true);
    close(fd);
}

/* Pieces with pauses; every second one stops for good in the middle. */
static void post_slowly(unsigned *seed)
{
    int fd = r2_client_connect(mix.daemon.port);
    bool stalls = rand_r(seed) % 2;
    size_t piece = mix.good.size / 5 + 1;
    send_head(fd, mix.good.size);
    for (size_t at = 0; at < mix.good.size; at += piece) {
        size_t rest = mix.good.size - at;
        if (stalls && at > mix.good.size / 2) break;
        if (!r2_client_send(fd, mix.good.data + at, rest < piece ? rest : piece)) break;
        pause_ms(50);
    }
    receive(fd, !stalls);
    close(fd);
}

static void leave(size_t sent)
{
    int fd = r2_client_connect(mix.daemon.port);
    send_head(fd, mix.good.size);
    r2_client_send(fd, mix.good.data, sent);
    mix.left++;
    close(fd);
}

static void burst(void)
{
    int fds[BURST];
    for (int i = 0; i < BURST; i++) {
        fds[i] = r2_client_connect(mix.daemon.port);
        send_head(fds[i], mix.good.size);
        r2_client_send(fds[i], mix.good.data, mix.good.size);
    }
    for (int i = 0; i < BURST; i++) {
        receive(fds[i], true);
        close(fds[i]);
    }
}

/* Asks for pages that it does not read, until the daemon closes or a second is over. */
static void read_nothing(void)
{
    int fd = r2_client_connect(mix.daemon.port);
    for (int i = 0; i < 200; i++) r2_client_print(fd, "GET /version HTTP/1.1\r\nHost: a\r\n\r\n");
    pause_ms(1000);
    close(fd);
}

static void *client(void *argument)
{
    unsigned seed = *(const unsigned *)argument;
    while (r2_clock_ns() < mix.end_ns) {
        int dice = rand_r(&seed) % 100;
        if (dice < 25)
            post(&mix.good, true);
        else if (dice < 35)
            post_form();
        else if (dice < 45)
            post_slowly(&seed);
        else if (dice < 55)
            leave((unsigned)rand_r(&seed) % mix.good.size);
        else if (dice < 65)
            leave(mix.good.size);
        else if (dice < 75)
            post(&mix.corrupt, false);
        else if (dice < 85)
            post(&mix.large, false);
        else if (dice < 95)
            burst();
        else
            read_nothing();
    }
    return NULL;
}

static char *scrape(void)
{
    return r2_scrape(mix.daemon.port, NULL);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void expect_alive(void)
{
    uint64_t start_ns = r2_clock_ns();
    struct r2_response response = r2_client_get(mix.daemon.port, "/livez");
    cr_expect_eq(response.status, 200);
    cr_expect_lt(r2_clock_ns() - start_ns, LIVE_MS * UINT64_C(1000000), "/livez took too long");
    r2_response_finish(&response);
}

static void write_config(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Looks and reloads until the end; the resident bytes of each look. */
static size_t watch(const char *config, double *ret_resident)
{
    size_t count = 0;
    double answered = 0;
    while (r2_clock_ns() < mix.end_ns && count < SAMPLES) {
        pause_ms(TICK_MS);
        expect_alive();
        char *metrics = scrape();
        double now = r2_scrape_sum(metrics, "res2netd_requests_total", "");
        cr_expect_geq(now, answered, "counters never fall");
        answered = now;
        ret_resident[count++] = r2_scrape_sum(metrics, "process_resident_memory_bytes", "");
        free(metrics);
        if (count % RELOAD_TICKS) continue;
        write_config(config, count / RELOAD_TICKS % 3 ? QUIET : "{\"no_such_setting\": 1}");
        kill(mix.daemon.pid, SIGHUP);
    }
    return count;
}

static char *at_rest(void)
{
    for (int i = 0; i < 400; i++) {
        char *metrics = scrape();
        if (r2_scrape_sum(metrics, "res2netd_requests_in_flight", "") <= 1) { /* its own */
            free(metrics);
            pause_ms(500); /* closed connections are cleaned up */
            return scrape();
        }
        free(metrics);
        pause_ms(50);
    }
    cr_assert(false, "the daemon does not come to rest");
    return NULL;
}

static void expect_sums(const char *metrics)
{
    static const unsigned exact[] = {413, 415, 422, 503};
    char code[32];
#define REQUESTS(code) r2_scrape_sum(metrics, "res2netd_requests_total", "code=\"" code "\"")
    cr_expect_eq(REQUESTS("499"), r2_scrape_sum(metrics, "res2netd_cancelled_total", "") -
                                      r2_scrape_sum(metrics, "res2netd_cancelled_total", "send"));
    double refused = r2_scrape_sum(metrics, "res2netd_rejected_total", "queue_full");
    cr_expect(REQUESTS("503") <= refused && refused <= REQUESTS("503") + mix.left, "%g of %g",
              REQUESTS("503"), refused); /* who was refused may have left before it was told */
    cr_expect_eq(REQUESTS("504"), r2_scrape_sum(metrics, "res2netd_rejected_total", "deadline"));
    cr_expect_eq(REQUESTS("500"), 0);
    /* Those who leave may have had their answer; all others saw it. */
    double good = REQUESTS("200") -
                  r2_scrape_sum(metrics, "res2netd_requests_total", "route=\"metrics\"") -
                  r2_scrape_sum(metrics, "res2netd_requests_total", "route=\"livez\"") -
                  r2_scrape_sum(metrics, "res2netd_requests_total", "route=\"version\"");
    cr_expect(good >= mix.answers[200] && good <= mix.answers[200] + mix.left, "%g: %u + %u", good,
              mix.answers[200], mix.left);
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        snprintf(code, sizeof code, "code=\"%u\"", exact[i]);
        double counted = r2_scrape_sum(metrics, "res2netd_requests_total", code);
        cr_expect(counted >= mix.answers[exact[i]] && counted <= mix.answers[exact[i]] + mix.left,
                  "%u: %g of %u", exact[i], counted, mix.answers[exact[i]]);
    }
    cr_expect_gt(mix.answers[200], 0);
    cr_expect_gt(mix.answers[503], 0);
    cr_expect_gt(REQUESTS("499"), 0);
    cr_expect_gt(REQUESTS("408"), 0);
    cr_expect_gt(r2_scrape_sum(metrics, "res2netd_reloads_total", "ok"), 0);
    cr_expect_eq(mix.wrong, 0);
}

static void set_up_mix(char *config)
{
    const char *seconds = getenv("R2_FAULT_SECONDS");
    const char *const options[] = {
        "--workers", "2",        "--queue-depth", "4", "--upload-timeout-ms", "1000", "--max-body",
        MAX_BODY,    "--config", config,          NULL};
    int fd = mkstemp(config);
    cr_assert(fd >= 0 && close(fd) == 0);
    write_config(config, "{}");
    mix.daemon = r2_daemon_start(options);
    mix.good = r2_sample_file("jpeg_420.jpg");
    mix.corrupt = r2_sample_file("jpeg_420.jpg");
    memset(mix.corrupt.data + 4, 0xFF, mix.corrupt.size / 2);
    struct r2_error err;
    cr_assert_eq(r2_buffer_reserve(&mix.large, 4 * (size_t)atoi(MAX_BODY), &err), R2_OK);
    mix.large.size = 4 * (size_t)atoi(MAX_BODY);
    memset(mix.large.data, 0, mix.large.size);
    struct r2_response response =
        r2_client_ask(mix.daemon.port, "POST", "/classify", "", mix.good.data, mix.good.size);
    mix.expected = first_label(&response);
    cr_assert(mix.expected);
    r2_response_finish(&response);
    write_config(config, QUIET);
    kill(mix.daemon.pid, SIGHUP); /* a first reload: its threads and memory come once */
    r2_daemon_expect_metric(&mix.daemon, "res2netd_reloads_total{result=\"ok\"}", 1);
    mix.end_ns = r2_clock_ns() + (uint64_t)(seconds ? atoi(seconds) : SECONDS) * 1000000000;
}

Test(fault_mix, adds_up_and_stays_flat, .timeout = 3600)
{
    static double resident[SAMPLES];
    pthread_t threads[CLIENTS];
    unsigned seeds[CLIENTS];
    char config[] = "/tmp/r2_fault_mix_XXXXXX";
    set_up_mix(config);
    char *before = at_rest();
    for (unsigned i = 0; i < CLIENTS; i++) {
        seeds[i] = 1000 + i;
        cr_assert_eq(pthread_create(&threads[i], NULL, client, &seeds[i]), 0);
    }
    size_t count = watch(config, resident);
    for (unsigned i = 0; i < CLIENTS; i++) pthread_join(threads[i], NULL);
    char *after = at_rest();
    expect_sums(after);
    static const char *const flat[] = {"process_open_fds", "process_threads"};
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
        cr_expect_eq(r2_scrape_sum(after, flat[i], ""), r2_scrape_sum(before, flat[i], ""),
                     "%s: %g, then %g", flat[i], r2_scrape_sum(before, flat[i], ""),
                     r2_scrape_sum(after, flat[i], ""));
    double third = median(resident + count / 2, count / 4);
    double fourth = median(resident + count / 2 + count / 4, count / 4);
    printf("%u answers 200, %u left; resident bytes: third quarter %.0f, fourth %.0f\n",
           mix.answers[200], mix.left, third, fourth);
    cr_expect(fourth - third <= DRIFT_MOST && fourth <= third * 1.05, "memory grows: %.0f, %.0f",
              third, fourth);
    cr_expect_eq(r2_daemon_stop(&mix.daemon), 0);
    free(before);
    free(after);
    free(mix.expected);
    r2_buffer_finish(&mix.good);
    r2_buffer_finish(&mix.corrupt);
    r2_buffer_finish(&mix.large);
    unlink(config);
}
