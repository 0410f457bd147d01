/*
 * Greedy non-maximum suppression.
 */
#ifndef R2_HEADS_NMS_H
#define R2_HEADS_NMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "heads/box.h"

struct r2_nms_input {
    const struct r2_box *boxes; /* [count], borrowed like the rest */
    const float *scores;        /* [count] */
    const uint32_t *groups;     /* [count]: a class, a level; NULL: all are one group */
    size_t count;
};

/* Takes boxes in descending order of score (equal scores by index) and keeps each that no kept box
   of its group overlaps with an IoU above `threshold` (0..1; equal is not above), until `limit` are
   kept (SIZE_MAX: no limit). Boxes with a coordinate that is not finite, or a score that is NaN,
   are dropped; empty boxes overlap nothing. Writes the indices of the kept boxes in that order to
   ret [min(limit, count)], their number to ret_count.

   The answer is that of the plain algorithm, which compares with all kept boxes. Here a box is
   compared with those of about its size and place only, found in a hash table: 10^5 boxes take a
   tenth of a second even when none overlaps (threshold 0.5; 0.7 s at 0.1). Below a threshold of 0.1
   any size and place can suppress any, and a group costs the square of its kept boxes.

   Takes 16 to 24 bytes of memory a box: R2_NO_MEMORY; R2_TOO_LARGE for 2^30 boxes or more. */
enum r2_status r2_nms_keep(const struct r2_nms_input *input, float threshold, size_t limit,
                           uint32_t *ret, size_t *ret_count, struct r2_error *err);

#endif
