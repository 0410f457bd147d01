/*
 * A region proposal network (Ren et al., Faster R-CNN, 2015) on a feature pyramid (Lin et al., FPN,
 * 2017), with the tensors of mmdetection: neck.* and rpn_head.*.
 */
#ifndef R2_HEADS_RPN_H
#define R2_HEADS_RPN_H

#include "heads/head.h"
#include "heads/proposals.h"

enum { R2_RPN_MAX_LEVELS = R2_STAGES + 3, R2_RPN_MAX_ANCHORS = 64 };

struct r2_rpn {
    /* Keys of model.json. */
    struct r2_texts tap_names;
    int64_t extra_levels, channels, inner_channels;
    struct r2_floats scales, ratios;
    int64_t pre_nms, proposals;
    double nms;

    /* r2_rpn_init's. */
    uint32_t first_tap, tap_count, level_count, anchor_count;
    struct r2_box anchors[R2_RPN_MAX_LEVELS][R2_RPN_MAX_ANCHORS];
};

/* From the keys. R2_INVALID. */
enum r2_status r2_rpn_init(struct r2_rpn *rpn, const struct r2_arch *arch, struct r2_error *err);

/* Pixels of the network's input between two cells of a level, 0 being the finest. */
uint32_t r2_rpn_stride(const struct r2_rpn *rpn, uint32_t level);

/* Adds both networks to the taps, and outputs for the two functions below. */
void r2_rpn_build(const struct r2_rpn *rpn, struct r2_graph *graph, const struct r2_taps *taps,
                  const char *prefix);

/* The map of a level below tap_count. */
enum r2_status r2_rpn_map(const struct r2_head_outputs *outputs, uint32_t level,
                          struct r2_output_view *ret, struct r2_error *err);

/* The proposals for a picture that fills [width, height] pixels of the network's input. */
enum r2_status r2_rpn_propose(const struct r2_rpn *rpn, const struct r2_head_outputs *outputs,
                              float width, float height, struct r2_proposals *ret,
                              struct r2_error *err);

#endif
