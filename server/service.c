#include "server/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/problem.h"
#include "server/routes.h"

enum {
    QUEUE_PER_WORKER = 4, /* while no job was measured */
    QUEUE_LEAST = 1,
    QUEUE_MOST = 1000,
    RETRY_LOADING = 5, /* seconds */
};

/* Bodies that wait together; a request's own limit may be larger. */
#define QUEUE_BYTES ((size_t)256 << 20)

static unsigned at_least_one(unsigned value)
{
    return value ? value : 1;
}

struct r2_shares r2_shares_plan(const struct r2_settings *settings, unsigned cpus)
{
    struct r2_shares shares;
    bool auto_workers = settings->workers == R2_AUTO, auto_threads = settings->threads == R2_AUTO;
    unsigned workers = auto_workers ? 0 : (unsigned)settings->workers;
    unsigned threads = auto_threads ? 0 : (unsigned)settings->threads;
    if (auto_workers) workers = auto_threads ? cpus : cpus / threads;
    shares.workers = at_least_one(workers);
    shares.threads = auto_threads ? at_least_one(cpus / shares.workers) : threads;
    shares.threads_alone = auto_threads ? at_least_one(cpus) : threads;
    return shares;
}

/* The watch's: the client of a job has left. */
static void on_left(void *context, struct r2_job *job)
{
    struct r2_service *service = context;
    atomic_store(&job->left, true);
    if (!r2_queue_remove(service->queue, job)) return; /* its worker looks at job->left */
    r2_job_cancel(job, R2_CANCELLED_QUEUE);
    job->wake(job);
}

static size_t first_capacity(const struct r2_service *service, const struct r2_settings *settings)
{
    if (settings->queue_depth != R2_AUTO) return (size_t)settings->queue_depth;
    return (size_t)service->shares.workers * QUEUE_PER_WORKER;
}

static enum r2_status init(struct r2_service *service, struct r2_error *err)
{
    const struct r2_settings *settings = &service->current->settings;
    struct r2_error no_font;
    r2_cpus_read(&service->cpus);
    if (r2_font_open(NULL, &service->font, &no_font) != R2_OK)
        r2_log(R2_LOG_WARN, "no_labels", R2_LOG_TEXT("why", no_font.message));
    service->shares = r2_shares_plan(settings, service->cpus.usable);
    size_t max_bytes = QUEUE_BYTES;
    if (max_bytes < (size_t)settings->max_body) max_bytes = (size_t)settings->max_body;
    R2_TRY(r2_queue_create(first_capacity(service, settings), max_bytes, &service->queue, err));
    R2_TRY(r2_metrics_create(&service->metrics, err));
    return r2_watch_create(on_left, service, &service->watch, err);
}

enum r2_status r2_service_init(struct r2_service *service, struct r2_snapshot *snapshot,
                               struct r2_error *err)
{
    memset(service, 0, sizeof *service);
    pthread_mutex_init(&service->lock, NULL);
    service->current = snapshot;
    enum r2_status status = init(service, err);
    if (status != R2_OK) r2_service_finish(service);
    return status;
}

void r2_service_finish(struct r2_service *service)
{
    if (!service) return;
    r2_watch_destroy(service->watch);
    r2_queue_destroy(service->queue);
    r2_metrics_destroy(service->metrics);
    r2_font_finish(&service->font);
    r2_snapshot_unref(service->current);
    pthread_mutex_destroy(&service->lock);
    memset(service, 0, sizeof *service);
}

struct r2_snapshot *r2_service_snapshot(struct r2_service *service)
{
    pthread_mutex_lock(&service->lock);
    struct r2_snapshot *snapshot = r2_snapshot_ref(service->current);
    pthread_mutex_unlock(&service->lock);
    return snapshot;
}

void r2_service_publish(struct r2_service *service, struct r2_snapshot *snapshot)
{
    pthread_mutex_lock(&service->lock);
    struct r2_snapshot *old = service->current;
    service->current = snapshot;
    /* A new model has its own speed: what was measured counts no more. */
    atomic_store(&service->mean_ns, 0);
    r2_queue_set_capacity(service->queue, first_capacity(service, &snapshot->settings));
    pthread_mutex_unlock(&service->lock);
    r2_snapshot_unref(old);
}

enum r2_state r2_service_state(const struct r2_service *service)
{
    return (enum r2_state)atomic_load(&service->state);
}

void r2_service_set_ready(struct r2_service *service)
{
    int loading = R2_STATE_LOADING;
    atomic_compare_exchange_strong(&service->state, &loading, R2_STATE_READY);
}

void r2_service_set_state(struct r2_service *service, enum r2_state state)
{
    atomic_store(&service->state, (int)state);
}

/* As many jobs as can be served before the last one's deadline. */
static size_t fitting_depth(const struct r2_service *service, const struct r2_settings *settings,
                            uint64_t mean_ns)
{
    double timeout = (double)settings->request_timeout_ms * 1e6;
    if (timeout <= 0) return QUEUE_MOST;
    double depth = timeout / (double)mean_ns * service->shares.workers;
    if (depth < QUEUE_LEAST) return QUEUE_LEAST;
    return depth > QUEUE_MOST ? QUEUE_MOST : (size_t)depth;
}

void r2_service_measure(struct r2_service *service, uint64_t ns)
{
    pthread_mutex_lock(&service->lock);
    const struct r2_settings *settings = &service->current->settings;
    uint64_t old = atomic_load(&service->mean_ns);
    uint64_t mean = old ? old - old / 16 + ns / 16 : ns;
    if (!mean) mean = 1;
    atomic_store(&service->mean_ns, mean);
    if (settings->queue_depth == R2_AUTO)
        r2_queue_set_capacity(service->queue, fitting_depth(service, settings, mean));
    pthread_mutex_unlock(&service->lock);
}

unsigned r2_service_retry_after(const struct r2_service *service)
{
    double length = (double)r2_queue_length(service->queue);
    double mean = (double)atomic_load(&service->mean_ns) / 1e9;
    double seconds = length * mean / service->shares.workers;
    if (seconds > 3600) seconds = 3600;
    unsigned whole = (unsigned)seconds;
    return at_least_one(whole < seconds ? whole + 1 : whole);
}

void r2_service_refuse(struct r2_service *service, struct r2_job *job, enum r2_rejection reason,
                       const char *detail)
{
    job->reply.retry_after =
        reason == R2_REJECTED_LOADING ? RETRY_LOADING : r2_service_retry_after(service);
    job->reply.close = reason == R2_REJECTED_DRAINING;
    r2_metrics_rejected(service->metrics, reason);
    r2_job_refuse(job, 503, detail);
}

static void refuse_picture(struct r2_service *service, struct r2_job *job, enum r2_format format)
{
    char detail[R2_ERROR_SIZE];
    if (format == R2_FORMAT_UNKNOWN)
        snprintf(detail, sizeof detail,
                 "the %s is not a picture of a known format; %s are accepted",
                 r2_body_place(&job->form), r2_format_list());
    else
        snprintf(detail, sizeof detail, "%s pictures are not supported; %s are accepted",
                 r2_format_name(format), r2_format_list());
    r2_metrics_decode_error(service->metrics, format);
    r2_job_refuse(job, r2_problem_code(R2_UNSUPPORTED), detail);
}

/* 0 is no limit. */
static int64_t fewer_ms(int64_t a, int64_t b)
{
    if (!a || !b) return a ? a : b;
    return a < b ? a : b;
}

bool r2_service_unpack(struct r2_service *service, struct r2_job *job)
{
    struct r2_error err;
    enum r2_status status = r2_body_unpack(job, (size_t)job->snapshot->settings.max_body, &err);
    if (status == R2_TOO_LARGE) r2_metrics_rejected(service->metrics, R2_REJECTED_TOO_LARGE);
    if (status != R2_OK) {
        r2_job_fail(job, &err);
        return false;
    }
    enum r2_format format = r2_format_detect(job->picture);
    if (!r2_format_decodable(format)) {
        refuse_picture(service, job, format);
        return false;
    }
    return job->form.kind == R2_BODY_PICTURE || r2_routes_negotiate(job);
}

/* The upload has a limit of its own: a slow one does not use up the time for the answer. */
static void set_deadline(struct r2_job *job)
{
    job->received_ns = r2_clock_ns();
    job->times.ns[R2_STAGE_RECEIVE] = (int64_t)(job->received_ns - job->start_ns);
    int64_t timeout_ms = fewer_ms(job->snapshot->settings.request_timeout_ms, job->timeout_ms);
    if (timeout_ms) job->deadline_ns = job->received_ns + (uint64_t)timeout_ms * 1000000;
}

bool r2_service_submit(struct r2_service *service, struct r2_job *job)
{
    struct r2_error err;
    set_deadline(job);
    /* Before a worker can see the job: one could be done with it, and unwatch it, at once. */
    r2_watch_add(service->watch, job);
    enum r2_status status = r2_queue_push(service->queue, job, job->body.size, &err);
    if (status == R2_OK) return true;
    r2_watch_remove(service->watch, job);
    if (r2_service_state(service) == R2_STATE_DRAINING)
        r2_service_refuse(service, job, R2_REJECTED_DRAINING, err.message);
    else if (status == R2_BUSY)
        r2_service_refuse(service, job, R2_REJECTED_QUEUE_FULL, err.message);
    else
        r2_job_fail(job, &err);
    return false;
}

void r2_service_return(struct r2_service *service, struct r2_job *job)
{
    r2_watch_remove(service->watch, job);
    job->wake(job);
}
