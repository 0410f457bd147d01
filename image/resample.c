#include "image/resample.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "image/convolve.h"
#include "image/two_taps.h"

/* What happens along one axis. */
enum axis_kind {
    AXIS_COPY, /* the size stays: samples from the window on */
    AXIS_PICK, /* nearest */
    AXIS_SUM,  /* bilinear, bicubic */
};

struct axis {
    enum axis_kind kind;
    uint32_t first, count; /* the window */
    uint32_t *picks;       /* [count] source samples; AXIS_PICK */
    struct r2_taps taps;   /* AXIS_SUM */
};

struct r2_resampler {
    struct r2_two_taps *two_taps; /* like OpenCV: does everything, nothing else is set */

    const struct r2_image *src;
    struct axis x, y;
    size_t row_size; /* bytes of an output row */
    uint32_t row;    /* the next output row */
    uint8_t *out;    /* an output row and slack */
    uint8_t *padded; /* a source row and slack, for rows at the very end of the source */

    /* The vertical pass sums rows of the horizontal one, which are kept as long as they are needed:
       source row n is in ring row n % ring_rows. */
    uint8_t *ring;
    size_t ring_stride;
    uint32_t ring_rows;
    uint32_t ring_next;       /* source rows below this one have been through the horizontal pass */
    const uint8_t **sum_rows; /* [2 * taps.stride] */
};

/* Pillow adds the scale up from output to output, so that this does too, from the full picture's
   edge on: rounding errors decide where centres fall on borders of samples. */
static enum r2_status init_picks(struct axis *axis, uint32_t source_size, uint32_t full_size,
                                 struct r2_error *err)
{
    R2_TRY(r2_alloc(axis->count, sizeof *axis->picks, "resize", &axis->picks, err));
    double scale = (double)source_size / full_size, centre = scale * 0.5;
    for (uint32_t i = 0; i < axis->first; i++) centre += scale;
    for (uint32_t i = 0; i < axis->count; i++, centre += scale)
        axis->picks[i] = centre < source_size ? (uint32_t)centre : source_size - 1;
    return R2_OK;
}

static enum r2_status axis_init(struct axis *axis, uint32_t source_size, uint32_t full_size,
                                uint32_t first, uint32_t count, enum r2_filter filter,
                                struct r2_error *err)
{
    axis->first = first;
    axis->count = count;
    if (source_size == full_size) {
        axis->kind = AXIS_COPY;
        return R2_OK;
    }
    if (filter == R2_FILTER_NEAREST) {
        axis->kind = AXIS_PICK;
        return init_picks(axis, source_size, full_size, err);
    }
    axis->kind = AXIS_SUM;
    return r2_taps_init(source_size, full_size, first, count, filter, &axis->taps, err);
}

static void axis_finish(struct axis *axis)
{
    free(axis->picks);
    r2_taps_finish(&axis->taps);
}

static enum r2_status check_arguments(const struct r2_image *src, uint32_t width, uint32_t height,
                                      struct r2_window window, enum r2_filter filter,
                                      struct r2_error *err)
{
    if (!src->width || !src->height) return r2_fail(err, R2_INVALID, "resize: the source is empty");
    if ((unsigned)filter >= R2_FILTER_COUNT)
        return r2_fail(err, R2_INVALID, "resize: there is no filter %u", (unsigned)filter);
    if (!width || !height || width > R2_RESIZE_MAX_SIDE || height > R2_RESIZE_MAX_SIDE)
        return r2_fail(err, R2_INVALID, "resize to %u x %u pixels: sides must be from 1 to %d",
                       width, height, R2_RESIZE_MAX_SIDE);
    if (!window.width || window.x > width || window.width > width - window.x || !window.height ||
        window.y > height || window.height > height - window.y)
        return r2_fail(err, R2_INVALID,
                       "resize: the window %u x %u at (%u, %u) is not inside %u x %u pixels",
                       window.width, window.height, window.x, window.y, width, height);
    return R2_OK;
}

static enum r2_status create_buffers(struct r2_resampler *r, struct r2_error *err)
{
    R2_TRY(r2_alloc_aligned(r->row_size + R2_CONVOLVE_SLACK, "resized row", &r->out, err));
    if (r->x.kind == AXIS_SUM)
        R2_TRY(r2_alloc(1, r2_image_stride(r->src) + R2_CONVOLVE_SLACK, "padded row", &r->padded,
                        err));
    if (r->y.kind != AXIS_SUM) return R2_OK;
    R2_TRY(r2_alloc((size_t)r->y.taps.stride * 2, sizeof *r->sum_rows, "rows to sum", &r->sum_rows,
                    err));
    if (r->x.kind != AXIS_SUM) return R2_OK;
    size_t size;
    r->ring_rows = r->y.taps.longest;
    r->ring_stride = (r->row_size + R2_CONVOLVE_SLACK + 63) & ~(size_t)63;
    if (!r2_size_mul(r->ring_rows, r->ring_stride, &size))
        return r2_fail(err, R2_NO_MEMORY, "resize: too many rows to address");
    return r2_alloc_aligned(size, "resized rows", &r->ring, err);
}

static enum r2_status init_like_pillow(struct r2_resampler *r, const struct r2_image *src,
                                       uint32_t full_width, uint32_t full_height,
                                       struct r2_window window, enum r2_filter filter,
                                       struct r2_error *err)
{
    r->src = src;
    r->row_size = (size_t)window.width * 3;
    R2_TRY(axis_init(&r->x, src->width, full_width, window.x, window.width, filter, err));
    R2_TRY(axis_init(&r->y, src->height, full_height, window.y, window.height, filter, err));
    return create_buffers(r, err);
}

enum r2_status r2_resampler_create(const struct r2_image *src, uint32_t full_width,
                                   uint32_t full_height, struct r2_window window,
                                   enum r2_filter filter, enum r2_resize_like like,
                                   struct r2_resampler **ret, struct r2_error *err)
{
    struct r2_resampler *r;
    R2_TRY(check_arguments(src, full_width, full_height, window, filter, err));
    R2_TRY(r2_alloc(1, sizeof *r, "resampler", &r, err));
    /* a picture of that size is copied, by OpenCV as by Pillow */
    const bool resizes = full_width != src->width || full_height != src->height;
    enum r2_status status =
        like == R2_LIKE_OPENCV && resizes
            ? r2_two_taps_create(src, full_width, full_height, window, filter, &r->two_taps, err)
            : init_like_pillow(r, src, full_width, full_height, window, filter, err);
    if (status != R2_OK) {
        r2_resampler_destroy(r);
        return status;
    }
    *ret = r;
    return R2_OK;
}

void r2_resampler_destroy(struct r2_resampler *resampler)
{
    if (!resampler) return;
    r2_two_taps_destroy(resampler->two_taps);
    axis_finish(&resampler->x);
    axis_finish(&resampler->y);
    free(resampler->out);
    free(resampler->padded);
    free(resampler->ring);
    free(resampler->sum_rows);
    free(resampler);
}

static void pick_pixels(const uint32_t *picks, uint32_t count, const uint8_t *src, uint8_t *dst)
{
    for (uint32_t i = 0; i < count; i++) memcpy(dst + (size_t)i * 3, src + (size_t)picks[i] * 3, 3);
}

/* A source row through the horizontal pass: into `room`, or where it is when nothing changes. */
static const uint8_t *horizontal(struct r2_resampler *r, uint32_t source_row, uint8_t *room)
{
    size_t stride = r2_image_stride(r->src);
    const uint8_t *row = r->src->pixels + stride * source_row;
    switch (r->x.kind) {
    case AXIS_COPY: return row + (size_t)r->x.first * 3;
    case AXIS_PICK: pick_pixels(r->x.picks, r->x.count, row, room); return room;
    case AXIS_SUM: break;
    }
    if (stride * (r->src->height - 1 - source_row) < R2_CONVOLVE_SLACK)
        row = memcpy(r->padded, row, stride);
    r2_convolve_row(&r->x.taps, row, room);
    return room;
}

static const uint8_t *vertical(struct r2_resampler *r, uint32_t i)
{
    struct r2_tap_span span = r->y.taps.spans[i];
    size_t pair_count = (span.count + 1) / 2;
    if (r->ring_next < span.first) r->ring_next = span.first;
    for (uint32_t k = 0; k < span.count; k++) {
        uint32_t source_row = span.first + k;
        if (!r->ring) {
            r->sum_rows[k] = horizontal(r, source_row, NULL);
            continue;
        }
        uint8_t *room = r->ring + r->ring_stride * (source_row % r->ring_rows);
        if (source_row == r->ring_next) {
            horizontal(r, source_row, room);
            r->ring_next++;
        }
        r->sum_rows[k] = room;
    }
    if (span.count % 2) r->sum_rows[span.count] = r->sum_rows[0]; /* its coefficient is 0 */
    r2_convolve_rows(r->y.taps.pairs + (size_t)i * r->y.taps.stride, pair_count, r->sum_rows,
                     r->row_size, r->out);
    return r->out;
}

const uint8_t *r2_resampler_next(struct r2_resampler *resampler)
{
    if (resampler->two_taps) return r2_two_taps_next(resampler->two_taps);
    uint32_t i = resampler->row++;
    switch (resampler->y.kind) {
    case AXIS_COPY: return horizontal(resampler, resampler->y.first + i, resampler->out);
    case AXIS_PICK: return horizontal(resampler, resampler->y.picks[i], resampler->out);
    case AXIS_SUM: break;
    }
    return vertical(resampler, i);
}

enum r2_status r2_image_resize_window(const struct r2_image *src, uint32_t full_width,
                                      uint32_t full_height, struct r2_window window,
                                      enum r2_filter filter, struct r2_image *ret,
                                      struct r2_error *err)
{
    struct r2_resampler *resampler;
    struct r2_image image;
    R2_TRY(r2_resampler_create(src, full_width, full_height, window, filter, R2_LIKE_PIL,
                               &resampler, err));
    enum r2_status status = r2_image_create(window.width, window.height, &image, err);
    if (status == R2_OK) {
        size_t stride = r2_image_stride(&image);
        for (uint32_t y = 0; y < window.height; y++)
            memcpy(image.pixels + stride * y, r2_resampler_next(resampler), stride);
        *ret = image;
    }
    r2_resampler_destroy(resampler);
    return status;
}

enum r2_status r2_image_resize(const struct r2_image *src, uint32_t width, uint32_t height,
                               enum r2_filter filter, struct r2_image *ret, struct r2_error *err)
{
    return r2_image_resize_window(src, width, height, (struct r2_window){0, 0, width, height},
                                  filter, ret, err);
}
