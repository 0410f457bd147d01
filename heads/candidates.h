/*
 * Candidates: a box for each class that a detector's second network finds in a region, and the
 * detections that are left of them.
 *
 * In a cascade (Cai and Vasconcelos, Cascade R-CNN, 2018) several such networks, as mmdetection runs
 * them, look one after the other, each at the boxes that the one before has made of the regions; the
 * last one's boxes are the candidates', whose scores are those of the mean logits.
 */
#ifndef R2_HEADS_CANDIDATES_H
#define R2_HEADS_CANDIDATES_H

#include "heads/detections.h"
#include "image/input.h"

enum { R2_CASCADE_STAGES = 3 };

struct r2_candidates {
    size_t count, capacity;
    struct r2_detection *items; /* [capacity], owned; pixels of the original */
};

/* How they are read from the network's outputs. */
struct r2_candidate_rule {
    uint32_t classes;    /* the background, which follows them, does not count */
    uint32_t stage;      /* of a cascade, below R2_CASCADE_STAGES; 0: there is none */
    bool agnostic;       /* a region has one box for all classes */
    float min_score;     /* what is not above is no candidate */
    float objectness;    /* 0..1: share of the region's own score in a candidate's */
    float width, height; /* pixels of the network's input: boxes are clipped */
    const struct r2_geometry *geometry; /* of the network's input */
};

/* Adds those of one region (pixels of the network's input), whose own score, 0..1, is its proposal's:
   logits [classes + 1] become probabilities by softmax, and scores as geometric means of these and of
   the region's score (Zhou et al., Probabilistic two-stage detection, 2021); deltas [4 * classes], or
   [4], move and stretch the region for each class. R2_INTERNAL when a number of these is not
   finite. */
enum r2_status r2_candidates_add(const struct r2_candidate_rule *rule, struct r2_box region,
                                 float region_score, const float *logits, const float *deltas,
                                 struct r2_candidates *candidates, struct r2_error *err);

/* The region that the next stage of a cascade looks at. R2_INTERNAL when one of deltas [4] is not
   finite. */
enum r2_status r2_candidates_refine(const struct r2_candidate_rule *rule, struct r2_box *region,
                                    const float *deltas, struct r2_error *err);

struct r2_candidate_choice {
    float nms;       /* IoU above which one of two goes */
    float voting;    /* IoU from which boxes are averaged; 1: none are */
    float min_score; /* what is not above votes, but is not found */
    size_t most;
};

/* The best after non-maximum suppression in each class, as a result. Where boxes vote, theirs are
   means of all candidates of the class that overlap them, weighted by score (Gidaris and Komodakis,
   "Object detection via a multi-region and semantic segmentation-aware CNN model", 2015). */
enum r2_status r2_candidates_decide(const struct r2_candidates *candidates,
                                    const struct r2_candidate_choice *choice,
                                    const struct r2_labels *labels, struct r2_result *ret,
                                    struct r2_error *err);

void r2_candidates_finish(struct r2_candidates *candidates);

#endif
