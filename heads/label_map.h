/*
 * From a segmenter's logits to the class of every pixel of the original picture.
 *
 * As mmsegmentation does it: the logits are resized bilinearly to the network's input, what is
 * padding there is cut away, the rest is resized bilinearly to the picture, and the largest logit
 * wins. Both resizes are linear, so that they are carried out as one, with at most three source
 * cells a pixel and axis.
 */
#ifndef R2_HEADS_LABEL_MAP_H
#define R2_HEADS_LABEL_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "backbone/session.h"
#include "base/error.h"
#include "image/input.h"

struct r2_label_rule {
    bool align_corners;    /* of both resizes, as torch.nn.functional.interpolate has it */
    uint8_t first;         /* what class 0 is written as; class i as first + i */
    bool corners_to_input; /* align_corners is for the first of them, the second has none */
    float bar; /* what a single class must exceed: with first 0 it has label 1, and the rest 0 */
};

/*
 * Writes the map of the first picture of `logits` to ret [picture_height, picture_width]. Of equal
 * logits the lower class wins. A pixel that a crop kept from the network takes what is at the edge.
 *
 * Logits [classes, height, width] are 1 to 256 - first classes, and no finer than the network's
 * input. Takes memory for a few rows. R2_INTERNAL where a logit is not finite: the network's
 * arithmetic broke. ret is written only when no error occurs.
 */
enum r2_status r2_label_map_make(const struct r2_output_view *logits,
                                 const struct r2_geometry *geometry,
                                 const struct r2_label_rule *rule, uint8_t *ret,
                                 struct r2_error *err);

#endif
