/*
 * The real daemon, started for one test on a free port. R2_DAEMON is its path, R2_TEST_MODEL a
 * model directory with a classifier.
 */
#ifndef R2_TESTS_HTTP_DAEMON_H
#define R2_TESTS_HTTP_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"

struct r2_daemon {
    pid_t pid;
    uint16_t port;
    int log; /* descriptor of what it writes to standard error */
};

/* Starts `serve` with further options (NULL-terminated, or NULL) and waits until it is ready. */
struct r2_daemon r2_daemon_start(const char *const *options);

/* SIGTERM, wait; the exit code. Fails the test after 20 s. */
int r2_daemon_stop(struct r2_daemon *daemon);

/* Waits for the exit code after the test sent signals itself. */
int r2_daemon_wait(struct r2_daemon *daemon);

/* What it logged until now, to be freed. */
char *r2_daemon_log(const struct r2_daemon *daemon);

/* True when the log comes to hold the text within timeout_ms. */
bool r2_daemon_logs(const struct r2_daemon *daemon, const char *text, int timeout_ms);

/* A metric's value by its whole name with labels; fails the test when it is missing. */
double r2_daemon_metric(const struct r2_daemon *daemon, const char *name);

/* Waits up to 5 s until the metric has at least this value. */
void r2_daemon_expect_metric(const struct r2_daemon *daemon, const char *name, double value);

/* Runs the program to its end; `arguments` as argv[1..], NULL-terminated. The outputs, which may be
   NULL, are to be freed. */
int r2_program_call(const char *const *arguments, char **ret_output, char **ret_error);

/* Test pictures: a small JPEG, and a JPEG that takes long to decode. The caller finishes them. */
struct r2_buffer r2_sample_file(const char *name); /* of tests/golden/image */
struct r2_buffer r2_sample_jpeg(unsigned width, unsigned height);

#endif
