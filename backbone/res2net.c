#include "backbone/res2net.h"

#include <stdio.h>

#include "backbone/block.h"
#include "backbone/dla.h"

const char *const r2_tap_names[R2_STAGES] = {"c2", "c3", "c4", "c5"};

static r2_value stem_conv(struct r2_graph *graph, r2_value x, const char *conv, const char *norm,
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
    const struct r2_conv small = {.out = out, .kernel = 3, .stride = 1, .pad = 1, .relu = true};
    struct r2_conv deep = {.out = half, .kernel = 3, .stride = 2, .pad = 1, .relu = true};
    if (arch->stem == R2_STEM_7X7) return stem_conv(graph, x, "conv1", "bn1", wide);
    if (arch->stem == R2_STEM_3X3) return stem_conv(graph, x, "conv1", "bn1", small);
    x = stem_conv(graph, x, "conv1.0", "conv1.1", deep);
    deep.stride = 1;
    x = stem_conv(graph, x, "conv1.3", "conv1.4", deep);
    deep.out = out;
    return stem_conv(graph, x, "conv1.6", "bn1", deep);
}

/* dilates: the block's stage does, instead of shrinking. */
static r2_value build_shortcut(struct r2_graph *graph, r2_value x, const struct r2_block *block,
                               enum r2_downsample downsample, bool dilates)
{
    struct r2_conv shape = {.out = block->out, .kernel = 1, .stride = block->stride};
    if (!block->first || (block->stride == 1 && r2_graph_channels(graph, x) == block->out))
        return x;
    if (downsample == R2_DOWNSAMPLE_CONV)
        return r2_block_conv(graph, x, block->name, "downsample.0", "downsample.1", shape);
    const struct r2_pool shrink = {.kind = R2_POOL_AVG_EXCLUDE,
                                   .kernel = block->stride,
                                   .stride = block->stride,
                                   .ceil = true};
    const struct r2_pool keep = {.kind = R2_POOL_AVG, .kernel = 2, .stride = 1, .pad_end = 1};
    if (block->stride > 1)
        x = r2_graph_pool(graph, x, &shrink);
    else if (dilates && block->rules->pools_dilated)
        x = r2_graph_pool(graph, x, &keep);
    shape.stride = 1;
    return r2_block_conv(graph, x, block->name, "downsample.1", "downsample.2", shape);
}

/* The stages: those after the first halve the map until the output stride is reached, and dilate from
   there on. */
static void build_stages(struct r2_graph *graph, const struct r2_arch *arch,
                         enum r2_dialect dialect, r2_value x, struct r2_taps *ret)
{
    const uint32_t limit = arch->output_stride ? arch->output_stride : 32;
    uint32_t reached = 4, dilation = 1; /* strides taken so far, and not taken */
    for (unsigned stage = 0; stage < r2_arch_stages(arch); stage++) {
        const bool shrinks = stage > 0 && reached < limit;
        const uint32_t before = dilation;
        if (shrinks)
            reached *= 2;
        else if (stage > 0)
            dilation *= 2;
        for (uint32_t i = 0; i < arch->layers[stage]; i++) {
            char name[R2_GRAPH_NAME_SIZE];
            const bool half = i == 0 && arch->first_dilation == R2_FIRST_HALF;
            const struct r2_block block = {
                .name = name,
                .out = arch->planes[stage] * R2_EXPANSION,
                .width = r2_arch_width(arch, stage),
                .scale = arch->scale,
                .groups = arch->groups,
                .stride = i == 0 && shrinks ? 2 : 1,
                .dilation = half ? before : dilation,
                .first = i == 0,
                .se = arch->se,
                .rules = r2_dialect_rules(dialect),
            };
            snprintf(name, sizeof name, "layer%u.%u", stage + 1, i);
            const r2_value shortcut =
                build_shortcut(graph, x, &block, arch->downsample, dilation > 1);
            x = r2_block_build(graph, x, shortcut, &block);
            r2_graph_trace(graph, x, name);
        }
        ret->stage[stage] = x;
    }
}

void r2_res2net_build(struct r2_graph *graph, const struct r2_arch *arch, enum r2_dialect dialect,
                      struct r2_taps *ret)
{
    const struct r2_pool halve = {
        .kind = R2_POOL_MAX, .kernel = 3, .stride = 2, .pad = 1, .ceil = arch->ceil_pool};
    r2_value x = r2_graph_input(graph, 3);
    *ret = (struct r2_taps){0};
    r2_graph_trace(graph, x, "input");
    if (arch->dla) {
        r2_dla_build(graph, arch, x, ret);
    } else {
        ret->stem = x = build_stem(graph, arch, x);
        r2_graph_trace(graph, x, "stem");
        if (arch->stem != R2_STEM_3X3) x = r2_graph_pool(graph, x, &halve);
        build_stages(graph, arch, dialect, x, ret);
    }
    ret->last = ret->stage[r2_arch_stages(arch) - 1];
    ret->pooled = r2_graph_global_pool(graph, ret->last);
    for (unsigned i = 0; i < r2_arch_stages(arch); i++)
        r2_graph_trace(graph, ret->stage[i], r2_tap_names[i]);
    r2_graph_trace(graph, ret->pooled, "pooled");
}
