/*
 * Anchors of a region proposal network as mmdetection lays them out: a set of boxes at each cell of
 * a feature map. They are not stored: any one is computed from its place in the flat order.
 */
#ifndef R2_HEADS_ANCHORS_H
#define R2_HEADS_ANCHORS_H

#include <stddef.h>
#include <stdint.h>

#include "heads/box.h"

/* One feature map. */
struct r2_anchor_level {
    const struct r2_box *base; /* [base_count], borrowed; around (0, 0) */
    size_t base_count;
    uint32_t width;  /* cells in a row of the map */
    uint32_t stride; /* pixels from cell to cell */
};

/* Base boxes of width stride * scale / sqrt(ratio) and height stride * scale * sqrt(ratio), to
   ret [ratio_count * scale_count]: for each ratio (height / width) all scales. */
void r2_anchors_base(uint32_t stride, const float *ratios, size_t ratio_count, const float *scales,
                     size_t scale_count, struct r2_box *ret);

/* The k-th anchor of a level, k = (y * width + x) * base_count + a: base box a around
   (x * stride, y * stride), the corner of the cell and not its middle. */
struct r2_box r2_anchor_at(const struct r2_anchor_level *level, size_t k);

#endif
