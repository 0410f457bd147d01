#include "server/deepstack.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "config/quote.h"
#include "heads/detections.h"
#include "heads/labels.h"
#include "server/job.h"
#include "server/pages.h"
#include "server/protocol.h"

static const char task[] = "detect";

static enum r2_status no_memory(struct r2_error *err)
{
    return r2_fail(err, R2_NO_MEMORY, "no memory for the answer");
}

static const char *parameter(const char *name)
{
    return strcmp(name, "min_confidence") == 0 ? "min_score" : NULL;
}

/* The path names a model, or none. */
static enum r2_status check_model(const struct r2_job *job, struct r2_error *err)
{
    const char *model = r2_model_name(job->work.model);
    const size_t size = strlen(R2_DEEPSTACK_CUSTOM);
    if (strncmp(job->path, R2_DEEPSTACK_CUSTOM, size) != 0 || strcmp(job->path + size, model) == 0)
        return R2_OK;
    return r2_fail(err, R2_NOT_FOUND, "there is no model %s, but %s",
                   r2_quote(job->path + size).text, model);
}

enum r2_status r2_deepstack_select(struct r2_job *job, const struct r2_query *query,
                                   struct r2_error *err)
{
    (void)query;
    R2_TRY(check_model(job, err));
    R2_TRY(r2_work_select(&job->work, task, err));
    R2_TRY(r2_work_set(&job->work, "min_score", "0.4", NULL, err));
    R2_TRY(r2_work_set(&job->work, "masks", "none", NULL, err));
    return r2_work_set(&job->work, "max", "20", NULL, err);
}

static json_t *prediction(const struct r2_detection *item, const struct r2_labels *labels)
{
    return json_pack("{s:o, s:f, s:i, s:i, s:i, s:i}", "label", r2_label_json(labels, item->index),
                     "confidence", (double)item->score, "x_min", (int)lroundf(item->box.x1),
                     "y_min", (int)lroundf(item->box.y1), "x_max", (int)lroundf(item->box.x2),
                     "y_max", (int)lroundf(item->box.y2));
}

static enum r2_status answer(const struct r2_job *job, const struct r2_answer *answer, json_t **ret,
                             struct r2_error *err)
{
    const struct r2_result *result = &answer->results[r2_model_find_task(job->work.model, task)];
    if (result->kind != &r2_detections_kind)
        return r2_fail(err, R2_UNSUPPORTED, "the model's head '%s' gives no boxes", task);
    const struct r2_detections *detections = result->data;
    json_t *list = json_array();
    for (size_t i = 0; list && i < detections->count; i++) {
        if (json_array_append_new(list, prediction(&detections->items[i], detections->labels)) == 0)
            continue;
        json_decref(list);
        list = NULL;
    }
    const double ms = (double)(answer->backbone_ns + answer->head_ns) / 1e6;
    json_t *object =
        json_pack("{s:b, s:i, s:o, s:I, s:f, s:f}", "success", 1, "code", 200, "predictions", list,
                  "count", (json_int_t)detections->count, "inferenceMs", ms, "duration", ms / 1000);
    if (!object) return no_memory(err);
    *ret = object;
    return R2_OK;
}

static char *problem(unsigned code, const char *detail, const char *id)
{
    json_t *object = json_pack("{s:b, s:i, s:s, s:s}", "success", 0, "code", (int)code, "error",
                               detail, "request_id", id);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

void r2_deepstack_list(struct r2_service *service, struct r2_job *job)
{
    struct r2_model *model = r2_snapshot_model(job->snapshot);
    (void)service;
    json_t *names = model ? json_pack("[s]", r2_model_name(model)) : json_array();
    r2_page_reply(job, json_pack("{s:b, s:i, s:o}", "success", 1, "code", 200, "models", names));
}

const struct r2_protocol r2_deepstack_protocol = {
    .answer = answer,
    .problem = problem,
    .problem_type = R2_JSON_TYPE,
    .parameter = parameter,
};
