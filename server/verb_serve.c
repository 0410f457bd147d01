#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/http.h"
#include "server/loader.h"
#include "server/notify.h"
#include "server/verbs.h"
#include "server/worker.h"

enum {
    MAPPED_FROM = 1 << 20, /* bytes */
    TICK_MS = 10,
    LAST_WORDS_MS = 1000, /* for answers that are ready when the time is up */
};

/* Each connection takes a descriptor; the soft limit is often 1024. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* What one run of the daemon consists of. */
struct server {
    const struct r2_args *args;
    struct r2_service service;
    struct r2_http *http;
    struct r2_crew *crew;
    struct r2_loader *loader; /* NULL = nothing is being loaded */
    bool reload;              /* SIGHUP came, and nothing was done about it yet */
    bool told;                /* that it is ready */
    sigset_t signals;
};

/* Blocked before any thread starts, so that only sigtimedwait sees them. */
static void block_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
    signal(SIGPIPE, SIG_IGN); /* a client that left is an error of write() */
}

/* The second signal: whoever sends it does not want to wait for anything, whatever is going on. */
static void exit_at_once(int number)
{
    (void)number;
    _exit(R2_EXIT_FAILED);
}

static void arm_second_signal(const sigset_t *signals)
{
    struct sigaction action = {.sa_handler = exit_at_once};
    signal(SIGHUP, SIG_IGN); /* too late to load anything */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

static void log_error(const char *event, const struct r2_error *err)
{
    r2_log(R2_LOG_ERROR, event, R2_LOG_TEXT("detail", err->message));
}

static void tell_ready(struct server *server)
{
    struct r2_service *service = &server->service;
    r2_log(R2_LOG_INFO, "ready", R2_LOG_TEXT("listen", r2_http_addresses(server->http)),
           R2_LOG_COUNT("workers", service->shares.workers),
           R2_LOG_COUNT("threads", service->shares.threads),
           R2_LOG_COUNT("threads_alone", service->shares.threads_alone),
           R2_LOG_COUNT("queue_depth", r2_queue_capacity(service->queue)),
           R2_LOG_MS("service_ms", r2_ns_to_ms(service->mean_ns)));
    r2_notify("READY=1");
    server->told = true;
}

/* --- reloading --- */

static enum r2_status check_fixed(const struct r2_settings *old, const struct r2_settings *new,
                                  struct r2_error *err)
{
    const char *changed = NULL;
    if (old->workers != new->workers) changed = "workers";
    if (old->threads != new->threads) changed = "threads";
    if (old->max_connections != new->max_connections) changed = "max_connections";
    if (old->listen.count != new->listen.count) changed = "listen";
    for (size_t i = 0; i < old->listen.count && i < new->listen.count; i++)
        if (strcmp(old->listen.items[i], new->listen.items[i]) != 0) changed = "listen";
    if (!changed) return R2_OK;
    return r2_fail(err, R2_INVALID, "setting %s has changed, which needs a restart", changed);
}

static enum r2_status start_reload(struct server *server, struct r2_error *err)
{
    struct r2_settings settings;
    struct r2_snapshot *snapshot = NULL;
    R2_TRY(r2_args_settings(server->args, &settings, err));
    enum r2_status status = R2_OK;
    if (!settings.model) status = r2_fail(err, R2_INVALID, "there is no model any more");
    if (status == R2_OK) status = check_fixed(server->args->settings, &settings, err);
    if (status == R2_OK) status = r2_snapshot_create(&settings, &snapshot, err);
    if (status != R2_OK) {
        r2_settings_finish(&settings);
        return status;
    }
    return r2_loader_start(&server->service, snapshot, &server->loader, err);
}

static void end_reload(struct server *server, enum r2_status status, const struct r2_error *err)
{
    r2_metrics_reloaded(server->service.metrics, status == R2_OK);
    if (status != R2_OK) {
        log_error("reload_failed", err); /* what was served before is served on */
    } else {
        struct r2_snapshot *snapshot = r2_service_snapshot(&server->service);
        r2_log_setup(snapshot->settings.log_level, snapshot->settings.log_format);
        r2_snapshot_unref(snapshot);
        r2_log(R2_LOG_INFO, "reloaded",
               R2_LOG_MS("service_ms", r2_ns_to_ms(server->service.mean_ns)));
    }
    r2_notify("READY=1");
}

static void begin_reload(struct server *server)
{
    struct r2_error err;
    char message[64];
    server->reload = false;
    r2_log(R2_LOG_INFO, "reloading", R2_LOG_COUNT("pid", getpid()));
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(r2_clock_ns() / 1000));
    r2_notify(message);
    enum r2_status status = start_reload(server, &err);
    if (status != R2_OK) end_reload(server, status, &err);
}

/* Looks after what is being loaded. False: there is no model to serve. */
static bool attend_loader(struct server *server, struct r2_error *err)
{
    enum r2_status status = R2_OK;
    if (server->loader && r2_loader_ended(server->loader, &status, err)) {
        r2_loader_destroy(server->loader);
        server->loader = NULL;
        if (server->told)
            end_reload(server, status, err);
        else if (status != R2_OK)
            return false;
    }
    if (server->told && server->reload && !server->loader) begin_reload(server);
    return true;
}

/* Until SIGTERM or SIGINT comes (true), or there is nothing to serve with. */
static bool attend(struct server *server, struct r2_error *err)
{
    static const struct timespec tick = {0, TICK_MS * 1000000L};
    for (;;) {
        bool waits = server->loader || !server->told;
        int number = waits ? sigtimedwait(&server->signals, NULL, &tick)
                           : sigwaitinfo(&server->signals, NULL);
        if (number == SIGHUP)
            server->reload = true;
        else if (number > 0)
            return true;
        if (!attend_loader(server, err) || r2_crew_failed(server->crew, err)) return false;
        if (!server->told && r2_service_state(&server->service) != R2_STATE_LOADING)
            tell_ready(server);
    }
}

/* --- the end --- */

static bool wait_until_idle(struct r2_service *service, int64_t limit_ms)
{
    static const struct timespec tick = {0, TICK_MS * 1000000L};
    uint64_t end_ns = r2_clock_ns() + (uint64_t)limit_ms * 1000000;
    while (r2_metrics_in_flight(service->metrics)) {
        if (r2_clock_ns() >= end_ns) return false;
        nanosleep(&tick, NULL);
    }
    return true;
}

static void sleep_ms(int64_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* True when all accepted requests were answered. */
static bool drain(struct r2_service *service)
{
    struct r2_snapshot *snapshot = r2_service_snapshot(service);
    int64_t delay_ms = snapshot->settings.drain_delay_ms;
    int64_t limit_ms = snapshot->settings.shutdown_timeout_ms;
    r2_snapshot_unref(snapshot);
    r2_notify("STOPPING=1");
    r2_log(R2_LOG_INFO, "draining",
           R2_LOG_COUNT("in_flight", r2_metrics_in_flight(service->metrics)));
    if (delay_ms) { /* else a POST after a /readyz that says no is sure to be refused */
        r2_service_set_state(service, R2_STATE_LEAVING);
        sleep_ms(delay_ms);
    }
    r2_service_set_state(service, R2_STATE_DRAINING);
    if (wait_until_idle(service, limit_ms)) return true;
    r2_log(R2_LOG_WARN, "shutdown_timeout",
           R2_LOG_COUNT("in_flight", r2_metrics_in_flight(service->metrics)));
    return false;
}

static enum r2_status start(struct server *server, struct r2_error *err)
{
    struct r2_service *service = &server->service;
    R2_TRY(r2_http_start(service, server->args->settings, &server->http, err));
    r2_log(R2_LOG_INFO, "listening", R2_LOG_TEXT("listen", r2_http_addresses(server->http)),
           R2_LOG_COUNT("pid", getpid()));
    R2_TRY(r2_crew_start(service, &server->crew, err));
    return r2_loader_start(service, r2_service_snapshot(service), &server->loader, err);
}

static int serve_until_signal(struct server *server)
{
    struct r2_error err;
    struct r2_service *service = &server->service;
    int code = R2_EXIT_FAILED;
    if (start(server, &err) == R2_OK && attend(server, &err)) {
        arm_second_signal(&server->signals);
        if (drain(service)) code = R2_EXIT_OK;
    } else {
        log_error("failed", &err);
    }
    r2_service_set_state(service, R2_STATE_DRAINING);
    r2_loader_destroy(server->loader);
    r2_crew_stop(server->crew);
    wait_until_idle(service, LAST_WORDS_MS);
    r2_http_stop(server->http);
    r2_log(R2_LOG_INFO, "stopped", R2_LOG_COUNT("code", code));
    return code;
}

static int serve(const struct r2_args *args)
{
    struct r2_error err;
    struct server server = {.args = args};
    struct r2_settings settings;
    struct r2_snapshot *snapshot;
    r2_log_setup(args->settings->log_level, args->settings->log_format);
    raise_descriptor_limit();
    /* Large pictures and bodies go back to the system when they are freed, always: by itself glibc
       soon keeps such sizes in heaps, which end as fragmented as the requests were mixed. */
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    block_signals(&server.signals);
    if (r2_args_settings(args, &settings, &err) != R2_OK) return r2_complain(&err);
    if (r2_snapshot_create(&settings, &snapshot, &err) != R2_OK) {
        r2_settings_finish(&settings);
        return r2_complain(&err);
    }
    if (r2_service_init(&server.service, snapshot, &err) != R2_OK) return r2_complain(&err);
    int code = serve_until_signal(&server);
    r2_service_finish(&server.service);
    return code;
}

const struct r2_verb r2_verb_serve = {
    .name = "serve",
    .usage = "--model DIR [OPTION...]",
    .summary = "Serves a model over HTTP until SIGTERM or SIGINT; SIGHUP loads it anew.",
    .needs_model = true,
    .run = serve,
};
