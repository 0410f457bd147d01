/*
 * Outlines of the regions of a label map, with their holes.
 *
 * Borders are followed as by Suzuki and Abe ("Topological structural analysis of digitized binary
 * images by border following", 1985), who also say which outline a hole belongs to; but along the
 * cracks between pixels, so that vertices are corners of pixels and an outline encloses exactly its
 * pixels. Pixels that touch at a corner only are two regions. Outlines are then simplified by
 * Douglas and Peucker's rule (1973), each by itself: neighbours may overlap, by the tolerance.
 */
#ifndef R2_HEADS_POLYGONS_H
#define R2_HEADS_POLYGONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { R2_POLYGONS_MAX_POINTS = 1 << 18, R2_POLYGONS_MAX_RUNS = 1 << 21 };

/* The corner of pixel (x, y) that is nearest to (0, 0). */
struct r2_point {
    uint32_t x, y;
};

/* A closed outline: clockwise around a region, the other way around a hole. */
struct r2_ring {
    uint8_t label;
    size_t outer;        /* ring around the region: itself, or of a hole an earlier one */
    size_t first, count; /* of points; at least 3 */
};

struct r2_polygons {
    size_t ring_count, point_count;
    struct r2_ring *rings; /* owned; by their first pixel, row by row */
    struct r2_point *points;
};

void r2_polygons_finish(struct r2_polygons *polygons);

/* All outlines of labels [height, width]. What is left out of an outline is at most `tolerance`
   pixels away from it; one that would shrink to a line stays as it is. R2_INVALID for maps with more
   than R2_POLYGONS_MAX_RUNS runs of equal labels in their rows, or R2_POLYGONS_MAX_POINTS points
   after simplification. Takes up to 16 bytes a run and 8 a point. */
enum r2_status r2_polygons_find(const uint8_t *labels, uint32_t width, uint32_t height,
                                double tolerance, struct r2_polygons *ret, struct r2_error *err);

#endif
