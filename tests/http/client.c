#include "tests/http/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/clock.h"

enum { TIMEOUT_MS = 120000, PIECE = 65536 }; /* a sanitizer takes its time */

int r2_client_connect(uint16_t port)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    cr_assert(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "port %u: %s", port,
              strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

bool r2_client_send(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool r2_client_print(int fd, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cr_assert(size >= 0 && (size_t)size < sizeof text);
    return r2_client_send(fd, text, (size_t)size);
}

static bool wait_readable(int fd, uint64_t end_ns)
{
    uint64_t now_ns = r2_clock_ns();
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int left_ms = now_ns < end_ns ? (int)((end_ns - now_ns) / 1000000) + 1 : 0;
    return poll(&poller, 1, left_ms) > 0;
}

/* Appends what has arrived; false at the end of the stream or of the time. */
static bool receive_more(int fd, uint64_t end_ns, size_t most, struct r2_buffer *buffer)
{
    char piece[PIECE];
    struct r2_error err;
    if (!wait_readable(fd, end_ns)) return false;
    ssize_t got = recv(fd, piece, most < sizeof piece ? most : sizeof piece, 0);
    if (got <= 0) return false;
    cr_assert(r2_buffer_append(buffer, piece, (size_t)got, &err) == R2_OK);
    return true;
}

/* Byte by byte, so that nothing of the next answer is taken. */
static bool receive_head(int fd, uint64_t end_ns, struct r2_buffer *head)
{
    while (head->size < 4 || memcmp(head->data + head->size - 4, "\r\n\r\n", 4) != 0)
        if (head->size > PIECE || !receive_more(fd, end_ns, 1, head)) return false;
    return true;
}

static char *take_text(struct r2_buffer *buffer)
{
    struct r2_error err;
    cr_assert(r2_buffer_append(buffer, "", 1, &err) == R2_OK);
    return (char *)buffer->data;
}

static int status_of(const char *head)
{
    return strncmp(head, "HTTP/1.1 ", 9) == 0 ? atoi(head + 9) : 0;
}

struct r2_response r2_client_receive(int fd, int timeout_ms, bool head_only)
{
    uint64_t end_ns = r2_clock_ns() + (uint64_t)timeout_ms * 1000000;
    struct r2_response response = {.closed = true};
    struct r2_buffer body = {0};
    do {
        struct r2_buffer head = {0};
        free(response.head);
        bool complete = receive_head(fd, end_ns, &head);
        response.head = take_text(&head);
        response.status = complete ? status_of(response.head) : 0;
    } while (response.status == 100 && ++response.interim);
    const char *length = r2_response_header(&response, "Content-Length");
    size_t wanted = length && !head_only ? strtoul(length, NULL, 10) : 0;
    while (response.status && body.size < wanted)
        if (!receive_more(fd, end_ns, wanted - body.size, &body)) break;
    response.closed = !response.status || body.size < wanted;
    response.body_size = body.size;
    response.body = take_text(&body);
    return response;
}

bool r2_client_continues(int fd, int timeout_ms)
{
    struct r2_buffer head = {0};
    bool complete = receive_head(fd, r2_clock_ns() + (uint64_t)timeout_ms * 1000000, &head);
    bool continues = complete && status_of(take_text(&head)) == 100;
    r2_buffer_finish(&head);
    return continues;
}

bool r2_client_closes(int fd, int timeout_ms)
{
    char byte;
    if (!wait_readable(fd, r2_clock_ns() + (uint64_t)timeout_ms * 1000000)) return false;
    return recv(fd, &byte, 1, 0) <= 0;
}

struct r2_response r2_client_ask(uint16_t port, const char *method, const char *target,
                                 const char *headers, const void *body, size_t size)
{
    int fd = r2_client_connect(port);
    r2_client_print(fd, "%s %s HTTP/1.1\r\nHost: test\r\n%s", method, target, headers);
    if (body || strcmp(method, "POST") == 0) r2_client_print(fd, "Content-Length: %zu\r\n", size);
    r2_client_print(fd, "\r\n");
    if (size) r2_client_send(fd, body, size);
    struct r2_response response = r2_client_receive(fd, TIMEOUT_MS, strcmp(method, "HEAD") == 0);
    close(fd);
    return response;
}

struct r2_response r2_client_get(uint16_t port, const char *target)
{
    return r2_client_ask(port, "GET", target, "", NULL, 0);
}

const char *r2_response_header(const struct r2_response *response, const char *name)
{
    static _Thread_local char value[1024];
    size_t size = strlen(name);
    for (const char *line = strstr(response->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, size) != 0 || line[size] != ':') continue;
        const char *from = line + size + 1 + strspn(line + size + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(from, "\r"), from);
        return value;
    }
    return NULL;
}

void r2_response_unzip(struct r2_response *response)
{
    enum { MOST = 1 << 20 };
    z_stream stream = {0};
    char *plain = calloc(MOST, 1);
    cr_assert(plain && inflateInit2(&stream, 15 + 16) == Z_OK);
    stream.next_in = (unsigned char *)response->body;
    stream.avail_in = (uInt)response->body_size;
    stream.next_out = (unsigned char *)plain;
    stream.avail_out = MOST - 1;
    cr_assert_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    cr_expect_eq(stream.avail_in, 0);
    cr_expect_lt(response->body_size, stream.total_out);
    free(response->body);
    response->body = plain;
    response->body_size = stream.total_out;
    inflateEnd(&stream);
}

json_t *r2_response_json(const struct r2_response *response)
{
    json_error_t error;
    json_t *json = json_loadb(response->body, response->body_size, 0, &error);
    cr_assert(json, "not JSON: %s: %s", error.text, response->body);
    return json;
}

void r2_response_finish(struct r2_response *response)
{
    free(response->head);
    free(response->body);
    *response = (struct r2_response){0};
}
