/*
 * Candidates: a box for each class that a detector's second network finds in a region, and the
 * detections that are left of them.
 */
#ifndef R2_HEADS_CANDIDATES_H
#define R2_HEADS_CANDIDATES_H

#include "heads/detections.h"
#include "image/input.h"

struct r2_candidates {
    size_t count, capacity;
    struct r2_detection *items; /* [capacity], owned; pixels of the original */
};

/* How they are read from the network's outputs. */
struct r2_candidate_rule {
    uint32_t classes;                   /* the background, which follows them, does not count */
    float min_score;                    /* what is not above is no candidate */
    float width, height;                /* pixels of the network's input: boxes are clipped */
    const struct r2_geometry *geometry; /* of the network's input */
};

/* Adds those of one region (pixels of the network's input): logits [classes + 1] become scores by
   softmax; deltas [4 * classes] move and stretch the region for each class. R2_INTERNAL when a
   number of these is not finite. */
enum r2_status r2_candidates_add(const struct r2_candidate_rule *rule, struct r2_box region,
                                 const float *logits, const float *deltas,
                                 struct r2_candidates *candidates, struct r2_error *err);

/* The `most` best after non-maximum suppression in each class, as a result. */
enum r2_status r2_candidates_decide(const struct r2_candidates *candidates, float nms, size_t most,
                                    const struct r2_labels *labels, struct r2_result *ret,
                                    struct r2_error *err);

void r2_candidates_finish(struct r2_candidates *candidates);

#endif
