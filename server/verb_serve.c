#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/http.h"
#include "server/verbs.h"
#include "server/worker.h"

enum {
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

/* Blocked before any thread starts, so that only sigtimedwait sees them. */
static void block_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
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
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

static void log_ready(const struct r2_service *service, const struct r2_http *http)
{
    r2_log(R2_LOG_INFO, "ready", R2_LOG_TEXT("listen", r2_http_addresses(http)),
           R2_LOG_COUNT("workers", service->shares.workers),
           R2_LOG_COUNT("threads", service->shares.threads),
           R2_LOG_COUNT("threads_alone", service->shares.threads_alone),
           R2_LOG_COUNT("queue_depth", r2_queue_capacity(service->queue)),
           R2_LOG_MS("service_ms", r2_ns_to_ms(service->mean_ns)));
}

/* Until a signal comes (true), or the model proves unusable. */
static bool wait_for_signal(struct r2_service *service, struct r2_http *http, struct r2_crew *crew,
                            const sigset_t *signals, struct r2_error *err)
{
    static const struct timespec tick = {0, TICK_MS * 1000000L};
    while (r2_service_state(service) == R2_STATE_LOADING) {
        if (sigtimedwait(signals, NULL, &tick) > 0) return true;
        if (r2_crew_failed(crew, err)) return false;
    }
    log_ready(service, http);
    while (sigwaitinfo(signals, NULL) < 0 && errno == EINTR) continue;
    return true;
}

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
    const struct r2_settings *settings = service->settings;
    r2_log(R2_LOG_INFO, "draining",
           R2_LOG_COUNT("in_flight", r2_metrics_in_flight(service->metrics)));
    r2_service_set_state(service, R2_STATE_LEAVING);
    sleep_ms(settings->drain_delay_ms);
    r2_service_set_state(service, R2_STATE_DRAINING);
    if (wait_until_idle(service, settings->shutdown_timeout_ms)) return true;
    r2_log(R2_LOG_WARN, "shutdown_timeout",
           R2_LOG_COUNT("in_flight", r2_metrics_in_flight(service->metrics)));
    return false;
}

static int serve_until_signal(struct r2_service *service, const sigset_t *signals)
{
    struct r2_error err;
    struct r2_http *http;
    struct r2_crew *crew;
    if (r2_http_start(service, &http, &err) != R2_OK) {
        r2_log(R2_LOG_ERROR, "failed", R2_LOG_TEXT("detail", err.message));
        return R2_EXIT_FAILED;
    }
    r2_log(R2_LOG_INFO, "listening", R2_LOG_TEXT("listen", r2_http_addresses(http)),
           R2_LOG_COUNT("pid", getpid()));
    int code = R2_EXIT_FAILED;
    if (r2_crew_start(service, &crew, &err) != R2_OK) {
        crew = NULL;
        r2_log(R2_LOG_ERROR, "failed", R2_LOG_TEXT("detail", err.message));
    } else if (wait_for_signal(service, http, crew, signals, &err)) {
        arm_second_signal(signals);
        if (drain(service)) code = R2_EXIT_OK;
    } else {
        r2_log(R2_LOG_ERROR, "failed", R2_LOG_TEXT("detail", err.message));
    }
    r2_service_set_state(service, R2_STATE_DRAINING);
    r2_crew_stop(crew);
    wait_until_idle(service, LAST_WORDS_MS);
    r2_http_stop(http);
    r2_log(R2_LOG_INFO, "stopped", R2_LOG_COUNT("code", code));
    return code;
}

static int serve(const struct r2_args *args)
{
    struct r2_error err;
    struct r2_service service;
    sigset_t signals;
    r2_log_setup((enum r2_log_level)args->settings->log_level,
                 (enum r2_log_format)args->settings->log_format);
    raise_descriptor_limit();
    block_signals(&signals);
    if (r2_service_init(&service, args->settings, &err) != R2_OK) return r2_complain(&err);
    int code = serve_until_signal(&service, &signals);
    r2_service_finish(&service);
    return code;
}

const struct r2_verb r2_verb_serve = {
    .name = "serve",
    .usage = "--model DIR [OPTION...]",
    .summary = "Serves a model over HTTP until SIGTERM or SIGINT.",
    .needs_model = true,
    .run = serve,
};
