/*
 * The block of Res2Net: a bottleneck whose 3x3 convolution is split into slices that see each other.
 */
#ifndef R2_BACKBONE_BLOCK_H
#define R2_BACKBONE_BLOCK_H

#include "backbone/dialect.h"
#include "backbone/graph.h"

struct r2_block {
    const char *name; /* "layer1.0" */
    uint32_t out;     /* channels */
    uint32_t width;   /* channels of a slice */
    uint32_t scale, groups, stride, dilation;
    bool first; /* of its stage */
    bool se;
    const struct r2_dialect_rules *rules;
};

/* A convolution "scope.conv" and its batch norm "scope.norm". */
r2_value r2_block_conv(struct r2_graph *graph, r2_value x, const char *scope, const char *conv,
                       const char *norm, struct r2_conv shape);

/* The block over x, added to a shortcut of its size, then a ReLU. */
r2_value r2_block_build(struct r2_graph *graph, r2_value x, r2_value shortcut,
                        const struct r2_block *block);

#endif
