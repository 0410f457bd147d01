#include "backbone/res2net.h"

#include <stdio.h>

static r2_value conv_norm(struct r2_graph *graph, r2_value x, const char *conv, const char *norm,
                          struct r2_conv shape)
{
    shape.name = conv;
    shape.norm = norm;
    return r2_graph_conv(graph, x, &shape);
}

static r2_value build_stem(struct r2_graph *graph, const struct r2_arch *arch, r2_value x)
{
    const uint32_t out = arch->stem_channels, half = out / 2;
    const struct r2_conv wide = {.out = out, .kernel = 7, .stride = 2, .pad = 3, .relu = true};
    struct r2_conv deep = {.out = half, .kernel = 3, .stride = 2, .pad = 1, .relu = true};
    if (arch->stem == R2_STEM_7X7) return conv_norm(graph, x, "conv1", "bn1", wide);
    x = conv_norm(graph, x, "conv1.0", "conv1.1", deep);
    deep.stride = 1;
    x = conv_norm(graph, x, "conv1.3", "conv1.4", deep);
    deep.out = out;
    return conv_norm(graph, x, "conv1.6", "bn1", deep);
}

struct block {
    char name[32];  /* "layer1.0" */
    uint32_t out;   /* channels */
    uint32_t width; /* channels of a slice */
    uint32_t scale, groups, stride, dilation;
    bool first;   /* of its stage */
    bool dilates; /* its stage, instead of shrinking */
    enum r2_downsample downsample;
    enum r2_dialect dialect;
};

static r2_value block_conv(struct r2_graph *graph, r2_value x, const struct block *block,
                           const char *conv, const char *norm, struct r2_conv shape)
{
    char conv_name[R2_GRAPH_NAME_SIZE], norm_name[R2_GRAPH_NAME_SIZE];
    snprintf(conv_name, sizeof conv_name, "%s.%s", block->name, conv);
    snprintf(norm_name, sizeof norm_name, "%s.%s", block->name, norm);
    return conv_norm(graph, x, conv_name, norm_name, shape);
}

static r2_value build_shortcut(struct r2_graph *graph, r2_value x, const struct block *block)
{
    struct r2_conv shape = {.out = block->out, .kernel = 1, .stride = block->stride};
    if (!block->first || (block->stride == 1 && r2_graph_channels(graph, x) == block->out))
        return x;
    if (block->downsample == R2_DOWNSAMPLE_CONV)
        return block_conv(graph, x, block, "downsample.0", "downsample.1", shape);
    const struct r2_pool shrink = {.kind = R2_POOL_AVG_EXCLUDE,
                                   .kernel = block->stride,
                                   .stride = block->stride,
                                   .ceil = true};
    const struct r2_pool keep = {.kind = R2_POOL_AVG, .kernel = 2, .stride = 1, .pad_end = 1};
    if (block->stride > 1)
        x = r2_graph_pool(graph, x, &shrink);
    else if (block->dilates &&
             block->dialect == R2_DIALECT_OFFICIAL) /* timm; mmdetection does not */
        x = r2_graph_pool(graph, x, &keep);
    shape.stride = 1;
    return block_conv(graph, x, block, "downsample.1", "downsample.2", shape);
}

/* The last slice has no convolution; the first block of a stage pools it, so that it keeps in step
   with the strides of the others. */
static r2_value build_last_slice(struct r2_graph *graph, r2_value slice, const struct block *block)
{
    if (!block->first) return slice;
    if (block->dialect == R2_DIALECT_MMDET && block->stride == 1) return slice;
    return r2_graph_pool(
        graph, slice,
        &(struct r2_pool){.kind = R2_POOL_AVG, .kernel = 3, .stride = block->stride, .pad = 1});
}

static r2_value build_block(struct r2_graph *graph, r2_value x, const struct block *block)
{
    const uint32_t width = block->width, last = block->scale - 1;
    const struct r2_conv reduce = {
        .out = width * block->scale, .kernel = 1, .stride = 1, .relu = true};
    const struct r2_conv branch = {.out = width,
                                   .kernel = 3,
                                   .stride = block->stride,
                                   .pad = block->dilation,
                                   .dilation = block->dilation,
                                   .groups = block->groups,
                                   .relu = true};
    const struct r2_conv expand = {.out = block->out, .kernel = 1, .stride = 1};
    r2_value slices[R2_GRAPH_MAX_INPUTS] = {0}, y = 0;
    char conv[24], norm[24];

    r2_value shortcut = build_shortcut(graph, x, block);
    x = block_conv(graph, x, block, "conv1", "bn1", reduce);
    for (uint32_t i = 0; i < last; i++) {
        r2_value slice = r2_graph_slice(graph, x, i * width, width);
        /* the hierarchy: each slice also sees what the one before it became */
        if (i > 0 && !block->first) slice = r2_graph_add(graph, slice, y, false);
        snprintf(conv, sizeof conv, "convs.%u", i);
        snprintf(norm, sizeof norm, "bns.%u", i);
        slices[i] = y = block_conv(graph, slice, block, conv, norm, branch);
    }
    slices[last] = build_last_slice(graph, r2_graph_slice(graph, x, last * width, width), block);
    x = r2_graph_concat(graph, slices, block->scale);
    x = block_conv(graph, x, block, "conv3", "bn3", expand);
    return r2_graph_add(graph, x, shortcut, true);
}

void r2_res2net_build(struct r2_graph *graph, const struct r2_arch *arch, enum r2_dialect dialect,
                      struct r2_taps *ret)
{
    r2_value x = build_stem(graph, arch, r2_graph_input(graph, 3));
    ret->stem = x;
    const struct r2_pool halve = {
        .kind = R2_POOL_MAX, .kernel = 3, .stride = 2, .pad = 1, .ceil = arch->ceil_pool};
    x = r2_graph_pool(graph, x, &halve);
    const uint32_t limit = arch->output_stride ? arch->output_stride : 32;
    uint32_t reached = 4, dilation = 1; /* strides taken so far, and not taken */
    for (unsigned stage = 0; stage < R2_STAGES; stage++) {
        const bool shrinks = stage > 0 && reached < limit;
        const uint32_t before = dilation;
        if (shrinks)
            reached *= 2;
        else if (stage > 0)
            dilation *= 2;
        for (uint32_t i = 0; i < arch->layers[stage]; i++) {
            const bool half = i == 0 && arch->first_dilation == R2_FIRST_HALF;
            struct block block = {
                .out = arch->planes[stage] * R2_EXPANSION,
                .width = r2_arch_width(arch, stage),
                .scale = arch->scale,
                .groups = arch->groups,
                .stride = i == 0 && shrinks ? 2 : 1,
                .dilation = half ? before : dilation,
                .dilates = dilation > 1,
                .first = i == 0,
                .downsample = arch->downsample,
                .dialect = dialect,
            };
            snprintf(block.name, sizeof block.name, "layer%u.%u", stage + 1, i);
            x = build_block(graph, x, &block);
        }
        ret->stage[stage] = x;
    }
    ret->pooled = r2_graph_global_pool(graph, x);
}
