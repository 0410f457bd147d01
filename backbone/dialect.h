/*
 * Graphs that hide behind the same tensors: what the code bases that trained Res2Nets compute
 * differently. The tensors' names tell whose code it was, not their shapes.
 */
#ifndef R2_BACKBONE_DIALECT_H
#define R2_BACKBONE_DIALECT_H

#include <stdbool.h>

#include "backbone/weights.h"

enum r2_dialect {
    R2_DIALECT_OFFICIAL,   /* also timm, mmpretrain, pose estimation, PoolNet, mmdetection 1 */
    R2_DIALECT_MMDET,      /* mmdetection 2 and 3 */
    R2_DIALECT_DLA,        /* Res2Net-DLA and Res2NeXt-DLA */
    R2_DIALECT_PADDLE,     /* PaddleDetection, PaddleClas */
    R2_DIALECT_MASKRCNN,   /* maskrcnn-benchmark, as configured: Res2Net-maskrcnn */
    R2_DIALECT_DETECTRON2, /* detectron2, as configured: Res2Net-detectron2 */
    R2_DIALECT_AUTO        /* asked for: by the tensors' names */
};

/* What the first block of a stage does. The official code keeps its branches apart, pools the last
   slice and has the stage's stride in the 3x3 convolutions. */
struct r2_dialect_rules {
    bool strides_1x1; /* the stride is in the first 1x1 convolution, that of the others is 1 */
    bool sums_unless_strided; /* a block of stride 1 is like those that follow it */
    bool
        pools_if_strided; /* the last slice is pooled only where the 3x3 convolutions have a stride */
    bool excludes_padding; /* that pool divides by the cells inside the map */
    bool pools_dilated;    /* an average shortcut of a dilated stage has a 2x2 pool of stride 1 */
};

const struct r2_dialect_rules *r2_dialect_rules(enum r2_dialect dialect);

/* The epsilon of the batch norms: `asked`, or where it is R2_AUTO what the code base has by its names or its
   dialect. */
double r2_dialect_norm_eps(enum r2_dialect dialect, enum r2_family family, double asked);

const char *r2_dialect_name(enum r2_dialect dialect);

/* The names above, "auto" and NULL: choices of an option. */
extern const char *const r2_dialect_names[];

enum { R2_EVIDENCE_SIZE = 384 };

/* The dialect of a trunk whose tensors are named so, and in `evidence` [R2_EVIDENCE_SIZE] a sentence
   why. `asked` is what model.json says, or R2_DIALECT_AUTO. R2_INVALID where the code whose names
   these are cannot have computed what was asked for. */
enum r2_status r2_dialect_choose(enum r2_dialect asked, const struct r2_naming *naming,
                                 enum r2_dialect *ret, char *evidence, struct r2_error *err);

#endif
