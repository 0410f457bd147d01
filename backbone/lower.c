#include <stdlib.h>
#include <string.h>

#include "backbone/depthwise.h"
#include "backbone/lowering.h"
#include "base/memory.h"

/* In whose memory a reader of this value looks. */
static r2_value read_root(const struct r2_lowering *lower, r2_value value)
{
    const struct r2_node *producer = &lower->graph->nodes[lower->values[value].producer];
    if (r2_lowering_joins_sum(lower, producer)) value = producer->inputs[0];
    return lower->values[value].root;
}

/* The ADD that can follow convolution n inside its primitive, with the other operand; SIZE_MAX if
   none. The sum replaces that operand, so nobody may need it afterwards. */
static size_t find_fusable_add(const struct r2_lowering *lower, size_t n, r2_value *ret_other)
{
    const struct r2_graph *graph = lower->graph;
    const struct r2_node *conv = &graph->nodes[n];
    const struct r2_value_state *state = &lower->values[conv->output];
    if (conv->conv.relu || conv->conv.sigmoid || state->uses != 1 || state->last_read == SIZE_MAX)
        return SIZE_MAX;
    const struct r2_node *add = &graph->nodes[state->last_use];
    if (add->op != R2_OP_ADD) return SIZE_MAX;
    r2_value other = add->inputs[0] == conv->output ? add->inputs[1] : add->inputs[0];
    const struct r2_value_state *operand = &lower->values[other];
    if (operand->producer >= n || operand->last_read != state->last_use) return SIZE_MAX;
    for (size_t k = n; k < state->last_use; k++)
        for (uint32_t i = 0; i < graph->nodes[k].input_count; i++)
            if (read_root(lower, graph->nodes[k].inputs[i]) == other) return SIZE_MAX;
    if (!r2_is_view(operand->view) || r2_is_view(operand->place) ||
        graph->nodes[operand->producer].op == R2_OP_SLICE ||
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
                                .macs = lower->plan->shape.batch *
                                        r2_graph_macs(lower->graph, node, lower->extents)};
    memcpy(step.name, node->name, sizeof step.name);
    return step;
}

static enum r2_status lower_winograd(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = primitive_step(lower, n, "conv");
    R2_TRY(r2_value_blocks(lower, node->inputs[0], &step.src, err));
    R2_TRY(r2_value_buffer(lower, node->output, true, &step.dst, err));
    lower->values[node->output].view = step.dst;
    step.primitive = R2_TAKE(lower->winograd[n]);
    return r2_lowering_step(lower, step, err);
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
        r2_lowering_buffer(lower->plan,
                           (struct r2_plan_buffer){.pixels = (size_t)shape->batch *
                                                             shape->dst.height * shape->dst.width,
                                                   .channels = shape->in},
                           &dst, err));
    R2_TRY(r2_lowering_step(lower,
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
        .batch = lower->plan->shape.batch,
        .in = graph->channels[node->inputs[0]],
        .src = lower->extents[node->inputs[0]],
        .dst = lower->extents[node->output],
        .sum = add != SIZE_MAX,
    };
    struct r2_plan_step step = primitive_step(lower, n, "conv");
    R2_TRY(r2_value_dense(lower, node->inputs[0], &step.src, err));
    R2_TRY(subsample(lower, &shape, &step.src, err));
    if (add != SIZE_MAX) {
        const struct r2_node *sum = &graph->nodes[add];
        shape.conv.relu = sum->relu;
        lower->fused[add] = true;
        step.dst = lower->values[other].view;
        lower->values[sum->output].view = step.dst;
    } else {
        R2_TRY(r2_value_buffer(lower, node->output, false, &step.dst, err));
    }
    lower->values[node->output].view = step.dst;
    if (r2_primitive_conv(&shape, &step.primitive, err) != R2_OK)
        return r2_fail_in(err, "layer '%s'", node->name);
    return r2_lowering_step(lower, step, err);
}

/* A dense convolution, then the spreading of its channels (kernels.h). oneDNN's own transposed one
   is several times slower. */
static enum r2_status lower_deconv(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    const struct r2_conv *deconv = &node->conv;
    const struct r2_extent in = lower->extents[node->inputs[0]];
    const uint32_t taps = r2_spread_taps(deconv->kernel, deconv->stride),
                   batch = lower->plan->shape.batch;
    const struct r2_extent grid = {in.height + taps - 1, in.width + taps - 1};
    const struct r2_conv_shape shape = {
        .conv = {.out = deconv->out * deconv->stride * deconv->stride,
                 .kernel = taps,
                 .stride = 1,
                 .pad = taps - 1,
                 .dilation = 1,
                 .groups = 1,
                 .relu = deconv->relu},
        .batch = batch,
        .in = lower->graph->channels[node->inputs[0]],
        .src = in,
        .dst = grid};
    struct r2_plan_step step = primitive_step(lower, n, "deconv");
    R2_TRY(r2_value_dense(lower, node->inputs[0], &step.src, err));
    R2_TRY(r2_lowering_buffer(
        lower->plan,
        (struct r2_plan_buffer){.pixels = (size_t)batch * grid.height * grid.width,
                                .channels = shape.conv.out},
        &step.dst, err));
    const struct r2_plan_view spread = step.dst;
    if (r2_primitive_conv(&shape, &step.primitive, err) != R2_OK)
        return r2_fail_in(err, "layer '%s'", node->name);
    R2_TRY(r2_lowering_step(lower, step, err));
    R2_TRY(r2_value_target(lower, node->output, err));
    return r2_lowering_step(
        lower,
        (struct r2_plan_step){.kind = R2_STEP_SPREAD,
                              .label = "spread",
                              .dst = lower->values[node->output].view,
                              .src = spread,
                              .other = R2_NO_VIEW,
                              .copy = R2_NO_VIEW,
                              .channels = deconv->out,
                              .pool = {.stride = deconv->stride, .pad = deconv->pad},
                              .out = lower->extents[node->output],
                              .in = grid},
        err);
}

/* A dilated 3x3 depthwise convolution, which oneDNN has no fast code for: 2048 channels of dilation
   12 on 33 x 33 take it over ten times as long as ours. */
static bool is_own_depthwise(const struct r2_lowering *lower, const struct r2_node *node)
{
    const struct r2_conv *conv = &node->conv;
    return conv->kernel == R2_DEPTHWISE_KERNEL && conv->dilation > 1 && !conv->sigmoid &&
           conv->groups == conv->out && conv->groups == lower->graph->channels[node->inputs[0]];
}

static enum r2_status lower_depthwise(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = primitive_step(lower, n, "conv");
    R2_TRY(r2_value_channels_last(lower, node->inputs[0], &step.src, err));
    R2_TRY(r2_value_buffer(lower, node->output, false, &step.dst, err));
    lower->values[node->output].view = step.dst;
    step.kind = R2_STEP_DEPTHWISE;
    step.channels = node->conv.out;
    step.conv = node->conv;
    step.out = lower->extents[node->output];
    step.in = lower->extents[node->inputs[0]];
    return r2_lowering_step(lower, step, err);
}

static enum r2_status lower_linear(struct r2_lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = primitive_step(lower, n, "linear");
    R2_TRY(r2_value_dense(lower, node->inputs[0], &step.src, err));
    R2_TRY(r2_value_buffer(lower, node->output, false, &step.dst, err));
    lower->values[node->output].view = step.dst;
    const struct r2_linear_shape shape = {.linear = node->linear,
                                          .batch = lower->plan->shape.batch,
                                          .in = lower->graph->channels[node->inputs[0]]};
    R2_TRY(r2_primitive_linear(&shape, &step.primitive, err));
    return r2_lowering_step(lower, step, err);
}

static enum r2_status lower_pool(struct r2_lowering *lower, const struct r2_node *node,
                                 struct r2_error *err)
{
    struct r2_value_state *state = &lower->values[node->output];
    struct r2_plan_view src;
    R2_TRY(r2_value_channels_last(lower, node->inputs[0], &src, err));
    R2_TRY(r2_value_target(lower, node->output, err));
    bool mean = node->op == R2_OP_GLOBAL_POOL;
    return r2_lowering_step(lower,
                            (struct r2_plan_step){.kind = mean ? R2_STEP_MEAN : R2_STEP_POOL,
                                                  .label = mean ? "mean" : "pool",
                                                  .dst = state->view,
                                                  .src = src,
                                                  .other = R2_NO_VIEW,
                                                  .copy = R2_NO_VIEW,
                                                  .channels = lower->graph->channels[node->output],
                                                  .pool = node->pool,
                                                  .out = lower->extents[node->output],
                                                  .in = lower->extents[node->inputs[0]]},
                            err);
}

/* A step that resizes what the node reads; where it stands must be known. */
static struct r2_plan_step resize_step(const struct r2_lowering *lower, const struct r2_node *node)
{
    return (struct r2_plan_step){.kind = R2_STEP_RESIZE,
                                 .label = "resize",
                                 .dst = lower->values[node->output].view,
                                 .src = lower->values[node->inputs[0]].view,
                                 .other = R2_NO_VIEW,
                                 .copy = R2_NO_VIEW,
                                 .channels = lower->graph->channels[node->output],
                                 .sampling = node->sampling,
                                 .out = lower->extents[node->output],
                                 .in = lower->extents[node->inputs[0]]};
}

static enum r2_status lower_resize(struct r2_lowering *lower, const struct r2_node *node,
                                   struct r2_error *err)
{
    if (r2_lowering_joins_sum(lower, node)) return R2_OK;
    R2_TRY(r2_value_target(lower, node->output, err));
    return r2_lowering_step(lower, resize_step(lower, node), err);
}

/* Where a sum is written: in blocks when only a convolution that wants them reads it. */
static enum r2_status choose_sum_target(struct r2_lowering *lower, r2_value value,
                                        struct r2_error *err)
{
    struct r2_value_state *sum = &lower->values[value];
    if (sum->uses == 1 && sum->last_read != SIZE_MAX && lower->is_winograd[sum->last_use])
        return r2_value_buffer(lower, value, true, &sum->view, err);
    return r2_value_target(lower, value, err);
}

/* The sum of a value and a resized one in one pass. */
static enum r2_status lower_resized_sum(struct r2_lowering *lower, const struct r2_node *node,
                                        struct r2_error *err)
{
    const uint32_t resized = r2_is_view(lower->values[node->inputs[0]].view) ? 1 : 0;
    const struct r2_value_state *state = &lower->values[node->inputs[resized]];
    R2_TRY(choose_sum_target(lower, node->output, err));
    struct r2_plan_step step = resize_step(lower, &lower->graph->nodes[state->producer]);
    step.dst = lower->values[node->output].view;
    step.other = lower->values[node->inputs[1 - resized]].view;
    step.relu = node->relu;
    return r2_lowering_step(lower, step, err);
}

/* A sum; when its second operand still waits to be copied into a concat, that happens in the same
 * pass. */
static enum r2_status lower_add(struct r2_lowering *lower, const struct r2_node *node,
                                struct r2_error *err)
{
    r2_value a = node->inputs[0], b = node->inputs[1];
    if (!r2_is_view(lower->values[a].view) || !r2_is_view(lower->values[b].view))
        return lower_resized_sum(lower, node, err);
    if (r2_is_view(lower->values[a].place) && !lower->values[a].placed &&
        !(r2_is_view(lower->values[b].place) && !lower->values[b].placed)) {
        a = node->inputs[1];
        b = node->inputs[0];
    }
    struct r2_value_state *second = &lower->values[b];
    bool copies = r2_is_view(second->place) && !second->placed &&
                  lower->graph->nodes[second->producer].op != R2_OP_SLICE;
    if (copies) second->placed = true;
    R2_TRY(choose_sum_target(lower, node->output, err));
    return r2_lowering_step(lower,
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

static enum r2_status lower_gate(struct r2_lowering *lower, const struct r2_node *node,
                                 struct r2_error *err)
{
    struct r2_plan_step step = {.kind = R2_STEP_GATE,
                                .label = "gate",
                                .channels = lower->graph->channels[node->output],
                                .relu = node->relu,
                                .out = lower->extents[node->output],
                                .in = lower->extents[node->output]};
    R2_TRY(r2_value_channels_last(lower, node->inputs[0], &step.src, err));
    R2_TRY(r2_value_channels_last(lower, node->inputs[1], &step.other, err));
    R2_TRY(r2_value_channels_last(lower, node->inputs[2], &step.copy, err));
    R2_TRY(r2_value_buffer(lower, node->output, false, &step.dst, err));
    lower->values[node->output].view = step.dst;
    return r2_lowering_step(lower, step, err);
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
        if (!there) R2_TRY(r2_value_copy(lower, target, state->view, value, err));
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
        R2_TRY(r2_value_buffer(lower, node->output, false, &state->view, err));
        lower->plan->input_buffer = state->view.buffer;
        lower->plan->input_channels = lower->graph->channels[node->output];
        lower->plan->buffers[state->view.buffer].first_step = 0;
        return R2_OK;
    case R2_OP_SLICE:
        R2_TRY(r2_value_channels_last(lower, node->inputs[0], &state->view, err));
        state->view.first += node->first;
        return R2_OK;
    case R2_OP_CONV:
        if (lower->is_winograd[n]) return lower_winograd(lower, n, err);
        return is_own_depthwise(lower, node) ? lower_depthwise(lower, n, err)
                                             : lower_conv(lower, n, err);
    case R2_OP_DECONV: return lower_deconv(lower, n, err);
    case R2_OP_LINEAR: return lower_linear(lower, n, err);
    case R2_OP_POOL:
    case R2_OP_GLOBAL_POOL: return lower_pool(lower, node, err);
    case R2_OP_RESIZE: return lower_resize(lower, node, err);
    case R2_OP_ADD: return lower_add(lower, node, err);
    case R2_OP_GATE: return lower_gate(lower, node, err);
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
        R2_TRY(r2_value_channels_last(lower, value, &output->view, err));
        output->channels = graph->channels[value];
        output->extent = lower->extents[value];
        plan->buffers[output->view.buffer].last_step = SIZE_MAX; /* read after the run */
    }
    return R2_OK;
}

static enum r2_status check_batch(const struct r2_lowering *lower, struct r2_error *err)
{
    const struct r2_plan_shape shape = lower->plan->shape;
    if (!shape.batch) return r2_fail(err, R2_INTERNAL, "plan: a batch of no pictures");
    for (size_t v = 1; v < lower->graph->value_count; v++) {
        uint64_t floats = (uint64_t)lower->extents[v].height * lower->extents[v].width *
                          lower->graph->channels[v];
        if (floats > (UINT64_C(1) << 31) / shape.batch)
            return r2_fail(err, R2_INVALID, "a batch of %u pictures of %u x %u is too large",
                           shape.batch, shape.picture.width, shape.picture.height);
    }
    return R2_OK;
}

static enum r2_status lower_all(struct r2_lowering *lower, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    R2_TRY(r2_graph_extents(graph, lower->plan->shape.picture, lower->extents, err));
    R2_TRY(check_batch(lower, err));
    R2_TRY(r2_lowering_analyse(lower, err));
    for (size_t n = 0; n < graph->node_count; n++) {
        lower->part = graph->nodes[n].part;
        if (!lower->fused[n]) R2_TRY(lower_node(lower, n, err));
        R2_TRY(r2_lowering_concats(lower, n, err));
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
