/*
 * The result of a detector: labelled boxes, perhaps each with a mask.
 */
#ifndef R2_HEADS_DETECTIONS_H
#define R2_HEADS_DETECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "config/model_file.h"
#include "heads/box.h"
#include "heads/result.h"

struct r2_detection {
    size_t index;      /* of the label */
    float score;       /* 0..1 */
    struct r2_box box; /* pixels of the original, oriented picture */
};

/* How masks are given in JSON. */
enum r2_mask_format {
    R2_MASK_RLE,      /* COCO run lengths */
    R2_MASK_POLYGONS, /* outlines with holes, within a pixel */
    R2_MASK_NONE      /* not at all: none are made */
};

/* Of all masks of an answer together: bytes of run lengths, pixels of the boxes in which outlines are
   looked for. */
enum { R2_MASKS_MAX_BYTES = 16 << 20, R2_MASKS_MAX_PIXELS = 1 << 30 };

struct r2_detections {
    const struct r2_labels *labels; /* borrowed from the head, which outlives results; NULL: none */
    size_t count;
    struct r2_detection *items; /* [count], owned; descending scores */

    /* Masks stay the few cells that a network gives (box_mask.h) until they leave: pixels would be
       those of the picture for each. */
    float *cells; /* [count, side, side], owned; 0..1; NULL: there are no masks */
    uint32_t side;
    enum r2_mask_format format;
    uint32_t width, height; /* of the picture */
};

/* JSON: scores as they are, boxes rounded to hundredths of a pixel; of a mask `rle` or `polygons`, as a
   segmentation has them, at the picture's size. R2_INVALID for more than
   R2_MASKS_MAX_BYTES, R2_MASKS_MAX_PIXELS, or R2_POLYGONS_MAX_POINTS together.

   Drawn, masks are veils under all boxes, and those of better detections above. */
extern const struct r2_result_kind r2_detections_kind;

/* Copies items [count], which the caller has in descending order (r2_nms_keep's). A score or a
   coordinate that is not finite fails with R2_INTERNAL: the network's arithmetic broke. There are no
   masks; whoever has them sets them. */
enum r2_status r2_detections_create(const struct r2_detection *items, size_t count,
                                    const struct r2_labels *labels, struct r2_result *ret,
                                    struct r2_error *err);

#endif
