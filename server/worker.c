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
    pthread_cond_t loaded;
    /* Under the lock. */
    bool is_loaded, failed;
    unsigned warm; /* workers */
    struct r2_error failure;
};

/* Beside the 3 bytes of a pixel, a progressive JPEG keeps 6 of coefficients, a 16-bit PNG 8. */
enum { DECODE_BYTES_PER_PIXEL = 12 };

static struct r2_decode_options decode_options(const struct r2_settings *settings, bool orient)
{
    return (struct r2_decode_options){
        .limits = {.max_pixels = (uint64_t)settings->max_pixels,
                   .max_memory = (size_t)settings->max_pixels * DECODE_BYTES_PER_PIXEL + (1 << 20)},
        .orient = orient,
    };
}

enum r2_status r2_picture_run(const struct r2_settings *settings, struct r2_bytes file, bool orient,
                              const struct r2_work *work, struct r2_runner *runner,
                              struct r2_times *times, uint32_t ret_size[2], struct r2_answer *ret,
                              struct r2_error *err)
{
    struct r2_image picture = {0};
    struct r2_decode_options options = decode_options(settings, orient);
    uint64_t start_ns = r2_clock_ns();
    R2_TRY(r2_picture_decode(file, &options, &picture, NULL, err));
    times->ns[R2_STAGE_DECODE] = (int64_t)(r2_clock_ns() - start_ns);
    ret_size[0] = picture.width;
    ret_size[1] = picture.height;
    enum r2_status status = r2_model_run(work, runner, &picture, ret, err);
    r2_image_finish(&picture);
    if (status != R2_OK) return status;
    times->ns[R2_STAGE_PREPROCESS] = (int64_t)ret->preprocess_ns;
    times->ns[R2_STAGE_BACKBONE] = (int64_t)ret->backbone_ns;
    times->ns[R2_STAGE_HEAD] = (int64_t)ret->head_ns;
    return R2_OK;
}

static enum r2_status compute(struct r2_service *service, struct r2_job *job,
                              struct r2_runner *runner, struct r2_error *err)
{
    struct r2_answer answer = {0};
    uint32_t size[2];
    enum r2_status status = r2_picture_run(service->settings, job->picture, job->orient, &job->work,
                                           runner, &job->times, size, &answer, err);
    if (job->times.ns[R2_STAGE_DECODE] < 0 && (status == R2_INVALID || status == R2_UNSUPPORTED))
        r2_metrics_decode_error(service->metrics, r2_format_detect(job->picture));
    R2_TRY(status);
    job->width = size[0];
    job->height = size[1];
    r2_metrics_computed(service->metrics, answer.trunk_passes, answer.plan_hits,
                        answer.plan_misses);
    status = r2_answer_reply(job, &answer, err);
    r2_answer_finish(&answer);
    return status;
}

static void do_job(struct r2_service *service, struct r2_job *job, struct r2_runner *runner)
{
    struct r2_error err;
    uint64_t start_ns = r2_clock_ns();
    job->times.ns[R2_STAGE_QUEUE] = (int64_t)(start_ns - job->received_ns);
    if (job->deadline_ns && start_ns >= job->deadline_ns) {
        r2_fail(&err, R2_EXPIRED,
                "the request waited %.0f ms of the %.0f ms that it had; it was not computed",
                r2_ns_to_ms(start_ns - job->received_ns),
                r2_ns_to_ms(job->deadline_ns - job->received_ns));
        r2_metrics_rejected(service->metrics, R2_REJECTED_DEADLINE);
        r2_job_fail(job, &err);
        return;
    }
    bool alone = atomic_fetch_add(&service->busy, 1) == 0 && r2_queue_length(service->queue) == 0;
    job->work.threads = alone ? service->shares.threads_alone : service->shares.threads;
    if (compute(service, job, runner, &err) != R2_OK) r2_job_fail(job, &err);
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
    pthread_cond_broadcast(&crew->loaded);
    pthread_mutex_unlock(&crew->lock);
}

static enum r2_status load(struct r2_crew *crew, struct r2_error *err)
{
    const struct r2_settings *settings = crew->service->settings;
    struct r2_model_options options = {.plan_cache = (size_t)settings->plan_cache};
    struct r2_model *model;
    uint64_t start_ns = r2_clock_ns();
    R2_TRY(r2_model_load(settings->model, &options, &model, err));
    r2_log(R2_LOG_INFO, "loaded", R2_LOG_TEXT("model", r2_model_name(model)),
           R2_LOG_TEXT("version", r2_model_version(model)),
           R2_LOG_TEXT("arch", r2_model_arch(model)),
           R2_LOG_TEXT("precision", r2_model_precision(model)),
           R2_LOG_MS("ms", r2_ns_to_ms(r2_clock_ns() - start_ns)));
    if (r2_model_note(model))
        r2_log(R2_LOG_WARN, "model", R2_LOG_TEXT("note", r2_model_note(model)));
    r2_service_set_model(crew->service, model);
    pthread_mutex_lock(&crew->lock);
    crew->is_loaded = true;
    pthread_cond_broadcast(&crew->loaded);
    pthread_mutex_unlock(&crew->lock);
    return R2_OK;
}

static bool wait_for_model(struct r2_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    while (!crew->is_loaded && !crew->failed) pthread_cond_wait(&crew->loaded, &crew->lock);
    bool usable = !crew->failed;
    pthread_mutex_unlock(&crew->lock);
    return usable;
}

/* Compiles for both numbers of threads; the second run of the usual one is a measurement. */
static enum r2_status warm(struct r2_crew *crew, struct r2_runner *runner, struct r2_error *err)
{
    struct r2_model *model = r2_service_model(crew->service);
    const struct r2_shares *shares = &crew->service->shares;
    if (shares->threads_alone != shares->threads)
        R2_TRY(r2_model_warm(model, runner, shares->threads_alone, err));
    R2_TRY(r2_model_warm(model, runner, shares->threads, err));
    uint64_t start_ns = r2_clock_ns();
    R2_TRY(r2_model_warm(model, runner, shares->threads, err));
    r2_service_measure(crew->service, r2_clock_ns() - start_ns);
    pthread_mutex_lock(&crew->lock);
    bool last = ++crew->warm == crew->service->shares.workers;
    pthread_mutex_unlock(&crew->lock);
    if (last) r2_service_set_ready(crew->service);
    return R2_OK;
}

static void work(struct r2_crew *crew, struct r2_runner *runner)
{
    struct r2_job *job;
    while ((job = r2_queue_pop(crew->service->queue))) {
        do_job(crew->service, job, runner);
        job->wake(job);
    }
}

static void run(void *context, unsigned index)
{
    struct r2_crew *crew = context;
    struct r2_runner *runner = NULL;
    struct r2_error err;
    enum r2_status status = index == 0 ? load(crew, &err) : R2_OK;
    if (status == R2_OK && wait_for_model(crew)) {
        status = r2_runner_create(&runner, &err);
        if (status == R2_OK) status = warm(crew, runner, &err);
        if (status == R2_OK) work(crew, runner);
    }
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
    pthread_cond_destroy(&crew->loaded);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

enum r2_status r2_crew_start(struct r2_service *service, struct r2_crew **ret, struct r2_error *err)
{
    struct r2_crew *crew;
    R2_TRY(r2_alloc(1, sizeof *crew, "workers", &crew, err));
    crew->service = service;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->loaded, NULL);
    if (r2_pool_start(service->shares.workers, run, give_up, crew, &crew->pool, err) != R2_OK) {
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
        job->wake(job);
    }
    r2_pool_join(crew->pool);
    destroy(crew);
}
