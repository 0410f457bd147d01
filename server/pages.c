#include "server/pages.h"

#include <jansson.h>
#include <string.h>

#include "backbone/engine.h"
#include "base/text.h"
#include "server/service.h"

void r2_page_reply(struct r2_job *job, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(json);
    r2_job_reply(job, 200, job->type, text);
}

void r2_page_livez(struct r2_service *service, struct r2_job *job)
{
    (void)service;
    r2_page_reply(job, json_pack("{ss}", "status", "alive"));
}

static const char *why_not_ready(const struct r2_service *service)
{
    switch (r2_service_state(service)) {
    case R2_STATE_LOADING: return "the model is being loaded";
    case R2_STATE_LEAVING:
    case R2_STATE_DRAINING: return "the service is shutting down";
    case R2_STATE_READY: break;
    }
    return NULL;
}

void r2_page_readyz(struct r2_service *service, struct r2_job *job)
{
    const char *reason = why_not_ready(service);
    if (reason)
        r2_job_refuse(job, 503, reason);
    else
        r2_page_reply(job, json_pack("{ss}", "status", "ready"));
}

void r2_page_models(struct r2_service *service, struct r2_job *job)
{
    struct r2_error err;
    json_t *json;
    struct r2_model *model = r2_snapshot_model(job->snapshot);
    (void)service;
    if (!model)
        r2_job_refuse(job, 503, "the model is being loaded");
    else if (r2_model_describe(model, &json, &err) != R2_OK)
        r2_job_fail(job, &err);
    else
        r2_page_reply(job, json_pack("{s[o]}", "models", json));
}

void r2_page_version(struct r2_service *service, struct r2_job *job)
{
    const struct r2_shares *shares = &service->shares;
    r2_page_reply(job, json_pack("{ss ss ss ss s{si si si si}}", "name", "res2netd", "version",
                                 R2_VERSION, "onednn", r2_engine_version(), "isa", r2_engine_isa(),
                                 "cpus", "usable", (int)service->cpus.usable, "workers",
                                 (int)shares->workers, "threads", (int)shares->threads,
                                 "threads_alone", (int)shares->threads_alone));
}

void r2_page_metrics(struct r2_service *service, struct r2_job *job)
{
    struct r2_text text = {0};
    struct r2_model *model = r2_snapshot_model(job->snapshot);
    struct r2_metrics_now now = {
        .queue_length = r2_queue_length(service->queue),
        .queue_capacity = r2_queue_capacity(service->queue),
        .cpu_quota_cores = service->cpus.affinity,
        .version = R2_VERSION,
        .onednn = r2_engine_version(),
        .isa = r2_engine_isa(),
    };
    if (service->cpus.quota > 0 && service->cpus.quota < now.cpu_quota_cores)
        now.cpu_quota_cores = service->cpus.quota;
    if (model) {
        now.model = r2_model_name(model);
        now.model_version = r2_model_version(model);
        now.arch = r2_model_arch(model);
        now.precision = r2_model_precision(model);
    }
    bool open = strcmp(job->type, R2_OPENMETRICS_TYPE) == 0;
    r2_metrics_render(service->metrics, &now, &(struct r2_exposition){&text, open});
    if (text.failed) r2_text_finish(&text);
    r2_job_reply(job, 200, job->type, text.data);
}
