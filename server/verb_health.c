#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/listen.h"
#include "server/verbs.h"

enum { TIMEOUT_MS = 2000 };

static const char request[] = "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/* Sends the question and reads the code of the answer's first line. */
static enum r2_status ask(int fd, int *ret_code, struct r2_error *err)
{
    char line[64];
    size_t size = 0;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
        return r2_fail(err, R2_IO, "the question could not be sent");
    while (size < sizeof line - 1 && !memchr(line, '\n', size)) {
        ssize_t got = recv(fd, line + size, sizeof line - 1 - size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return r2_fail(err, R2_IO, "no answer within %d ms", TIMEOUT_MS);
        if (got == 0) break;
        size += (size_t)got;
    }
    line[size] = 0;
    if (strncmp(line, "HTTP/1.", 7) != 0 || size < 12)
        return r2_fail(err, R2_IO, "the answer is not HTTP");
    *ret_code = atoi(line + 9);
    return R2_OK;
}

static enum r2_status check(const char *text, struct r2_error *err)
{
    struct r2_address address;
    int fd, code = 0;
    R2_TRY(r2_address_parse(text, &address, err));
    R2_TRY(r2_listen_connect(&address, TIMEOUT_MS, &fd, err));
    enum r2_status status = ask(fd, &code, err);
    close(fd);
    if (status != R2_OK) return r2_fail_in(err, "%s", text);
    if (code != 200) return r2_fail(err, R2_BUSY, "%s: /readyz answers %d", text, code);
    return R2_OK;
}

static int health(const struct r2_args *args)
{
    struct r2_error err;
    if (check(args->settings->listen.items[0], &err) != R2_OK) return r2_complain(&err);
    return R2_EXIT_OK;
}

static const char *const settings[] = {"listen", NULL};

const struct r2_verb r2_verb_health = {
    .name = "health",
    .usage = "[OPTION...]",
    .summary = "Asks a running daemon's /readyz; exit code 0 when it is ready, else 1.",
    .settings = settings,
    .run = health,
};
