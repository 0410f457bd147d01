#include <stdlib.h>

#include "backbone/lowering.h"

enum r2_status r2_lowering_buffer(struct r2_plan *plan, struct r2_plan_buffer buffer,
                                  struct r2_plan_view *ret, struct r2_error *err)
{
    if (plan->buffer_count == plan->buffer_capacity) {
        size_t wanted = plan->buffer_capacity ? 2 * plan->buffer_capacity : 64;
        void *grown = reallocarray(plan->buffers, wanted, sizeof *plan->buffers);
        if (!grown) return r2_fail(err, R2_NO_MEMORY, "plan: no memory for %zu buffers", wanted);
        plan->buffers = grown;
        plan->buffer_capacity = wanted;
    }
    buffer.first_step = SIZE_MAX;
    plan->buffers[plan->buffer_count] = buffer;
    *ret = (struct r2_plan_view){(uint32_t)plan->buffer_count++, 0};
    return R2_OK;
}

enum r2_status r2_value_buffer(struct r2_lowering *lower, r2_value value, bool blocked,
                               struct r2_plan_view *ret, struct r2_error *err)
{
    return r2_lowering_buffer(lower->plan,
                              (struct r2_plan_buffer){.pixels = r2_value_pixels(lower, value),
                                                      .channels = lower->graph->channels[value],
                                                      .blocked = blocked},
                              ret, err);
}

static void touch(struct r2_plan *plan, struct r2_plan_view view)
{
    if (!r2_is_view(view)) return;
    struct r2_plan_buffer *buffer = &plan->buffers[view.buffer];
    if (buffer->first_step > plan->step_count) buffer->first_step = plan->step_count;
    buffer->last_step = plan->step_count;
}

enum r2_status r2_lowering_step(struct r2_lowering *lower, struct r2_plan_step step,
                                struct r2_error *err)
{
    struct r2_plan *plan = lower->plan;
    if (plan->step_count == plan->step_capacity) {
        size_t wanted = plan->step_capacity ? 2 * plan->step_capacity : 128;
        void *grown = reallocarray(plan->steps, wanted, sizeof *plan->steps);
        if (!grown) {
            r2_primitive_destroy(step.primitive);
            return r2_fail(err, R2_NO_MEMORY, "plan: no memory for %zu steps", wanted);
        }
        plan->steps = grown;
        plan->step_capacity = wanted;
    }
    step.part = lower->part;
    touch(plan, step.dst);
    touch(plan, step.src);
    touch(plan, step.other);
    touch(plan, step.copy);
    plan->steps[plan->step_count++] = step;
    return R2_OK;
}

enum r2_status r2_value_copy(struct r2_lowering *lower, struct r2_plan_view dst,
                             struct r2_plan_view src, r2_value value, struct r2_error *err)
{
    return r2_lowering_step(lower,
                            (struct r2_plan_step){.kind = R2_STEP_COPY,
                                                  .label = "copy",
                                                  .dst = dst,
                                                  .src = src,
                                                  .other = R2_NO_VIEW,
                                                  .copy = R2_NO_VIEW,
                                                  .channels = lower->graph->channels[value],
                                                  .pixels = r2_value_pixels(lower, value)},
                            err);
}

enum r2_status r2_value_dense(struct r2_lowering *lower, r2_value value, struct r2_plan_view *ret,
                              struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[value];
    if (!r2_is_view(state->dense)) {
        const struct r2_plan_buffer *buffer = &lower->plan->buffers[state->view.buffer];
        if (!buffer->blocked && buffer->channels == lower->graph->channels[value]) {
            state->dense = state->view;
        } else {
            R2_TRY(r2_value_buffer(lower, value, false, &state->dense, err));
            R2_TRY(r2_value_copy(lower, state->dense, state->view, value, err));
        }
    }
    *ret = state->dense;
    return R2_OK;
}

enum r2_status r2_value_blocks(struct r2_lowering *lower, r2_value value, struct r2_plan_view *ret,
                               struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[value];
    if (!r2_is_view(state->blocks)) {
        if (lower->plan->buffers[state->view.buffer].blocked) {
            state->blocks = state->view;
        } else {
            R2_TRY(r2_value_buffer(lower, value, true, &state->blocks, err));
            R2_TRY(r2_value_copy(lower, state->blocks, state->view, value, err));
        }
    }
    *ret = state->blocks;
    return R2_OK;
}

enum r2_status r2_value_channels_last(struct r2_lowering *lower, r2_value value,
                                      struct r2_plan_view *ret, struct r2_error *err)
{
    const struct r2_value_state *state = &lower->values[value];
    if (lower->plan->buffers[state->view.buffer].blocked)
        return r2_value_dense(lower, value, ret, err);
    *ret = state->view;
    return R2_OK;
}

enum r2_status r2_value_target(struct r2_lowering *lower, r2_value value, struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[value];
    if (r2_is_view(state->place) && state->uses == 1) {
        state->view = state->place;
        state->placed = true;
        return R2_OK;
    }
    return r2_value_buffer(lower, value, false, &state->view, err);
}

/* --- the places of concatenated values --- */

/* Gives the inputs of a concat their places in `target`. */
static void set_places(struct r2_lowering *lower, size_t concat, struct r2_plan_view target)
{
    const struct r2_node *node = &lower->graph->nodes[concat];
    uint32_t at = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        struct r2_value_state *state = &lower->values[node->inputs[i]];
        if (!r2_is_view(state->place)) state->place = (struct r2_plan_view){target.buffer, at};
        at += lower->graph->channels[node->inputs[i]];
    }
}

enum r2_status r2_lowering_concats(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    r2_value value = graph->nodes[n].output;
    for (size_t c = n + 1; c < graph->node_count; c++) {
        const struct r2_node *node = &graph->nodes[c];
        if (node->op != R2_OP_CONCAT || r2_is_view(lower->values[node->output].view)) continue;
        r2_value source = lower->inplace[c];
        bool first = source == value;
        for (uint32_t i = 0; !source && i < node->input_count; i++)
            first |= node->inputs[i] == value;
        if (!first) continue;
        struct r2_plan_view target;
        if (source)
            target = lower->values[source].view;
        else
            R2_TRY(r2_value_buffer(lower, node->output, false, &target, err));
        lower->values[node->output].view = target;
        set_places(lower, c, target);
    }
    return R2_OK;
}
