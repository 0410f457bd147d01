#include "backbone/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void r2_graph_init(struct r2_graph *graph)
{
    *graph = (struct r2_graph){.value_count = 1}; /* id 0 is no value */
}

void r2_graph_finish(struct r2_graph *graph)
{
    if (!graph) return;
    free(graph->nodes);
    free(graph->channels);
    free(graph->outputs);
    *graph = (struct r2_graph){0};
}

void r2_graph_set_part(struct r2_graph *graph, uint32_t part)
{
    graph->part = part;
}

/* Room for one more; false, with the error kept, when there is none. */
static bool grow(struct r2_graph *graph, void *items_pointer, size_t count, size_t *capacity,
                 size_t size)
{
    void *items;
    if (count < *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    memcpy(&items, items_pointer, sizeof items);
    void *grown = reallocarray(items, wanted, size);
    if (!grown) {
        if (graph->error.status == R2_OK)
            r2_fail(&graph->error, R2_NO_MEMORY, "graph: no memory for %zu entries", wanted);
        return false;
    }
    memcpy(items_pointer, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

/* Keeps the first error; returns value 0. */
static r2_value refuse(struct r2_graph *graph, const struct r2_node *node, const char *rule)
{
    if (graph->error.status == R2_OK)
        r2_fail(&graph->error, R2_INTERNAL, "graph: node %zu '%s' %s", graph->node_count,
                node->name, rule);
    return 0;
}

/* Appends a node whose output has `channels` channels. */
static r2_value append(struct r2_graph *graph, struct r2_node *node, uint64_t channels)
{
    if (graph->error.status != R2_OK) return 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!node->inputs[i] || node->inputs[i] >= graph->value_count)
            return refuse(graph, node, "reads a value that does not exist");
    if (channels == 0 || channels > 1u << 20)
        return refuse(graph, node, "has no channels, or over 2^20 of them");
    if (!grow(graph, &graph->nodes, graph->node_count, &graph->node_capacity, sizeof *node) ||
        !grow(graph, &graph->channels, graph->value_count, &graph->value_capacity,
              sizeof *graph->channels))
        return 0;
    node->part = graph->part;
    node->output = (r2_value)graph->value_count++;
    graph->channels[node->output] = (uint32_t)channels;
    graph->nodes[graph->node_count++] = *node;
    return node->output;
}

static bool set_name(struct r2_graph *graph, struct r2_node *node, char *ret, const char *name)
{
    int size = snprintf(ret, R2_GRAPH_NAME_SIZE, "%s", name ? name : "");
    if (size >= 0 && size < R2_GRAPH_NAME_SIZE) return true;
    refuse(graph, node, "has too long a name");
    return false;
}

uint32_t r2_graph_channels(const struct r2_graph *graph, r2_value value)
{
    return value && value < graph->value_count ? graph->channels[value] : 0;
}

r2_value r2_graph_input(struct r2_graph *graph, uint32_t channels)
{
    struct r2_node node = {.op = R2_OP_INPUT, .name = "input"};
    if (graph->node_count) return refuse(graph, &node, "is not the first one");
    return append(graph, &node, channels);
}

static r2_value append_conv(struct r2_graph *graph, enum r2_op op, r2_value x,
                            const struct r2_conv *conv)
{
    struct r2_node node = {.op = op, .input_count = 1, .inputs = {x}, .conv = *conv};
    struct r2_conv *own = &node.conv;
    if (!x || !set_name(graph, &node, node.name, conv->name) ||
        !set_name(graph, &node, node.norm, conv->norm))
        return 0;
    own->name = own->norm = NULL; /* the copies above stay valid when the node moves */
    if (!own->dilation) own->dilation = 1;
    if (!own->groups) own->groups = 1;
    if (!own->kernel || !own->stride) return refuse(graph, &node, "has a kernel or stride of 0");
    if (r2_graph_channels(graph, x) % own->groups || own->out % own->groups)
        return refuse(graph, &node, "has channels that its groups do not divide");
    if (op == R2_OP_DECONV && own->pad >= own->kernel)
        return refuse(graph, &node, "pads its whole kernel");
    return append(graph, &node, own->out);
}

r2_value r2_graph_conv(struct r2_graph *graph, r2_value x, const struct r2_conv *conv)
{
    return append_conv(graph, R2_OP_CONV, x, conv);
}

r2_value r2_graph_deconv(struct r2_graph *graph, r2_value x, const struct r2_deconv *deconv)
{
    const struct r2_conv conv = {.name = deconv->name,
                                 .norm = deconv->norm,
                                 .out = deconv->out,
                                 .kernel = deconv->kernel,
                                 .stride = deconv->stride,
                                 .pad = deconv->pad,
                                 .relu = deconv->relu};
    return append_conv(graph, R2_OP_DECONV, x, &conv);
}

r2_value r2_graph_pool(struct r2_graph *graph, r2_value x, const struct r2_pool *pool)
{
    struct r2_node node = {.op = R2_OP_POOL, .input_count = 1, .inputs = {x}, .pool = *pool};
    if (!x) return 0;
    if (!pool->kernel || !pool->stride) return refuse(graph, &node, "has a kernel or stride of 0");
    if (pool->kind == R2_POOL_AVG_ADAPTIVE && (pool->stride > 1 || pool->pad || pool->pad_end))
        return refuse(graph, &node, "has strides or padding that adapt to the picture");
    if (pool->pad * 2 > pool->kernel) return refuse(graph, &node, "pads over half its kernel");
    if (pool->pad_end && pool->pad + pool->pad_end >= pool->kernel)
        return refuse(graph, &node, "pads its whole kernel at the end");
    return append(graph, &node, r2_graph_channels(graph, x));
}

r2_value r2_graph_global_pool(struct r2_graph *graph, r2_value x)
{
    struct r2_node node = {.op = R2_OP_GLOBAL_POOL, .input_count = 1, .inputs = {x}};
    return x ? append(graph, &node, r2_graph_channels(graph, x)) : 0;
}

r2_value r2_graph_slice(struct r2_graph *graph, r2_value x, uint32_t first, uint32_t count)
{
    struct r2_node node = {.op = R2_OP_SLICE, .input_count = 1, .inputs = {x}, .first = first};
    if (!x) return 0;
    if ((uint64_t)first + count > r2_graph_channels(graph, x))
        return refuse(graph, &node, "slices past its channels");
    return append(graph, &node, count);
}

r2_value r2_graph_concat(struct r2_graph *graph, const r2_value *values, uint32_t count)
{
    struct r2_node node = {.op = R2_OP_CONCAT, .input_count = count};
    uint64_t channels = 0;
    if (count == 0 || count > R2_GRAPH_MAX_INPUTS)
        return refuse(graph, &node, "joins no values, or too many");
    for (uint32_t i = 0; i < count; i++) {
        if (!values[i]) return 0;
        node.inputs[i] = values[i];
        channels += r2_graph_channels(graph, values[i]);
    }
    return append(graph, &node, channels);
}

r2_value r2_graph_add(struct r2_graph *graph, r2_value a, r2_value b, bool relu)
{
    struct r2_node node = {.op = R2_OP_ADD, .input_count = 2, .inputs = {a, b}, .relu = relu};
    if (!a || !b) return 0;
    if (r2_graph_channels(graph, a) != r2_graph_channels(graph, b))
        return refuse(graph, &node, "adds values of different channels");
    return append(graph, &node, r2_graph_channels(graph, a));
}

r2_value r2_graph_gate(struct r2_graph *graph, r2_value x, r2_value gate, r2_value b, bool relu)
{
    struct r2_node node = {
        .op = R2_OP_GATE, .input_count = 3, .inputs = {x, b, gate}, .relu = relu};
    const uint32_t channels = r2_graph_channels(graph, x);
    if (!x || !gate || !b) return 0;
    if (channels != r2_graph_channels(graph, gate) || channels != r2_graph_channels(graph, b))
        return refuse(graph, &node, "gates values of different channels");
    return append(graph, &node, channels);
}

r2_value r2_graph_resize(struct r2_graph *graph, r2_value x, r2_value like,
                         enum r2_sampling sampling)
{
    struct r2_node node = {
        .op = R2_OP_RESIZE, .input_count = 1, .inputs = {x}, .like = like, .sampling = sampling};
    if (!x || !like) return 0;
    if (like >= graph->value_count)
        return refuse(graph, &node, "takes the size of a value that does not exist");
    return append(graph, &node, r2_graph_channels(graph, x));
}

r2_value r2_graph_linear(struct r2_graph *graph, r2_value x, const struct r2_linear *linear)
{
    struct r2_node node = {.op = R2_OP_LINEAR, .input_count = 1, .inputs = {x}, .linear = *linear};
    struct r2_linear *own = &node.linear;
    if (!x || !set_name(graph, &node, node.name, linear->name)) return 0;
    own->name = NULL;
    if (!own->window.height && !own->window.width) own->window = (struct r2_extent){1, 1};
    uint64_t cells = (uint64_t)own->window.height * own->window.width;
    if (!cells || cells > (1u << 24) / r2_graph_channels(graph, x))
        return refuse(graph, &node, "reads no elements, or over 2^24 of them");
    return append(graph, &node, own->out);
}

void r2_graph_output(struct r2_graph *graph, r2_value value, const char *name)
{
    struct r2_node node = {.op = R2_OP_INPUT};
    struct r2_output output = {.value = value};
    if (value >= graph->value_count) {
        refuse(graph, &node, "makes an output of a value that does not exist");
        return;
    }
    if (!value || !set_name(graph, &node, output.name, name) ||
        !grow(graph, &graph->outputs, graph->output_count, &graph->output_capacity, sizeof output))
        return;
    graph->outputs[graph->output_count++] = output;
}

void r2_graph_trace(struct r2_graph *graph, r2_value value, const char *name)
{
    if (graph->traced && r2_graph_find_output(graph, name) < 0) r2_graph_output(graph, value, name);
}

int r2_graph_find_output(const struct r2_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->output_count; i++)
        if (strcmp(graph->outputs[i].name, name) == 0) return (int)i;
    return -1;
}

enum r2_status r2_graph_check(const struct r2_graph *graph, struct r2_error *err)
{
    if (graph->error.status != R2_OK) *err = graph->error;
    return graph->error.status;
}

/* Output length of a window of `reach` cells; 0 when it does not fit once. */
static uint32_t window_length(uint64_t size, uint64_t reach, uint64_t stride, uint64_t pad,
                              bool ceil)
{
    uint64_t padded = size + 2 * pad + (ceil ? stride - 1 : 0);
    if (!size || padded < reach) return 0;
    uint64_t length = (padded - reach) / stride + 1;
    /* PyTorch: with ceil_mode the last window must start inside the picture or its left padding */
    if (ceil && (length - 1) * stride >= size + pad) length--;
    return (uint32_t)length;
}

/* Output length of a transposed convolution; 0 when nothing is left of it, or too much. */
static uint32_t spread_length(uint32_t size, const struct r2_conv *conv)
{
    const uint64_t full = (uint64_t)(size - 1) * conv->stride + conv->kernel;
    return full <= 2 * (uint64_t)conv->pad || full > UINT32_MAX ? 0
                                                                : (uint32_t)(full - 2 * conv->pad);
}

static struct r2_extent window_extent(struct r2_extent in, uint32_t reach, uint32_t stride,
                                      uint32_t pad, bool ceil)
{
    return (struct r2_extent){window_length(in.height, reach, stride, pad, ceil),
                              window_length(in.width, reach, stride, pad, ceil)};
}

static struct r2_extent node_extent(const struct r2_node *node, const struct r2_extent *extents)
{
    struct r2_extent in = extents[node->inputs[0]];
    switch (node->op) {
    case R2_OP_CONV:
        return window_extent(in, (node->conv.kernel - 1) * node->conv.dilation + 1,
                             node->conv.stride, node->conv.pad, false);
    case R2_OP_DECONV:
        return (struct r2_extent){spread_length(in.height, &node->conv),
                                  spread_length(in.width, &node->conv)};
    case R2_OP_POOL:
        if (node->pool.kind == R2_POOL_AVG_ADAPTIVE)
            return (struct r2_extent){node->pool.kernel, node->pool.kernel};
        in.height += node->pool.pad_end;
        in.width += node->pool.pad_end;
        return window_extent(in, node->pool.kernel, node->pool.stride, node->pool.pad,
                             node->pool.ceil);
    case R2_OP_GLOBAL_POOL:
    case R2_OP_LINEAR: return (struct r2_extent){1, 1};
    case R2_OP_RESIZE: return extents[node->like];
    default: return in;
    }
}

enum r2_status r2_graph_extents(const struct r2_graph *graph, struct r2_extent input,
                                struct r2_extent *ret, struct r2_error *err)
{
    ret[0] = (struct r2_extent){0, 0};
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct r2_node *node = &graph->nodes[i];
        struct r2_extent out = node->op == R2_OP_INPUT ? input : node_extent(node, ret);
        uint64_t elements = (uint64_t)out.height * out.width;
        if (!elements)
            return r2_fail(err, R2_INVALID, "a picture of %u x %u is too small for layer %zu '%s'",
                           input.width, input.height, i, node->name);
        if (elements > (UINT64_C(1) << 31) / graph->channels[node->output])
            return r2_fail(err, R2_INVALID, "a picture of %u x %u is too large for layer %zu '%s'",
                           input.width, input.height, i, node->name);
        struct r2_extent in = ret[node->inputs[0]];
        struct r2_extent window = node->linear.window;
        if (node->op == R2_OP_LINEAR && (in.height != window.height || in.width != window.width))
            return r2_fail(err, R2_INVALID,
                           "layer %zu '%s' reads %u x %u cells, its weights are for %u x %u", i,
                           node->name, in.width, in.height, window.width, window.height);
        for (uint32_t k = 1; k < node->input_count; k++) {
            struct r2_extent other = ret[node->inputs[k]];
            const bool gate = node->op == R2_OP_GATE && k == 2;
            const struct r2_extent wanted = gate ? (struct r2_extent){1, 1} : out;
            if (other.height != wanted.height || other.width != wanted.width)
                return r2_fail(err, R2_INVALID,
                               "a picture of %u x %u does not suit the network: layer %zu joins "
                               "%u x %u and %u x %u cells",
                               input.width, input.height, i, wanted.width, wanted.height,
                               other.width, other.height);
        }
        ret[node->output] = out;
    }
    return R2_OK;
}

uint64_t r2_graph_macs(const struct r2_graph *graph, const struct r2_node *node,
                       const struct r2_extent *extents)
{
    struct r2_extent out = extents[node->output];
    uint64_t in = r2_graph_channels(graph, node->inputs[0]);
    uint64_t outputs = (uint64_t)graph->channels[node->output] * out.height * out.width;
    if (node->op == R2_OP_LINEAR)
        return outputs * in * node->linear.window.height * node->linear.window.width;
    if (node->op == R2_OP_DECONV) {
        const struct r2_extent from = extents[node->inputs[0]];
        outputs = (uint64_t)graph->channels[node->output] * from.height * from.width;
    } else if (node->op != R2_OP_CONV) {
        return 0;
    }
    return outputs * (in / node->conv.groups) * node->conv.kernel * node->conv.kernel;
}

uint64_t r2_graph_parameters(const struct r2_graph *graph, const struct r2_node *node)
{
    const uint64_t out = r2_graph_channels(graph, node->output);
    const uint64_t in = r2_graph_channels(graph, node->inputs[0]);
    if (!r2_op_has_weights(node->op)) return 0;
    if (node->op == R2_OP_LINEAR)
        return out * in * node->linear.window.height * node->linear.window.width + out;
    return out * (in / node->conv.groups) * node->conv.kernel * node->conv.kernel +
           (node->norm[0] ? 2 : 1) * out;
}
