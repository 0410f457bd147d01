/*
 * The result of a segmenter: the class of every pixel of the photo.
 */
#ifndef R2_HEADS_SEGMENTATION_H
#define R2_HEADS_SEGMENTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backbone/session.h"
#include "config/model_file.h"
#include "heads/label_map.h"
#include "heads/result.h"
#include "image/input.h"

/* How regions are given in JSON. */
enum r2_segmentation_format {
    R2_SEGMENTATION_RLE,     /* one COCO run length text a class */
    R2_SEGMENTATION_PNG,     /* one picture of all labels, in base64 */
    R2_SEGMENTATION_POLYGONS /* outlines with holes, within a pixel */
};

enum { R2_SEGMENTATION_LABELS = 256 };

/* What label class 0 has in a map. 0 is always the background: where class 0 is the background it
   stays 0, where no class is, class i has label i + 1 and 0 does not occur. */
static inline uint8_t r2_segmentation_first(bool background)
{
    return background ? 0 : 1;
}

struct r2_segmentation {
    const struct r2_labels *labels; /* of classes; borrowed from the head; NULL: none */
    bool background;                /* class 0 is the background */
    uint32_t classes;               /* 1 .. R2_SEGMENTATION_LABELS - first */
    enum r2_segmentation_format format;
    uint32_t width, height;
    uint8_t *map; /* [height, width], owned; labels first .. first + classes - 1 */
};

/*
 * JSON: `classes`, those present by their index, the background last: label, index, pixels, fraction
 * of the picture, and by format `rle`, or `polygons`: each {outer, holes}, outlines [x1, y1, x2, y2,
 * ...] as in COCO; or beside `classes` a `mask`. A mask, here and as a PNG of its own, has the labels
 * of the map and shows class i in r2_colour_class(i), and the background in black.
 */
extern const struct r2_result_kind r2_segmentation_kind;

/* A copy of `from` that takes its map on success. */
enum r2_status r2_segmentation_create(const struct r2_segmentation *from, struct r2_result *ret,
                                      struct r2_error *err);

/* The result of a network's logits, `from` being all but size and map, and `rule` of its background. R2_INTERNAL where a logit is
   not finite. */
enum r2_status r2_segmentation_decode(const struct r2_segmentation *from,
                                      const struct r2_output_view *logits,
                                      const struct r2_geometry *geometry,
                                      const struct r2_label_rule *rule, struct r2_result *ret,
                                      struct r2_error *err);

/* Whether a map has labels for so many classes; R2_INVALID. */
enum r2_status r2_segmentation_check(bool background, uint32_t classes, struct r2_error *err);

#endif
