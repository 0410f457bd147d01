/*
 * Faster R-CNN on a feature pyramid (Ren et al., 2015; Lin et al., FPN, 2017), with the tensors and
 * the arithmetic of mmdetection 2 and 3.
 *
 * Taps -> pyramid -> proposals -> RoIAlign -> two fully connected layers -> classes and boxes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/candidates.h"
#include "heads/labels.h"
#include "heads/proposals.h"
#include "heads/roi_align.h"
#include "heads/taps.h"

enum { MAX_LEVELS = R2_STAGES + 3, MAX_ANCHORS = 64, ROI_BINS = 7 };

/* Regions of 112 pixels and more, a picture of ImageNet's size halved, leave the finest level. */
static const float finest_region = 56;

struct faster_rcnn {
    struct r2_head head;
    char *labels_path;
    struct r2_texts tap_names;
    int64_t extra_levels, fpn_channels, rpn_channels, fc_channels;
    struct r2_floats scales, ratios;
    int64_t pre_nms, proposals, max;
    double rpn_nms, score_threshold, nms;

    struct r2_labels labels;
    uint32_t classes;
    uint32_t first_tap, tap_count, level_count, anchor_count;
    struct r2_box anchors[MAX_LEVELS][MAX_ANCHORS];
};

struct faster_rcnn_params {
    double min_score;
    int64_t max;
};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct faster_rcnn),
    {.name = "labels", R2_FIELD(TEXT, struct faster_rcnn, labels_path), .flags = R2_OPTION_OPTIONAL,
     .help = "text file, one class name a line"},
    {.name = "taps", R2_FIELD(TEXTS, struct faster_rcnn, tap_names), .min_count = 1,
     .max_count = R2_STAGES, .fallback = "c2,c3,c4,c5",
     .help = "stages of the trunk under the pyramid, consecutive"},
    {.name = "extra_levels", R2_FIELD(INT, struct faster_rcnn, extra_levels), .min = 0,
     .max = MAX_LEVELS - R2_STAGES, .fallback = "1",
     .help = "levels of the pyramid above the taps', each with half the cells"},
    {.name = "fpn_channels", R2_FIELD(INT, struct faster_rcnn, fpn_channels), .min = 1,
     .max = 4096, .fallback = "256", .help = "channels of the pyramid"},
    {.name = "rpn_channels", R2_FIELD(INT, struct faster_rcnn, rpn_channels), .min = 1,
     .max = 4096, .fallback = "256", .help = "channels inside the proposal network"},
    {.name = "fc_channels", R2_FIELD(INT, struct faster_rcnn, fc_channels), .min = 1,
     .max = 16384, .fallback = "1024", .help = "channels of the fully connected layers"},
    {.name = "anchor_scales", R2_FIELD(FLOATS, struct faster_rcnn, scales), .min = 0.01,
     .max = 1000, .min_count = 1, .max_count = 8, .fallback = "8",
     .help = "sizes of the anchors, in strides"},
    {.name = "anchor_ratios", R2_FIELD(FLOATS, struct faster_rcnn, ratios), .min = 0.01,
     .max = 100, .min_count = 1, .max_count = 8, .fallback = "0.5,1,2",
     .help = "height / width of the anchors"},
    {.name = "pre_nms", R2_FIELD(INT, struct faster_rcnn, pre_nms), .min = 1, .max = 100000,
     .fallback = "1000", .help = "anchors of a level that may become proposals"},
    {.name = "proposals", R2_FIELD(INT, struct faster_rcnn, proposals), .min = 1, .max = 10000,
     .fallback = "1000", .help = "regions that are looked at"},
    {.name = "rpn_nms", R2_FIELD(FLOAT, struct faster_rcnn, rpn_nms), .min = 0, .max = 1,
     .fallback = "0.7", .help = "overlap (IoU) above which one of two proposals goes"},
    {.name = "score_threshold", R2_FIELD(FLOAT, struct faster_rcnn, score_threshold), .min = 0,
     .max = 1, .fallback = "0.05", .help = "detections score more than this"},
    {.name = "nms", R2_FIELD(FLOAT, struct faster_rcnn, nms), .min = 0, .max = 1,
     .fallback = "0.5", .help = "overlap (IoU) above which one of two boxes of a class goes"},
    {.name = "max", R2_FIELD(INT, struct faster_rcnn, max), .min = 1, .max = 10000,
     .fallback = "100", .help = "detections in an answer"},
};

static const struct r2_option params[] = {
    {.name = "min_score", R2_FIELD(FLOAT, struct faster_rcnn_params, min_score), .min = 0,
     .max = 1, .fallback = "0.05", .help = "detections score more than this"},
    {.name = "max", R2_FIELD(INT, struct faster_rcnn_params, max), .min = 1, .max = 10000,
     .fallback = "100", .help = "detections in the answer"},
};
/* clang-format on */

static const struct r2_input_spec input = {
    .mode = R2_RESIZE_FIT,
    .size = {800, 1333},
    .filter = R2_FILTER_BILINEAR,
    .like = R2_LIKE_OPENCV, /* mmdetection's, which trained the published weights */
    .pad_multiple = 32,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
};

/* --- load --- */

/* Pixels between two cells of a level. */
static uint32_t stride_of(const struct faster_rcnn *rcnn, uint32_t level)
{
    return r2_tap_stride(rcnn->first_tap + level);
}

static void make_anchors(struct faster_rcnn *rcnn)
{
    float scales[R2_LIST_MAX], ratios[R2_LIST_MAX];
    for (size_t i = 0; i < rcnn->scales.count; i++) scales[i] = (float)rcnn->scales.items[i];
    for (size_t i = 0; i < rcnn->ratios.count; i++) ratios[i] = (float)rcnn->ratios.items[i];
    rcnn->anchor_count = (uint32_t)(rcnn->scales.count * rcnn->ratios.count);
    for (uint32_t i = 0; i < rcnn->level_count; i++)
        r2_anchors_base(stride_of(rcnn, i), ratios, rcnn->ratios.count, scales, rcnn->scales.count,
                        rcnn->anchors[i]);
}

static enum r2_status faster_rcnn_init(void *self, const struct r2_head_setup *setup,
                                       struct r2_error *err)
{
    struct faster_rcnn *rcnn = self;
    const struct r2_tensor_entry *weight = NULL;
    R2_TRY(r2_taps_find(setup->arch, &rcnn->tap_names, &rcnn->first_tap, &rcnn->tap_count, err));
    rcnn->level_count = rcnn->tap_count + (uint32_t)rcnn->extra_levels;
    make_anchors(rcnn);
    R2_TRY(r2_head_find_rows(setup, "roi_head.bbox_head.fc_cls.weight", &weight, err));
    if (weight->dims[0] < 2)
        return r2_fail(err, R2_INVALID, "the weights have a background and no class beside it");
    rcnn->classes = (uint32_t)weight->dims[0] - 1;
    return r2_head_read_labels(setup, rcnn->labels_path, rcnn->classes, &rcnn->labels, err);
}

static void faster_rcnn_finish(void *self)
{
    struct faster_rcnn *rcnn = self;
    r2_labels_finish(&rcnn->labels);
}

static void faster_rcnn_default_params(const void *self, void *data)
{
    const struct faster_rcnn *rcnn = self;
    struct faster_rcnn_params *request = data;
    request->min_score = rcnn->score_threshold;
    request->max = rcnn->max;
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
static void build_pyramid(const struct faster_rcnn *rcnn, struct r2_graph *graph,
                          const struct r2_taps *taps, r2_value *ret)
{
    r2_value coarser = 0;
    for (uint32_t i = rcnn->tap_count; i-- > 0;) {
        char lateral[48], smooth[48];
        snprintf(lateral, sizeof lateral, "neck.lateral_convs.%u.conv", i);
        snprintf(smooth, sizeof smooth, "neck.fpn_convs.%u.conv", i);
        r2_value sum =
            conv(graph, taps->stage[rcnn->first_tap + i], lateral, rcnn->fpn_channels, 1, false);
        if (coarser)
            sum = r2_graph_add(graph, sum, r2_graph_resize(graph, coarser, sum, R2_SAMPLE_NEAREST),
                               false);
        coarser = sum;
        ret[i] = conv(graph, sum, smooth, rcnn->fpn_channels, 3, false);
    }
    for (uint32_t i = rcnn->tap_count; i < rcnn->level_count; i++)
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

static void faster_rcnn_build(const void *self, struct r2_graph *graph, const struct r2_taps *taps,
                              const char *prefix)
{
    const struct faster_rcnn *rcnn = self;
    r2_value levels[MAX_LEVELS];
    build_pyramid(rcnn, graph, taps, levels);
    for (uint32_t i = 0; i < rcnn->level_count; i++) {
        r2_value x = conv(graph, levels[i], "rpn_head.rpn_conv", rcnn->rpn_channels, 3, true);
        if (i < rcnn->tap_count) add_output(graph, prefix, "map", i, levels[i]);
        add_output(graph, prefix, "logits", i,
                   conv(graph, x, "rpn_head.rpn_cls", rcnn->anchor_count, 1, false));
        add_output(graph, prefix, "deltas", i,
                   conv(graph, x, "rpn_head.rpn_reg", 4 * (int64_t)rcnn->anchor_count, 1, false));
    }
}

static struct r2_extent window(const void *self)
{
    (void)self;
    return (struct r2_extent){ROI_BINS, ROI_BINS};
}

static void build_box_head(const void *self, struct r2_graph *graph)
{
    const struct faster_rcnn *rcnn = self;
    const uint32_t wide = (uint32_t)rcnn->fc_channels;
    r2_value x = r2_graph_input(graph, (uint32_t)rcnn->fpn_channels);
    x = r2_graph_linear(graph, x,
                        &(struct r2_linear){.name = "roi_head.bbox_head.shared_fcs.0",
                                            .out = wide,
                                            .window = {ROI_BINS, ROI_BINS},
                                            .relu = true});
    x = r2_graph_linear(
        graph, x,
        &(struct r2_linear){.name = "roi_head.bbox_head.shared_fcs.1", .out = wide, .relu = true});
    r2_value classes = r2_graph_linear(
        graph, x,
        &(struct r2_linear){.name = "roi_head.bbox_head.fc_cls", .out = rcnn->classes + 1});
    r2_value deltas = r2_graph_linear(
        graph, x,
        &(struct r2_linear){.name = "roi_head.bbox_head.fc_reg", .out = 4 * rcnn->classes});
    r2_graph_output(graph, classes, "classes");
    r2_graph_output(graph, deltas, "deltas");
}

/* --- one picture --- */

struct state {
    struct r2_proposals proposals; /* its regions */
    struct r2_candidates candidates;
    struct r2_output_view maps[R2_STAGES];
    float *work; /* of r2_roi_align, enough for each map */
};

static void finish_state(void *data)
{
    struct state *state = data;
    if (!state) return;
    r2_proposals_finish(&state->proposals);
    r2_candidates_finish(&state->candidates);
    free(state->work);
    free(state);
}

/* Where the picture ends in the network's input, before padding. */
static float picture_end(double scale, uint32_t picture, double offset, uint32_t network)
{
    return (float)fmin(round(scale * picture + offset), network);
}

static float picture_right(const struct r2_geometry *geometry)
{
    return picture_end(geometry->scale_x, geometry->picture_width, geometry->offset_x,
                       geometry->network_width);
}

static float picture_bottom(const struct r2_geometry *geometry)
{
    return picture_end(geometry->scale_y, geometry->picture_height, geometry->offset_y,
                       geometry->network_height);
}

static enum r2_status find_output(const struct r2_head_run *run, const char *what, uint32_t level,
                                  struct r2_output_view *ret, struct r2_error *err)
{
    char name[32];
    snprintf(name, sizeof name, "%s%u", what, level);
    return r2_head_output(&run->outputs, name, ret, err);
}

static enum r2_status find_maps(const struct faster_rcnn *rcnn, const struct r2_head_run *run,
                                struct state *state, struct r2_error *err)
{
    size_t most = 0;
    for (uint32_t i = 0; i < rcnn->tap_count; i++) {
        R2_TRY(find_output(run, "map", i, &state->maps[i], err));
        const size_t work = r2_roi_align_work(&state->maps[i], ROI_BINS);
        if (work > most) most = work;
    }
    return r2_alloc(most, sizeof *state->work, "memory of RoIAlign", &state->work, err);
}

static enum r2_status propose(const struct faster_rcnn *rcnn, const struct r2_head_run *run,
                              struct state *state, struct r2_error *err)
{
    const struct r2_proposal_rule rule = {.per_level = (size_t)rcnn->pre_nms,
                                          .most = (size_t)rcnn->proposals,
                                          .nms = (float)rcnn->rpn_nms,
                                          .width = picture_right(run->geometry),
                                          .height = picture_bottom(run->geometry)};
    struct r2_proposal_level levels[MAX_LEVELS] = {0};
    for (uint32_t i = 0; i < rcnn->level_count; i++) {
        R2_TRY(find_output(run, "logits", i, &levels[i].logits, err));
        R2_TRY(find_output(run, "deltas", i, &levels[i].deltas, err));
        levels[i].anchors = (struct r2_anchor_level){rcnn->anchors[i], rcnn->anchor_count,
                                                     levels[i].logits.width, stride_of(rcnn, i)};
    }
    return r2_proposals_find(&rule, levels, rcnn->level_count, &state->proposals, err);
}

static enum r2_status gather(const void *self, const struct r2_head_run *run, void **ret_state,
                             size_t *ret_count, struct r2_error *err)
{
    struct state *state;
    R2_TRY(r2_alloc(1, sizeof *state, "state of a detector", &state, err));
    if (find_maps(self, run, state, err) != R2_OK || propose(self, run, state, err) != R2_OK) {
        finish_state(state);
        return err->status;
    }
    *ret_state = state;
    *ret_count = state->proposals.count;
    return R2_OK;
}

static enum r2_status fill(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, float *dst, struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    const struct state *state = run->state;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        const struct r2_box box = state->proposals.boxes[first + i];
        const uint32_t level = r2_roi_level(box, finest_region, rcnn->tap_count);
        r2_roi_align(&state->maps[level], 1 / (float)stride_of(rcnn, level), box, ROI_BINS,
                     state->work, dst);
        dst += (size_t)ROI_BINS * ROI_BINS * (size_t)rcnn->fpn_channels;
    }
    return R2_OK;
}

static enum r2_status take(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, const struct r2_head_outputs *outputs,
                           struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    const struct faster_rcnn_params *request = run->params;
    const struct r2_candidate_rule rule = {.classes = rcnn->classes,
                                           .min_score = (float)request->min_score,
                                           .width = picture_right(run->geometry),
                                           .height = picture_bottom(run->geometry),
                                           .geometry = run->geometry};
    struct state *state = run->state;
    struct r2_output_view classes = {0}, deltas = {0};
    R2_TRY(r2_head_output(outputs, "classes", &classes, err));
    R2_TRY(r2_head_output(outputs, "deltas", &deltas, err));
    for (size_t i = 0; i < count; i++)
        R2_TRY(r2_candidates_add(&rule, state->proposals.boxes[first + i],
                                 classes.data + i * classes.pitch, deltas.data + i * deltas.pitch,
                                 &state->candidates, err));
    return R2_OK;
}

static enum r2_status faster_rcnn_decode(const void *self, const struct r2_head_run *run,
                                         struct r2_result *ret, struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    const struct faster_rcnn_params *request = run->params;
    const struct state *state = run->state;
    return r2_candidates_decide(&state->candidates, (float)rcnn->nms, (size_t)request->max,
                                rcnn->labels.count ? &rcnn->labels : NULL, ret, err);
}

static bool faster_rcnn_is_drawn(const void *request)
{
    (void)request;
    return true;
}

static enum r2_status faster_rcnn_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    return r2_head_describe_labels(&rcnn->labels, rcnn->classes, object, err);
}

static const struct r2_head_regions regions = {
    .window = window,
    .build = build_box_head,
    .gather = gather,
    .fill = fill,
    .take = take,
    .finish = finish_state,
};

extern const struct r2_head_type r2_faster_rcnn_head;
const struct r2_head_type r2_faster_rcnn_head = {
    .name = "faster_rcnn",
    .help = "objects with their boxes",
    .size = sizeof(struct faster_rcnn),
    .options = R2_OPTION_TABLE(options, "key"),
    .params_size = sizeof(struct faster_rcnn_params),
    .params = R2_OPTION_TABLE(params, "parameter"),
    .input = &input,
    .init = faster_rcnn_init,
    .finish = faster_rcnn_finish,
    .default_params = faster_rcnn_default_params,
    .gives = &r2_detections_kind,
    .build = faster_rcnn_build,
    .regions = &regions,
    .is_drawn = faster_rcnn_is_drawn,
    .decode = faster_rcnn_decode,
    .describe = faster_rcnn_describe,
};
