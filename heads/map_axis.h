/*
 * Which cells of a network's map make a pixel of the original picture: the map is resized bilinearly
 * to the network's input, what is padding there is cut away, the rest is resized bilinearly to the
 * picture. Both resizes are linear, so that they are carried out as one, axis by axis.
 */
#ifndef R2_HEADS_MAP_AXIS_H
#define R2_HEADS_MAP_AXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backbone/session.h"
#include "base/error.h"
#include "image/input.h"

enum { R2_AXIS_TAPS = 3 }; /* cells that make a pixel, at most */

/* Pixel i is the sum of weights[i] times cells first[i] ... first[i] + R2_AXIS_TAPS - 1; those from
   `cells` on do not exist and have weight 0. first never falls. */
struct r2_axis {
    size_t count, cells;
    uint32_t *first;                /* [count] */
    float (*weights)[R2_AXIS_TAPS]; /* [count] */
};

/* Columns and rows of the picture, for a map no finer than the network's input. A pixel that a crop
   kept from the network takes what is at the edge. `corners_to_input` and `corners_to_picture`: of each
   resize, what torch.nn.functional.interpolate calls align_corners. The caller finishes both, also on
   failure; they come zeroed. R2_INVALID for a finer map; R2_NO_MEMORY. */
enum r2_status r2_axes_init(const struct r2_output_view *map, const struct r2_geometry *geometry,
                            bool corners_to_input, bool corners_to_picture, struct r2_axis *ret_x,
                            struct r2_axis *ret_y, struct r2_error *err);
void r2_axis_finish(struct r2_axis *axis);

#endif
