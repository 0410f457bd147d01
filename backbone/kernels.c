#include "backbone/kernels.h"

#include <float.h>
#include <string.h>

#include "base/vector.h"

#ifdef _OPENMP
#include <omp.h>
#else
/* Built without OpenMP of our own (clang, whose runtime would be a second one in the process):
   oneDNN's still needs its number of threads. */
void omp_set_num_threads(int count);
#endif

/* Below this many floats a second thread costs more than it brings. */
enum { PARALLEL_LEAST = 16384 };

void r2_threads_use(unsigned count)
{
    omp_set_num_threads((int)count);
}

void r2_map_ranges(r2_range_fn fn, const void *job, size_t count, size_t floats)
{
#ifdef _OPENMP
    int threads = floats < PARALLEL_LEAST ? 1 : omp_get_max_threads();
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            size_t team = (size_t)omp_get_num_threads(), self = (size_t)omp_get_thread_num();
            fn(job, count * self / team, count * (self + 1) / team);
        }
        return;
    }
#endif
    (void)floats;
    fn(job, 0, count);
}

/* Where the 16 channels from 16 * block on of a pixel stand. */
static inline float *at(const struct r2_map *map, size_t pixel, size_t block)
{
    return map->data + block * map->block + pixel * map->pitch;
}

/* Clears what a layout of whole blocks has behind the last channel. */
static inline __attribute__((always_inline)) void clear_padding(const struct r2_map *map,
                                                                float *values, size_t used)
{
    const size_t count = R2_MAP_BLOCK - used;
    if (map->block == R2_MAP_BLOCK) return;
    if (count & 1) memset(values + used, 0, 4), used += 1; /* lengths that are known: no calls */
    if (count & 2) memset(values + used, 0, 8), used += 2;
    if (count & 4) memset(values + used, 0, 16), used += 4;
    if (count & 8) memset(values + used, 0, 32);
}

/* One kernel does both moves: dst = b, or sum = a + b with b copied on the way. */
struct move_job {
    struct r2_map sum, a, b, copy; /* copy.data, and a.data with sum.data, may be NULL */
    size_t channels;
    bool relu;
};

enum { FORESIGHT = 16 /* pixels */ };

struct move_cell {
    float *sum, *copy;
    const float *a, *b;
    bool relu;
};

/* Moves N channels from `at` on. Vectors of fixed lengths, since slices have 14, 26, 52 channels:
   loops of unknown length would spend their time on beginning and ending. */
#define MOVE(N)                                                                                    \
    typedef float vector##N __attribute__((vector_size(4 * (N))));                                 \
    typedef int32_t mask##N __attribute__((vector_size(4 * (N))));                                 \
    static inline                                                                                  \
        __attribute__((always_inline)) void move##N(const struct move_cell *cell, size_t at)       \
    {                                                                                              \
        vector##N a, b;                                                                            \
        memcpy(&b, cell->b + at, sizeof b);                                                        \
        if (cell->copy) memcpy(cell->copy + at, &b, sizeof b);                                     \
        if (!cell->sum) return;                                                                    \
        memcpy(&a, cell->a + at, sizeof a);                                                        \
        a += b;                                                                                    \
        if (cell->relu) a = (vector##N)((mask##N)a & (a > 0));                                     \
        memcpy(cell->sum + at, &a, sizeof a);                                                      \
    }
MOVE(16)
MOVE(8)
MOVE(4)
MOVE(2)
MOVE(1)

static inline __attribute__((always_inline)) struct move_cell cell_at(const struct move_job *job,
                                                                      size_t pixel, size_t block)
{
    return (struct move_cell){
        .sum = job->sum.data ? at(&job->sum, pixel, block) : NULL,
        .copy = job->copy.data ? at(&job->copy, pixel, block) : NULL,
        .a = job->sum.data ? at(&job->a, pixel, block) : NULL,
        .b = at(&job->b, pixel, block),
        .relu = job->relu,
    };
}

/* Slices are short pieces a long way apart, and the processor does not foresee the next one. */
static inline __attribute__((always_inline)) void foresee(const struct move_job *job, size_t pixel,
                                                          size_t block)
{
    pixel += FORESIGHT;
    __builtin_prefetch(at(&job->b, pixel, block));
    if (job->copy.data) __builtin_prefetch(at(&job->copy, pixel, block), 1);
    if (!job->sum.data) return;
    __builtin_prefetch(at(&job->a, pixel, block));
    __builtin_prefetch(at(&job->sum, pixel, block), 1);
}

static inline __attribute__((always_inline)) void move_rest(const struct move_cell *cell,
                                                            size_t count)
{
    size_t done = 0;
    if (count & 8) move8(cell, done), done += 8;
    if (count & 4) move4(cell, done), done += 4;
    if (count & 2) move2(cell, done), done += 2;
    if (count & 1) move1(cell, done);
}

R2_VECTOR_CLONES static void move_range(const void *data, size_t begin, size_t end)
{
    const struct move_job job = *(const struct move_job *)data;
    const size_t whole = job.channels / R2_MAP_BLOCK, rest = job.channels % R2_MAP_BLOCK;
    for (size_t p = begin; p < end; p++) {
        for (size_t b = 0; b < whole; b++) {
            struct move_cell cell = cell_at(&job, p, b);
            foresee(&job, p, b);
            move16(&cell, 0);
        }
        if (!rest) continue;
        struct move_cell cell = cell_at(&job, p, whole);
        foresee(&job, p, whole);
        move_rest(&cell, rest);
        if (cell.sum) clear_padding(&job.sum, cell.sum, rest);
        if (cell.copy) clear_padding(&job.copy, cell.copy, rest);
    }
}

void r2_map_copy(struct r2_map dst, struct r2_map src, size_t pixels, size_t channels)
{
    struct move_job job = {.b = src, .copy = dst, .channels = channels};
    r2_map_ranges(move_range, &job, pixels, pixels * channels);
}

void r2_map_add(struct r2_map sum, struct r2_map a, struct r2_map b, struct r2_map copy,
                size_t pixels, size_t channels, bool relu)
{
    struct move_job job = {sum, a, b, copy, channels, relu};
    r2_map_ranges(move_range, &job, pixels, pixels * channels);
}

struct pool_job {
    struct r2_map dst, src;
    const struct r2_pool *pool;
    struct r2_map_size size;
};

/* The cells [begin, end) of one axis that a window covers inside the picture. */
struct window {
    size_t begin, end;
};

static struct window window_at(size_t index, const struct r2_pool *pool, size_t size)
{
    if (pool->kind == R2_POOL_AVG_ADAPTIVE)
        return (struct window){index * size / pool->kernel,
                               ((index + 1) * size + pool->kernel - 1) / pool->kernel};
    size_t start = index * pool->stride, stop = start + pool->kernel;
    size_t begin = start > pool->pad ? start - pool->pad : 0;
    size_t end = stop > pool->pad ? stop - pool->pad : 0;
    return (struct window){begin, end < size ? end : size};
}

/* `picture` is what the window looks at. */
R2_VECTOR_CLONES static void pool_cell(float *restrict dst, const float *picture,
                                       const struct pool_job *job, struct window rows,
                                       struct window columns)
{
    const size_t channels = job->size.channels, pitch = job->src.pitch;
    const bool max = job->pool->kind == R2_POOL_MAX;
    size_t cells = (rows.end - rows.begin) * (columns.end - columns.begin);
    for (size_t c = 0; c < channels; c++) dst[c] = max ? -FLT_MAX : 0;
    for (size_t y = rows.begin; y < rows.end; y++) {
        for (size_t x = columns.begin; x < columns.end; x++) {
            const float *restrict src = picture + (y * job->size.in.width + x) * pitch;
            if (max) {
                for (size_t c = 0; c < channels; c++) dst[c] = src[c] > dst[c] ? src[c] : dst[c];
            } else {
                for (size_t c = 0; c < channels; c++) dst[c] += src[c];
            }
        }
    }
    if (max) return;
    if (job->pool->kind == R2_POOL_AVG) cells = (size_t)job->pool->kernel * job->pool->kernel;
    const float scale = 1.0f / (float)cells;
    for (size_t c = 0; c < channels; c++) dst[c] *= scale;
}

/* Rows of all pictures, counted through. */
static void pool_range(const void *data, size_t begin, size_t end)
{
    const struct pool_job *job = data;
    const struct r2_extent out = job->size.out, in = job->size.in;
    for (size_t row = begin; row < end; row++) {
        const size_t n = row / out.height;
        const float *picture = job->src.data + n * in.height * in.width * job->src.pitch;
        struct window rows = window_at(row % out.height, job->pool, in.height);
        for (size_t x = 0; x < out.width; x++)
            pool_cell(job->dst.data + (row * out.width + x) * job->dst.pitch, picture, job, rows,
                      window_at(x, job->pool, in.width));
    }
}

static size_t out_floats(const struct r2_map_size *size)
{
    return size->batch * size->out.height * size->out.width * size->channels;
}

void r2_map_pool(struct r2_map dst, struct r2_map src, const struct r2_pool *pool,
                 const struct r2_map_size *size)
{
    struct pool_job job = {dst, src, pool, *size};
    r2_map_ranges(pool_range, &job, size->batch * size->out.height, out_floats(size));
}

R2_VECTOR_CLONES static void mean_pixels(float *restrict dst, const float *restrict src,
                                         size_t pitch, size_t pixels, size_t channels)
{
    for (size_t c = 0; c < channels; c++) dst[c] = 0;
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++) dst[c] += src[p * pitch + c];
    const float scale = 1.0f / (float)pixels;
    for (size_t c = 0; c < channels; c++) dst[c] *= scale;
}

void r2_map_mean(struct r2_map dst, struct r2_map src, const struct r2_map_size *size)
{
    const size_t pixels = (size_t)size->in.height * size->in.width;
    for (size_t n = 0; n < size->batch; n++)
        mean_pixels(dst.data + n * dst.pitch, src.data + n * pixels * src.pitch, src.pitch, pixels,
                    size->channels);
}

struct gate_job {
    struct r2_map dst, src, gate, other;
    size_t pixels, channels; /* pixels of one picture */
    bool relu;
};

/* Pixels of all pictures, counted through. */
R2_VECTOR_CLONES static void gate_range(const void *data, size_t begin, size_t end)
{
    const struct gate_job *job = data;
    const size_t channels = job->channels;
    const float least = job->relu ? 0 : -FLT_MAX;
    for (size_t p = begin; p < end; p++) {
        float *restrict dst = job->dst.data + p * job->dst.pitch;
        const float *restrict src = job->src.data + p * job->src.pitch;
        const float *restrict other = job->other.data + p * job->other.pitch;
        const float *restrict gate = job->gate.data + p / job->pixels * job->gate.pitch;
        for (size_t c = 0; c < channels; c++) {
            const float value = src[c] * gate[c] + other[c];
            dst[c] = value > least ? value : least;
        }
    }
}

void r2_map_gate(struct r2_map dst, struct r2_map src, struct r2_map gate, struct r2_map other,
                 const struct r2_map_size *size, bool relu)
{
    const size_t pixels = (size_t)size->out.height * size->out.width;
    struct gate_job job = {dst, src, gate, other, pixels, size->channels, relu};
    r2_map_ranges(gate_range, &job, size->batch * pixels, out_floats(size));
}

struct spread_job {
    struct r2_map dst, src;
    uint32_t stride, pad;
    struct r2_map_size size;
};

/* Rows of all pictures, one above the other. */
static void spread_range(const void *context, size_t begin, size_t end)
{
    const struct spread_job *job = context;
    const struct r2_map_size *size = &job->size;
    const size_t stride = job->stride;
    for (size_t row = begin; row < end; row++) {
        const size_t y = row % size->out.height + job->pad;
        const size_t from = row / size->out.height * size->in.height + y / stride;
        for (size_t i = 0; i < size->out.width; i++) {
            const size_t x = i + job->pad;
            const float *cell =
                job->src.data + (from * size->in.width + x / stride) * job->src.pitch;
            memcpy(job->dst.data + (row * size->out.width + i) * job->dst.pitch,
                   cell + (y % stride * stride + x % stride) * size->channels,
                   size->channels * sizeof(float));
        }
    }
}

void r2_map_spread(struct r2_map dst, struct r2_map src, uint32_t stride, uint32_t pad,
                   const struct r2_map_size *size)
{
    const struct spread_job job = {dst, src, stride, pad, *size};
    r2_map_ranges(spread_range, &job, size->batch * size->out.height, out_floats(size));
}

struct resize_job {
    struct r2_map dst, src, other; /* other.data may be NULL */
    struct r2_map_size size;
    enum r2_sampling sampling;
    bool relu;
};

/* The cells of the source, of one axis, between which a cell of the result lies. */
struct spot {
    size_t low, high;
    float part; /* of high; that of low is 1 - part */
};

/* Cell i of `out` over `in` cells: PyTorch's rules, in its precision. */
static struct spot spot_at(enum r2_sampling sampling, size_t i, size_t out, size_t in)
{
    const float scale = (float)in / (float)out;
    float at = (float)i * scale;
    if (sampling == R2_SAMPLE_BILINEAR) at = scale * ((float)i + 0.5f) - 0.5f;
    if (sampling == R2_SAMPLE_BILINEAR_CORNERS)
        at = out > 1 ? (float)i * ((float)(in - 1) / (float)(out - 1)) : 0;
    size_t low = at > 0 ? (size_t)at : 0;
    if (low >= in) low = in - 1;
    if (sampling == R2_SAMPLE_NEAREST || at <= 0 || low + 1 == in)
        return (struct spot){low, low, 0};
    return (struct spot){low, low + 1, at - (float)low};
}

/* The pixels, counted through, and what each adds. */
struct corner {
    size_t pixel;
    float weight;
};

/* Two maps of a batch are one above the other. */
static size_t list_corners(struct corner *ret, size_t first_row, struct spot y, struct spot x,
                           size_t width)
{
    const size_t low = (first_row + y.low) * width, high = (first_row + y.high) * width;
    const struct corner all[4] = {{low + x.low, (1 - y.part) * (1 - x.part)},
                                  {low + x.high, (1 - y.part) * x.part},
                                  {high + x.low, y.part * (1 - x.part)},
                                  {high + x.high, y.part * x.part}};
    size_t count = 0;
    for (size_t i = 0; i < 4; i++)
        if (all[i].weight > 0) ret[count++] = all[i];
    return count;
}

static inline __attribute__((always_inline)) void blend(const struct resize_job *job, size_t to,
                                                        const struct corner *corners,
                                                        size_t corner_count, size_t block,
                                                        size_t channels)
{
    float sums[R2_MAP_BLOCK];
    for (size_t c = 0; c < channels; c++)
        sums[c] = at(&job->src, corners[0].pixel, block)[c] * corners[0].weight;
    for (size_t i = 1; i < corner_count; i++) {
        const float *src = at(&job->src, corners[i].pixel, block);
        for (size_t c = 0; c < channels; c++) sums[c] += src[c] * corners[i].weight;
    }
    if (job->other.data) {
        const float *other = at(&job->other, to, block);
        for (size_t c = 0; c < channels; c++) sums[c] += other[c];
    }
    float *dst = at(&job->dst, to, block);
    for (size_t c = 0; c < channels; c++) dst[c] = job->relu && sums[c] < 0 ? 0 : sums[c];
}

R2_VECTOR_CLONES static void resize_pixel(const struct resize_job *job, size_t to,
                                          const struct corner *corners, size_t corner_count)
{
    const size_t whole = job->size.channels / R2_MAP_BLOCK,
                 rest = job->size.channels % R2_MAP_BLOCK;
    for (size_t b = 0; b < whole; b++) blend(job, to, corners, corner_count, b, R2_MAP_BLOCK);
    if (!rest) return;
    blend(job, to, corners, corner_count, whole, rest);
    clear_padding(&job->dst, at(&job->dst, to, whole), rest);
}

static void resize_range(const void *data, size_t begin, size_t end)
{
    const struct resize_job *job = data;
    const struct r2_extent out = job->size.out, in = job->size.in;
    for (size_t row = begin; row < end; row++) {
        const size_t first_row = row / out.height * in.height;
        struct spot y = spot_at(job->sampling, row % out.height, out.height, in.height);
        for (size_t x = 0; x < out.width; x++) {
            struct corner corners[4];
            size_t count = list_corners(corners, first_row, y,
                                        spot_at(job->sampling, x, out.width, in.width), in.width);
            resize_pixel(job, row * out.width + x, corners, count);
        }
    }
}

void r2_map_resize(struct r2_map dst, struct r2_map src, struct r2_map other,
                   enum r2_sampling sampling, const struct r2_map_size *size, bool relu)
{
    struct resize_job job = {dst, src, other, *size, sampling, relu};
    r2_map_ranges(resize_range, &job, size->batch * size->out.height, out_floats(size));
}
