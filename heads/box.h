/*
 * Boxes in pixels, continuous: a box from 0 to 1 covers the first pixel and is 1 wide. No "+1".
 *
 * A box is empty when x1 < x2 and y1 < y2 do not both hold; so is one with a NaN. The arithmetic keeps NaN (a
 * broken network must not look like a box at the border); r2_nms drops such boxes.
 */
#ifndef R2_HEADS_BOX_H
#define R2_HEADS_BOX_H

#include <stdbool.h>

#include "image/input.h"

struct r2_box {
    float x1, y1, x2, y2;
};

/* Four finite numbers. */
bool r2_box_is_finite(struct r2_box box);

/* 0 for an empty box. Double, since neither overflow nor underflow may decide over a box. */
double r2_box_area(struct r2_box box);

/* Intersection over union, 0..1; 0 when either box is empty. */
float r2_box_iou(struct r2_box a, struct r2_box b);

/* Into x 0..width, y 0..height, both ends included (a box outside becomes empty). */
struct r2_box r2_box_clip(struct r2_box box, float width, float height);

/* From pixels of the picture to those of the network's input, and back. */
struct r2_box r2_box_to_network(const struct r2_geometry *geometry, struct r2_box box);
struct r2_box r2_box_to_picture(const struct r2_geometry *geometry, struct r2_box box);

/* How a network writes a box relative to another (Girshick et al., R-CNN, 2014): each number is
   delta * std + mean. */
struct r2_box_coder {
    float means[4], stds[4];
};

/* deltas [4] = dx, dy, dw, dh: the centre moves by dx widths and dy heights, the size grows by
   exp(dw), exp(dh), limited to 16/1000 .. 1000/16 as in mmdetection. */
struct r2_box r2_box_decode(const struct r2_box_coder *coder, struct r2_box from,
                            const float *deltas);

#endif
