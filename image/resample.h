/*
 * Resizing that equals that of a library, sample for sample: Pillow's Image.resize, or OpenCV's
 * cv2.resize (two_taps.h).
 *
 * Like Pillow:
 * Bilinear and bicubic (a = -0.5) are convolutions whose support grows with the scale when a
 * picture shrinks (antialiasing). Two passes, horizontal first; the result of each is rounded to 8
 * bits; coefficients are fixed-point with 22 fractional bits; a pass that changes nothing is left
 * out. Nearest takes the sample under the centre of the output pixel.
 *
 * The order of the passes is that of every Pillow up to 12 (Debian 12 has 9.4, Debian 13 has 11.1).
 * Pillow 13 runs the vertical pass first when height shrinks much more than width, and then rounds
 * otherwise; pictures that keep their ratio are not concerned. Goldens: tests/golden/image.
 */
#ifndef R2_IMAGE_RESAMPLE_H
#define R2_IMAGE_RESAMPLE_H

#include <stdint.h>

#include "base/error.h"
#include "image/image.h"

enum r2_filter { R2_FILTER_NEAREST, R2_FILTER_BILINEAR, R2_FILTER_BICUBIC, R2_FILTER_COUNT };

/* Whose resize it equals; there is no R2_FILTER_BICUBIC like OpenCV. */
enum r2_resize_like { R2_LIKE_PIL, R2_LIKE_OPENCV, R2_LIKE_COUNT };

/* Part of a picture, in pixels. */
struct r2_window {
    uint32_t x, y, width, height;
};

/* The largest side of a resized picture (of which a window may be all that is computed). */
enum { R2_RESIZE_MAX_SIDE = 1 << 24 };

/* The whole picture in another size, like Pillow. R2_INVALID for a side of 0 or over R2_RESIZE_MAX_SIDE. */
enum r2_status r2_image_resize(const struct r2_image *src, uint32_t width, uint32_t height,
                               enum r2_filter filter, struct r2_image *ret, struct r2_error *err);

/* A window of the resized picture: exactly the crop of what r2_image_resize gives, computing only
   what the window shows. R2_INVALID also for a window that is empty or not inside. */
enum r2_status r2_image_resize_window(const struct r2_image *src, uint32_t full_width,
                                      uint32_t full_height, struct r2_window window,
                                      enum r2_filter filter, struct r2_image *ret,
                                      struct r2_error *err);

/*
 * The same, like either library, a row at a time, for callers that turn rows into something else and
 * need no picture: create, then next for each row of the window from the top, then destroy. Borrows
 * src until destroy. Only create can fail; also with R2_UNSUPPORTED, for bicubic like OpenCV.
 */
struct r2_resampler;

enum r2_status r2_resampler_create(const struct r2_image *src, uint32_t full_width,
                                   uint32_t full_height, struct r2_window window,
                                   enum r2_filter filter, enum r2_resize_like like,
                                   struct r2_resampler **ret, struct r2_error *err);
void r2_resampler_destroy(struct r2_resampler *resampler);

/* The next row, [window.width, 3] RGB; borrowed until the next call. Must not be called more often
   than the window has rows. */
const uint8_t *r2_resampler_next(struct r2_resampler *resampler);

#endif
