/*
 * Faster R-CNN on a feature pyramid (Ren et al., 2015; Lin et al., FPN, 2017), with the tensors and
 * the arithmetic of mmdetection 2 and 3; with Mask R-CNN (He et al., 2017) and Cascade R-CNN (Cai and
 * Vasconcelos, 2018), apart or together, where the weights have their tensors.
 *
 * Taps -> pyramid -> proposals -> RoIAlign -> two fully connected layers -> classes and boxes
 *                                 (a cascade: from RoIAlign on three times, each on the last boxes)
 *                    detections -> RoIAlign -> mask head -> cells of masks
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/candidates.h"
#include "heads/labels.h"
#include "heads/mask_head.h"
#include "heads/roi_align.h"
#include "heads/rpn.h"

enum { ROI_BINS = 7 };

/* Regions of 112 pixels and more, a picture of ImageNet's size halved, leave the finest level. */
static const float finest_region = 56;

struct faster_rcnn {
    struct r2_head head;
    char *labels_path;
    struct r2_rpn rpn;
    int64_t fc_channels, mask_channels, mask_convs, max;
    double objectness, score_threshold, nms, voting;

    struct r2_labels labels;
    uint32_t classes;
    bool cascade, masks; /* what the weights have */
};

struct faster_rcnn_params {
    double min_score;
    int64_t max;
    enum r2_mask_format masks;
};

static const char *const mask_formats[] = {"rle", "polygons", "none", NULL};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct faster_rcnn),
    {.name = "labels", R2_FIELD(TEXT, struct faster_rcnn, labels_path), .flags = R2_OPTION_OPTIONAL,
     .help = "text file, one class name a line"},
    {.name = "taps", R2_FIELD(TEXTS, struct faster_rcnn, rpn.tap_names), .min_count = 1,
     .max_count = R2_STAGES, .fallback = "c2,c3,c4,c5", .help = "consecutive stages of the trunk"},
    {.name = "extra_levels", R2_FIELD(INT, struct faster_rcnn, rpn.extra_levels), .min = 0,
     .max = R2_RPN_MAX_LEVELS - R2_STAGES, .fallback = "1", .help = "coarser levels above the taps'"},
    {.name = "fpn_channels", R2_FIELD(INT, struct faster_rcnn, rpn.channels), .min = 1,
     .max = 4096, .fallback = "256", .help = "channels of the pyramid"},
    {.name = "rpn_channels", R2_FIELD(INT, struct faster_rcnn, rpn.inner_channels), .min = 1,
     .max = 4096, .fallback = "256", .help = "channels inside the proposal network"},
    {.name = "fc_channels", R2_FIELD(INT, struct faster_rcnn, fc_channels), .min = 1,
     .max = 16384, .fallback = "1024", .help = "channels of the fully connected layers"},
    {.name = "mask_channels", R2_FIELD(INT, struct faster_rcnn, mask_channels), .min = 1,
     .max = 4096, .fallback = "256", .help = "channels of the mask head"},
    {.name = "mask_convs", R2_FIELD(INT, struct faster_rcnn, mask_convs), .min = 0, .max = 16,
     .fallback = "4", .help = "3x3 convolutions of the mask head"},
    {.name = "anchor_scales", R2_FIELD(FLOATS, struct faster_rcnn, rpn.scales), .min = 0.01,
     .max = 1000, .min_count = 1, .max_count = 8, .fallback = "8", .help = "their sizes, in strides"},
    {.name = "anchor_ratios", R2_FIELD(FLOATS, struct faster_rcnn, rpn.ratios), .min = 0.01,
     .max = 100, .min_count = 1, .max_count = 8, .fallback = "0.5,1,2", .help = "their height / width"},
    {.name = "pre_nms", R2_FIELD(INT, struct faster_rcnn, rpn.pre_nms), .min = 1, .max = 100000,
     .fallback = "1000", .help = "anchors of a level that may become proposals"},
    {.name = "proposals", R2_FIELD(INT, struct faster_rcnn, rpn.proposals), .min = 1, .max = 10000,
     .fallback = "1000", .help = "regions that are looked at"},
    {.name = "rpn_nms", R2_FIELD(FLOAT, struct faster_rcnn, rpn.nms), .min = 0, .max = 1,
     .fallback = "0.7", .help = "overlap (IoU) above which one of two proposals goes"},
    {.name = "objectness", R2_FIELD(FLOAT, struct faster_rcnn, objectness), .min = 0, .max = 1,
     .fallback = "0", .help = "share of a proposal's own score in that of what is found there"},
    {.name = "score_threshold", R2_FIELD(FLOAT, struct faster_rcnn, score_threshold), .min = 0,
     .max = 1, .fallback = "0.05", .help = "detections score more than this"},
    {.name = "nms", R2_FIELD(FLOAT, struct faster_rcnn, nms), .min = 0, .max = 1,
     .fallback = "0.5", .help = "overlap (IoU) above which one of two boxes of a class goes"},
    {.name = "voting", R2_FIELD(FLOAT, struct faster_rcnn, voting), .min = 0, .max = 1,
     .fallback = "1", .help = "overlap (IoU) from which boxes are averaged; 1: none are"},
    {.name = "max", R2_FIELD(INT, struct faster_rcnn, max), .min = 1, .max = 10000,
     .fallback = "100", .help = "detections in an answer"},
};

static const struct r2_option params[] = {
    {.name = "min_score", R2_FIELD(FLOAT, struct faster_rcnn_params, min_score), .min = 0,
     .max = 1, .fallback = "0.05", .help = "detections score more than this"},
    {.name = "max", R2_FIELD(INT, struct faster_rcnn_params, max), .min = 1, .max = 10000,
     .fallback = "100", .help = "detections in the answer"},
    {.name = "masks", R2_FIELD(CHOICE, struct faster_rcnn_params, masks), .choices = mask_formats,
     .fallback = "rle", .help = "how masks are given; where there are none, 'none'"},
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

/* "roi_head.WHAT.LAYER"; in a cascade "roi_head.WHAT.STAGE.LAYER". */
static const char *roi_name(const struct faster_rcnn *rcnn, const char *what, uint32_t stage,
                            const char *layer, char ret[R2_GRAPH_NAME_SIZE])
{
    char number[16] = "";
    if (rcnn->cascade) snprintf(number, sizeof number, ".%u", stage);
    snprintf(ret, R2_GRAPH_NAME_SIZE, "roi_head.%s%s%s", what, number, layer);
    return ret;
}

static enum r2_status faster_rcnn_init(void *self, const struct r2_head_setup *setup,
                                       struct r2_error *err)
{
    struct faster_rcnn *rcnn = self;
    const struct r2_tensor_entry *weight = NULL;
    char name[R2_GRAPH_NAME_SIZE];
    R2_TRY(r2_rpn_init(&rcnn->rpn, setup->arch, err));
    R2_TRY(r2_head_has_tensor(setup, "roi_head.bbox_head.0.fc_cls.weight", &rcnn->cascade, err));
    roi_name(rcnn, "mask_head", 0, ".conv_logits.weight", name);
    R2_TRY(r2_head_has_tensor(setup, name, &rcnn->masks, err));
    roi_name(rcnn, "bbox_head", 0, ".fc_cls.weight", name);
    R2_TRY(r2_head_find_rows(setup, name, &weight, err));
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
    request->masks = rcnn->masks ? R2_MASK_RLE : R2_MASK_NONE;
}

/* --- the networks --- */

static void faster_rcnn_build(const void *self, struct r2_graph *graph, const struct r2_taps *taps,
                              const char *prefix)
{
    const struct faster_rcnn *rcnn = self;
    r2_rpn_build(&rcnn->rpn, graph, taps, prefix);
}

/* The box heads come first, then the mask heads, as many. */
static uint32_t box_stages(const struct faster_rcnn *rcnn)
{
    return rcnn->cascade ? R2_CASCADE_STAGES : 1;
}

static struct r2_extent box_window(const void *self)
{
    (void)self;
    return (struct r2_extent){ROI_BINS, ROI_BINS};
}

static void build_box_head(const void *self, uint32_t stage, struct r2_graph *graph)
{
    const struct faster_rcnn *rcnn = self;
    char name[R2_GRAPH_NAME_SIZE];
    struct r2_linear layer = {.name = name,
                              .out = (uint32_t)rcnn->fc_channels,
                              .window = {ROI_BINS, ROI_BINS},
                              .relu = true};
    r2_value x = r2_graph_input(graph, (uint32_t)rcnn->rpn.channels);
    roi_name(rcnn, "bbox_head", stage, ".shared_fcs.0", name);
    x = r2_graph_linear(graph, x, &layer);
    roi_name(rcnn, "bbox_head", stage, ".shared_fcs.1", name);
    layer.window = (struct r2_extent){1, 1};
    x = r2_graph_linear(graph, x, &layer);
    roi_name(rcnn, "bbox_head", stage, ".fc_cls", name);
    layer.relu = false;
    layer.out = rcnn->classes + 1;
    r2_graph_output(graph, r2_graph_linear(graph, x, &layer), "classes");
    roi_name(rcnn, "bbox_head", stage, ".fc_reg", name);
    layer.out = rcnn->cascade ? 4 : 4 * rcnn->classes;
    r2_graph_output(graph, r2_graph_linear(graph, x, &layer), "deltas");
}

static struct r2_extent mask_window(const void *self)
{
    (void)self;
    return (struct r2_extent){R2_MASK_HEAD_BINS, R2_MASK_HEAD_BINS};
}

static void build_mask_head(const void *self, uint32_t stage, struct r2_graph *graph)
{
    const struct faster_rcnn *rcnn = self;
    char name[R2_GRAPH_NAME_SIZE];
    const struct r2_mask_head head = {.in = (uint32_t)rcnn->rpn.channels,
                                      .channels = (uint32_t)rcnn->mask_channels,
                                      .convs = (uint32_t)rcnn->mask_convs,
                                      .classes = rcnn->classes};
    r2_mask_head_build(&head, roi_name(rcnn, "mask_head", stage - box_stages(rcnn), "", name),
                       graph);
}

/* --- one picture --- */

struct state {
    struct r2_proposals proposals;
    struct r2_box *regions; /* [proposals.count]: what the box heads look at next */
    float *logits;          /* [proposals.count, classes + 1]: sums over a cascade's stages */
    struct r2_candidates candidates;
    struct r2_result found; /* detections, once the box heads have run */
    float width, height;    /* of the picture in the network's input */
    struct r2_output_view maps[R2_STAGES];
    float *work; /* of r2_roi_align, enough for each map */
};

static void finish_state(void *data)
{
    struct state *state = data;
    if (!state) return;
    r2_proposals_finish(&state->proposals);
    free(state->regions);
    free(state->logits);
    r2_candidates_finish(&state->candidates);
    r2_result_finish(&state->found);
    free(state->work);
    free(state);
}

/* Where the picture ends in the network's input, before padding. */
static float picture_end(double scale, uint32_t picture, double offset, uint32_t network)
{
    return (float)fmin(round(scale * picture + offset), network);
}

static enum r2_status find_maps(const struct faster_rcnn *rcnn, const struct r2_head_run *run,
                                struct state *state, struct r2_error *err)
{
    size_t most = 0;
    for (uint32_t i = 0; i < rcnn->rpn.tap_count; i++) {
        R2_TRY(r2_rpn_map(&run->outputs, i, &state->maps[i], err));
        const size_t work =
            r2_roi_align_work(&state->maps[i], rcnn->masks ? R2_MASK_HEAD_BINS : ROI_BINS);
        if (work > most) most = work;
    }
    return r2_alloc(most, sizeof *state->work, "memory of RoIAlign", &state->work, err);
}

static enum r2_status start(const struct faster_rcnn *rcnn, const struct r2_head_run *run,
                            struct state *state, struct r2_error *err)
{
    const struct faster_rcnn_params *request = run->params;
    if (request->masks != R2_MASK_NONE && !rcnn->masks)
        return r2_fail(err, R2_INVALID, "parameter masks: the model's weights have no mask head");
    const struct r2_geometry *at = run->geometry;
    state->width = picture_end(at->scale_x, at->picture_width, at->offset_x, at->network_width);
    state->height = picture_end(at->scale_y, at->picture_height, at->offset_y, at->network_height);
    R2_TRY(find_maps(rcnn, run, state, err));
    R2_TRY(r2_rpn_propose(&rcnn->rpn, &run->outputs, state->width, state->height, &state->proposals,
                          err));
    const size_t count = state->proposals.count;
    R2_TRY(r2_alloc(count, sizeof *state->regions, "regions", &state->regions, err));
    if (count) memcpy(state->regions, state->proposals.boxes, count * sizeof *state->regions);
    if (!rcnn->cascade) return R2_OK;
    return r2_alloc(count, (rcnn->classes + 1) * sizeof *state->logits, "logits of regions",
                    &state->logits, err);
}

/* The same regions for each box head. */
static enum r2_status gather_boxes(const void *self, const struct r2_head_run *run,
                                   void **ret_state, size_t *ret_count, struct r2_error *err)
{
    struct state *state = run->state;
    if (!state) {
        R2_TRY(r2_alloc(1, sizeof *state, "state of a detector", &state, err));
        if (start(self, run, state, err) != R2_OK) {
            finish_state(state);
            return err->status;
        }
        *ret_state = state;
    }
    *ret_count = state->proposals.count;
    return R2_OK;
}

/* Features under a box of the network's input, to dst [bins, bins, channels]. */
static void pool(const struct faster_rcnn *rcnn, const struct state *state, struct r2_box box,
                 uint32_t bins, float *dst)
{
    const uint32_t level = r2_roi_level(box, finest_region, rcnn->rpn.tap_count);
    r2_roi_align(&state->maps[level], 1 / (float)r2_rpn_stride(&rcnn->rpn, level), box, bins,
                 state->work, dst);
}

static enum r2_status fill_boxes(const void *self, const struct r2_head_run *run, size_t first,
                                 size_t count, float *dst, struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    const struct state *state = run->state;
    (void)err;
    for (size_t i = first; i < first + count; i++) {
        pool(rcnn, state, state->regions[i], ROI_BINS, dst);
        dst += (size_t)ROI_BINS * ROI_BINS * (size_t)rcnn->rpn.channels;
    }
    return R2_OK;
}

/* The logits of a region; in a cascade their sum so far, and behind the last stage their mean. */
static const float *mean_logits(const struct faster_rcnn *rcnn, const struct r2_head_run *run,
                                size_t region, const float *logits)
{
    const struct state *state = run->state;
    const size_t all = rcnn->classes + 1;
    if (!rcnn->cascade) return logits;
    float *sums = state->logits + region * all;
    for (size_t i = 0; i < all; i++) sums[i] += logits[i];
    if (run->stage + 1 == R2_CASCADE_STAGES)
        for (size_t i = 0; i < all; i++) sums[i] /= R2_CASCADE_STAGES;
    return sums;
}

static enum r2_status take_boxes(const void *self, const struct r2_head_run *run, size_t first,
                                 size_t count, const struct r2_head_outputs *outputs,
                                 struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    const struct faster_rcnn_params *request = run->params;
    struct state *state = run->state;
    /* a request for surer ones only asks for the same boxes */
    const double voters = rcnn->voting < 1 ? rcnn->score_threshold : 1;
    const struct r2_candidate_rule rule = {.classes = rcnn->classes,
                                           .stage = run->stage,
                                           .agnostic = rcnn->cascade,
                                           .min_score = (float)fmin(request->min_score, voters),
                                           .objectness = (float)rcnn->objectness,
                                           .width = state->width,
                                           .height = state->height,
                                           .geometry = run->geometry};
    const bool last = run->stage + 1 == box_stages(rcnn);
    struct r2_output_view classes = {0}, deltas = {0};
    R2_TRY(r2_head_output(outputs, "classes", &classes, err));
    R2_TRY(r2_head_output(outputs, "deltas", &deltas, err));
    for (size_t i = 0; i < count; i++) {
        struct r2_box *region = &state->regions[first + i];
        const float *moves = deltas.data + i * deltas.pitch;
        const float *logits = mean_logits(rcnn, run, first + i, classes.data + i * classes.pitch);
        R2_TRY(last ? r2_candidates_add(&rule, *region, state->proposals.scores[first + i], logits,
                                        moves, &state->candidates, err)
                    : r2_candidates_refine(&rule, region, moves, err));
    }
    return R2_OK;
}

/* What is found, from the candidates; once. */
static enum r2_status decide(const struct faster_rcnn *rcnn, const struct r2_head_run *run,
                             struct r2_error *err)
{
    const struct faster_rcnn_params *request = run->params;
    struct state *state = run->state;
    if (state->found.kind) return R2_OK;
    const struct r2_candidate_choice choice = {(float)rcnn->nms, (float)rcnn->voting,
                                               (float)request->min_score, (size_t)request->max};
    return r2_candidates_decide(&state->candidates, &choice,
                                rcnn->labels.count ? &rcnn->labels : NULL, &state->found, err);
}

/* The detections, where masks are wanted. */
static enum r2_status gather_masks(const void *self, const struct r2_head_run *run,
                                   void **ret_state, size_t *ret_count, struct r2_error *err)
{
    const struct faster_rcnn_params *request = run->params;
    struct state *state = run->state;
    (void)ret_state;
    R2_TRY(decide(self, run, err));
    struct r2_detections *found = state->found.data;
    if (!run->asked || request->masks == R2_MASK_NONE) return R2_OK;
    if (!found->cells)
        R2_TRY(r2_alloc(found->count, R2_MASK_HEAD_CELLS * sizeof *found->cells, "masks",
                        &found->cells, err));
    found->side = R2_MASK_HEAD_SIDE;
    found->format = request->masks;
    found->width = run->geometry->picture_width;
    found->height = run->geometry->picture_height;
    *ret_count = found->count;
    return R2_OK;
}

static enum r2_status fill_masks(const void *self, const struct r2_head_run *run, size_t first,
                                 size_t count, float *dst, struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    const struct state *state = run->state;
    const struct r2_detections *found = state->found.data;
    (void)err;
    for (size_t i = first; i < first + count; i++) {
        pool(rcnn, state, r2_box_to_network(run->geometry, found->items[i].box), R2_MASK_HEAD_BINS,
             dst);
        dst += (size_t)R2_MASK_HEAD_BINS * R2_MASK_HEAD_BINS * (size_t)rcnn->rpn.channels;
    }
    return R2_OK;
}

static enum r2_status take_masks(const void *self, const struct r2_head_run *run, size_t first,
                                 size_t count, const struct r2_head_outputs *outputs,
                                 struct r2_error *err)
{
    const struct state *state = run->state;
    const struct r2_detections *found = state->found.data;
    const float share = 1 / (float)box_stages(self);
    struct r2_output_view masks = {0};
    R2_TRY(r2_head_output(outputs, "masks", &masks, err));
    for (uint32_t i = 0; i < count; i++)
        R2_TRY(r2_mask_head_add(&masks, i, found->items[first + i].index, share,
                                found->cells + (first + i) * R2_MASK_HEAD_CELLS, err));
    return R2_OK;
}

static enum r2_status faster_rcnn_decode(const void *self, const struct r2_head_run *run,
                                         struct r2_result *ret, struct r2_error *err)
{
    struct state *state = run->state;
    R2_TRY(decide(self, run, err));
    *ret = state->found;
    state->found = (struct r2_result){0};
    return R2_OK;
}

static bool faster_rcnn_is_drawn(const void *request)
{
    (void)request;
    return true;
}

static enum r2_status faster_rcnn_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct faster_rcnn *rcnn = self;
    if (json_object_set_new(object, "masks", json_boolean(rcnn->masks)) != 0)
        return r2_fail(err, R2_NO_MEMORY, "no memory for the model's JSON");
    return r2_head_describe_labels(&rcnn->labels, rcnn->classes, object, err);
}

static const struct r2_head_regions *next(const void *self, uint32_t stage);

static const struct r2_head_regions boxes = {
    .window = box_window,
    .build = build_box_head,
    .gather = gather_boxes,
    .fill = fill_boxes,
    .take = take_boxes,
    .finish = finish_state,
    .next = next,
};

static const struct r2_head_regions masks = {
    .window = mask_window,
    .singly = true,
    .build = build_mask_head,
    .gather = gather_masks,
    .fill = fill_masks,
    .take = take_masks,
};

static const struct r2_head_regions *next(const void *self, uint32_t stage)
{
    const struct faster_rcnn *rcnn = self;
    if (stage < box_stages(rcnn)) return &boxes;
    return rcnn->masks && stage < 2 * box_stages(rcnn) ? &masks : NULL;
}

extern const struct r2_head_type r2_faster_rcnn_head;
const struct r2_head_type r2_faster_rcnn_head = {
    .name = "faster_rcnn",
    .help = "objects with their boxes, and masks where the weights have them",
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
    .regions = &boxes,
    .is_drawn = faster_rcnn_is_drawn,
    .decode = faster_rcnn_decode,
    .describe = faster_rcnn_describe,
};
