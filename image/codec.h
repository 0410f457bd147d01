/*
 * Between decode.c and the file formats (jpeg.c, png.c, webp.c); nobody else includes this.
 */
#ifndef R2_IMAGE_CODEC_H
#define R2_IMAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/decode.h"
#include "image/image.h"

/* A truncated file is R2_OK with what it has, as long as its header is complete: info.truncated,
   info.rows. What is missing is filled. */
enum r2_status r2_jpeg_decode(struct r2_bytes file, const struct r2_decode_options *options,
                              struct r2_image *ret, struct r2_picture_info *ret_info,
                              struct r2_error *err);
enum r2_status r2_png_decode(struct r2_bytes file, const struct r2_decode_options *options,
                             struct r2_image *ret, struct r2_picture_info *ret_info,
                             struct r2_error *err);
enum r2_status r2_webp_decode(struct r2_bytes file, const struct r2_decode_options *options,
                              struct r2_image *ret, struct r2_picture_info *ret_info,
                              struct r2_error *err);

/* R2_INVALID when a side is 0 or the pixels are over the limit. */
enum r2_status r2_limits_check_pixels(const struct r2_decode_limits *limits, uint32_t width,
                                      uint32_t height, struct r2_error *err);

/* R2_INVALID when `needed` bytes are over the limit. */
enum r2_status r2_limits_check_memory(const struct r2_decode_limits *limits, uint64_t needed,
                                      struct r2_error *err);

/* A picture being filled in stored order and turned upright on the way, without a second copy. */
struct r2_canvas {
    struct r2_image image; /* in upright order; owned */
    uint32_t stored_width, stored_height;
    uint8_t *origin;          /* where stored pixel (0, 0) goes */
    ptrdiff_t step_x, step_y; /* bytes to the next stored pixel and the next stored row */
};

/* Rows that are best put at once: turned pictures are written in runs of this many pixels. */
enum { R2_STRIP_ROWS = 16 };

enum r2_status r2_canvas_create(uint32_t width, uint32_t height, unsigned orientation,
                                struct r2_canvas *ret, struct r2_error *err);
void r2_canvas_finish(struct r2_canvas *canvas);

/* True when stored rows are the picture's rows, so that they can be decoded into place. */
bool r2_canvas_is_upright(const struct r2_canvas *canvas);

/* Puts stored rows y .. y + rows - 1, [rows, stored_width, 3] RGB. */
void r2_canvas_put(struct r2_canvas *canvas, uint32_t y, uint32_t rows, const uint8_t *rgb);

/* [pixels, 4] RGBA laid over white, as Pillow pastes with a mask, to [pixels, 3]; rgb may be rgba. */
void r2_rgba_over_white(const uint8_t *rgba, size_t pixels, uint8_t *rgb);

/* Fills pixels that a truncated file does not have, [pixels, channels] with 3 or 4: opaque, of the
   grey that libjpeg makes of no data, in the middle of the range. */
void r2_missing_fill(uint8_t *samples, size_t pixels, unsigned channels);

#endif
