/* Clients that leave, stall, or close one half of their connection. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { CROWD = 100, LARGE = 2000 /* pixels a side: takes some 20 ms to decode */ };

#define CLASSIFIED(code) "res2netd_requests_total{route=\"classify\",code=\"" code "\"}"
#define CANCELLED(where) "res2netd_cancelled_total{where=\"" where "\"}"

static int post(const struct r2_daemon *daemon, const struct r2_buffer *file)
{
    int fd = r2_client_connect(daemon->port);
    r2_client_print(fd, "POST /classify HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n",
                    file->size);
    r2_client_send(fd, file->data, file->size);
    return fd;
}

static int status_of(int fd)
{
    struct r2_response response = r2_client_receive(fd, 20000, false);
    int status = response.status;
    r2_response_finish(&response);
    return status;
}

static double cancelled(const struct r2_daemon *daemon)
{
    return r2_daemon_metric(daemon, CANCELLED("queue")) +
           r2_daemon_metric(daemon, CANCELLED("compute")) +
           r2_daemon_metric(daemon, CANCELLED("receive"));
}

static void wait_until_idle(const struct r2_daemon *daemon)
{
    uint64_t end_ns = r2_clock_ns() + UINT64_C(20000000000);
    while (r2_daemon_metric(daemon, "res2netd_requests_in_flight") > 1) /* the scrape's own */
        cr_assert(r2_clock_ns() < end_ns, "the daemon does not become idle");
}

Test(leavers, a_crowd_that_vanishes_costs_almost_nothing)
{
    static const char *const options[] = {"--workers", "1", "--queue-depth", "200", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct r2_buffer file = r2_sample_jpeg(LARGE, LARGE);
    int fds[CROWD];
    double before = r2_daemon_metric(&daemon, "res2netd_trunk_passes_total");
    for (int i = 0; i < CROWD; i++) fds[i] = post(&daemon, &file);
    int patient = post(&daemon, &file);
    double answered = r2_daemon_metric(&daemon, CLASSIFIED("200"));
    for (int i = 0; i < CROWD; i++) close(fds[i]);
    cr_expect_eq(status_of(patient), 200, "who stays is served");
    wait_until_idle(&daemon);
    /* One worker: the pass that ran, the next one that began before its client was seen to leave,
       and the patient one's. Those answered while the crowd was still coming do not count. */
    double passes = r2_daemon_metric(&daemon, "res2netd_trunk_passes_total") - before - answered;
    cr_expect_leq(passes, 3, "%g", passes);
    double good = r2_daemon_metric(&daemon, CLASSIFIED("200"));
    double left = r2_daemon_metric(&daemon, CLASSIFIED("499"));
    cr_expect_eq(good + left, CROWD + 1, "%g answered, %g left", good, left);
    cr_expect_eq(cancelled(&daemon), left);
    cr_expect_geq(r2_daemon_metric(&daemon, CANCELLED("queue")), CROWD / 2);
    close(patient);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(leavers, a_half_closed_connection_counts_as_gone)
{
    static const char *const options[] = {"--workers", "1", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct r2_buffer file = r2_sample_jpeg(LARGE, LARGE);
    int first = post(&daemon, &file), second = post(&daemon, &file);
    shutdown(second, SHUT_WR);
    cr_expect_eq(status_of(second), 0);
    cr_expect_eq(status_of(first), 200);
    wait_until_idle(&daemon);
    /* It is found in the queue, or at the latest when its answer is to be sent. */
    cr_expect_eq(cancelled(&daemon) + r2_daemon_metric(&daemon, CANCELLED("send")), 1);
    close(first);
    close(second);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(leavers, a_reader_that_stalls_is_closed_and_counted)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n";
    static const char *const options[] = {"--upload-timeout-ms", "1000", NULL};
    struct r2_daemon daemon = r2_daemon_start(options);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    int fd = r2_client_connect(daemon.port), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 1000; i++) /* some 20 MB of answers, of which it reads none */
        if (send(fd, request, strlen(request), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    int other = post(&daemon, &file);
    cr_expect_eq(status_of(other), 200, "nobody else waits for it");
    r2_daemon_expect_metric(&daemon, CANCELLED("send"), 1);
    close(fd);
    close(other);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
