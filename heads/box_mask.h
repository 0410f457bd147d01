/*
 * The mask of a box: few cells, each of them the probability that the object is there, and the
 * pixels of the picture that they stand for.
 *
 * Pixels are those of mmdetection (paste_masks_in_image): the cells are resized to the box
 * bilinearly, cell centres at half cells, with zeros around, and a pixel is in the mask whose value
 * at its centre is 0.5 or more.
 *
 * They are not computed one by one. Along a row or a column of the picture values are straight
 * between the middles of two cells, so that what is in the mask there is one run, which is found by
 * its ends: time is that of the box's width or height, and no map is needed.
 */
#ifndef R2_HEADS_BOX_MASK_H
#define R2_HEADS_BOX_MASK_H

#include <stdint.h>

#include "base/text.h"
#include "heads/box.h"

enum { R2_BOX_MASK_SIDE_MOST = 64 };

struct r2_box_mask {
    const float *cells;     /* [side, side], borrowed; 0..1 */
    uint32_t side;          /* 1 .. R2_BOX_MASK_SIDE_MOST */
    struct r2_box box;      /* finite, pixels of the picture; an empty one has no pixels */
    uint32_t width, height; /* pixels of the picture; their product fits size_t */
};

/* A part of a picture, in pixels; may be empty. */
struct r2_mask_window {
    uint32_t x, y, width, height;
};

/* All pixels of a mask are in it. */
struct r2_mask_window r2_box_mask_window(const struct r2_box_mask *mask);

/* Appends the COCO run lengths (rle.h) of the mask in the whole picture; ret->failed without memory. At most
   side + 2 counts a column of the window. */
void r2_box_mask_encode(const struct r2_box_mask *mask, struct r2_text *ret);

/* Sets what the mask covers to `value` in a map [height, width] of this window, which has all of
   r2_box_mask_window. */
void r2_box_mask_fill(const struct r2_box_mask *mask, uint8_t value, struct r2_mask_window window,
                      uint8_t *map);

#endif
