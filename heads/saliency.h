/*
 * The result of a finder of salient objects: how likely each pixel of the photo is part of what one
 * looks at first.
 */
#ifndef R2_HEADS_SALIENCY_H
#define R2_HEADS_SALIENCY_H

#include <stdint.h>

#include "backbone/session.h"
#include "heads/result.h"
#include "image/input.h"

/* How map and region are given in JSON. */
enum r2_saliency_format {
    R2_SALIENCY_RLE, /* the region, as COCO run length text */
    R2_SALIENCY_PNG  /* map and region as pictures, in base64 */
};

struct r2_saliency {
    double threshold; /* a pixel is salient from this probability on, 0..1 */
    enum r2_saliency_format format;
    uint32_t width, height;
    uint8_t *map; /* [height, width], owned; probability times 255, rounded */
};

/*
 * JSON: `threshold`; of the salient pixels `pixels`, `fraction` of the picture, `box` [x1, y1, x2, y2]
 * around them (null: there are none); `mean` of the map, 0..1; by format `rle` {size, counts}, or `map`,
 * a grey PNG of the probabilities, and `mask`, a palette PNG with 1 where salient. As a PNG of its own it
 * is the map. Drawn, the region has a veil and the box.
 */
extern const struct r2_result_kind r2_saliency_kind;

/* A copy of `from` that takes its map on success. */
enum r2_status r2_saliency_create(const struct r2_saliency *from, struct r2_result *ret,
                                  struct r2_error *err);

/* The result of a network's logits [1, height, width], `from` being all but size and map: resized to
   the network's input with the corners kept (align_corners), from there to the picture between pixel
   centres, then the logistic function. R2_INTERNAL where a logit is not finite. */
enum r2_status r2_saliency_decode(const struct r2_saliency *from,
                                  const struct r2_output_view *logits,
                                  const struct r2_geometry *geometry, struct r2_result *ret,
                                  struct r2_error *err);

#endif
