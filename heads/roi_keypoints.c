/*
 * Keypoints of regions: poses from the features that the other heads read, so that one trunk pass
 * serves a detector and them.
 *
 * Taps -> one map of `channels` -> RoIAlign of bins x bins -> halved, `convs` layers, doubled again,
 * and added to what went in -> a heat map for each joint, of bins x bins cells.
 *
 * Tensors (each with .weight and .bias; C = channels, J = joints):
 *   keypoints.lateral.I  [C, the tap's, 1, 1]  of tap I, finest first; coarser ones are resized
 *                                              (bilinear) to the finest and added
 *   keypoints.convs.0    [C, C, 3, 3]          stride 2, ReLU
 *   keypoints.convs.N    [C, C, 3, 3]          N = 1 .. convs - 1, ReLU; then resized to bins x bins
 *                                              (bilinear) and the region's features added
 *   keypoints.up         [C, C, 3, 3]          ReLU
 *   keypoints.maps       [J, C, 1, 1]
 *
 * A region is the box grown by `padding` around its middle. Cell (i, k) of a heat map is the middle
 * of bin (i, k): a whole number plus a half, in bins from the region's corner. Its value is the
 * score; trained maps are 1 where the joint is. With `smooth` a point is where most heat is near
 * (r2_heatmap_near_points).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/detections.h"
#include "heads/heatmap.h"
#include "heads/labels.h"
#include "heads/persons.h"
#include "heads/roi_align.h"
#include "heads/taps.h"

enum { MOST_CONVS = 16 };

struct roi_keypoints {
    struct r2_head head;
    struct r2_person_options persons;
    struct r2_texts tap_names;
    int64_t channels, bins, convs;
    double smooth;

    struct r2_skeleton skeleton;
    uint32_t first_tap, tap_count;
};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct roi_keypoints),
    R2_PERSON_OPTIONS(struct roi_keypoints, persons),
    {.name = "taps", R2_FIELD(TEXTS, struct roi_keypoints, tap_names), .min_count = 1,
     .max_count = R2_STAGES, .fallback = "c2,c3,c4",
     .help = "stages of the trunk that are read, consecutive"},
    {.name = "channels", R2_FIELD(INT, struct roi_keypoints, channels), .min = 1, .max = 2048,
     .fallback = "128", .help = "channels of all layers"},
    {.name = "bins", R2_FIELD(INT, struct roi_keypoints, bins), .min = 4, .max = R2_ROI_BINS_MOST,
     .fallback = "28", .help = "cells of a region and of its heat maps, along a side"},
    {.name = "convs", R2_FIELD(INT, struct roi_keypoints, convs), .min = 1, .max = MOST_CONVS,
     .fallback = "4", .help = "layers of half the cells"},
    {.name = "smooth", R2_FIELD(FLOAT, struct roi_keypoints, smooth), .min = 0, .max = 1,
     .fallback = "0", .help = "how near heat counts for a point (sigma), in longer sides of the box"},
};
/* clang-format on */

/* --- load --- */

static enum r2_status roi_keypoints_init(void *self, const struct r2_head_setup *setup,
                                         struct r2_error *err)
{
    struct roi_keypoints *head = self;
    const struct r2_tensor_entry *weight = NULL;
    R2_TRY(r2_taps_find(setup->arch, &head->tap_names, &head->first_tap, &head->tap_count, err));
    R2_TRY(r2_head_find_rows(setup, "keypoints.maps.weight", &weight, err));
    return r2_skeleton_init(&head->skeleton, &head->persons.skeleton, setup,
                            (uint32_t)weight->dims[0], err);
}

static void roi_keypoints_finish(void *self)
{
    struct roi_keypoints *head = self;
    r2_skeleton_finish(&head->skeleton);
}

static void roi_keypoints_default_params(const void *self, void *request)
{
    const struct roi_keypoints *head = self;
    r2_person_default_params(&head->persons, request);
}

static const char *roi_keypoints_needs(const void *self, const void *request)
{
    const struct roi_keypoints *head = self;
    return r2_person_needs(&head->persons, request);
}

/* --- the networks --- */

static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, int64_t out,
                     uint32_t kernel, uint32_t stride, bool relu)
{
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name,
                                           .out = (uint32_t)out,
                                           .kernel = kernel,
                                           .stride = stride,
                                           .pad = kernel / 2,
                                           .relu = relu});
}

static void roi_keypoints_build(const void *self, struct r2_graph *graph,
                                const struct r2_taps *taps, const char *prefix)
{
    const struct roi_keypoints *head = self;
    r2_value sum = 0;
    for (uint32_t i = 0; i < head->tap_count; i++) {
        char name[48];
        snprintf(name, sizeof name, "keypoints.lateral.%u", i);
        r2_value map =
            conv(graph, taps->stage[head->first_tap + i], name, head->channels, 1, 1, false);
        sum = sum ? r2_graph_add(graph, sum, r2_graph_resize(graph, map, sum, R2_SAMPLE_BILINEAR),
                                 false)
                  : map;
    }
    r2_head_add_output(graph, prefix, "features", sum);
}

static void build_regions(const void *self, uint32_t stage, struct r2_graph *graph)
{
    const struct roi_keypoints *head = self;
    (void)stage;
    const r2_value region = r2_graph_input(graph, (uint32_t)head->channels);
    r2_value x = region;
    for (int64_t i = 0; i < head->convs; i++) {
        char name[48];
        snprintf(name, sizeof name, "keypoints.convs.%d", (int)i);
        x = conv(graph, x, name, head->channels, 3, i ? 1 : 2, true);
    }
    x = r2_graph_add(graph, region, r2_graph_resize(graph, x, region, R2_SAMPLE_BILINEAR), false);
    x = conv(graph, x, "keypoints.up", head->channels, 3, 1, true);
    x = conv(graph, x, "keypoints.maps", (int64_t)head->skeleton.names.count, 1, 1, false);
    r2_graph_output(graph, x, "maps");
}

static struct r2_extent window(const void *self)
{
    const struct roi_keypoints *head = self;
    return (struct r2_extent){(uint32_t)head->bins, (uint32_t)head->bins};
}

/* --- one picture --- */

struct state {
    struct r2_persons persons;
    struct r2_output_view features;
    float *work; /* of r2_roi_align */
    float *heat; /* of r2_heatmap_near_points; NULL before maps are there */
};

static void finish_state(void *data)
{
    struct state *state = data;
    if (!state) return;
    r2_persons_finish(&state->persons);
    free(state->work);
    free(state->heat);
    free(state);
}

static struct r2_box grow(struct r2_box box, float by)
{
    const float x = (box.x1 + box.x2) / 2, width = (box.x2 - box.x1) * by;
    const float y = (box.y1 + box.y2) / 2, height = (box.y2 - box.y1) * by;
    return (struct r2_box){x - width / 2, y - height / 2, x + width / 2, y + height / 2};
}

/* The region of a person, in pixels of the original. */
static struct r2_box region_of(const struct roi_keypoints *head, const struct state *state,
                               size_t i)
{
    return grow(state->persons.boxes[i], (float)head->persons.padding);
}

static enum r2_status start(const struct roi_keypoints *head, const struct r2_head_run *run,
                            struct state *state, struct r2_error *err)
{
    R2_TRY(r2_head_output(&run->outputs, "features", &state->features, err));
    R2_TRY(r2_alloc(r2_roi_align_work(&state->features, (uint32_t)head->bins), sizeof *state->work,
                    "memory of RoIAlign", &state->work, err));
    R2_TRY(r2_persons_find(&head->persons, run, head->skeleton.names.count, &state->persons, err));
    for (size_t i = 0; i < state->persons.count; i++)
        state->persons.areas[i] = r2_box_area(region_of(head, state, i));
    return R2_OK;
}

static enum r2_status gather(const void *self, const struct r2_head_run *run, void **ret_state,
                             size_t *ret_count, struct r2_error *err)
{
    struct state *state;
    R2_TRY(r2_alloc(1, sizeof *state, "state of keypoints", &state, err));
    if (start(self, run, state, err) != R2_OK) {
        finish_state(state);
        return err->status;
    }
    *ret_state = state;
    *ret_count = state->persons.count;
    return R2_OK;
}

static enum r2_status fill(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, float *dst, struct r2_error *err)
{
    const struct roi_keypoints *head = self;
    const struct state *state = run->state;
    const uint32_t bins = (uint32_t)head->bins;
    const float scale = 1 / (float)r2_tap_stride(head->first_tap);
    (void)err;
    for (size_t i = 0; i < count; i++) {
        r2_roi_align(&state->features, scale,
                     r2_box_to_network(run->geometry, region_of(head, state, first + i)), bins,
                     state->work, dst);
        dst += (size_t)bins * bins * (size_t)head->channels;
    }
    return R2_OK;
}

static enum r2_status take(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, const struct r2_head_outputs *outputs,
                           struct r2_error *err)
{
    const struct roi_keypoints *head = self;
    struct state *state = run->state;
    const size_t joints = state->persons.joints;
    struct r2_output_view maps = {0};
    R2_TRY(r2_head_output(outputs, "maps", &maps, err));
    if (head->smooth > 0 && !state->heat)
        R2_TRY(r2_alloc(r2_heatmap_work(&maps), sizeof *state->heat, "smooth heat maps",
                        &state->heat, err));
    for (uint32_t i = 0; i < count; i++) {
        const struct r2_box region = region_of(head, state, first + i);
        const float cell_x = (region.x2 - region.x1) / (float)head->bins;
        const float cell_y = (region.y2 - region.y1) / (float)head->bins;
        const float most = (float)head->bins; /* cells; boxes may be thin */
        const float near =
            fmaxf(cell_x, cell_y) * most * (float)(head->smooth / head->persons.padding);
        struct r2_point *points = state->persons.points + (first + i) * joints;
        if (near > 0)
            r2_heatmap_near_points(&maps, i, fminf(near / cell_x, most), fminf(near / cell_y, most),
                                   state->heat, points);
        else
            r2_heatmap_points(&maps, i, points);
        for (size_t k = 0; k < joints; k++) {
            points[k].x = region.x1 + (points[k].x + 0.5f) * cell_x;
            points[k].y = region.y1 + (points[k].y + 0.5f) * cell_y;
        }
    }
    return R2_OK;
}

static enum r2_status roi_keypoints_decode(const void *self, const struct r2_head_run *run,
                                           struct r2_result *ret, struct r2_error *err)
{
    const struct roi_keypoints *head = self;
    const struct state *state = run->state;
    return r2_persons_decide(&head->persons, &head->skeleton, &state->persons, ret, err);
}

static bool roi_keypoints_is_drawn(const void *request)
{
    (void)request;
    return true;
}

static enum r2_status roi_keypoints_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct roi_keypoints *head = self;
    return r2_skeleton_describe(&head->skeleton, object, err);
}

static const struct r2_head_regions regions = {
    .window = window,
    .singly = true,
    .build = build_regions,
    .gather = gather,
    .fill = fill,
    .take = take,
    .finish = finish_state,
};

extern const struct r2_head_type r2_roi_keypoints_head;
const struct r2_head_type r2_roi_keypoints_head = {
    .name = "roi_keypoints",
    .help = "poses, from the features under a detector's boxes",
    .size = sizeof(struct roi_keypoints),
    .options = R2_OPTION_TABLE(options, "key"),
    .params_size = sizeof(struct r2_person_params),
    .params = R2_PERSON_PARAMS,
    .init = roi_keypoints_init,
    .finish = roi_keypoints_finish,
    .default_params = roi_keypoints_default_params,
    .needs = roi_keypoints_needs,
    .takes = &r2_detections_kind,
    .gives = &r2_poses_kind,
    .build = roi_keypoints_build,
    .regions = &regions,
    .is_drawn = roi_keypoints_is_drawn,
    .decode = roi_keypoints_decode,
    .describe = roi_keypoints_describe,
};
