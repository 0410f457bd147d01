#include "server/loader.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/pool.h"

enum { GENTLE = 10 /* nice value of a thread that loads while another model is served */ };

struct r2_loader {
    struct r2_service *service;
    struct r2_snapshot *snapshot;
    struct r2_pool *thread;
    atomic_bool stop, ended;
    /* Written before `ended` is. */
    enum r2_status status;
    struct r2_error error;
};

/* Compiles the plans for both numbers of threads. The second run of the usual one is a measurement.
 */
static enum r2_status warm(const struct r2_loader *loader, struct r2_model *model,
                           struct r2_runner *runner, uint64_t *ret_ns, struct r2_error *err)
{
    const struct r2_shares *shares = &loader->service->shares;
    if (shares->threads_alone != shares->threads)
        R2_TRY(r2_model_warm(model, runner, shares->threads_alone, NULL, err));
    if (atomic_load(&loader->stop)) return r2_fail(err, R2_CANCELLED, "loading was given up");
    R2_TRY(r2_model_warm(model, runner, shares->threads, NULL, err));
    return r2_model_warm(model, runner, shares->threads, ret_ns, err);
}

static enum r2_status load(struct r2_loader *loader, struct r2_error *err)
{
    const struct r2_settings *settings = &loader->snapshot->settings;
    struct r2_model_options options = {.plan_cache = (size_t)settings->plan_cache};
    struct r2_model *model = NULL;
    struct r2_runner *runner = NULL;
    uint64_t start_ns = r2_clock_ns(), run_ns = 0;
    R2_TRY(r2_model_load(settings->model, &options, &model, err));
    r2_log(R2_LOG_INFO, "loaded", R2_LOG_TEXT("model", r2_model_name(model)),
           R2_LOG_TEXT("version", r2_model_version(model)),
           R2_LOG_TEXT("arch", r2_model_arch(model)),
           R2_LOG_TEXT("precision", r2_model_precision(model)),
           R2_LOG_MS("ms", r2_ns_to_ms(r2_clock_ns() - start_ns)));
    if (r2_model_note(model))
        r2_log(R2_LOG_WARN, "model", R2_LOG_TEXT("note", r2_model_note(model)));
    enum r2_status status = r2_runner_create(&runner, err);
    if (status == R2_OK) status = warm(loader, model, runner, &run_ns, err);
    r2_runner_destroy(runner);
    if (status != R2_OK) {
        r2_model_unref(model);
        return status;
    }
    atomic_store(&loader->snapshot->model, model);
    r2_service_publish(loader->service, r2_snapshot_ref(loader->snapshot));
    r2_service_measure(loader->service, run_ns);
    r2_queue_poke(loader->service->queue);
    return R2_OK;
}

static void run(void *context, unsigned index)
{
    struct r2_loader *loader = context;
    (void)index;
    if (r2_service_state(loader->service) != R2_STATE_LOADING)
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), GENTLE);
    loader->status = load(loader, &loader->error);
    atomic_store(&loader->ended, true);
}

enum r2_status r2_loader_start(struct r2_service *service, struct r2_snapshot *snapshot,
                               struct r2_loader **ret, struct r2_error *err)
{
    struct r2_loader *loader;
    if (r2_alloc(1, sizeof *loader, "loader", &loader, err) != R2_OK) {
        r2_snapshot_unref(snapshot);
        return err->status;
    }
    loader->service = service;
    loader->snapshot = snapshot;
    if (r2_pool_start("loader", 1, run, NULL, loader, &loader->thread, err) != R2_OK) {
        r2_loader_destroy(loader);
        return err->status;
    }
    *ret = loader;
    return R2_OK;
}

bool r2_loader_ended(struct r2_loader *loader, enum r2_status *ret_status, struct r2_error *ret)
{
    if (!atomic_load(&loader->ended)) return false;
    *ret_status = loader->status;
    if (loader->status != R2_OK) *ret = loader->error;
    return true;
}

void r2_loader_destroy(struct r2_loader *loader)
{
    if (!loader) return;
    atomic_store(&loader->stop, true);
    r2_pool_join(loader->thread);
    r2_snapshot_unref(loader->snapshot);
    free(loader);
}
