/* More work than fits, deadlines, and the ends of the daemon. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { CLIENTS = 10, LARGE = 2000 /* pixels a side: takes some 20 ms to decode */ };

struct crowd {
    struct r2_buffer file;
    int fds[CLIENTS];
    int answers[1000]; /* how often which status came */
};

/* All clients send all but the last byte, which then comes from all at almost the same time. */
static void crowd_send(struct crowd *crowd, const struct r2_daemon *daemon, unsigned side,
                       const char *headers)
{
    crowd->file = r2_sample_jpeg(side, side);
    for (int i = 0; i < CLIENTS; i++) {
        crowd->fds[i] = r2_client_connect(daemon->port);
        r2_client_print(crowd->fds[i],
                        "POST /classify HTTP/1.1\r\nHost: test\r\n%sContent-Length: %zu\r\n\r\n",
                        headers, crowd->file.size);
        r2_client_send(crowd->fds[i], crowd->file.data, crowd->file.size - 1);
    }
    const unsigned char *last = crowd->file.data + crowd->file.size - 1;
    for (int i = 0; i < CLIENTS; i++) r2_client_send(crowd->fds[i], last, 1);
}

static void crowd_receive(struct crowd *crowd)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct r2_response response = r2_client_receive(crowd->fds[i], 20000, false);
        crowd->answers[response.status]++;
        const char *retry = r2_response_header(&response, "Retry-After");
        cr_expect_eq(retry != NULL, response.status == 503);
        if (retry) cr_expect(atoi(retry) >= 1 && atoi(retry) < 60, "%s", retry);
        r2_response_finish(&response);
        close(crowd->fds[i]);
    }
    r2_buffer_finish(&crowd->file);
}

static int half_upload(const struct r2_daemon *daemon, const struct r2_buffer *file)
{
    int fd = r2_client_connect(daemon->port);
    r2_client_print(fd, "POST /classify HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n",
                    file->size);
    r2_client_send(fd, file->data, file->size - 1);
    r2_daemon_expect_metric(daemon, "res2netd_requests_in_flight", 2); /* and the scrape */
    return fd;
}

static void finish_upload(int fd, const struct r2_buffer *file, int status)
{
    r2_client_send(fd, file->data + file->size - 1, 1);
    struct r2_response response = r2_client_receive(fd, 10000, false);
    cr_expect_eq(response.status, status, "%d", response.status);
    r2_response_finish(&response);
    close(fd);
}

static int status_of(const struct r2_daemon *daemon, const char *method, const char *target)
{
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    bool posts = strcmp(method, "POST") == 0;
    struct r2_response response = r2_client_ask(daemon->port, method, target, "",
                                                posts ? file.data : NULL, posts ? file.size : 0);
    int status = response.status;
    if (status == 503 && posts) {
        cr_expect(r2_response_header(&response, "Retry-After"));
        const char *connection = r2_response_header(&response, "Connection");
        cr_assert(connection);
        cr_expect_str_eq(connection, "close");
    }
    r2_response_finish(&response);
    r2_buffer_finish(&file);
    return status;
}

Test(load, a_full_queue_is_503)
{
    static const char *const options[] = {"--workers", "1", "--queue-depth", "1", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct crowd crowd = {0};
    crowd_send(&crowd, &daemon, LARGE, "");
    crowd_receive(&crowd);
    cr_expect_geq(crowd.answers[200], 1);
    cr_expect_geq(crowd.answers[503], 1);
    cr_expect_eq(crowd.answers[200] + crowd.answers[503], CLIENTS);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_rejected_total{reason=\"queue_full\"}"),
                 crowd.answers[503]);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_queue_capacity"), 1);
    cr_expect_eq(status_of(&daemon, "POST", "/classify"), 200);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* A crowd with these request headers at a daemon with this timeout; how many were too late. */
static int late_ones(const char *timeout_ms, const char *headers)
{
    const char *const options[] = {"--workers", "1", "--queue-depth", "50", "--request-timeout-ms",
                                   timeout_ms,  NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct crowd crowd = {0};
    crowd_send(&crowd, &daemon, LARGE, headers);
    crowd_receive(&crowd);
    cr_expect_eq(crowd.answers[200] + crowd.answers[504], CLIENTS);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_rejected_total{reason=\"deadline\"}"),
                 crowd.answers[504]);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_trunk_passes_total"), crowd.answers[200]);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    return crowd.answers[504];
}

Test(load, what_waited_too_long_is_504_and_not_computed)
{
    cr_expect_geq(late_ones("10", ""), 1);
    cr_expect_geq(late_ones("30000", "X-Timeout-Ms: 10\r\n"), 1);
    cr_expect_geq(late_ones("0", "X-Timeout-Ms: 10\r\n"), 1);
    cr_expect_geq(late_ones("10", "X-Timeout-Ms: 30000\r\n"), 1);
    cr_expect_eq(late_ones("0", ""), 0);
    cr_expect_eq(late_ones("30000", "X-Timeout-Ms: 30000\r\n"), 0);
}

Test(load, sigterm_answers_what_was_accepted)
{
    static const char *const options[] = {"--workers", "1", "--queue-depth", "50", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct crowd crowd = {0};
    crowd_send(&crowd, &daemon, LARGE, "");
    double accepted = 0;
    while (accepted < CLIENTS) /* in flight (without the scrape) or done */
        accepted =
            r2_daemon_metric(&daemon, "res2netd_requests_in_flight") - 1 +
            r2_daemon_metric(&daemon, "res2netd_requests_total{route=\"classify\",code=\"200\"}");
    kill(daemon.pid, SIGTERM);
    crowd_receive(&crowd);
    cr_expect_eq(crowd.answers[200], CLIENTS, "%d", crowd.answers[200]);
    cr_expect_eq(r2_daemon_wait(&daemon), 0);
}

Test(load, draining_refuses_new_work_and_finishes_old)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    int fd = half_upload(&daemon, &file);
    kill(daemon.pid, SIGTERM);
    cr_assert(r2_daemon_logs(&daemon, "draining", 5000));
    while (status_of(&daemon, "GET", "/readyz") == 200) continue;
    cr_expect_eq(status_of(&daemon, "GET", "/readyz"), 503);
    cr_expect_eq(status_of(&daemon, "GET", "/livez"), 200);
    cr_expect_eq(status_of(&daemon, "POST", "/classify"), 503);
    r2_daemon_expect_metric(&daemon, "res2netd_rejected_total{reason=\"draining\"}", 1);
    finish_upload(fd, &file, 200);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_wait(&daemon), 0);
}

Test(load, drain_delay_keeps_serving)
{
    static const char *const options[] = {"--drain-delay-ms", "1500", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    kill(daemon.pid, SIGINT);
    cr_assert(r2_daemon_logs(&daemon, "draining", 5000));
    while (status_of(&daemon, "GET", "/readyz") == 200) continue;
    cr_expect_eq(status_of(&daemon, "POST", "/classify"), 200);
    cr_expect_eq(r2_daemon_wait(&daemon), 0);
}

Test(load, a_second_signal_ends_at_once)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    int fd = half_upload(&daemon, &file);
    kill(daemon.pid, SIGTERM);
    cr_assert(r2_daemon_logs(&daemon, "draining", 5000));
    kill(daemon.pid, SIGTERM);
    cr_expect_eq(r2_daemon_wait(&daemon), 1);
    close(fd);
    r2_buffer_finish(&file);
}

Test(load, shutdown_timeout_ends_what_hangs)
{
    static const char *const options[] = {"--shutdown-timeout-ms", "200", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    int fd = half_upload(&daemon, &file);
    cr_expect_eq(r2_daemon_stop(&daemon), 1);
    cr_expect(r2_daemon_logs(&daemon, "shutdown_timeout", 1000));
    close(fd);
    r2_buffer_finish(&file);
}
