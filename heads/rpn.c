#include "heads/rpn.h"

#include <stdio.h>

#include "heads/taps.h"

uint32_t r2_rpn_stride(const struct r2_rpn *rpn, uint32_t level)
{
    return r2_tap_stride(rpn->first_tap + level);
}

static void make_anchors(struct r2_rpn *rpn)
{
    float scales[R2_LIST_MAX], ratios[R2_LIST_MAX];
    for (size_t i = 0; i < rpn->scales.count; i++) scales[i] = (float)rpn->scales.items[i];
    for (size_t i = 0; i < rpn->ratios.count; i++) ratios[i] = (float)rpn->ratios.items[i];
    rpn->anchor_count = (uint32_t)(rpn->scales.count * rpn->ratios.count);
    for (uint32_t i = 0; i < rpn->level_count; i++)
        r2_anchors_base(r2_rpn_stride(rpn, i), ratios, rpn->ratios.count, scales, rpn->scales.count,
                        rpn->anchors[i]);
}

enum r2_status r2_rpn_init(struct r2_rpn *rpn, const struct r2_arch *arch, struct r2_error *err)
{
    R2_TRY(r2_taps_find(arch, &rpn->tap_names, &rpn->first_tap, &rpn->tap_count, err));
    rpn->level_count = rpn->tap_count + (uint32_t)rpn->extra_levels;
    make_anchors(rpn);
    return R2_OK;
}

/* --- the networks --- */

static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, int64_t out,
                     uint32_t kernel, bool relu)
{
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name,
                                           .out = (uint32_t)out,
                                           .kernel = kernel,
                                           .stride = 1,
                                           .pad = kernel / 2,
                                           .relu = relu});
}

/* The levels, finest first: maps of the taps, summed from the coarsest down, then smoothed; the
   extra ones are every second cell of the one below. */
static void build_pyramid(const struct r2_rpn *rpn, struct r2_graph *graph,
                          const struct r2_taps *taps, r2_value *ret)
{
    r2_value coarser = 0;
    for (uint32_t i = rpn->tap_count; i-- > 0;) {
        char lateral[48], smooth[48];
        snprintf(lateral, sizeof lateral, "neck.lateral_convs.%u.conv", i);
        snprintf(smooth, sizeof smooth, "neck.fpn_convs.%u.conv", i);
        r2_value sum =
            conv(graph, taps->stage[rpn->first_tap + i], lateral, rpn->channels, 1, false);
        if (coarser)
            sum = r2_graph_add(graph, sum, r2_graph_resize(graph, coarser, sum, R2_SAMPLE_NEAREST),
                               false);
        coarser = sum;
        ret[i] = conv(graph, sum, smooth, rpn->channels, 3, false);
    }
    for (uint32_t i = rpn->tap_count; i < rpn->level_count; i++)
        ret[i] = r2_graph_pool(graph, ret[i - 1],
                               &(struct r2_pool){.kind = R2_POOL_MAX, .kernel = 1, .stride = 2});
}

static void add_output(struct r2_graph *graph, const char *prefix, const char *what, uint32_t level,
                       r2_value value)
{
    char name[32];
    snprintf(name, sizeof name, "%s%u", what, level);
    r2_head_add_output(graph, prefix, name, value);
}

void r2_rpn_build(const struct r2_rpn *rpn, struct r2_graph *graph, const struct r2_taps *taps,
                  const char *prefix)
{
    r2_value levels[R2_RPN_MAX_LEVELS];
    build_pyramid(rpn, graph, taps, levels);
    for (uint32_t i = 0; i < rpn->level_count; i++) {
        r2_value x = conv(graph, levels[i], "rpn_head.rpn_conv", rpn->inner_channels, 3, true);
        if (i < rpn->tap_count) add_output(graph, prefix, "map", i, levels[i]);
        add_output(graph, prefix, "logits", i,
                   conv(graph, x, "rpn_head.rpn_cls", rpn->anchor_count, 1, false));
        add_output(graph, prefix, "deltas", i,
                   conv(graph, x, "rpn_head.rpn_reg", 4 * (int64_t)rpn->anchor_count, 1, false));
    }
}

/* --- what they say --- */

static enum r2_status find_output(const struct r2_head_outputs *outputs, const char *what,
                                  uint32_t level, struct r2_output_view *ret, struct r2_error *err)
{
    char name[32];
    snprintf(name, sizeof name, "%s%u", what, level);
    return r2_head_output(outputs, name, ret, err);
}

enum r2_status r2_rpn_map(const struct r2_head_outputs *outputs, uint32_t level,
                          struct r2_output_view *ret, struct r2_error *err)
{
    return find_output(outputs, "map", level, ret, err);
}

enum r2_status r2_rpn_propose(const struct r2_rpn *rpn, const struct r2_head_outputs *outputs,
                              float width, float height, struct r2_proposals *ret,
                              struct r2_error *err)
{
    const struct r2_proposal_rule rule = {.per_level = (size_t)rpn->pre_nms,
                                          .most = (size_t)rpn->proposals,
                                          .nms = (float)rpn->nms,
                                          .width = width,
                                          .height = height};
    struct r2_proposal_level levels[R2_RPN_MAX_LEVELS] = {0};
    for (uint32_t i = 0; i < rpn->level_count; i++) {
        R2_TRY(find_output(outputs, "logits", i, &levels[i].logits, err));
        R2_TRY(find_output(outputs, "deltas", i, &levels[i].deltas, err));
        levels[i].anchors = (struct r2_anchor_level){rpn->anchors[i], rpn->anchor_count,
                                                     levels[i].logits.width, r2_rpn_stride(rpn, i)};
    }
    return r2_proposals_find(&rule, levels, rpn->level_count, ret, err);
}
