/*
 * Resizing that equals OpenCV's cv2.resize of 8-bit pictures, sample for sample: bilinear is
 * INTER_LINEAR, nearest is INTER_NEAREST. Only resample.c includes this.
 *
 * An output sample is made of two neighbours along each axis, however much a picture shrinks (no
 * antialiasing). Centres are half-pixel, positions float; coefficients have 11 fractional bits. The
 * horizontal pass keeps 7 fractional bits, cut; the vertical one cuts each product to 2 and rounds
 * their sum. At exactly half the size this is the mean of four that OpenCV computes there in another
 * way (INTER_AREA). Nearest takes sample floor(output * scale), as one tap of weight 1: such sums
 * are the samples themselves.
 *
 * Equal to opencv-python-headless 4.14 and 5.0. Goldens: tests/golden/image.
 */
#ifndef R2_IMAGE_TWO_TAPS_H
#define R2_IMAGE_TWO_TAPS_H

#include "image/resample.h"

struct r2_two_taps;

/* As r2_resampler_create, of arguments that it has checked. R2_UNSUPPORTED for bicubic. */
enum r2_status r2_two_taps_create(const struct r2_image *src, uint32_t full_width,
                                  uint32_t full_height, struct r2_window window,
                                  enum r2_filter filter, struct r2_two_taps **ret,
                                  struct r2_error *err);
void r2_two_taps_destroy(struct r2_two_taps *taps);

/* As r2_resampler_next. */
const uint8_t *r2_two_taps_next(struct r2_two_taps *taps);

#endif
