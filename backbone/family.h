/*
 * How code bases name the tensors of a trunk: which code it was, and what it calls the tensor that
 * the official code calls "layer1.0.bn1.weight".
 */
#ifndef R2_BACKBONE_FAMILY_H
#define R2_BACKBONE_FAMILY_H

#include <stdbool.h>

#include "base/text.h"

enum r2_family {
    R2_FAMILY_OFFICIAL,    /* timm, mmpretrain and others, too */
    R2_FAMILY_MMDET,       /* mmdetection's deep stem: stem.0 .. stem.7 */
    R2_FAMILY_MASKRCNN,    /* stem.conv1, stem.bn1 */
    R2_FAMILY_DETECTRON2,  /* likewise, and res2 .. res5 with conv1.norm, shortcut */
    R2_FAMILY_PADDLE,      /* res1.conv1, res2.blocks.0.branch2a.conv ... */
    R2_FAMILY_PADDLE_DEEP, /* the same with res1.conv1_1 .. res1.conv1_3 */
    R2_FAMILY_DLA,         /* base_layer, level0 .. level5 */
    R2_FAMILIES
};

/* A tensor that every trunk of the family has, by its name there; several may have the same. */
const char *r2_family_anchor(enum r2_family family);

/* One that tells it from others of that anchor; "" when none is needed. */
const char *r2_family_probe(enum r2_family family);

/* True for an official name of the trunk's, not of a head's. */
bool r2_family_is_trunk(const char *official);

/* Adds the family's name of an official name of the trunk's to a text. */
void r2_family_rename(enum r2_family family, const char *official, struct r2_text *ret);

#endif
