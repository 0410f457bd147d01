/*
 * Res2Net as graph calls. Source: Gao et al., "Res2Net: A New Multi-scale Backbone Architecture",
 * TPAMI 2021, as its authors' code draws it (the last slice passes through, not the first).
 */
#ifndef R2_BACKBONE_RES2NET_H
#define R2_BACKBONE_RES2NET_H

#include "backbone/arch.h"
#include "backbone/graph.h"

/* Where heads read the trunk. */
struct r2_taps {
    r2_value stem; /* stride 2 (stem 3x3: 1), before the max pool */
    r2_value stage
        [R2_STAGES]; /* c2, c3, c4, c5: strides 4, 8, 16, 32, or less by the output stride (stem
                             3x3: 1, 2, 4, 8); planes * R2_EXPANSION channels; 0 for a stage that the
                             arch does not have */
    r2_value last;   /* of the stages */
    r2_value pooled; /* its mean over all positions */
};

/* Of the stages: "c2", "c3", "c4", "c5". */
extern const char *const r2_tap_names[R2_STAGES];

/* Adds the trunk to a graph that has nothing yet: an input of 3 channels, the stem, the stages.
   Traces "input", "stem", each block by the name of its tensors ("layer1.0"; of DLA each tree, too),
   the stages as c2 to c5 and "pooled". */
void r2_res2net_build(struct r2_graph *graph, const struct r2_arch *arch, enum r2_dialect dialect,
                      struct r2_taps *ret);

#endif
