#include "backbone/lowering.h"

/* Where Winograd's algorithm pays, measured on a Zen 4 core with AVX-512. With fewer
   channels than a block most of it is padding. Its weights are four times as large: on few pixels
   fetching them takes longer than the arithmetic that they save (7 x 7: 0.42 ms for 0.32, 14 x 14:
   0.27 for 0.35, 28 x 28: 0.21 for 0.44). And on a map of one cell oneDNN 2.6.3 computes it wrong
   where channels are no multiple of 16: tests/backbone/test_plan.c. */
enum { WINOGRAD_CHANNELS = 12, WINOGRAD_PIXELS = 12 * 12 };

bool r2_lowering_joins_sum(const struct r2_lowering *lower, const struct r2_node *node)
{
    const struct r2_value_state *state = &lower->values[node->output];
    if (node->op != R2_OP_RESIZE || state->uses != 1 || state->last_read == SIZE_MAX) return false;
    const struct r2_node *sum = &lower->graph->nodes[state->last_use];
    if (sum->op != R2_OP_ADD) return false;
    r2_value other = sum->inputs[sum->inputs[0] == node->output];
    return lower->graph->nodes[lower->values[other].producer].op != R2_OP_RESIZE;
}

/* A slice stands in its root's memory, so a read of it is a read of the root; what is resized on
   the way to a sum is read by the sum. */
static void find_aliases(struct r2_lowering *lower)
{
    const struct r2_graph *graph = lower->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        struct r2_value_state *state = &lower->values[node->output];
        const struct r2_value_state *from = &lower->values[node->inputs[0]];
        state->root = node->op == R2_OP_SLICE ? from->root : node->output;
        state->root_first = node->op == R2_OP_SLICE ? from->root_first + node->first : 0;
    }
    for (size_t n = graph->node_count; n-- > 0;) {
        const struct r2_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->input_count; i++) {
            size_t *last = &lower->values[node->inputs[i]].last_read;
            bool later = node->op == R2_OP_SLICE || r2_lowering_joins_sum(lower, node);
            size_t read = later ? lower->values[node->output].last_read : n;
            if (*last < read) *last = read;
        }
    }
}

static void count_uses(struct r2_lowering *lower)
{
    const struct r2_graph *graph = lower->graph;
    for (size_t v = 0; v < graph->value_count; v++)
        lower->values[v] = (struct r2_value_state){
            .view = R2_NO_VIEW, .dense = R2_NO_VIEW, .blocks = R2_NO_VIEW, .place = R2_NO_VIEW};
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        lower->values[node->output].producer = n;
        for (uint32_t i = 0; i < node->input_count; i++) {
            lower->values[node->inputs[i]].uses++;
            lower->values[node->inputs[i]].last_use = n;
        }
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        struct r2_value_state *state = &lower->values[graph->outputs[i].value];
        state->uses++;
        state->last_read = SIZE_MAX;
    }
    find_aliases(lower);
}

/* True when `value` may come to stand at channel `at` of the memory of which `slice` is a part. */
static bool may_overwrite(const struct r2_lowering *lower, r2_value slice, r2_value value,
                          uint32_t at)
{
    const struct r2_value_state *old = &lower->values[slice];
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
    case R2_OP_RESIZE:
    case R2_OP_GLOBAL_POOL: return old->last_read < producer;
    default: /* computed elsewhere and copied later */ return true;
    }
}

/* Which convolutions run as Winograd's, by rule and not by timing: 3x3 of stride 1 that are large
   enough, of one picture. What they read and write stands in blocks; where a slice has to be copied
   for a convolution anyway, that costs nothing. */
static enum r2_status choose_winograd(struct r2_lowering *lower, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        const struct r2_conv *conv = &node->conv;
        if (node->op != R2_OP_CONV || conv->kernel != 3 || conv->stride != 1 || conv->pad != 1 ||
            conv->dilation != 1 || conv->groups != 1 || conv->sigmoid ||
            lower->plan->shape.batch != 1)
            continue;
        struct r2_conv_shape shape = {.conv = *conv,
                                      .batch = 1,
                                      .in = graph->channels[node->inputs[0]],
                                      .src = lower->extents[node->inputs[0]],
                                      .dst = lower->extents[node->output]};
        if (shape.in < WINOGRAD_CHANNELS || conv->out < WINOGRAD_CHANNELS ||
            r2_value_pixels(lower, node->output) < WINOGRAD_PIXELS)
            continue;
        R2_TRY(r2_primitive_winograd(&shape, &lower->winograd[n], err));
        lower->is_winograd[n] = lower->winograd[n] != NULL;
    }
    return R2_OK;
}

/* The value that `concat` can overwrite slice by slice, or 0: one that is only read as slices, of
   which each is read for the last time before the value that takes its channels is written. */
static r2_value find_inplace_source(const struct r2_lowering *lower, size_t concat)
{
    const struct r2_graph *graph = lower->graph;
    const struct r2_node *node = &graph->nodes[concat];
    r2_value source = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (lower->values[node->inputs[i]].root != node->inputs[i])
            source = lower->values[node->inputs[i]].root;
    if (!source || lower->values[source].last_read > concat) return 0;
    if (graph->channels[source] != graph->channels[node->output]) return 0;
    if (lower->is_winograd[lower->values[source].producer]) return 0; /* it is in blocks */
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

enum r2_status r2_lowering_analyse(struct r2_lowering *lower, struct r2_error *err)
{
    const struct r2_graph *graph = lower->graph;
    count_uses(lower);
    R2_TRY(choose_winograd(lower, err));
    for (size_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == R2_OP_CONCAT) lower->inplace[n] = find_inplace_source(lower, n);
    return R2_OK;
}
