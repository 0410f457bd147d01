#include <stdlib.h>
#include <string.h>

#include "backbone/lowering.h"
#include "base/memory.h"

static enum r2_status new_buffer(struct r2_plan *plan, struct r2_plan_buffer buffer,
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

static enum r2_status add_buffer(struct r2_lowering *lower, r2_value value, bool blocked,
                                 struct r2_plan_view *ret, struct r2_error *err)
{
    return new_buffer(lower->plan,
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

/* Appends a step; its primitive becomes the plan's also on failure. */
static enum r2_status add_step(struct r2_lowering *lower, struct r2_plan_step step,
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

static enum r2_status add_copy(struct r2_lowering *lower, struct r2_plan_view dst,
                               struct r2_plan_view src, r2_value value, struct r2_error *err)
{
    return add_step(lower,
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

/* The value as a dense channels-last map, copied there if it is a slice or in blocks; the copy
   serves later readers too. */
static enum r2_status make_dense(struct r2_lowering *lower, r2_value value,
                                 struct r2_plan_view *ret, struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[value];
    if (!r2_is_view(state->dense)) {
        const struct r2_plan_buffer *buffer = &lower->plan->buffers[state->view.buffer];
        if (!buffer->blocked && buffer->channels == lower->graph->channels[value]) {
            state->dense = state->view;
        } else {
            R2_TRY(add_buffer(lower, value, false, &state->dense, err));
            R2_TRY(add_copy(lower, state->dense, state->view, value, err));
        }
    }
    *ret = state->dense;
    return R2_OK;
}

/* The value in blocks of 16 channels, likewise. */
static enum r2_status make_blocks(struct r2_lowering *lower, r2_value value,
                                  struct r2_plan_view *ret, struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[value];
    if (!r2_is_view(state->blocks)) {
        if (lower->plan->buffers[state->view.buffer].blocked) {
            state->blocks = state->view;
        } else {
            R2_TRY(add_buffer(lower, value, true, &state->blocks, err));
            R2_TRY(add_copy(lower, state->blocks, state->view, value, err));
        }
    }
    *ret = state->blocks;
    return R2_OK;
}

/* The value channels-last, dense or a slice. */
static enum r2_status make_channels_last(struct r2_lowering *lower, r2_value value,
                                         struct r2_plan_view *ret, struct r2_error *err)
{
    const struct r2_value_state *state = &lower->values[value];
    if (lower->plan->buffers[state->view.buffer].blocked) return make_dense(lower, value, ret, err);
    *ret = state->view;
    return R2_OK;
}

/* Where a kernel of ours writes a value: into its slice of a concat when only that reads it. */
static enum r2_status choose_target(struct r2_lowering *lower, r2_value value, struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[value];
    if (r2_is_view(state->place) && state->uses == 1) {
        state->view = state->place;
        state->placed = true;
        return R2_OK;
    }
    return add_buffer(lower, value, false, &state->view, err);
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

/* Before the first input of a concat is computed its buffer must exist: prepared at the producer of
   the in-place source, or at the first input's producer. */
static enum r2_status prepare_concats(struct r2_lowering *lower, size_t n, struct r2_error *err)
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
            R2_TRY(add_buffer(lower, node->output, false, &target, err));
        lower->values[node->output].view = target;
        set_places(lower, c, target);
    }
    return R2_OK;
}

/* --- one function an operation --- */

/* The ADD that can follow convolution n inside its primitive, with the other operand; SIZE_MAX if
   none. The sum replaces that operand, so nobody may need it afterwards. */
static size_t find_fusable_add(const struct r2_lowering *lower, size_t n, r2_value *ret_other)
{
    const struct r2_graph *graph = lower->graph;
    const struct r2_node *conv = &graph->nodes[n];
    const struct r2_value_state *state = &lower->values[conv->output];
    if (conv->conv.relu || state->uses != 1 || state->last_read == SIZE_MAX) return SIZE_MAX;
    const struct r2_node *add = &graph->nodes[state->last_use];
    if (add->op != R2_OP_ADD) return SIZE_MAX;
    r2_value other = add->inputs[0] == conv->output ? add->inputs[1] : add->inputs[0];
    const struct r2_value_state *operand = &lower->values[other];
    if (operand->producer >= n || operand->last_read != state->last_use) return SIZE_MAX;
    for (size_t k = n; k < state->last_use; k++)
        for (uint32_t i = 0; i < graph->nodes[k].input_count; i++)
            if (lower->values[graph->nodes[k].inputs[i]].root == other) return SIZE_MAX;
    if (r2_is_view(operand->place) || graph->nodes[operand->producer].op == R2_OP_SLICE ||
        graph->nodes[operand->producer].op == R2_OP_INPUT)
        return SIZE_MAX;
    const struct r2_plan_buffer *buffer = &lower->plan->buffers[operand->view.buffer];
    if (buffer->blocked || buffer->channels != graph->channels[other]) return SIZE_MAX;
    *ret_other = other;
    return state->last_use;
}

/* What is known of a node's primitive before its operands are. */
static struct r2_plan_step primitive_step(const struct r2_lowering *lower, size_t n,
                                          const char *label)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = {.kind = R2_STEP_PRIMITIVE,
                                .label = label,
                                .node = n,
                                .other = R2_NO_VIEW,
                                .copy = R2_NO_VIEW,
                                .macs = r2_graph_macs(lower->graph, node, lower->extents)};
    memcpy(step.name, node->name, sizeof step.name);
    return step;
}

static enum r2_status lower_winograd(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = primitive_step(lower, n, "conv");
    R2_TRY(make_blocks(lower, node->inputs[0], &step.src, err));
    R2_TRY(add_buffer(lower, node->output, true, &step.dst, err));
    lower->values[node->output].view = step.dst;
    step.primitive = R2_TAKE(lower->winograd[n]);
    return add_step(lower, step, err);
}

/* A 1x1 convolution with a stride reads one pixel of many. Taking those out first costs less than
   it saves: oneDNN's dense one is up to a third faster. */
static enum r2_status subsample(struct r2_lowering *lower, struct r2_conv_shape *shape,
                                struct r2_plan_view *src, struct r2_error *err)
{
    const struct r2_pool pick = {.kind = R2_POOL_MAX, .kernel = 1, .stride = shape->conv.stride};
    struct r2_plan_view dst;
    if (shape->conv.kernel != 1 || shape->conv.stride == 1 || shape->conv.pad) return R2_OK;
    R2_TRY(
        new_buffer(lower->plan,
                   (struct r2_plan_buffer){.pixels = (size_t)shape->dst.height * shape->dst.width,
                                           .channels = shape->in},
                   &dst, err));
    R2_TRY(add_step(lower,
                    (struct r2_plan_step){.kind = R2_STEP_POOL,
                                          .label = "pool",
                                          .dst = dst,
                                          .src = *src,
                                          .other = R2_NO_VIEW,
                                          .copy = R2_NO_VIEW,
                                          .channels = shape->in,
                                          .pool = pick,
                                          .out = shape->dst,
                                          .in = shape->src},
                    err));
    shape->src = shape->dst;
    shape->conv.stride = 1;
    *src = dst;
    return R2_OK;
}

static enum r2_status lower_conv(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    const struct r2_node *node = &graph->nodes[n];
    r2_value other = 0;
    size_t add = find_fusable_add(lower, n, &other);
    struct r2_conv_shape shape = {
        .conv = node->conv,
        .in = graph->channels[node->inputs[0]],
        .src = lower->extents[node->inputs[0]],
        .dst = lower->extents[node->output],
        .sum = add != SIZE_MAX,
    };
    struct r2_plan_step step = primitive_step(lower, n, "conv");
    R2_TRY(make_dense(lower, node->inputs[0], &step.src, err));
    R2_TRY(subsample(lower, &shape, &step.src, err));
    if (add != SIZE_MAX) {
        const struct r2_node *sum = &graph->nodes[add];
        shape.conv.relu = sum->relu;
        lower->fused[add] = true;
        step.dst = lower->values[other].view;
        lower->values[sum->output].view = step.dst;
    } else {
        R2_TRY(add_buffer(lower, node->output, false, &step.dst, err));
    }
    lower->values[node->output].view = step.dst;
    if (r2_primitive_conv(&shape, &step.primitive, err) != R2_OK)
        return r2_fail_in(err, "layer '%s'", node->name);
    return add_step(lower, step, err);
}

static enum r2_status lower_linear(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = primitive_step(lower, n, "linear");
    R2_TRY(make_dense(lower, node->inputs[0], &step.src, err));
    R2_TRY(add_buffer(lower, node->output, false, &step.dst, err));
    lower->values[node->output].view = step.dst;
    R2_TRY(r2_primitive_linear(lower->graph->channels[node->inputs[0]],
                               lower->graph->channels[node->output], &step.primitive, err));
    return add_step(lower, step, err);
}

static enum r2_status lower_pool(struct r2_lowering *lower, const struct r2_node *node,
                                 struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[node->output];
    struct r2_plan_view src;
    R2_TRY(make_channels_last(lower, node->inputs[0], &src, err));
    R2_TRY(choose_target(lower, node->output, err));
    bool mean = node->op == R2_OP_GLOBAL_POOL;
    return add_step(lower,
                    (struct r2_plan_step){.kind = mean ? R2_STEP_MEAN : R2_STEP_POOL,
                                          .label = mean ? "mean" : "pool",
                                          .dst = state->view,
                                          .src = src,
                                          .other = R2_NO_VIEW,
                                          .copy = R2_NO_VIEW,
                                          .channels = lower->graph->channels[node->output],
                                          .pixels = r2_value_pixels(lower, node->inputs[0]),
                                          .pool = node->pool,
                                          .out = lower->extents[node->output],
                                          .in = lower->extents[node->inputs[0]]},
                    err);
}

/* A sum; when its second operand still waits to be copied into a concat, that happens in the same
 * pass. */
static enum r2_status lower_add(struct r2_lowering *lower, const struct r2_node *node,
                                struct r2_error *err)
{
    r2_value a = node->inputs[0], b = node->inputs[1];
    if (r2_is_view(lower->values[a].place) && !lower->values[a].placed &&
        !(r2_is_view(lower->values[b].place) && !lower->values[b].placed)) {
        a = node->inputs[1];
        b = node->inputs[0];
    }
    struct r2_value_state *second = &lower->values[b];
    bool copies = r2_is_view(second->place) && !second->placed &&
                  lower->graph->nodes[second->producer].op != R2_OP_SLICE;
    if (copies) second->placed = true;
    const struct r2_value_state *sum = &lower->values[node->output];
    if (sum->uses == 1 && sum->last_read != SIZE_MAX && lower->is_winograd[sum->last_use])
        R2_TRY(add_buffer(lower, node->output, true, &lower->values[node->output].view, err));
    else
        R2_TRY(choose_target(lower, node->output, err));
    return add_step(lower,
                    (struct r2_plan_step){.kind = R2_STEP_ADD,
                                          .label = "add",
                                          .dst = lower->values[node->output].view,
                                          .src = lower->values[a].view,
                                          .other = second->view,
                                          .copy = copies ? second->place : R2_NO_VIEW,
                                          .channels = lower->graph->channels[node->output],
                                          .pixels = r2_value_pixels(lower, node->output),
                                          .relu = node->relu},
                    err);
}

static enum r2_status lower_concat(struct r2_lowering *lower, const struct r2_node *node,
                                   struct r2_error *err)
{
    struct r2_plan_view target = lower->values[node->output].view;
    for (uint32_t i = 0; i < node->input_count; i++) {
        r2_value value = node->inputs[i];
        struct r2_value_state *state = &lower->values[value];
        bool there = r2_same_view(state->view, target) ||
                     (state->placed && r2_same_view(state->place, target));
        state->placed |= r2_same_view(state->place, target); /* a later sum need not copy it */
        if (!there) R2_TRY(add_copy(lower, target, state->view, value, err));
        target.first += lower->graph->channels[value];
    }
    return R2_OK;
}

static enum r2_status lower_node(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_value_state *state = &lower->values[node->output];
    switch (node->op) {
    case R2_OP_INPUT:
        R2_TRY(add_buffer(lower, node->output, false, &state->view, err));
        lower->plan->input_buffer = state->view.buffer;
        lower->plan->input_channels = lower->graph->channels[node->output];
        lower->plan->buffers[state->view.buffer].first_step = 0;
        return R2_OK;
    case R2_OP_SLICE:
        R2_TRY(make_channels_last(lower, node->inputs[0], &state->view, err));
        state->view.first += node->first;
        return R2_OK;
    case R2_OP_CONV:
        return lower->is_winograd[n] ? lower_winograd(lower, n, err) : lower_conv(lower, n, err);
    case R2_OP_LINEAR: return lower_linear(lower, n, err);
    case R2_OP_POOL:
    case R2_OP_GLOBAL_POOL: return lower_pool(lower, node, err);
    case R2_OP_ADD: return lower_add(lower, node, err);
    case R2_OP_CONCAT: return lower_concat(lower, node, err);
    }
    return r2_fail(err, R2_INTERNAL, "plan: operation %d is unknown", (int)node->op);
}

static enum r2_status lower_outputs(struct r2_lowering *lower, struct r2_error *err)
{
    struct r2_plan *plan = lower->plan;
    const struct r2_graph *graph = lower->graph;
    R2_TRY(r2_alloc(graph->output_count, sizeof *plan->outputs, "outputs", &plan->outputs, err));
    for (size_t i = 0; i < graph->output_count; i++) {
        r2_value value = graph->outputs[i].value;
        struct r2_plan_output *output = &plan->outputs[plan->output_count++];
        memcpy(output->name, graph->outputs[i].name, sizeof output->name);
        R2_TRY(make_channels_last(lower, value, &output->view, err));
        output->channels = graph->channels[value];
        output->extent = lower->extents[value];
        plan->buffers[output->view.buffer].last_step = SIZE_MAX; /* read after the run */
    }
    return R2_OK;
}

static enum r2_status lower_all(struct r2_lowering *lower, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    R2_TRY(r2_graph_extents(graph, lower->plan->input, lower->extents, err));
    R2_TRY(r2_lowering_analyse(lower, err));
    for (size_t n = 0; n < graph->node_count; n++) {
        lower->part = graph->nodes[n].part;
        if (!lower->fused[n]) R2_TRY(lower_node(lower, n, err));
        R2_TRY(prepare_concats(lower, n, err));
    }
    return lower_outputs(lower, err);
}

enum r2_status r2_plan_lower(struct r2_plan *plan, const struct r2_graph *graph,
                             struct r2_error *err)
{
    R2_AUTOFREE struct r2_extent *extents = NULL;
    R2_AUTOFREE struct r2_value_state *values = NULL;
    R2_AUTOFREE bool *fused = NULL, *is_winograd = NULL;
    R2_AUTOFREE r2_value *inplace = NULL;
    R2_AUTOFREE struct r2_primitive **winograd = NULL;
    R2_TRY(r2_alloc(graph->value_count, sizeof *extents, "extents", &extents, err));
    R2_TRY(r2_alloc(graph->value_count, sizeof *values, "values", &values, err));
    R2_TRY(r2_alloc(graph->node_count, sizeof *fused, "nodes", &fused, err));
    R2_TRY(r2_alloc(graph->node_count, sizeof *is_winograd, "nodes", &is_winograd, err));
    R2_TRY(r2_alloc(graph->node_count, sizeof *inplace, "nodes", &inplace, err));
    R2_TRY(r2_alloc(graph->node_count, sizeof(struct r2_primitive *), "nodes", &winograd, err));
    struct r2_lowering lower = {.plan = plan,
                                .graph = graph,
                                .extents = extents,
                                .values = values,
                                .fused = fused,
                                .inplace = inplace,
                                .winograd = winograd,
                                .is_winograd = is_winograd};
    enum r2_status status = lower_all(&lower, err);
    for (size_t n = 0; n < graph->node_count; n++) r2_primitive_destroy(winograd[n]);
    return status;
}
