/*
 * Region proposals (Ren et al., Faster R-CNN, 2015) as mmdetection 2 and 3 make them: the best boxes
 * of what a proposal network says of the anchors on each level of a feature pyramid.
 */
#ifndef R2_HEADS_PROPOSALS_H
#define R2_HEADS_PROPOSALS_H

#include "backbone/session.h"
#include "heads/anchors.h"

/* One level: what the network says of its anchors. */
struct r2_proposal_level {
    struct r2_anchor_level anchors;
    struct r2_output_view logits; /* [height, width, base_count] */
    struct r2_output_view deltas; /* [height, width, 4 * base_count]: dx, dy, dw, dh an anchor */
};

struct r2_proposal_rule {
    size_t per_level;    /* anchors of a level that are looked at, best first */
    size_t most;         /* proposals */
    float nms;           /* IoU above which the lower of two boxes of a level goes */
    float width, height; /* pixels: boxes are clipped to these, and empty ones dropped */
};

struct r2_proposals {
    size_t count;
    struct r2_box *boxes; /* [count], owned; pixels of the network's input */
    float *scores;        /* [count], owned; 0..1, descending */
};

/* R2_INTERNAL when a logit, or a delta of an anchor that is looked at, is not finite. */
enum r2_status r2_proposals_find(const struct r2_proposal_rule *rule,
                                 const struct r2_proposal_level *levels, size_t count,
                                 struct r2_proposals *ret, struct r2_error *err);

void r2_proposals_finish(struct r2_proposals *proposals);

#endif
