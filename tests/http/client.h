/*
 * A small HTTP client on a raw socket, so that a test can send pieces, stall and leave.
 */
#ifndef R2_TESTS_HTTP_CLIENT_H
#define R2_TESTS_HTTP_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct r2_response {
    int status;  /* 0: the server closed, or nothing came in time */
    int interim; /* 100 Continue before it */
    bool closed; /* the server closed before the answer was complete */
    char *head;  /* status line and headers, NUL-terminated */
    char *body;  /* NUL-terminated, may hold more */
    size_t body_size;
};

/* A connection to 127.0.0.1; fails the test when there is none. */
int r2_client_connect(uint16_t port);

/* False when the server closed. */
bool r2_client_send(int fd, const void *data, size_t size);
bool r2_client_print(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Waits up to timeout_ms in all for one answer; `head_only`: to a HEAD request. */
struct r2_response r2_client_receive(int fd, int timeout_ms, bool head_only);

/* True when the next thing that arrives within timeout_ms is "100 Continue"; it is consumed. */
bool r2_client_continues(int fd, int timeout_ms);

/* True when the server closes within timeout_ms without sending more. */
bool r2_client_closes(int fd, int timeout_ms);

/* Everything at once on a connection of its own. `headers` are whole lines, may be "". */
struct r2_response r2_client_ask(uint16_t port, const char *method, const char *target,
                                 const char *headers, const void *body, size_t size);
struct r2_response r2_client_get(uint16_t port, const char *target);

/* Value of a header, to be used before the next call; NULL when it is not there. */
const char *r2_response_header(const struct r2_response *response, const char *name);

/* Unpacks a body in gzip, at most 1 MiB; fails the test when it is none. */
void r2_response_unzip(struct r2_response *response);

/* The body as JSON; fails the test when it is none. The caller decrefs. */
json_t *r2_response_json(const struct r2_response *response);

void r2_response_finish(struct r2_response *response);

#endif
