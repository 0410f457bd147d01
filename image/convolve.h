/*
 * The arithmetic of resampling: fixed-point filter coefficients, and sums of weighted samples along
 * a row and across rows. Only resample.c includes this.
 *
 * A coefficient has R2_TAP_BITS fractional bits, too many for 16-bit multiplication, which is what
 * vector units do best (SSE2: two products and their sum in one instruction). So it is kept as
 * high * 2^R2_TAP_LOW_BITS + low, and taps go in pairs. Sums are exact: they wrap in 32 bits on the
 * way, and the true total, at most 255 * 2^R2_TAP_BITS and a little, fits.
 */
#ifndef R2_IMAGE_CONVOLVE_H
#define R2_IMAGE_CONVOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/resample.h"

enum { R2_TAP_BITS = 22, R2_TAP_LOW_BITS = 11 };

struct r2_tap_pair {
    int16_t high[2], low[2];
};

/* Which samples of the source an output sample is made of. */
struct r2_tap_span {
    uint32_t first, count; /* source samples, inside the source */
};

/* The taps of `count` neighbouring outputs of one axis. */
struct r2_taps {
    uint32_t count;
    uint32_t longest;          /* no span is longer */
    uint32_t stride;           /* pairs kept for an output; what a span does not use is 0 */
    struct r2_tap_span *spans; /* [count]; first never falls */
    struct r2_tap_pair *pairs; /* [count, stride] */
};

/* Taps of outputs first .. first + count - 1 of an axis of source_size samples resized to
   full_size, for R2_FILTER_BILINEAR and R2_FILTER_BICUBIC. */
enum r2_status r2_taps_init(uint32_t source_size, uint32_t full_size, uint32_t first,
                            uint32_t count, enum r2_filter filter, struct r2_taps *ret,
                            struct r2_error *err);
void r2_taps_finish(struct r2_taps *taps);

/* Bytes behind the last sample of a source row that r2_convolve_row may read (and ignore), and
   behind the last one of its result that it may write. */
enum { R2_CONVOLVE_SLACK = 8 };

/* Horizontal pass over one row: src [source width, 3] -> dst [taps->count, 3]. */
void r2_convolve_row(const struct r2_taps *taps, const uint8_t *src, uint8_t *dst);

/* One output row of the vertical pass: the weighted sum of 2 * pair_count rows of `size` bytes. */
void r2_convolve_rows(const struct r2_tap_pair *pairs, size_t pair_count,
                      const uint8_t *const *rows, size_t size, uint8_t *dst);

#endif
