#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/answer.h"
#include "server/pool.h"

struct r2_crew {
    struct r2_service *service;
    struct r2_pool *pool;
    pthread_mutex_t lock;
    /* Under the lock. */
    bool failed;
    unsigned warm; /* times that a worker warmed itself */
    struct r2_error failure;
};

/* Bytes a pixel. Beside the 3 of the picture, a progressive JPEG keeps 6 of coefficients (8 of CMYK),
   an interlaced PNG 4, a WebP 4 and inside of its decoder 5. A drawing has 3 of the picture, 4 of
   its canvas, and the file, which is hardly ever more than the pixels. */
enum { DECODE_BYTES = 12, DRAW_BYTES = 10 };

static struct r2_decode_limits decode_limits(const struct r2_settings *settings)
{
    return (struct r2_decode_limits){
        .max_pixels = (uint64_t)settings->max_pixels,
        .max_memory = (size_t)settings->max_pixels * DECODE_BYTES + (1 << 20),
    };
}

size_t r2_picture_memory(const struct r2_settings *settings)
{
    enum { MOST = DECODE_BYTES > DRAW_BYTES ? DECODE_BYTES : DRAW_BYTES };
    return (size_t)settings->max_body + (size_t)settings->max_pixels * MOST + (1 << 20);
}

enum r2_status r2_picture_run(const struct r2_settings *settings, struct r2_bytes file,
                              struct r2_decode_options options, const struct r2_work *work,
                              struct r2_runner *runner, struct r2_times *times,
                              struct r2_image *ret_picture, bool *ret_truncated,
                              struct r2_answer *ret, struct r2_error *err)
{
    R2_CLEANUP(r2_image_finish) struct r2_image picture = {0};
    struct r2_picture_info info = {0};
    options.limits = decode_limits(settings);
    uint64_t start_ns = r2_clock_ns();
    R2_TRY(r2_picture_decode(file, &options, &picture, &info, err));
    times->ns[R2_STAGE_DECODE] = (int64_t)(r2_clock_ns() - start_ns);
    R2_TRY(r2_model_run(work, runner, &picture, ret, err));
    times->ns[R2_STAGE_PREPROCESS] = (int64_t)ret->preprocess_ns;
    times->ns[R2_STAGE_BACKBONE] = (int64_t)ret->backbone_ns;
    times->ns[R2_STAGE_HEAD] = (int64_t)ret->head_ns;
    *ret_picture = picture;
    *ret_truncated = info.truncated;
    picture = (struct r2_image){0};
    return R2_OK;
}

/* Asked before the trunk and between stages. */
static enum r2_status may_go_on(void *context, struct r2_error *err)
{
    const struct r2_job *job = context;
    uint64_t now_ns = r2_clock_ns();
    if (atomic_load(&job->left)) return r2_fail(err, R2_CANCELLED, "the client has left");
    if (!job->deadline_ns || now_ns < job->deadline_ns) return R2_OK;
    return r2_fail(err, R2_EXPIRED,
                   "%.0f ms have passed of the %.0f ms that the request had; it was not computed",
                   r2_ns_to_ms(now_ns - job->received_ns),
                   r2_ns_to_ms(job->deadline_ns - job->received_ns));
}

static enum r2_status compute(struct r2_service *service, struct r2_job *job,
                              struct r2_runner *runner, struct r2_error *err)
{
    struct r2_answer answer = {0};
    R2_CLEANUP(r2_image_finish) struct r2_image picture = {0};
    job->work.check = may_go_on;
    job->work.check_context = job;
    const struct r2_decode_options options = {.orient = job->orient, .strict = job->strict};
    enum r2_status status =
        r2_picture_run(&job->snapshot->settings, job->picture, options, &job->work, runner,
                       &job->times, &picture, &job->truncated, &answer, err);
    if (job->times.ns[R2_STAGE_DECODE] < 0 && (status == R2_INVALID || status == R2_UNSUPPORTED))
        r2_metrics_decode_error(service->metrics, r2_format_detect(job->picture));
    R2_TRY(status);
    job->width = picture.width;
    job->height = picture.height;
    r2_metrics_computed(service->metrics, answer.trunk_passes, answer.plan_hits,
                        answer.plan_misses);
    status = r2_answer_reply(job, &answer, &picture, &service->font, err);
    r2_answer_finish(&answer);
    return status;
}

static void give_up_job(struct r2_service *service, struct r2_job *job, const struct r2_error *err,
                        enum r2_cancellation where)
{
    if (err->status == R2_CANCELLED) {
        r2_job_cancel(job, where);
        return;
    }
    if (err->status == R2_EXPIRED) r2_metrics_rejected(service->metrics, R2_REJECTED_DEADLINE);
    r2_job_fail(job, err);
}

static void do_job(struct r2_service *service, struct r2_job *job, struct r2_runner *runner)
{
    struct r2_error err;
    uint64_t start_ns = r2_clock_ns();
    job->times.ns[R2_STAGE_QUEUE] = (int64_t)(start_ns - job->received_ns);
    if (may_go_on(job, &err) != R2_OK) {
        give_up_job(service, job, &err, R2_CANCELLED_QUEUE);
        return;
    }
    bool alone = atomic_fetch_add(&service->busy, 1) == 0 && r2_queue_length(service->queue) == 0;
    job->work.threads = alone ? service->shares.threads_alone : service->shares.threads;
    if (r2_service_unpack(service, job) && compute(service, job, runner, &err) != R2_OK)
        give_up_job(service, job, &err, R2_CANCELLED_COMPUTE);
    r2_buffer_finish(&job->body); /* the answer may take long to send */
    job->picture = (struct r2_bytes){0};
    uint64_t ns = r2_clock_ns() - start_ns;
    atomic_fetch_sub(&service->busy, 1);
    r2_metrics_busy(service->metrics, ns);
    /* The queue is planned for full load: what a lone job gains by more threads does not count. */
    if (job->reply.code == 200 && job->work.threads == service->shares.threads)
        r2_service_measure(service, ns);
}

static void fail(struct r2_crew *crew, const struct r2_error *err)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->failed) crew->failure = *err;
    crew->failed = true;
    pthread_mutex_unlock(&crew->lock);
}

/* The current model's plans are compiled: this makes the worker's memory, and lets go of the plan
   of a model that is served no more. */
static enum r2_status warm(struct r2_crew *crew, struct r2_runner *runner, struct r2_error *err)
{
    struct r2_service *service = crew->service;
    struct r2_snapshot *snapshot = r2_service_snapshot(service);
    struct r2_model *model = r2_snapshot_model(snapshot);
    enum r2_status status = R2_OK;
    if (service->shares.threads_alone != service->shares.threads)
        status = r2_model_warm(model, runner, service->shares.threads_alone, NULL, err);
    if (status == R2_OK) status = r2_model_warm(model, runner, service->shares.threads, NULL, err);
    r2_snapshot_unref(snapshot);
    if (status != R2_OK) return status;
    pthread_mutex_lock(&crew->lock);
    bool last = ++crew->warm == service->shares.workers;
    pthread_mutex_unlock(&crew->lock);
    if (last) r2_service_set_ready(service);
    return R2_OK;
}

static enum r2_status work(struct r2_crew *crew, struct r2_runner *runner, struct r2_error *err)
{
    unsigned seen = 0;
    for (;;) {
        void *item = NULL;
        switch (r2_queue_pop(crew->service->queue, &seen, &item)) {
        case R2_POPPED_ITEM:
            do_job(crew->service, item, runner);
            r2_service_return(crew->service, item);
            break;
        case R2_POPPED_POKE: R2_TRY(warm(crew, runner, err)); break;
        case R2_POPPED_END: return R2_OK;
        }
    }
}

static void run(void *context, unsigned index)
{
    struct r2_crew *crew = context;
    struct r2_runner *runner = NULL;
    struct r2_error err;
    (void)index;
    enum r2_status status = r2_runner_create(&runner, &err);
    if (status == R2_OK) status = work(crew, runner, &err);
    if (status != R2_OK) fail(crew, &err);
    r2_runner_destroy(runner);
}

static void give_up(void *context)
{
    struct r2_crew *crew = context;
    struct r2_error err;
    r2_fail(&err, R2_IO, "not all workers could be started");
    fail(crew, &err);
    r2_queue_close(crew->service->queue);
}

static void destroy(struct r2_crew *crew)
{
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

enum r2_status r2_crew_start(struct r2_service *service, struct r2_crew **ret, struct r2_error *err)
{
    struct r2_crew *crew;
    R2_TRY(r2_alloc(1, sizeof *crew, "workers", &crew, err));
    crew->service = service;
    pthread_mutex_init(&crew->lock, NULL);
    if (r2_pool_start("worker", service->shares.workers, run, give_up, crew, &crew->pool, err) !=
        R2_OK) {
        destroy(crew);
        return err->status;
    }
    *ret = crew;
    return R2_OK;
}

bool r2_crew_failed(struct r2_crew *crew, struct r2_error *ret)
{
    pthread_mutex_lock(&crew->lock);
    bool failed = crew->failed;
    if (failed) *ret = crew->failure;
    pthread_mutex_unlock(&crew->lock);
    return failed;
}

void r2_crew_stop(struct r2_crew *crew)
{
    struct r2_job *job;
    if (!crew) return;
    struct r2_queue *queue = crew->service->queue;
    r2_queue_close(queue);
    while ((job = r2_queue_try_pop(queue))) {
        r2_service_refuse(crew->service, job, R2_REJECTED_DRAINING, "the service is shutting down");
        r2_service_return(crew->service, job);
    }
    r2_pool_join(crew->pool);
    destroy(crew);
}
