/*
 * Object keypoint similarity (the COCO keypoint challenge's measure), and what SimpleBaseline's
 * published code decides by it: which of several poses are the same person's.
 */
#ifndef R2_HEADS_OKS_H
#define R2_HEADS_OKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "heads/heatmap.h"

/* The score of a pose: that of its box times the mean of the points' scores above `threshold`; 0
   when there is none. */
float r2_oks_score(float box_score, const struct r2_point *points, size_t joints, float threshold);

/* How alike two poses are, 0..1: the mean over joints of exp(-d^2 / (8 area sigma^2)), d the
   distance of the two points, area the mean of both. Scores of points do not count. */
double r2_oks_similarity(const struct r2_point *a, double area_a, const struct r2_point *b,
                         double area_b, const double *sigmas, size_t joints);

struct r2_oks_input {
    const struct r2_point *points; /* [count, joints], borrowed like the rest */
    const float *scores;           /* [count], no NaN */
    const double *areas;           /* [count], square pixels */
    size_t count, joints;
    const double *sigmas; /* [joints]: how loosely people place it, by the root of the area */
};

/* Greedy suppression: takes poses in descending order of score (equal scores by index) and keeps
   each that no kept one is like by more than `threshold`. Writes the indices of the kept ones in
   that order to ret [count], their number to ret_count. Compares each with all kept: for hundreds of
   poses, not thousands. R2_NO_MEMORY. */
enum r2_status r2_oks_keep(const struct r2_oks_input *input, double threshold, uint32_t *ret,
                           size_t *ret_count, struct r2_error *err);

#endif
