/*
 * Heads that read the results of other heads: who needs whom, and in which order they run.
 */
#include <string.h>

#include "heads/model_inside.h"

static const char *needed_task(const struct r2_model_part *part, const void *params)
{
    return part->type->needs ? part->type->needs(part->self, params) : NULL;
}

static enum r2_status find_needed(const struct r2_model *model, struct r2_model_part *part,
                                  struct r2_error *err)
{
    const char *task = needed_task(part, NULL);
    part->needs = task ? r2_model_find_task(model, task) : -1;
    if (!task) return R2_OK;
    if (part->needs < 0)
        return r2_fail(err, R2_NOT_FOUND, "it needs the head '%.64s', which the model has not",
                       task);
    const struct r2_head_type *needed = model->heads[part->needs].type;
    if (needed->gives != part->type->takes)
        return r2_fail(err, R2_INVALID, "it needs %s; the head '%s' (%s) gives none",
                       part->type->takes->name, task, needed->name);
    return R2_OK;
}

/* How many heads must run before this one; more than there are in a circle. */
static size_t depth_of(const struct r2_model *model, size_t i)
{
    size_t depth = 0;
    for (int at = model->heads[i].needs; at >= 0 && depth <= model->head_count; depth++)
        at = model->heads[at].needs;
    return depth;
}

enum r2_status r2_needs_resolve(struct r2_model *model, struct r2_error *err)
{
    size_t placed = 0;
    for (size_t i = 0; i < model->head_count; i++)
        if (find_needed(model, &model->heads[i], err) != R2_OK)
            return r2_fail_in(err, "heads.%s", model->heads[i].task);
    for (size_t i = 0; i < model->head_count; i++)
        if (depth_of(model, i) > model->head_count)
            return r2_fail(err, R2_INVALID, "heads.%s: the heads that it needs need each other",
                           model->heads[i].task);
    for (size_t depth = 0; placed < model->head_count; depth++)
        for (uint32_t i = 0; i < model->head_count; i++)
            if (depth_of(model, i) == depth) model->order[placed++] = i;
    return R2_OK;
}

int r2_needs_of(const struct r2_work *work, uint32_t i)
{
    const struct r2_model_part *part = &work->model->heads[i];
    return needed_task(part, work->params[i]) ? part->needs : -1;
}

uint32_t r2_needs_close(const struct r2_work *work)
{
    uint32_t heads = work->heads;
    for (size_t k = work->model->head_count;
         k-- > 0;) { /* those that need come before the needed */
        const uint32_t i = work->model->order[k];
        const int needs = heads >> i & 1 ? r2_needs_of(work, i) : -1;
        if (needs >= 0) heads |= UINT32_C(1) << needs;
    }
    return heads;
}
