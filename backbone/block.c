#include "backbone/block.h"

#include <stdio.h>

r2_value r2_block_conv(struct r2_graph *graph, r2_value x, const char *scope, const char *conv,
                       const char *norm, struct r2_conv shape)
{
    char conv_name[R2_GRAPH_NAME_SIZE], norm_name[R2_GRAPH_NAME_SIZE];
    snprintf(conv_name, sizeof conv_name, "%s.%s", scope, conv);
    snprintf(norm_name, sizeof norm_name, "%s.%s", scope, norm);
    shape.name = conv_name;
    shape.norm = norm_name;
    return r2_graph_conv(graph, x, &shape);
}

/* The last slice has no convolution; where the others are apart it is pooled, so that it keeps in
   step with their strides. */
static r2_value build_last_slice(struct r2_graph *graph, r2_value slice,
                                 const struct r2_block *block, uint32_t stride)
{
    if (!block->first || (block->rules->pools_if_strided && stride == 1)) return slice;
    const struct r2_pool pool = {.kind = block->rules->excludes_padding ? R2_POOL_AVG_EXCLUDE
                                                                        : R2_POOL_AVG,
                                 .kernel = 3,
                                 .stride = stride,
                                 .pad = 1};
    return r2_graph_pool(graph, slice, &pool);
}

static r2_value build_slices(struct r2_graph *graph, r2_value x, const struct r2_block *block)
{
    const uint32_t width = block->width, last = block->scale - 1;
    const uint32_t stride = block->rules->strides_1x1 ? 1 : block->stride;
    const bool apart = block->first && !(block->rules->sums_unless_strided && block->stride == 1);
    const struct r2_conv branch = {.out = width,
                                   .kernel = 3,
                                   .stride = stride,
                                   .pad = block->dilation,
                                   .dilation = block->dilation,
                                   .groups = block->groups,
                                   .relu = true};
    r2_value slices[R2_GRAPH_MAX_INPUTS] = {0}, y = 0;
    char conv[24], norm[24];
    for (uint32_t i = 0; i < last; i++) {
        r2_value slice = r2_graph_slice(graph, x, i * width, width);
        /* the hierarchy: each slice also sees what the one before it became */
        if (i > 0 && !apart) slice = r2_graph_add(graph, slice, y, false);
        snprintf(conv, sizeof conv, "convs.%u", i);
        snprintf(norm, sizeof norm, "bns.%u", i);
        slices[i] = y = r2_block_conv(graph, slice, block->name, conv, norm, branch);
    }
    slices[last] =
        build_last_slice(graph, r2_graph_slice(graph, x, last * width, width), block, stride);
    return r2_graph_concat(graph, slices, block->scale);
}

/* What x is multiplied by: Hu et al., "Squeeze-and-Excitation Networks", 2018. A sixteenth of the
   channels in between, rounded to a multiple of 8 as timm does it. */
static r2_value build_gate(struct r2_graph *graph, r2_value x, const struct r2_block *block)
{
    char name[R2_GRAPH_NAME_SIZE];
    const uint32_t squeezed = (block->out / 16 + 4) / 8 * 8;
    struct r2_conv shape = {.name = name, .kernel = 1, .stride = 1};
    r2_value gate = r2_graph_global_pool(graph, x);
    snprintf(name, sizeof name, "%s.se.fc1", block->name);
    shape.out = squeezed ? squeezed : 8;
    shape.relu = true;
    gate = r2_graph_conv(graph, gate, &shape);
    snprintf(name, sizeof name, "%s.se.fc2", block->name);
    shape.out = block->out;
    shape.relu = false;
    shape.sigmoid = true;
    return r2_graph_conv(graph, gate, &shape);
}

r2_value r2_block_build(struct r2_graph *graph, r2_value x, r2_value shortcut,
                        const struct r2_block *block)
{
    const struct r2_conv reduce = {.out = block->width * block->scale,
                                   .kernel = 1,
                                   .stride = block->rules->strides_1x1 ? block->stride : 1,
                                   .relu = true};
    const struct r2_conv expand = {.out = block->out, .kernel = 1, .stride = 1};
    x = r2_block_conv(graph, x, block->name, "conv1", "bn1", reduce);
    x = build_slices(graph, x, block);
    x = r2_block_conv(graph, x, block->name, "conv3", "bn3", expand);
    if (block->se) return r2_graph_gate(graph, x, build_gate(graph, x, block), shortcut, true);
    return r2_graph_add(graph, x, shortcut, true);
}
