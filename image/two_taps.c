#include "image/two_taps.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

enum {
    UNIT = 1 << 11, /* the weight 1 */
    ROW_SHIFT = 4,  /* from sample * weight to a sample of a row between the passes */
    NO_ROW = -1
};

/* The source samples that an output sample is made of, and their weights. At the edges both are the
   same sample. */
struct tap {
    uint32_t at[2];
    int32_t weight[2];
};

struct r2_two_taps {
    const struct r2_image *src;
    struct tap *x, *y; /* of the window's columns and rows */
    size_t row_size;   /* samples of an output row */
    uint32_t row;      /* the next output row */
    uint8_t *out;

    /* The last even and the last odd source row that went through the horizontal pass. */
    int16_t *rows[2];
    int64_t held[2];
};

static uint32_t inside(double position, uint32_t size)
{
    if (position < 0.0) return 0;
    return position < size ? (uint32_t)position : size - 1;
}

/* In double and float as OpenCV, whose weights hang on the rounding of both. */
static struct tap tap_of(enum r2_filter filter, double scale, uint32_t output, uint32_t size)
{
    if (filter == R2_FILTER_NEAREST) {
        uint32_t at = inside(output * scale, size);
        return (struct tap){{at, at}, {UNIT, 0}};
    }
    double centre = (output + 0.5) * scale;
    float position = (float)(centre - 0.5);
    float before = floorf(position), part = position - before;
    return (struct tap){
        {inside((double)before, size), inside((double)before + 1.0, size)},
        {(int32_t)lrintf((1.0f - part) * UNIT), (int32_t)lrintf(part * UNIT)},
    };
}

static enum r2_status init_axis(uint32_t source_size, uint32_t full_size, uint32_t first,
                                uint32_t count, enum r2_filter filter, struct tap **ret,
                                struct r2_error *err)
{
    double scale = 1.0 / ((double)full_size / source_size);
    R2_TRY(r2_alloc(count, sizeof **ret, "resize", ret, err));
    for (uint32_t i = 0; i < count; i++) (*ret)[i] = tap_of(filter, scale, first + i, source_size);
    return R2_OK;
}

static enum r2_status init(struct r2_two_taps *taps, uint32_t full_width, uint32_t full_height,
                           struct r2_window window, enum r2_filter filter, struct r2_error *err)
{
    R2_TRY(init_axis(taps->src->width, full_width, window.x, window.width, filter, &taps->x, err));
    R2_TRY(
        init_axis(taps->src->height, full_height, window.y, window.height, filter, &taps->y, err));
    for (int i = 0; i < 2; i++)
        R2_TRY(
            r2_alloc(taps->row_size, sizeof *taps->rows[i], "resized rows", &taps->rows[i], err));
    return r2_alloc(taps->row_size, 1, "resized row", &taps->out, err);
}

enum r2_status r2_two_taps_create(const struct r2_image *src, uint32_t full_width,
                                  uint32_t full_height, struct r2_window window,
                                  enum r2_filter filter, struct r2_two_taps **ret,
                                  struct r2_error *err)
{
    struct r2_two_taps *taps;
    if (filter == R2_FILTER_BICUBIC)
        return r2_fail(
            err, R2_UNSUPPORTED,
            "resize: bicubic like opencv is not supported; supported: nearest, bilinear");
    R2_TRY(r2_alloc(1, sizeof *taps, "resampler", &taps, err));
    taps->src = src;
    taps->row_size = (size_t)window.width * 3;
    taps->held[0] = taps->held[1] = NO_ROW;
    enum r2_status status = init(taps, full_width, full_height, window, filter, err);
    if (status != R2_OK) {
        r2_two_taps_destroy(taps);
        return status;
    }
    *ret = taps;
    return R2_OK;
}

void r2_two_taps_destroy(struct r2_two_taps *taps)
{
    if (!taps) return;
    free(taps->x);
    free(taps->y);
    free(taps->rows[0]);
    free(taps->rows[1]);
    free(taps->out);
    free(taps);
}

static const int16_t *horizontal(struct r2_two_taps *taps, uint32_t source_row)
{
    int16_t *row = taps->rows[source_row % 2], *dst = row;
    if (taps->held[source_row % 2] == source_row) return row;
    const uint8_t *src = taps->src->pixels + r2_image_stride(taps->src) * source_row;
    const struct tap *end = taps->x + taps->row_size / 3;
    for (const struct tap *tap = taps->x; tap < end; tap++, dst += 3) {
        const uint8_t *left = src + (size_t)tap->at[0] * 3, *right = src + (size_t)tap->at[1] * 3;
        for (int c = 0; c < 3; c++)
            dst[c] = (int16_t)((left[c] * tap->weight[0] + right[c] * tap->weight[1]) >> ROW_SHIFT);
    }
    taps->held[source_row % 2] = source_row;
    return row;
}

const uint8_t *r2_two_taps_next(struct r2_two_taps *taps)
{
    const struct tap *tap = taps->y + taps->row++;
    const int16_t *above = horizontal(taps, tap->at[0]), *below = horizontal(taps, tap->at[1]);
    const int16_t upper = (int16_t)tap->weight[0], lower = (int16_t)tap->weight[1];
    uint8_t *out = taps->out;
    for (size_t i = 0; i < taps->row_size; i++)
        out[i] = (uint8_t)(((upper * above[i] >> 16) + (lower * below[i] >> 16) + 2) >> 2);
    return out;
}
