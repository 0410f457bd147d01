/*
 * Class activation maps: which parts of the picture speak for a class.
 *
 * For a network that ends in a global mean and one linear layer, Grad-CAM (Selvaraju et al., 2017)
 * on the last stage needs no gradients: it is the class activation map of Zhou et al. (2016) with
 * its negative part cut off, ReLU(sum_k W[class, k] A_k) / (height * width).
 */
#ifndef R2_HEADS_ACTIVATION_MAP_H
#define R2_HEADS_ACTIVATION_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "backbone/session.h"
#include "base/error.h"
#include "image/input.h"

struct r2_activation_map {
    size_t index;                /* of the class */
    uint32_t height, width;      /* cells */
    float *values;               /* [height, width], at least 0; owned */
    struct r2_geometry geometry; /* of the network's input, which the cells cover evenly */
};

/* The map of class `index`, whose row of the linear layer is weights [features->channels].
   R2_INTERNAL when a feature is not finite: the network's arithmetic broke. */
enum r2_status r2_activation_map_make(const struct r2_output_view *features, const float *weights,
                                      size_t index, const struct r2_geometry *geometry,
                                      struct r2_activation_map *ret, struct r2_error *err);
void r2_activation_map_finish(struct r2_activation_map *map); /* takes NULL */

/* The map as heat for r2_draw_heat, [picture_height, picture_width] of the geometry: between the
   middles of cells bilinear, the hottest cell 255, nothing where the network did not look. The
   caller frees it. */
enum r2_status r2_activation_map_heat(const struct r2_activation_map *map, uint8_t **ret,
                                      struct r2_error *err);

#endif
