#include "backbone/dialect.h"

#include <stdio.h>

#include "config/options.h"

const char *const r2_dialect_names[] = {"official", "mmdet",      "dla",  "paddle",
                                        "maskrcnn", "detectron2", "auto", NULL};

static const struct r2_dialect_rules rules[] = {
    [R2_DIALECT_OFFICIAL] = {.pools_dilated = true},
    [R2_DIALECT_MMDET] = {.pools_if_strided = true},
    [R2_DIALECT_DLA] = {.sums_unless_strided = true, .pools_if_strided = true},
    [R2_DIALECT_PADDLE] = {.sums_unless_strided = true,
                           .pools_if_strided = true,
                           .excludes_padding = true},
    [R2_DIALECT_MASKRCNN] = {.strides_1x1 = true},
    [R2_DIALECT_DETECTRON2] = {.strides_1x1 = true, .pools_if_strided = true},
};

/* What a code base computes: first as it is configured, then what a setting of it makes of that
   (where the stride is). The official names are those of everybody who ported that code. */
static const struct {
    const char *owner;
    enum r2_dialect usual;
    unsigned possible; /* bit: enum r2_dialect */
} families[] = {
#define CAN(dialect) (1u << R2_DIALECT_##dialect)
    [R2_FAMILY_OFFICIAL] = {"the official code's, which many share", R2_DIALECT_OFFICIAL,
                            CAN(OFFICIAL) | CAN(MMDET) | CAN(PADDLE) | CAN(MASKRCNN) |
                                CAN(DETECTRON2)},
    [R2_FAMILY_MMDET] = {"mmdetection's", R2_DIALECT_MMDET, CAN(OFFICIAL) | CAN(MMDET)},
    [R2_FAMILY_MASKRCNN] = {"maskrcnn-benchmark's", R2_DIALECT_MASKRCNN,
                            CAN(OFFICIAL) | CAN(MASKRCNN)},
    [R2_FAMILY_DETECTRON2] = {"detectron2's", R2_DIALECT_DETECTRON2, CAN(MMDET) | CAN(DETECTRON2)},
    [R2_FAMILY_PADDLE] = {"PaddleDetection's", R2_DIALECT_PADDLE, CAN(PADDLE)},
    [R2_FAMILY_PADDLE_DEEP] = {"PaddleDetection's", R2_DIALECT_PADDLE, CAN(PADDLE)},
    [R2_FAMILY_DLA] = {"DLA's", R2_DIALECT_DLA, CAN(DLA)},
};

const struct r2_dialect_rules *r2_dialect_rules(enum r2_dialect dialect)
{
    return &rules[dialect];
}

double r2_dialect_norm_eps(enum r2_dialect dialect, enum r2_family family, double asked)
{
    if (asked != R2_AUTO) return asked;
    /* its FrozenBatchNorm2d has none */
    return dialect == R2_DIALECT_MASKRCNN || family == R2_FAMILY_MASKRCNN ? 0 : 1e-5;
}

const char *r2_dialect_name(enum r2_dialect dialect)
{
    return r2_dialect_names[dialect];
}

enum r2_status r2_dialect_choose(enum r2_dialect asked, const struct r2_naming *naming,
                                 enum r2_dialect *ret, char *evidence, struct r2_error *err)
{
    const char *owner = families[naming->family].owner;
    if (asked == R2_DIALECT_AUTO) {
        snprintf(evidence, R2_EVIDENCE_SIZE, "tensor names are %s ('%s')", owner, naming->anchor);
        *ret = families[naming->family].usual;
        return R2_OK;
    }
    if (!(families[naming->family].possible >> asked & 1))
        return r2_fail(
            err, R2_INVALID,
            "dialect '%s' cannot be: the tensor names are %s ('%s'), which computes '%s'",
            r2_dialect_name(asked), owner, naming->anchor,
            r2_dialect_name(families[naming->family].usual));
    snprintf(evidence, R2_EVIDENCE_SIZE, "model.json says so; tensor names are %s ('%s')", owner,
             naming->anchor);
    *ret = asked;
    return R2_OK;
}
