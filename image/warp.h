/*
 * A part of a picture, moved and stretched by an affine map, as a network's input.
 */
#ifndef R2_IMAGE_WARP_H
#define R2_IMAGE_WARP_H

#include "base/error.h"
#include "image/image.h"
#include "image/input.h"

/* x' = xx x + xy y + x0, y' = yx x + yy y + y0. */
struct r2_affine {
    double xx, xy, x0;
    double yx, yy, y0;
};

void r2_affine_apply(const struct r2_affine *map, double x, double y, double *ret_x, double *ret_y);

/* The inverse; of a map that has none, one to (0, 0) as OpenCV takes it. */
struct r2_affine r2_affine_invert(const struct r2_affine *map);

/*
 * Writes dst [height, width, 3] floats, channels last: the pixel (x, y) of dst shows what is at
 * to_picture(x, y), normalised by mean, std and channel order of `spec` (whose other fields do not
 * count). Here a whole number is the middle of a pixel. What is outside the picture is black before
 * it is normalised.
 *
 * The samples are those of OpenCV's warpAffine on 8 bits with INTER_LINEAR and a constant border of
 * 0 (to the last bit those of 4.10; not averaged where the picture is shrunk): coordinates are
 * rounded to 1/1024 along each axis, their sum to 1/32 of a pixel, the mean of four pixels to a
 * level.
 *
 * height and width are 1 .. R2_INPUT_MAX_SIDE, at most R2_INPUT_MAX_PIXELS together: R2_INVALID, as
 * for a map with a number that is not finite. R2_NO_MEMORY for a row's samples.
 */
enum r2_status r2_warp(const struct r2_image *picture, const struct r2_affine *to_picture,
                       const struct r2_input_spec *spec, struct r2_input_shape shape, float *dst,
                       struct r2_error *err);

#endif
