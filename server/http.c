#include "server/http.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "server/listen.h"
#include "server/problem.h"
#include "server/routes.h"

/* Of a refused body. */
#define SWALLOW_MOST ((uint64_t)64 << 20)

enum { LIST_MOST = 2048 /* bytes of a list that comes in several lines */ };

struct listener {
    struct r2_address address;
    struct MHD_Daemon *daemon; /* owns its socket */
};

struct r2_http {
    struct r2_service *service;
    char addresses[1024];
    size_t count;
    struct listener listeners[];
};

/* One request on its connection. */
struct exchange {
    struct r2_service *service;
    struct MHD_Connection *connection;
    struct r2_job *job;
    char *query;    /* owned, raw; NULL = none */
    bool admitted;  /* the head was looked at */
    bool submitted; /* the workers have, or had, the job */
    bool slow;      /* the upload took too long as a whole */
    bool cut;       /* the refused body was too long to swallow */
};

static void exchange_destroy(struct exchange *exchange)
{
    if (!exchange) return;
    r2_job_destroy(exchange->job);
    free(exchange->query);
    free(exchange);
}

static void add_headers(struct MHD_Response *response, const struct r2_job *job)
{
    char seconds[16];
    const struct r2_reply *reply = &job->reply;
    if (reply->type) MHD_add_response_header(response, "Content-Type", reply->type);
    MHD_add_response_header(response, "X-Request-ID", job->id);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (reply->server_timing[0])
        MHD_add_response_header(response, "Server-Timing", reply->server_timing);
    if (reply->encoding) MHD_add_response_header(response, "Content-Encoding", reply->encoding);
    if (reply->vary) MHD_add_response_header(response, "Vary", reply->vary);
    if (reply->warning) MHD_add_response_header(response, "X-Warning", reply->warning);
    if (reply->allow) MHD_add_response_header(response, "Allow", reply->allow);
    if (reply->retry_after) {
        snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (reply->close) MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result answer(struct exchange *exchange)
{
    struct r2_reply *reply = &exchange->job->reply;
    /* A failure leaves the text with the job, which frees it. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->size, reply->data, MHD_RESPMEM_MUST_FREE);
    if (!response) return MHD_NO;
    reply->data = NULL;
    add_headers(response, exchange->job);
    enum MHD_Result result = MHD_queue_response(exchange->connection, reply->code, response);
    MHD_destroy_response(response);
    return result;
}

/* Called on a worker's thread, or the watch's: from here on the job belongs to the event thread. */
static void wake(struct r2_job *job)
{
    struct exchange *exchange = job->connection;
    MHD_resume_connection(exchange->connection);
}

static struct exchange *exchange_create(struct r2_service *service,
                                        struct MHD_Connection *connection, const char *uri)
{
    const char *query = strchr(uri, '?');
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) return NULL;
    exchange->service = service;
    exchange->connection = connection;
    struct r2_snapshot *snapshot = r2_service_snapshot(service);
    exchange->job = r2_job_create(snapshot);
    r2_snapshot_unref(snapshot);
    if (query) exchange->query = strdup(query + 1);
    if (!exchange->job || (query && !exchange->query)) {
        exchange_destroy(exchange);
        return NULL;
    }
    exchange->job->wake = wake;
    exchange->job->connection = exchange;
    exchange->job->socket =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    exchange->job->route = r2_route_count() - 1;
    r2_metrics_begin(service->metrics);
    return exchange;
}

/* The first that MHD tells of a request, before it decodes the URI. The result becomes *context. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    return exchange_create(cls, connection, uri);
}

static const char *header(const struct exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

/* --- the head --- */

/* A list may come in several lines. */
struct list {
    const char *name, *first;
    char *text; /* all, joined */
    size_t room, size, lines;
};

static enum MHD_Result add_line(void *cls, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    struct list *list = cls;
    (void)kind;
    if (!value || strcasecmp(name, list->name) != 0) return MHD_YES;
    if (!list->lines++) list->first = value;
    int size = snprintf(list->text + list->size, list->room - list->size, "%s%s",
                        list->size ? ", " : "", value);
    list->size += (size_t)size;
    return list->size < list->room ? MHD_YES : MHD_NO;
}

/* NULL when there is no such header. Several lines that find no room count as the first of them. */
static const char *header_list(const struct exchange *exchange, const char *name, char *text,
                               size_t room)
{
    struct list list = {.name = name, .text = text, .room = room};
    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, add_line, &list);
    return list.lines < 2 || list.size >= room ? list.first : text;
}

static bool wants_continue(const struct exchange *exchange, const char *version)
{
    const char *expect = header(exchange, "Expect");
    return expect && strcasecmp(expect, "100-continue") == 0 && strcmp(version, "HTTP/1.0") != 0;
}

/* MHD has checked both headers by now. */
static void read_body_headers(const struct exchange *exchange, struct r2_request *request)
{
    const char *length = header(exchange, "Content-Length");
    request->chunked = header(exchange, "Transfer-Encoding") != NULL;
    if (length && !request->chunked) request->length = strtoull(length, NULL, 10);
}

static enum MHD_Result begin(struct exchange *exchange, const char *path, const char *method,
                             const char *version)
{
    struct r2_job *job = exchange->job;
    struct r2_error err;
    char accept[LIST_MOST], coding[LIST_MOST]; /* judged before this returns */
    struct r2_request request = {
        .method = method,
        .path = path,
        .query = exchange->query,
        .content_type = header(exchange, "Content-Type"),
        .accept = header_list(exchange, "Accept", accept, sizeof accept),
        .accept_encoding = header_list(exchange, "Accept-Encoding", coding, sizeof coding),
        .timeout = header(exchange, "X-Timeout-Ms")};
    exchange->admitted = true;
    read_body_headers(exchange, &request);
    r2_job_set_id(job, header(exchange, "X-Request-ID"));
    r2_text_printable(method, strlen(method), job->method, sizeof job->method);
    r2_text_printable(path, strlen(path), job->path, sizeof job->path);
    r2_routes_admit(exchange->service, job, &request);
    if (!job->reply.code) {
        if (r2_buffer_reserve(&job->body, (size_t)request.length, &err) == R2_OK) return MHD_YES;
        r2_job_fail(job, &err);
    }
    /* An answer given here ends the connection: MHD does not read on. So it waits for the end of
       the request unless the client waits for a word, or would send for too long. */
    bool has_body = request.chunked || request.length;
    bool waits = wants_continue(exchange, version) || request.length > SWALLOW_MOST;
    if (!has_body || !waits) return MHD_YES;
    return answer(exchange);
}

/* --- the body --- */

static bool is_slow(const struct exchange *exchange)
{
    uint64_t limit_ns = (uint64_t)exchange->job->snapshot->settings.upload_timeout_ms * 1000000;
    return r2_clock_ns() - exchange->job->start_ns > limit_ns;
}

static void keep(struct exchange *exchange, const char *data, size_t size)
{
    struct r2_job *job = exchange->job;
    struct r2_error err;
    if (r2_buffer_append(&job->body, data, size, &err) == R2_OK) return;
    r2_buffer_finish(&job->body);
    if (err.status == R2_TOO_LARGE) {
        r2_metrics_rejected(exchange->service->metrics, R2_REJECTED_TOO_LARGE);
        r2_body_too_large(&job->form, (size_t)job->snapshot->settings.max_body, 0, &err);
    }
    r2_job_fail(job, &err);
}

/* No answer can be queued here: MHD takes one before the body or after it. MHD_NO closes. */
static enum MHD_Result receive(struct exchange *exchange, const char *data, size_t *size)
{
    struct r2_job *job = exchange->job;
    exchange->slow = is_slow(exchange);
    if (exchange->slow) return MHD_NO;
    job->size += *size;
    if (!job->reply.code) keep(exchange, data, *size);
    exchange->cut = job->reply.code && job->size > SWALLOW_MOST;
    *size = 0;
    return exchange->cut ? MHD_NO : MHD_YES;
}

/* The request is complete, or its job is back. */
static enum MHD_Result proceed(struct exchange *exchange)
{
    struct r2_job *job = exchange->job;
    if (!exchange->submitted && !job->reply.code) {
        exchange->submitted = true;
        /* Before the workers see the job: one could be done with it, and resume, at once. */
        MHD_suspend_connection(exchange->connection);
        if (!r2_service_submit(exchange->service, job)) MHD_resume_connection(exchange->connection);
        return MHD_YES;
    }
    if (job->cancelled != R2_CANCELLATION_COUNT) return MHD_NO; /* nobody is there: close */
    return answer(exchange);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    struct exchange *exchange = *context;
    (void)cls;
    (void)connection;
    if (!exchange) return MHD_NO; /* there was no memory for it */
    if (!exchange->admitted) return begin(exchange, path, method, version);
    if (*size) return receive(exchange, data, size);
    return proceed(exchange);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct exchange *exchange = *context;
    struct sockaddr *peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    enum r2_ending ending = R2_ENDED_LEFT;
    (void)cls;
    if (!exchange) return;
    *context = NULL;
    /* A peer that closes a Unix socket when it has its answer: poll tells MHD of that before MHD has
       noted that it sent all, so it speaks of an abort. */
    bool has_answer = exchange->job->reply.code && peer && peer->sa_family == AF_UNIX &&
                      how == MHD_REQUEST_TERMINATED_CLIENT_ABORT;
    if (how == MHD_REQUEST_TERMINATED_COMPLETED_OK || has_answer)
        ending = R2_ENDED_SENT;
    else if (how == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED || exchange->slow)
        ending = R2_ENDED_TIMEOUT;
    else if (exchange->cut)
        ending = R2_ENDED_CUT;
    else if (how == MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
        ending = R2_ENDED_SHUTDOWN;
    r2_service_record(exchange->service, exchange->job, ending);
    exchange_destroy(exchange);
}

/* --- the daemons --- */

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *format,
                                                         va_list args)
{
    char message[512];
    (void)cls;
    vsnprintf(message, sizeof message, format, args);
    message[strcspn(message, "\n")] = 0;
    r2_log(R2_LOG_DEBUG, "http", R2_LOG_TEXT("message", message));
}

static enum r2_status start_listener(struct r2_http *http, const char *text,
                                     const struct r2_settings *settings, unsigned connections,
                                     struct r2_error *err)
{
    struct listener *listener = &http->listeners[http->count];
    char shown[R2_SHOWN_ADDRESS];
    int fd;
    R2_TRY(r2_address_parse(text, &listener->address, err));
    R2_TRY(r2_listen_open(&listener->address, &fd, shown, err));
    unsigned timeout_s = (unsigned)((settings->upload_timeout_ms + 999) / 1000); /* of silence */
    /* poll, not epoll: that is edge-triggered in MHD, which then overlooks a client that closes
       right behind its last bytes, until the connection times out (0.9.75 and 1.0.1: connection.c,
       recv_param_adapter). The log comes first: MHD uses it for what it says of later options. */
    listener->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, http->service, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, timeout_s, MHD_OPTION_URI_LOG_CALLBACK, on_uri,
        http->service, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (!listener->daemon) {
        close(fd);
        r2_listen_remove(&listener->address);
        return r2_fail(err, R2_IO, "listen: %s: libmicrohttpd did not start", shown);
    }
    size_t used = strlen(http->addresses);
    snprintf(http->addresses + used, sizeof http->addresses - used, "%s%s", used ? "," : "", shown);
    http->count++;
    return R2_OK;
}

enum r2_status r2_http_start(struct r2_service *service, const struct r2_settings *settings,
                             struct r2_http **ret, struct r2_error *err)
{
    struct r2_http *http;
    const struct r2_texts *listen = &settings->listen;
    R2_TRY(r2_alloc(1, sizeof *http + listen->count * sizeof *http->listeners, "http", &http, err));
    http->service = service;
    /* The limit is the process's; each address has its part. */
    unsigned connections = (unsigned)settings->max_connections / (unsigned)listen->count;
    for (size_t i = 0; i < listen->count; i++) {
        if (start_listener(http, listen->items[i], settings, connections ? connections : 1, err) !=
            R2_OK) {
            r2_http_stop(http);
            return err->status;
        }
    }
    *ret = http;
    return R2_OK;
}

const char *r2_http_addresses(const struct r2_http *http)
{
    return http->addresses;
}

void r2_http_stop(struct r2_http *http)
{
    if (!http) return;
    for (size_t i = 0; i < http->count; i++) {
        MHD_stop_daemon(http->listeners[i].daemon);
        r2_listen_remove(&http->listeners[i].address);
    }
    free(http);
}
