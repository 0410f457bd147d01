#include "backbone/depthwise.h"

#include <string.h>

#include "base/vector.h"

enum { TAPS = R2_DEPTHWISE_KERNEL * R2_DEPTHWISE_KERNEL };

struct job {
    struct r2_map dst, src;
    const struct r2_conv *conv;
    const float *weights, *bias;
    struct r2_map_size size;
};

/* A window on one axis: where it starts, counted in the padded picture, and which of its taps,
   [begin, end), read inside the picture. */
struct place {
    size_t start, begin, end;
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static struct place place_at(size_t index, const struct r2_conv *conv, size_t size)
{
    const size_t start = index * conv->stride, stop = size + conv->pad;
    const size_t begin = start < conv->pad ? divide_up(conv->pad - start, conv->dilation) : 0;
    const size_t end = start < stop ? divide_up(stop - start, conv->dilation) : 0;
    return (struct place){start, begin, end < R2_DEPTHWISE_KERNEL ? end : R2_DEPTHWISE_KERNEL};
}

/* One pixel of dst, and what it is the sum of. */
struct cell {
    float *dst;
    const float *bias;
    size_t channels, tap_count;
    const float *src[TAPS], *weights[TAPS];
    bool relu;
};

/* Computes COUNT vectors of LANES channels from c on; their sums stay in registers over all taps.
   Arrays are moved vector by vector: gcc would keep one that is copied whole in memory. */
#define SUM(NAME, LANES, COUNT)                                                                    \
    typedef float NAME##_vector __attribute__((vector_size(4 * (LANES))));                         \
    typedef int32_t NAME##_mask __attribute__((vector_size(4 * (LANES))));                         \
    static inline __attribute__((always_inline)) void NAME(const struct cell *cell, size_t c)      \
    {                                                                                              \
        NAME##_vector sum[COUNT], x, w;                                                            \
        for (size_t v = 0; v < (COUNT); v++)                                                       \
            memcpy(&sum[v], cell->bias + c + v * (LANES), sizeof x);                               \
        for (size_t t = 0; t < cell->tap_count; t++) {                                             \
            for (size_t v = 0; v < (COUNT); v++) {                                                 \
                memcpy(&x, cell->src[t] + c + v * (LANES), sizeof x);                              \
                memcpy(&w, cell->weights[t] + c + v * (LANES), sizeof w);                          \
                sum[v] += x * w;                                                                   \
            }                                                                                      \
        }                                                                                          \
        for (size_t v = 0; v < (COUNT); v++) {                                                     \
            if (cell->relu) sum[v] = (NAME##_vector)((NAME##_mask)sum[v] & (sum[v] > 0));          \
            memcpy(cell->dst + c + v * (LANES), &sum[v], sizeof x);                                \
        }                                                                                          \
    }
SUM(sum64, 16, 4)
SUM(sum16, 16, 1)
SUM(sum4, 4, 1)
SUM(sum1, 1, 1)

R2_VECTOR_CLONES static void sum_channels(const struct cell *cell)
{
    const size_t channels = cell->channels;
    size_t c = 0;
    for (; c + 64 <= channels; c += 64) sum64(cell, c);
    for (; c + 16 <= channels; c += 16) sum16(cell, c);
    for (; c + 4 <= channels; c += 4) sum4(cell, c);
    for (; c < channels; c++) sum1(cell, c);
}

/* What the taps in these rows and columns read of a picture, for the pixel (y, x) of dst. */
static void list_taps(struct cell *cell, const struct job *job, const float *picture,
                      struct place y, struct place x)
{
    const struct r2_conv *conv = job->conv;
    cell->tap_count = 0;
    for (size_t i = y.begin; i < y.end; i++) {
        const size_t row = y.start + i * conv->dilation - conv->pad;
        for (size_t k = x.begin; k < x.end; k++) {
            const size_t column = x.start + k * conv->dilation - conv->pad;
            cell->src[cell->tap_count] =
                picture + (row * job->size.in.width + column) * job->src.pitch;
            cell->weights[cell->tap_count++] =
                job->weights + (i * R2_DEPTHWISE_KERNEL + k) * cell->channels;
        }
    }
}

/* Rows of all pictures, counted through. */
static void depthwise_range(const void *data, size_t begin, size_t end)
{
    const struct job *job = data;
    const struct r2_conv *conv = job->conv;
    const struct r2_extent out = job->size.out, in = job->size.in;
    struct cell cell = {.bias = job->bias, .channels = job->size.channels, .relu = conv->relu};
    for (size_t row = begin; row < end; row++) {
        const size_t n = row / out.height;
        const float *picture = job->src.data + n * in.height * in.width * job->src.pitch;
        const struct place y = place_at(row % out.height, conv, in.height);
        for (size_t x = 0; x < out.width; x++) {
            cell.dst = job->dst.data + (row * out.width + x) * job->dst.pitch;
            list_taps(&cell, job, picture, y, place_at(x, conv, in.width));
            sum_channels(&cell);
        }
    }
}

void r2_map_depthwise(struct r2_map dst, struct r2_map src, const struct r2_conv *conv,
                      const float *weights, const float *bias, const struct r2_map_size *size)
{
    const struct job job = {dst, src, conv, weights, bias, *size};
    const size_t rows = size->batch * size->out.height;
    r2_map_ranges(depthwise_range, &job, rows, rows * size->out.width * size->channels);
}
