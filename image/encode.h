/*
 * From pixels to the bytes of a picture file.
 *
 * Bytes are appended to the caller's buffer, whose limit bounds them (R2_TOO_LARGE); besides, an
 * encoder takes memory for a few rows. On failure the buffer is as it was.
 */
#ifndef R2_IMAGE_ENCODE_H
#define R2_IMAGE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/image.h"
#include "image/palette.h"

/* Baseline JPEG without colour subsampling: in 4:2:0 thin coloured lines and small text smear.
   quality is libjpeg's, 1..100; R2_INVALID outside, or for a side over 65500 pixels. */
enum r2_status r2_jpeg_encode(const struct r2_image *image, int quality, struct r2_buffer *ret,
                              struct r2_error *err);

/* 8-bit RGB PNG, which decodes to exactly these pixels. Compresses for speed. R2_INVALID for a side
   over 1000000 pixels. */
enum r2_status r2_png_encode(const struct r2_image *image, struct r2_buffer *ret,
                             struct r2_error *err);

/* 8-bit grey PNG of samples [height, width]. R2_INVALID for a side over 1000000 pixels. */
enum r2_status r2_png_encode_grey(const uint8_t *samples, uint32_t width, uint32_t height,
                                  struct r2_buffer *ret, struct r2_error *err);

/* 8-bit palette PNG of labels [height, width], whose samples are the labels themselves and whose
   palette shows label i in colours[i]. count is 1..256; R2_INVALID outside, for a side of 0 or over
   1000000 pixels, or for a label that has no colour. */
enum r2_status r2_png_encode_labels(const uint8_t *labels, uint32_t width, uint32_t height,
                                    const struct r2_colour *colours, size_t count,
                                    struct r2_buffer *ret, struct r2_error *err);

#endif
