/*
 * The later stages of a head: its regions in batches through networks of their own.
 */
#include "heads/model_inside.h"

enum { SIZES = 3 };

/* The sizes of batches, ascending. */
static const uint32_t batches[SIZES] = {1, 8, 64};

static bool is_crops(const struct r2_model *model, uint32_t i)
{
    return r2_head_takes_crops(model->heads[i].type);
}

const struct r2_head_regions *r2_regions_at(const struct r2_model *model, uint32_t i,
                                            uint32_t stage)
{
    return r2_head_regions_at(model->heads[i].type, model->heads[i].self, stage);
}

static size_t size_count(const struct r2_head_regions *regions)
{
    return regions->singly ? 1 : SIZES;
}

uint32_t r2_regions_largest(const struct r2_head_regions *regions)
{
    return batches[size_count(regions) - 1];
}

/* The batch for the next of `left` regions. Fully connected layers read their weights once a batch,
   so that many regions cost less together, until half of the batch is computed in vain. Convolutions
   are faster alone, by Winograd's algorithm. */
static uint32_t next_batch(const struct r2_head_regions *regions, size_t left)
{
    if (regions->singly) return batches[0];
    return left > batches[2] / 2 ? batches[2] : batches[left > 1];
}

enum r2_status r2_regions_graph(const struct r2_model *model, uint32_t i, uint32_t stage,
                                struct r2_graph *graph, struct r2_error *err)
{
    const struct r2_model_part *part = &model->heads[i];
    if (is_crops(model, i)) return r2_model_graph(model, part->trunk, UINT32_C(1) << i, graph, err);
    r2_graph_set_part(graph, 1 + i);
    r2_regions_at(model, i, stage)->build(part->self, stage, graph);
    return r2_graph_check(graph, err);
}

enum r2_status r2_regions_plan(const struct r2_model *model, uint32_t i, uint32_t stage,
                               uint32_t batch, unsigned threads, struct r2_plan **ret,
                               bool *ret_hit, struct r2_error *err)
{
    const struct r2_extent window = r2_regions_at(model, i, stage)->window(model->heads[i].self);
    const struct r2_plan_key key = {.heads = UINT32_C(1) << i,
                                    .stage = 1 + stage,
                                    .shape = {window, batch},
                                    .threads = threads};
    return r2_plan_cache_get(model->plans, &key, ret, ret_hit, err);
}

static enum r2_status prepare(const struct r2_model *model, uint32_t i, uint32_t stage,
                              uint32_t batch, unsigned threads, struct r2_session *session,
                              bool *ret_hit, struct r2_error *err)
{
    struct r2_plan *plan = NULL;
    R2_TRY(r2_regions_plan(model, i, stage, batch, threads, &plan, ret_hit, err));
    enum r2_status status = r2_session_prepare(session, plan, err);
    r2_plan_unref(plan);
    return status;
}

static enum r2_status run_stage(const struct r2_work *work, uint32_t i,
                                const struct r2_head_regions *regions, struct r2_session *session,
                                struct r2_head_run *run, struct r2_answer *answer,
                                struct r2_error *err)
{
    const struct r2_model_part *part = &work->model->heads[i];
    const void *self = part->self;
    const bool crops = is_crops(work->model, i);
    const struct r2_head_outputs outputs = {session, crops ? part->prefix : ""};
    struct r2_session_times times;
    size_t count = 0;
    R2_TRY(regions->gather(self, run, &run->state, &count, err));
    for (size_t first = 0; first < count;) {
        const uint32_t batch = next_batch(regions, count - first);
        const size_t some = count - first < batch ? count - first : batch;
        bool hit = false;
        R2_TRY(r2_work_may_go_on(work, err));
        R2_TRY(prepare(work->model, i, run->stage, batch, work->threads, session, &hit, err));
        answer->plan_hits += hit;
        answer->plan_misses += !hit;
        R2_TRY(regions->fill(self, run, first, some, r2_session_input(session), err));
        R2_TRY(r2_session_run(session, &times, err));
        answer->trunk_passes += crops;
        answer->backbone_ns += times.trunk_ns;
        R2_TRY(regions->take(self, run, first, some, &outputs, err));
        first += some;
    }
    return R2_OK;
}

enum r2_status r2_regions_run(const struct r2_work *work, uint32_t i, struct r2_session *session,
                              struct r2_head_run *run, struct r2_answer *answer,
                              struct r2_error *err)
{
    const struct r2_head_regions *regions;
    for (run->stage = 0; (regions = r2_regions_at(work->model, i, run->stage)); run->stage++)
        R2_TRY(run_stage(work, i, regions, session, run, answer, err));
    return R2_OK;
}

enum r2_status r2_regions_warm(const struct r2_model *model, uint32_t i, unsigned threads,
                               struct r2_session *session, struct r2_error *err)
{
    const struct r2_head_regions *regions;
    bool hit;
    for (uint32_t stage = 0; (regions = r2_regions_at(model, i, stage)); stage++)
        for (size_t b = 0; b < size_count(regions); b++)
            R2_TRY(prepare(model, i, stage, batches[b], threads, session, &hit, err));
    return R2_OK;
}
