/*
 * The mask head of Mask R-CNN (He et al., 2017) as mmdetection's FCNMaskHead has it: a network over
 * regions of BINS x BINS cells that says of SIDE x SIDE, for each class, whether the object is there.
 *
 * Tensors, each with .weight and .bias, behind a NAME:
 *   convs.N.conv  [C, C, 3, 3]        N = 0 .. convs - 1, the first from the pyramid's channels; ReLU
 *   upsample      [C, C, 2, 2]        transposed, stride 2; ReLU
 *   conv_logits   [classes, C, 1, 1]
 */
#ifndef R2_HEADS_MASK_HEAD_H
#define R2_HEADS_MASK_HEAD_H

#include "backbone/session.h"

enum {
    R2_MASK_HEAD_BINS = 14,
    R2_MASK_HEAD_SIDE = 2 * R2_MASK_HEAD_BINS,
    R2_MASK_HEAD_CELLS = R2_MASK_HEAD_SIDE * R2_MASK_HEAD_SIDE
};

struct r2_mask_head {
    uint32_t in;       /* channels of the regions */
    uint32_t channels; /* of all layers */
    uint32_t convs;
    uint32_t classes;
};

/* Adds it to an empty graph. */
void r2_mask_head_build(const struct r2_mask_head *head, const char *name, struct r2_graph *graph);

/* Adds `share` of the probabilities of class `index` in region `item` to ret [SIDE, SIDE]: several
   heads have a mean. R2_INTERNAL where a logit is not finite. */
enum r2_status r2_mask_head_add(const struct r2_output_view *logits, uint32_t item, size_t index,
                                float share, float *ret, struct r2_error *err);

#endif
