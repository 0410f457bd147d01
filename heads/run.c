#include <stdlib.h>
#include <string.h>

#include "backbone/dump.h"
#include "base/clock.h"
#include "base/memory.h"
#include "heads/model_inside.h"

struct r2_runner {
    struct r2_session *session;
    struct r2_session *regions; /* NULL until a head has some; of its own, so that the outputs of
                                   the trunk stay where they are while regions run */
    struct r2_model *model;     /* counted: whose plans, and with them weights, the sessions hold */
};

enum r2_status r2_runner_create(struct r2_runner **ret, struct r2_error *err)
{
    struct r2_runner *runner;
    R2_TRY(r2_alloc(1, sizeof *runner, "runner", &runner, err));
    if (r2_session_create(&runner->session, err) != R2_OK) {
        free(runner);
        return err->status;
    }
    *ret = runner;
    return R2_OK;
}

void r2_runner_destroy(struct r2_runner *runner)
{
    if (!runner) return;
    r2_session_destroy(runner->regions);
    r2_session_destroy(runner->session);
    r2_model_unref(runner->model);
    free(runner);
}

void r2_answer_finish(struct r2_answer *answer)
{
    for (size_t i = 0; i < R2_MODEL_MAX_HEADS; i++) r2_result_finish(&answer->results[i]);
    free(answer->embedding);
    *answer = (struct r2_answer){0};
}

enum r2_status r2_answer_draw(const struct r2_answer *answer, struct r2_draw *draw,
                              struct r2_error *err)
{
    for (size_t i = 0; i < R2_MODEL_MAX_HEADS; i++) {
        const struct r2_result *result = &answer->results[i];
        if (result->kind && result->kind->draw) R2_TRY(result->kind->draw(result->data, draw, err));
    }
    return R2_OK;
}

static enum r2_status take_embedding(const struct r2_session *session, struct r2_answer *answer,
                                     struct r2_error *err)
{
    struct r2_output_view pooled = {0};
    R2_TRY(r2_session_output(session, "pooled", &pooled, err));
    R2_TRY(r2_alloc(pooled.channels, sizeof(float), "embedding", &answer->embedding, err));
    memcpy(answer->embedding, pooled.data, pooled.channels * sizeof(float));
    answer->embedding_size = pooled.channels;
    return R2_OK;
}

static enum r2_status regions_session(struct r2_runner *runner, struct r2_error *err)
{
    return runner->regions ? R2_OK : r2_session_create(&runner->regions, err);
}

/* A picture on its way through one pass. */
struct pass {
    const struct r2_work *work;
    uint32_t index, heads;
    const struct r2_image *picture;
    struct r2_geometry geometry;
};

static enum r2_status decode_head(const struct pass *pass, uint32_t i, struct r2_runner *runner,
                                  struct r2_answer *answer, struct r2_error *err)
{
    const struct r2_work *work = pass->work;
    const struct r2_model_part *part = &work->model->heads[i];
    const struct r2_head_regions *regions = part->type->regions;
    struct r2_head_run run = {.outputs = {runner->session, part->prefix},
                              .picture = pass->picture,
                              .geometry = &pass->geometry,
                              .params = work->params[i],
                              .asked = work->heads >> i & 1};
    const int needs = r2_needs_of(work, i);
    if (needs >= 0) run.needed = &answer->results[needs];
    enum r2_status status = R2_OK;
    if (regions) status = regions_session(runner, err);
    if (regions && status == R2_OK)
        status = r2_regions_run(work, i, runner->regions, &run, answer, err);
    if (status == R2_OK) status = part->type->decode(part->self, &run, &answer->results[i], err);
    if (regions) regions->finish(run.state);
    return status;
}

/* What is left of the time is the heads' when the trunk ran over crops for them. */
static enum r2_status decode_heads(const struct pass *pass, struct r2_runner *runner,
                                   struct r2_answer *answer, struct r2_error *err)
{
    const struct r2_model *model = pass->work->model;
    const uint64_t start = r2_clock_ns(), trunk = answer->backbone_ns;
    for (size_t k = 0; k < model->head_count; k++) {
        const uint32_t i = model->order[k];
        if (pass->heads >> i & 1 && decode_head(pass, i, runner, answer, err) != R2_OK)
            return r2_fail_in(err, "head '%s'", model->heads[i].task);
    }
    answer->head_ns += r2_clock_ns() - start - (answer->backbone_ns - trunk);
    return R2_OK;
}

static enum r2_status prepare_plan(const struct pass *pass, struct r2_runner *runner,
                                   struct r2_answer *answer, struct r2_error *err)
{
    const struct r2_work *work = pass->work;
    const struct r2_image *picture = pass->picture;
    struct r2_input_shape shape = {0};
    struct r2_plan *plan = NULL;
    bool hit = false;
    R2_TRY(r2_input_shape(&work->model->passes[pass->index].input, picture->width, picture->height,
                          &shape, err));
    R2_TRY(r2_model_plan(work->model, pass->index, pass->heads, shape, work->threads, &plan, &hit,
                         err));
    answer->plan_hits += hit;
    answer->plan_misses += !hit;
    enum r2_status status = r2_session_prepare(runner->session, plan, err);
    r2_plan_unref(plan);
    return status;
}

/* Sessions go before the model that their plans are of. */
static enum r2_status take_model(struct r2_runner *runner, struct r2_model *model,
                                 struct r2_error *err)
{
    struct r2_session *session = NULL;
    if (runner->model == model) return R2_OK;
    R2_TRY(r2_session_create(&session, err));
    r2_session_destroy(R2_TAKE(runner->regions));
    r2_session_destroy(runner->session);
    runner->session = session;
    r2_model_unref(runner->model);
    runner->model = r2_model_ref(model);
    return R2_OK;
}

enum r2_status r2_work_may_go_on(const struct r2_work *work, struct r2_error *err)
{
    return work->check ? work->check(work->check_context, err) : R2_OK;
}

/* One trunk pass with what is asked of its heads. */
static enum r2_status run_trunk(struct pass *pass, struct r2_runner *runner,
                                struct r2_answer *answer, struct r2_error *err)
{
    struct r2_session *session = runner->session;
    struct r2_session_times times = {0};
    uint64_t start = r2_clock_ns();
    R2_TRY(prepare_plan(pass, runner, answer, err));
    uint64_t ready = r2_clock_ns();
    R2_TRY(r2_input_prepare(&pass->work->model->passes[pass->index].input, pass->picture,
                            r2_session_input(session), &pass->geometry, err));
    answer->preprocess_ns += r2_clock_ns() - ready;
    R2_TRY(r2_work_may_go_on(pass->work, err));
    answer->trunk_passes++;
    R2_TRY(r2_session_run(session, &times, err));
    answer->backbone_ns += ready - start + times.trunk_ns;
    answer->head_ns += times.head_ns;
    return pass->heads & R2_PLAN_EMBED ? take_embedding(session, answer, err) : R2_OK;
}

/* The trunk runs over crops later, for the head that takes them. */
static void take_picture(struct pass *pass)
{
    const uint32_t width = pass->picture->width, height = pass->picture->height;
    pass->geometry = (struct r2_geometry){1, 1, 0, 0, width, height, width, height};
}

static enum r2_status run_pass(struct pass *pass, struct r2_runner *runner,
                               struct r2_answer *answer, struct r2_error *err)
{
    R2_TRY(r2_work_may_go_on(pass->work, err));
    if (pass->work->model->passes[pass->index].crops)
        take_picture(pass);
    else
        R2_TRY(run_trunk(pass, runner, answer, err));
    return decode_heads(pass, runner, answer, err);
}

enum r2_status r2_model_run(const struct r2_work *work, struct r2_runner *runner,
                            const struct r2_image *picture, struct r2_answer *ret,
                            struct r2_error *err)
{
    const uint32_t needed = r2_needs_close(work);
    struct r2_answer answer = {0};
    R2_TRY(take_model(runner, work->model, err));
    for (uint32_t i = 0; i < work->model->pass_count; i++) {
        struct pass pass = {work, i, needed & work->model->passes[i].heads, picture,
                            (struct r2_geometry){0}};
        if (work->embed && i == work->model->embed_pass) pass.heads |= R2_PLAN_EMBED;
        if (!pass.heads) continue;
        if (work->trace) pass.heads |= R2_PLAN_TRACE;
        if (run_pass(&pass, runner, &answer, err) != R2_OK) {
            r2_answer_finish(&answer);
            return err->status;
        }
    }
    for (uint32_t i = 0; i < work->model->head_count; i++)
        if (!(work->heads >> i & 1)) r2_result_finish(&answer.results[i]);
    *ret = answer;
    return R2_OK;
}

enum r2_status r2_runner_dump(const struct r2_runner *runner, const struct r2_answer *answer,
                              const char *path, struct r2_error *err)
{
    if (answer->trunk_passes != 1)
        return r2_fail(
            err, R2_INVALID,
            "the heads need %u trunk passes, whose taps have the same names; choose heads "
            "that share one",
            answer->trunk_passes);
    return r2_session_dump(runner->session, path, err);
}

struct r2_extent r2_model_typical(const struct r2_model *model, uint32_t pass)
{
    const struct r2_input_spec *input = &model->passes[pass].input;
    switch (input->mode) {
    case R2_RESIZE_EXACT: return (struct r2_extent){input->size[0], input->size[1]};
    case R2_RESIZE_SHORTER:
    case R2_RESIZE_LONGER: return (struct r2_extent){input->size[0], input->size[0]};
    case R2_RESIZE_WITHIN: /* 4:3, of the largest that stay as they are */
        return (struct r2_extent){input->size[1] / 4 * 3 > input->size[0] ? input->size[1] / 4 * 3
                                                                          : input->size[0],
                                  input->size[1]};
    case R2_RESIZE_FIT: /* 4:3, within both limits */
        return (struct r2_extent){input->size[0], input->size[0] / 3 * 4 < input->size[1]
                                                      ? input->size[0] / 3 * 4
                                                      : input->size[1]};
    default: return (struct r2_extent){224, 224};
    }
}

struct r2_extent r2_model_largest(const struct r2_model *model, uint32_t pass)
{
    const struct r2_input_spec *input = &model->passes[pass].input;
    if (input->mode == R2_RESIZE_FIT) return (struct r2_extent){input->size[0], input->size[1]};
    if (input->mode == R2_RESIZE_WITHIN) return (struct r2_extent){input->size[1], input->size[1]};
    return r2_model_typical(model, pass);
}

/* Runs the work on a typical picture of each pass that it needs. */
static enum r2_status warm_work(struct r2_work *work, struct r2_runner *runner,
                                uint64_t *longest_ns, struct r2_error *err)
{
    const struct r2_model *model = work->model;
    for (uint32_t pass = 0; pass < model->pass_count; pass++) {
        struct r2_extent size = r2_model_typical(model, pass);
        struct r2_image picture = {0};
        struct r2_answer answer = {0};
        if (!(work->heads & model->passes[pass].heads) &&
            !(work->embed && pass == model->embed_pass))
            continue;
        R2_TRY(r2_image_create(size.width, size.height, &picture, err));
        memset(picture.pixels, 128, (size_t)size.height * r2_image_stride(&picture));
        const uint64_t start_ns = r2_clock_ns();
        enum r2_status status = r2_model_run(work, runner, &picture, &answer, err);
        const uint64_t ns = r2_clock_ns() - start_ns;
        r2_image_finish(&picture);
        if (status != R2_OK) return status;
        r2_answer_finish(&answer);
        if (ns > *longest_ns) *longest_ns = ns;
    }
    return R2_OK;
}

/* The plan of a head that a request spares the head that it needs otherwise. */
static enum r2_status warm_alone(const struct r2_model *model, uint32_t i, unsigned threads,
                                 struct r2_error *err)
{
    const struct r2_model_part *part = &model->heads[i];
    const struct r2_extent size = r2_model_typical(model, part->pass);
    struct r2_input_shape shape = {0};
    struct r2_plan *plan = NULL;
    bool hit;
    if (part->needs < 0 || r2_head_takes_crops(part->type)) return R2_OK;
    R2_TRY(r2_input_shape(&part->input, size.width, size.height, &shape, err));
    R2_TRY(r2_model_plan(model, part->pass, UINT32_C(1) << i, shape, threads, &plan, &hit, err));
    r2_plan_unref(plan);
    return R2_OK;
}

/* Each head alone, the embedding alone, and all heads at once: the plans that requests ask for. */
enum r2_status r2_model_warm(struct r2_model *model, struct r2_runner *runner, unsigned threads,
                             uint64_t *ret_longest_ns, struct r2_error *err)
{
    uint64_t longest_ns = 0;
    const uint32_t heads = (uint32_t)model->head_count, all = (UINT32_C(1) << heads) - 1;
    struct r2_work work;
    enum r2_status status = r2_work_init(&work, model, err);
    if (status != R2_OK) return status;
    work.threads = threads;
    for (uint32_t i = 0; i <= heads + (heads > 1) && status == R2_OK; i++) {
        work.heads = i < heads ? UINT32_C(1) << i : i == heads ? 0 : all;
        work.embed = i == heads;
        status = warm_work(&work, runner, &longest_ns, err);
        if (i < heads && status == R2_OK) status = warm_alone(model, i, threads, err);
        if (i >= heads || !model->heads[i].type->regions || status != R2_OK) continue;
        status = regions_session(runner, err);
        if (status == R2_OK) status = r2_regions_warm(model, i, threads, runner->regions, err);
    }
    r2_work_finish(&work);
    if (status != R2_OK) return r2_fail_in(err, "warm-up");
    if (ret_longest_ns) *ret_longest_ns = longest_ns;
    return R2_OK;
}
