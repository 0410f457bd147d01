#include "server/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/drawing.h"
#include "server/gzip.h"
#include "server/problem.h"

static enum r2_status no_memory(struct r2_error *err)
{
    return r2_fail(err, R2_NO_MEMORY, "no memory for the answer");
}

static json_t *embedding_json(const struct r2_answer *answer)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < answer->embedding_size; i++) {
        if (json_array_append_new(array, json_real((double)answer->embedding[i])) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static enum r2_status head_json(const struct r2_answer *answer, size_t head, json_t *object,
                                struct r2_error *err)
{
    const struct r2_result *result = &answer->results[head];
    if (!result->kind) return r2_fail(err, R2_INTERNAL, "head %zu gave no result", head);
    return result->kind->to_json(result->data, object, err);
}

static enum r2_status add_heads(const struct r2_work *work, const struct r2_answer *answer,
                                bool nested, json_t *object, struct r2_error *err)
{
    json_t *results = nested ? json_object() : object;
    if (nested && json_object_set_new(object, "results", results) != 0) return no_memory(err);
    for (size_t i = 0; i < r2_model_head_count(work->model); i++) {
        if (!(work->heads >> i & 1)) continue;
        json_t *members = nested ? json_object() : results;
        if (nested && json_object_set_new(results, r2_model_task(work->model, i), members) != 0)
            return no_memory(err);
        R2_TRY(head_json(answer, i, members, err));
    }
    return R2_OK;
}

enum r2_status r2_answer_results(const struct r2_work *work, const struct r2_answer *answer,
                                 bool nested, json_t **ret, struct r2_error *err)
{
    json_t *object = json_object();
    if (!object) return no_memory(err);
    if (work->heads && add_heads(work, answer, nested, object, err) != R2_OK) {
        json_decref(object);
        return err->status;
    }
    if (work->embed && json_object_set_new(object, "embedding", embedding_json(answer)) != 0) {
        json_decref(object);
        return no_memory(err);
    }
    *ret = object;
    return R2_OK;
}

json_t *r2_answer_warnings(void)
{
    return json_pack("[s]", R2_TRUNCATED);
}

/* Whole microseconds: more digits than a clock's are noise in every answer. */
static json_t *milliseconds(int64_t ns)
{
    return json_real((double)(ns / 1000) / 1e3);
}

static json_t *timing_json(const struct r2_job *job, int64_t total_ns)
{
    static const enum r2_stage shown[] = {R2_STAGE_RECEIVE, R2_STAGE_DECODE,   R2_STAGE_PREPROCESS,
                                          R2_STAGE_QUEUE,   R2_STAGE_BACKBONE, R2_STAGE_HEAD};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        int64_t ns = job->times.ns[shown[i]];
        json_object_set_new(object, r2_stage_name(shown[i]), milliseconds(ns < 0 ? 0 : ns));
    }
    json_object_set_new(object, "total", milliseconds(total_ns));
    return object;
}

static void write_server_timing(struct r2_job *job, int64_t total_ns)
{
    char *text = job->reply.server_timing;
    size_t size = sizeof job->reply.server_timing, used = 0;
    for (int i = 0; i < R2_STAGE_COUNT && used < size; i++) {
        if (job->times.ns[i] < 0) continue;
        used += (size_t)snprintf(text + used, size - used, "%s;dur=%.3f, ",
                                 r2_stage_name((enum r2_stage)i), (double)job->times.ns[i] / 1e6);
    }
    if (used < size) snprintf(text + used, size - used, "total;dur=%.3f", (double)total_ns / 1e6);
}

/* The results and what goes with every answer: model, version, image, timing_ms, request_id. */
static enum r2_status answer_json(const struct r2_job *job, const struct r2_answer *answer,
                                  json_t **ret, struct r2_error *err)
{
    json_t *object;
    const struct r2_model *model = job->work.model;
    const int64_t total_ns = (int64_t)(r2_clock_ns() - job->start_ns);
    R2_TRY(r2_answer_results(&job->work, answer, job->nested, &object, err));
    json_t *rest = json_pack("{ss ss s{sI sI} so ss}", "model", r2_model_name(model), "version",
                             r2_model_version(model), "image", "width", (json_int_t)job->width,
                             "height", (json_int_t)job->height, "timing_ms",
                             timing_json(job, total_ns), "request_id", job->id);
    const bool complete =
        rest && json_object_update(object, rest) == 0 &&
        (!job->truncated || json_object_set_new(object, "warnings", r2_answer_warnings()) == 0);
    json_decref(rest);
    if (!complete) {
        json_decref(object);
        return no_memory(err);
    }
    *ret = object;
    return R2_OK;
}

const struct r2_protocol r2_native_protocol = {
    .answer = answer_json,
    .problem = r2_problem_body,
    .problem_type = R2_PROBLEM_TYPE,
    .draws = true,
};

static enum r2_status reply_json(struct r2_job *job, const struct r2_answer *answer,
                                 struct r2_error *err)
{
    json_t *object;
    R2_TRY(job->protocol->answer(job, answer, &object, err));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (!text) return no_memory(err);
    r2_job_reply(job, 200, job->type, text);
    r2_gzip_reply(job);
    return R2_OK;
}

/* The one result that is a picture by itself, where that is asked for; or NULL. */
static const struct r2_result *find_png(const struct r2_job *job, const struct r2_answer *answer)
{
    if (job->nested || strcmp(job->type, R2_PNG_TYPE) != 0) return NULL;
    for (size_t i = 0; i < R2_MODEL_MAX_HEADS; i++)
        if (answer->results[i].kind && answer->results[i].kind->to_png) return &answer->results[i];
    return NULL;
}

static enum r2_status reply_picture(struct r2_job *job, const struct r2_answer *answer,
                                    struct r2_image *picture, const struct r2_font *font,
                                    struct r2_error *err)
{
    struct r2_buffer file = {0};
    const struct r2_result *png = find_png(job, answer);
    enum r2_status status = png ? png->kind->to_png(png->data, &file, err)
                                : r2_drawing_make(answer, picture, font, job->type, &file, err);
    if (status == R2_OK) r2_job_reply_picture(job, job->type, &file);
    r2_buffer_finish(&file);
    return status;
}

enum r2_status r2_answer_reply(struct r2_job *job, const struct r2_answer *answer,
                               struct r2_image *picture, const struct r2_font *font,
                               struct r2_error *err)
{
    const uint64_t start_ns = r2_clock_ns();
    if (strcmp(job->type, R2_JSON_TYPE) == 0) {
        r2_image_finish(picture); /* so that the text, which lives longer, does not lie behind it */
        R2_TRY(reply_json(job, answer, err));
    } else {
        R2_TRY(reply_picture(job, answer, picture, font, err));
    }
    if (job->truncated) job->reply.warning = R2_TRUNCATED;
    const uint64_t end_ns = r2_clock_ns();
    job->times.ns[R2_STAGE_ENCODE] = (int64_t)(end_ns - start_ns);
    write_server_timing(job, (int64_t)(end_ns - job->start_ns));
    return R2_OK;
}
