#include <stdlib.h>
#include <string.h>

#include "backbone/plan_steps.h"
#include "base/memory.h"

/* What lowering knows of a graph value. */
struct value_state {
    struct r2_plan_view view;  /* where it is, once computed */
    struct r2_plan_view dense; /* a dense copy of it, or no buffer */
    struct r2_plan_view place; /* its slice of a concat's buffer, or no buffer */
    bool placed;               /* it stands there */
    uint32_t uses;             /* by nodes and outputs */
    size_t last_use;           /* node index */
    size_t last_read; /* node index, of it or of a slice of it; SIZE_MAX: an output, read after the
                         run */
    r2_value root;    /* what it is a slice of, through slices of slices; else itself */
    uint32_t root_first; /* its first channel there */
    size_t producer;     /* node index */
};

struct lowering {
    struct r2_plan *plan;
    const struct r2_graph *graph;
    struct r2_extent *extents;
    struct value_state *values;
    bool *fused;       /* of node: computed by an earlier step */
    r2_value *inplace; /* of CONCAT node: the value that it overwrites, or 0 */
    uint32_t part;
};

static const struct r2_plan_view no_view = {R2_NO_BUFFER, 0};

static bool is_view(struct r2_plan_view view)
{
    return view.buffer != R2_NO_BUFFER;
}

static bool same_view(struct r2_plan_view a, struct r2_plan_view b)
{
    return a.buffer == b.buffer && a.first == b.first;
}

static size_t value_pixels(const struct lowering *lower, r2_value value)
{
    return (size_t)lower->extents[value].height * lower->extents[value].width;
}

static enum r2_status add_buffer(struct lowering *lower, size_t pixels, uint32_t pitch,
                                 struct r2_plan_view *ret, struct r2_error *err)
{
    struct r2_plan *plan = lower->plan;
    if (plan->buffer_count == plan->buffer_capacity) {
        size_t wanted = plan->buffer_capacity ? 2 * plan->buffer_capacity : 64;
        void *grown = reallocarray(plan->buffers, wanted, sizeof *plan->buffers);
        if (!grown) return r2_fail(err, R2_NO_MEMORY, "plan: no memory for %zu buffers", wanted);
        plan->buffers = grown;
        plan->buffer_capacity = wanted;
    }
    plan->buffers[plan->buffer_count] = (struct r2_plan_buffer){
        .pixels = pixels, .pitch = pitch, .first_step = SIZE_MAX, .last_step = 0};
    *ret = (struct r2_plan_view){(uint32_t)plan->buffer_count++, 0};
    return R2_OK;
}

static enum r2_status add_value_buffer(struct lowering *lower, r2_value value,
                                       struct r2_plan_view *ret, struct r2_error *err)
{
    return add_buffer(lower, value_pixels(lower, value), lower->graph->channels[value], ret, err);
}

static void touch(struct r2_plan *plan, struct r2_plan_view view)
{
    if (!is_view(view)) return;
    struct r2_plan_buffer *buffer = &plan->buffers[view.buffer];
    if (buffer->first_step > plan->step_count) buffer->first_step = plan->step_count;
    buffer->last_step = plan->step_count;
}

/* Appends a step; its primitive becomes the plan's also on failure. */
static enum r2_status add_step(struct lowering *lower, struct r2_plan_step step,
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

static enum r2_status add_copy(struct lowering *lower, struct r2_plan_view dst,
                               struct r2_plan_view src, r2_value value, struct r2_error *err)
{
    return add_step(lower,
                    (struct r2_plan_step){.kind = R2_STEP_COPY,
                                          .label = "copy",
                                          .dst = dst,
                                          .src = src,
                                          .other = no_view,
                                          .copy = no_view,
                                          .channels = lower->graph->channels[value],
                                          .pixels = value_pixels(lower, value)},
                    err);
}

/* The value as a dense map, copied there if it is a slice; the copy serves later readers too. */
static enum r2_status make_dense(struct lowering *lower, r2_value value, struct r2_plan_view *ret,
                                 struct r2_error *err)
{
    struct value_state *state = &lower->values[value];
    if (!is_view(state->dense)) {
        uint32_t pitch = lower->plan->buffers[state->view.buffer].pitch;
        if (pitch == lower->graph->channels[value]) {
            state->dense = state->view;
        } else {
            R2_TRY(add_value_buffer(lower, value, &state->dense, err));
            R2_TRY(add_copy(lower, state->dense, state->view, value, err));
        }
    }
    *ret = state->dense;
    return R2_OK;
}

/* Where a kernel of ours writes a value: into its slice of a concat when only that reads it. */
static enum r2_status choose_target(struct lowering *lower, r2_value value, struct r2_error *err)
{
    struct value_state *state = &lower->values[value];
    if (is_view(state->place) && state->uses == 1) {
        state->view = state->place;
        state->placed = true;
        return R2_OK;
    }
    return add_value_buffer(lower, value, &state->view, err);
}

/* --- before lowering: uses, and the places of concatenated values ------------------------------
 */

/* A slice stands in its root's memory, so a read of it is a read of the root. */
static void find_aliases(struct lowering *lower)
{
    const struct r2_graph *graph = lower->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        struct value_state *state = &lower->values[node->output];
        const struct value_state *from = &lower->values[node->inputs[0]];
        state->root = node->op == R2_OP_SLICE ? from->root : node->output;
        state->root_first = node->op == R2_OP_SLICE ? from->root_first + node->first : 0;
    }
    for (size_t n = graph->node_count; n-- > 0;) {
        const struct r2_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->input_count; i++) {
            size_t *last = &lower->values[node->inputs[i]].last_read;
            size_t read = node->op == R2_OP_SLICE ? lower->values[node->output].last_read : n;
            if (*last < read) *last = read;
        }
    }
}

static void count_uses(struct lowering *lower)
{
    const struct r2_graph *graph = lower->graph;
    for (size_t v = 0; v < graph->value_count; v++)
        lower->values[v].view = lower->values[v].dense = lower->values[v].place = no_view;
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        lower->values[node->output].producer = n;
        for (uint32_t i = 0; i < node->input_count; i++) {
            lower->values[node->inputs[i]].uses++;
            lower->values[node->inputs[i]].last_use = n;
        }
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        struct value_state *state = &lower->values[graph->outputs[i].value];
        state->uses++;
        state->last_read = SIZE_MAX;
    }
    find_aliases(lower);
}

/* True when `value` may come to stand at channel `at` of the memory of which `slice` is a part. */
static bool may_overwrite(const struct lowering *lower, r2_value slice, r2_value value, uint32_t at)
{
    const struct value_state *old = &lower->values[slice];
    const size_t producer = lower->values[value].producer;
    const uint32_t begin = old->root_first, end = begin + lower->graph->channels[slice];
    const uint32_t stop = at + lower->graph->channels[value];
    if (stop <= begin || end <= at || (value == slice && at == begin)) return true;
    if (old->last_read > producer) return false;
    switch (lower->graph->nodes[producer].op) {
    case R2_OP_SLICE: /* copied at the concat, from memory that it may overwrite itself */
        return false;
    case R2_OP_ADD: /* can be written while it reads the slice: cell by cell */
        return old->last_read < producer || (at == begin && stop == end);
    case R2_OP_POOL: /* likewise, but reads the cells around */
    case R2_OP_GLOBAL_POOL: return old->last_read < producer;
    default: /* computed elsewhere and copied later */ return true;
    }
}

/* The value that `concat` can overwrite slice by slice, or 0: one that is only read as slices, of
   which each is read for the last time before the value that takes its channels is written. */
static r2_value find_inplace_source(const struct lowering *lower, size_t concat)
{
    const struct r2_graph *graph = lower->graph;
    const struct r2_node *node = &graph->nodes[concat];
    r2_value source = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (lower->values[node->inputs[i]].root != node->inputs[i])
            source = lower->values[node->inputs[i]].root;
    if (!source || lower->values[source].last_read > concat) return 0;
    if (graph->channels[source] != graph->channels[node->output]) return 0;
    if (graph->nodes[lower->values[source].producer].op == R2_OP_INPUT) return 0;
    for (size_t n = lower->values[source].producer + 1; n < concat; n++) {
        const struct r2_node *reader = &graph->nodes[n];
        uint32_t at = 0;
        for (uint32_t i = 0; i < reader->input_count && reader->op != R2_OP_SLICE; i++)
            if (reader->inputs[i] == source) return 0;
        if (reader->op != R2_OP_SLICE || lower->values[reader->output].root != source) continue;
        for (uint32_t i = 0; i < node->input_count; i++) {
            if (!may_overwrite(lower, reader->output, node->inputs[i], at)) return 0;
            at += graph->channels[node->inputs[i]];
        }
    }
    return source;
}

/* Gives the inputs of a concat their places in `target`. */
static void set_places(struct lowering *lower, size_t concat, struct r2_plan_view target)
{
    const struct r2_node *node = &lower->graph->nodes[concat];
    uint32_t at = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        struct value_state *state = &lower->values[node->inputs[i]];
        if (!is_view(state->place)) state->place = (struct r2_plan_view){target.buffer, at};
        at += lower->graph->channels[node->inputs[i]];
    }
}

/* Before the first input of a concat is computed its buffer must exist: prepared at the producer of
   the in-place source, or at the first input's producer. */
static enum r2_status prepare_concats(struct lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    r2_value value = graph->nodes[n].output;
    for (size_t c = n + 1; c < graph->node_count; c++) {
        const struct r2_node *node = &graph->nodes[c];
        if (node->op != R2_OP_CONCAT || is_view(lower->values[node->output].view)) continue;
        r2_value source = lower->inplace[c];
        bool first = source == value;
        for (uint32_t i = 0; !source && i < node->input_count; i++)
            first |= node->inputs[i] == value;
        if (!first) continue;
        struct r2_plan_view target;
        if (source)
            target = lower->values[source].view;
        else
            R2_TRY(add_value_buffer(lower, node->output, &target, err));
        lower->values[node->output].view = target;
        set_places(lower, c, target);
    }
    return R2_OK;
}

/* --- one function an operation ------------------------------------------------------------------
 */

/* The ADD that can follow convolution n inside its primitive, with the other operand; SIZE_MAX if
   none. The sum replaces that operand, so nobody may need it afterwards. */
static size_t find_fusable_add(const struct lowering *lower, size_t n, r2_value *ret_other)
{
    const struct r2_graph *graph = lower->graph;
    const struct r2_node *conv = &graph->nodes[n];
    const struct value_state *state = &lower->values[conv->output];
    if (conv->conv.relu || state->uses != 1 || state->last_read == SIZE_MAX) return SIZE_MAX;
    const struct r2_node *add = &graph->nodes[state->last_use];
    if (add->op != R2_OP_ADD) return SIZE_MAX;
    r2_value other = add->inputs[0] == conv->output ? add->inputs[1] : add->inputs[0];
    const struct value_state *operand = &lower->values[other];
    if (operand->producer >= n || operand->last_read != state->last_use) return SIZE_MAX;
    for (size_t k = n; k < state->last_use; k++)
        for (uint32_t i = 0; i < graph->nodes[k].input_count; i++)
            if (lower->values[graph->nodes[k].inputs[i]].root == other) return SIZE_MAX;
    if (is_view(operand->place) || graph->nodes[operand->producer].op == R2_OP_SLICE ||
        graph->nodes[operand->producer].op == R2_OP_INPUT)
        return SIZE_MAX;
    if (lower->plan->buffers[operand->view.buffer].pitch != graph->channels[other]) return SIZE_MAX;
    *ret_other = other;
    return state->last_use;
}

static enum r2_status lower_conv(struct lowering *lower, size_t n, struct r2_error *err)
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
    struct r2_plan_step step = {.kind = R2_STEP_PRIMITIVE,
                                .label = "conv",
                                .node = n,
                                .other = no_view,
                                .copy = no_view,
                                .macs = r2_graph_macs(graph, node, lower->extents)};
    memcpy(step.name, node->name, sizeof step.name);
    R2_TRY(make_dense(lower, node->inputs[0], &step.src, err));
    if (add != SIZE_MAX) {
        const struct r2_node *sum = &graph->nodes[add];
        shape.conv.relu = sum->relu;
        lower->fused[add] = true;
        step.dst = lower->values[other].view;
        lower->values[sum->output].view = step.dst;
    } else {
        R2_TRY(add_value_buffer(lower, node->output, &step.dst, err));
    }
    lower->values[node->output].view = step.dst;
    if (r2_primitive_conv(&shape, &step.primitive, err) != R2_OK)
        return r2_fail_in(err, "layer '%s'", node->name);
    return add_step(lower, step, err);
}

static enum r2_status lower_linear(struct lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct r2_plan_step step = {.kind = R2_STEP_PRIMITIVE,
                                .label = "linear",
                                .node = n,
                                .other = no_view,
                                .copy = no_view,
                                .macs = r2_graph_macs(lower->graph, node, lower->extents)};
    memcpy(step.name, node->name, sizeof step.name);
    R2_TRY(make_dense(lower, node->inputs[0], &step.src, err));
    R2_TRY(add_value_buffer(lower, node->output, &step.dst, err));
    lower->values[node->output].view = step.dst;
    R2_TRY(r2_primitive_linear(lower->graph->channels[node->inputs[0]],
                               lower->graph->channels[node->output], &step.primitive, err));
    return add_step(lower, step, err);
}

static enum r2_status lower_pool(struct lowering *lower, const struct r2_node *node,
                                 struct r2_error *err)
{
    struct value_state *state = &lower->values[node->output];
    R2_TRY(choose_target(lower, node->output, err));
    bool mean = node->op == R2_OP_GLOBAL_POOL;
    return add_step(lower,
                    (struct r2_plan_step){.kind = mean ? R2_STEP_MEAN : R2_STEP_POOL,
                                          .label = mean ? "mean" : "pool",
                                          .dst = state->view,
                                          .src = lower->values[node->inputs[0]].view,
                                          .other = no_view,
                                          .copy = no_view,
                                          .channels = lower->graph->channels[node->output],
                                          .pixels = value_pixels(lower, node->inputs[0]),
                                          .pool = node->pool,
                                          .out = lower->extents[node->output],
                                          .in = lower->extents[node->inputs[0]]},
                    err);
}

/* A sum; when its second operand still waits to be copied into a concat, that happens in the same
 * pass. */
static enum r2_status lower_add(struct lowering *lower, const struct r2_node *node,
                                struct r2_error *err)
{
    r2_value a = node->inputs[0], b = node->inputs[1];
    if (is_view(lower->values[a].place) && !lower->values[a].placed &&
        !(is_view(lower->values[b].place) && !lower->values[b].placed)) {
        a = node->inputs[1];
        b = node->inputs[0];
    }
    struct value_state *second = &lower->values[b];
    bool copies = is_view(second->place) && !second->placed &&
                  lower->graph->nodes[second->producer].op != R2_OP_SLICE;
    if (copies) second->placed = true;
    R2_TRY(choose_target(lower, node->output, err));
    return add_step(lower,
                    (struct r2_plan_step){.kind = R2_STEP_ADD,
                                          .label = "add",
                                          .dst = lower->values[node->output].view,
                                          .src = lower->values[a].view,
                                          .other = second->view,
                                          .copy = copies ? second->place : no_view,
                                          .channels = lower->graph->channels[node->output],
                                          .pixels = value_pixels(lower, node->output),
                                          .relu = node->relu},
                    err);
}

static enum r2_status lower_concat(struct lowering *lower, const struct r2_node *node,
                                   struct r2_error *err)
{
    struct r2_plan_view target = lower->values[node->output].view;
    for (uint32_t i = 0; i < node->input_count; i++) {
        r2_value value = node->inputs[i];
        struct value_state *state = &lower->values[value];
        bool there =
            same_view(state->view, target) || (state->placed && same_view(state->place, target));
        state->placed |= same_view(state->place, target); /* a later sum need not copy it */
        if (!there) R2_TRY(add_copy(lower, target, state->view, value, err));
        target.first += lower->graph->channels[value];
    }
    return R2_OK;
}

static enum r2_status lower_node(struct lowering *lower, size_t n, struct r2_error *err)
{
    const struct r2_node *node = &lower->graph->nodes[n];
    struct value_state *state = &lower->values[node->output];
    switch (node->op) {
    case R2_OP_INPUT:
        R2_TRY(add_value_buffer(lower, node->output, &state->view, err));
        lower->plan->input_buffer = state->view.buffer;
        lower->plan->input_channels = lower->graph->channels[node->output];
        lower->plan->buffers[state->view.buffer].first_step = 0;
        return R2_OK;
    case R2_OP_SLICE:
        state->view = lower->values[node->inputs[0]].view;
        state->view.first += node->first;
        return R2_OK;
    case R2_OP_CONV: return lower_conv(lower, n, err);
    case R2_OP_LINEAR: return lower_linear(lower, n, err);
    case R2_OP_POOL:
    case R2_OP_GLOBAL_POOL: return lower_pool(lower, node, err);
    case R2_OP_ADD: return lower_add(lower, node, err);
    case R2_OP_CONCAT: return lower_concat(lower, node, err);
    }
    return r2_fail(err, R2_INTERNAL, "plan: operation %d is unknown", (int)node->op);
}

static enum r2_status lower_outputs(struct lowering *lower, struct r2_error *err)
{
    struct r2_plan *plan = lower->plan;
    const struct r2_graph *graph = lower->graph;
    R2_TRY(r2_alloc(graph->output_count, sizeof *plan->outputs, "outputs", &plan->outputs, err));
    for (size_t i = 0; i < graph->output_count; i++) {
        r2_value value = graph->outputs[i].value;
        struct r2_plan_output *output = &plan->outputs[plan->output_count++];
        memcpy(output->name, graph->outputs[i].name, sizeof output->name);
        output->view = lower->values[value].view;
        output->channels = graph->channels[value];
        output->extent = lower->extents[value];
        plan->buffers[output->view.buffer].last_step = SIZE_MAX; /* read after the run */
    }
    return R2_OK;
}

enum r2_status r2_plan_lower(struct r2_plan *plan, const struct r2_graph *graph,
                             struct r2_error *err)
{
    R2_AUTOFREE struct r2_extent *extents = NULL;
    R2_AUTOFREE struct value_state *values = NULL;
    R2_AUTOFREE bool *fused = NULL;
    R2_AUTOFREE r2_value *inplace = NULL;
    R2_TRY(r2_alloc(graph->value_count, sizeof *extents, "extents", &extents, err));
    R2_TRY(r2_alloc(graph->value_count, sizeof *values, "values", &values, err));
    R2_TRY(r2_alloc(graph->node_count, sizeof *fused, "nodes", &fused, err));
    R2_TRY(r2_alloc(graph->node_count, sizeof *inplace, "nodes", &inplace, err));
    R2_TRY(r2_graph_extents(graph, plan->input, extents, err));
    struct lowering lower = {.plan = plan,
                             .graph = graph,
                             .extents = extents,
                             .values = values,
                             .fused = fused,
                             .inplace = inplace};
    count_uses(&lower);
    for (size_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == R2_OP_CONCAT) inplace[n] = find_inplace_source(&lower, n);
    for (size_t n = 0; n < graph->node_count; n++) {
        lower.part = graph->nodes[n].part;
        if (!fused[n]) R2_TRY(lower_node(&lower, n, err));
        R2_TRY(prepare_concats(&lower, n, err));
    }
    return lower_outputs(&lower, err);
}
