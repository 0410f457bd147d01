/* Bodies that are too long, chunked, slow, or never complete. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { LIMIT = 65536 };

static const char *const small_bodies[] = {"--max-body", "64KiB", NULL};
static const char *const short_uploads[] = {"--upload-timeout-ms", "1000", NULL};

static void expect_status(int fd, int status)
{
    struct r2_response response = r2_client_receive(fd, 10000, false);
    cr_expect_eq(response.status, status, "%d, not %d: %s", response.status, status, response.body);
    r2_response_finish(&response);
}

static void post_head(int fd, const char *target, const char *headers)
{
    r2_client_print(fd, "POST %s HTTP/1.1\r\nHost: test\r\n%s\r\n", target, headers);
}

static void expect_good(int fd)
{
    char length[64];
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", file.size);
    post_head(fd, "/classify", length);
    r2_client_send(fd, file.data, file.size);
    expect_status(fd, 200);
    r2_buffer_finish(&file);
}

static void send_zeros(int fd, size_t size)
{
    char *zeros = calloc(1, size);
    cr_assert(zeros);
    r2_client_send(fd, zeros, size);
    free(zeros);
}

static void send_chunk(int fd, const void *data, size_t size)
{
    r2_client_print(fd, "%zx\r\n", size);
    r2_client_send(fd, data, size);
    r2_client_print(fd, "\r\n");
}

Test(upload, too_long_by_its_length)
{
    struct r2_daemon daemon = r2_daemon_start(small_bodies);
    int fd = r2_client_connect(daemon.port);
    /* An ordinary client reads only when it has written all. */
    post_head(fd, "/classify", "Content-Length: 200000\r\n");
    send_zeros(fd, 200000);
    expect_status(fd, 413);
    expect_good(fd);
    /* Exactly the limit passes it: what is in it is the next question. */
    post_head(fd, "/classify", "Content-Length: 65536\r\n");
    send_zeros(fd, LIMIT);
    expect_status(fd, 415);
    post_head(fd, "/classify", "Content-Length: 65537\r\n");
    send_zeros(fd, LIMIT + 1);
    expect_status(fd, 413);
    close(fd);

    /* Too long to be swallowed: the answer comes at once, then the end. */
    fd = r2_client_connect(daemon.port);
    post_head(fd, "/classify", "Content-Length: 1000000000\r\n");
    expect_status(fd, 413);
    cr_expect(r2_client_closes(fd, 5000));
    close(fd);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_rejected_total{reason=\"too_large\"}"), 3);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(upload, chunked)
{
    struct r2_daemon daemon = r2_daemon_start(small_bodies);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    char *zeros = calloc(1, LIMIT);
    int fd = r2_client_connect(daemon.port);
    cr_assert(zeros);
    post_head(fd, "/classify", "Transfer-Encoding: chunked\r\n");
    send_chunk(fd, file.data, 100);
    send_chunk(fd, file.data + 100, file.size - 100);
    r2_client_print(fd, "0\r\n\r\n");
    expect_status(fd, 200);

    post_head(fd, "/classify", "Transfer-Encoding: chunked\r\n");
    for (int i = 0; i < 4; i++) send_chunk(fd, zeros, LIMIT);
    r2_client_print(fd, "0\r\n\r\n");
    expect_status(fd, 413);

    post_head(fd, "/classify", "Transfer-Encoding: chunked\r\n");
    r2_client_print(fd, "0\r\n\r\n");
    expect_status(fd, 422);
    expect_good(fd);
    close(fd);
    free(zeros);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(upload, an_endless_refused_body_is_cut_off)
{
    enum { CHUNK = 1 << 20 };
    struct r2_daemon daemon = r2_daemon_start(small_bodies);
    char *zeros = calloc(1, CHUNK);
    int fd = r2_client_connect(daemon.port), sent = 0;
    cr_assert(zeros);
    post_head(fd, "/nothing", "Transfer-Encoding: chunked\r\n");
    while (sent < 200 && r2_client_print(fd, "%x\r\n", CHUNK) && r2_client_send(fd, zeros, CHUNK) &&
           r2_client_print(fd, "\r\n"))
        sent++;
    cr_expect(sent >= 64 && sent < 120, "%d MiB were taken", sent);
    close(fd);
    free(zeros);
    r2_daemon_expect_metric(&daemon, "res2netd_requests_total{route=\"other\",code=\"404\"}", 1);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(upload, expect_100_continue)
{
    struct r2_daemon daemon = r2_daemon_start(small_bodies);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    static const struct {
        const char *target, *headers;
        int status;
    } refused[] = {
        {"/classify", "Content-Length: 200000\r\n", 413},
        {"/nothing", "Content-Length: 200\r\n", 404},
        {"/classify?x=1", "Content-Length: 200\r\n", 422},
        {"/classify", "Content-Length: 200\r\nContent-Type: text/plain\r\n", 415},
        {"/livez", "Transfer-Encoding: chunked\r\n", 405},
    };
    char headers[256];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int fd = r2_client_connect(daemon.port);
        snprintf(headers, sizeof headers, "Expect: 100-continue\r\n%s", refused[i].headers);
        post_head(fd, refused[i].target, headers);
        struct r2_response response = r2_client_receive(fd, 5000, false);
        cr_expect_eq(response.status, refused[i].status, "%zu: %d", i, response.status);
        cr_expect_eq(response.interim, 0, "%zu: asked for a body that it did not want", i);
        cr_expect(r2_client_closes(fd, 5000));
        r2_response_finish(&response);
        close(fd);
    }
    int fd = r2_client_connect(daemon.port);
    snprintf(headers, sizeof headers, "Expect: 100-continue\r\nContent-Length: %zu\r\n", file.size);
    post_head(fd, "/classify", headers);
    cr_expect(r2_client_continues(fd, 5000));
    r2_client_send(fd, file.data, file.size);
    expect_status(fd, 200);
    close(fd);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

static void expect_408(const struct r2_daemon *daemon, double count)
{
    r2_daemon_expect_metric(daemon, "res2netd_requests_total{route=\"classify\",code=\"408\"}",
                            count);
    cr_expect(r2_daemon_logs(daemon, "status=408", 1000));
    cr_expect(r2_daemon_logs(daemon, "ended=timeout", 1000));
}

Test(upload, a_stalled_one_is_closed)
{
    struct r2_daemon daemon = r2_daemon_start(short_uploads);
    int fd = r2_client_connect(daemon.port), good = r2_client_connect(daemon.port);
    post_head(fd, "/classify", "Content-Length: 2000\r\n");
    send_zeros(fd, 1000);
    expect_good(good);
    cr_expect(r2_client_closes(fd, 6000));
    close(fd);
    close(good);
    expect_408(&daemon, 1);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(upload, a_dripping_one_is_closed)
{
    struct r2_daemon daemon = r2_daemon_start(short_uploads);
    int fd = r2_client_connect(daemon.port), bytes = 0;
    uint64_t start_ns = r2_clock_ns();
    post_head(fd, "/classify", "Content-Length: 2000\r\n");
    while (bytes < 50 && r2_client_send(fd, "x", 1) && !r2_client_closes(fd, 200)) bytes++;
    double seconds = r2_ns_to_s(r2_clock_ns() - start_ns);
    cr_expect(seconds > 0.9 && seconds < 4, "%g s", seconds);
    close(fd);
    expect_408(&daemon, 1);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(upload, an_aborted_one_is_counted)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    for (int i = 0; i < 3; i++) {
        int fd = r2_client_connect(daemon.port);
        post_head(fd, "/classify", "Content-Length: 2000\r\n");
        send_zeros(fd, 1000);
        close(fd);
    }
    r2_daemon_expect_metric(&daemon, "res2netd_cancelled_total{where=\"receive\"}", 3);
    cr_expect_eq(
        r2_daemon_metric(&daemon, "res2netd_requests_total{route=\"classify\",code=\"499\"}"), 3);
    int fd = r2_client_connect(daemon.port);
    expect_good(fd);
    close(fd);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
