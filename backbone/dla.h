/*
 * Deep Layer Aggregation with the blocks of Res2Net. Source: Yu et al., "Deep Layer Aggregation",
 * CVPR 2018, as the authors of Res2Net draw it (Res2Net-DLA-60, Res2NeXt-DLA-60).
 */
#ifndef R2_BACKBONE_DLA_H
#define R2_BACKBONE_DLA_H

#include "backbone/res2net.h"

/* Fills ret->stem (level1) and ret->stage (level2 to level5). Sides of pictures must be multiples of
   32: r2_graph_extents refuses others. */
void r2_dla_build(struct r2_graph *graph, const struct r2_arch *arch, r2_value input,
                  struct r2_taps *ret);

#endif
