#include "backbone/kernels.h"

#include <float.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
/* Built without OpenMP of our own (clang, whose runtime would be a second one in the process):
   oneDNN's still needs its number of threads. */
void omp_set_num_threads(int count);
#endif

/* One source, compiled for the vector widths that matter and picked when the program is loaded.
   Sanitizers run before the resolvers may, hence not there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTOR_CLONES
#endif

/* Below this many floats a second thread costs more than it brings. */
enum { PARALLEL_LEAST = 16384 };

void r2_threads_use(unsigned count)
{
    omp_set_num_threads((int)count);
}

/* The body of a kernel over a range of pixels or rows; ranges of different threads are disjoint. */
typedef void (*range_fn)(const void *job, size_t begin, size_t end);

static void run_ranges(range_fn fn, const void *job, size_t count, size_t floats)
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
static inline void clear_padding(const struct r2_map *map, float *values, size_t used)
{
    if (map->block != R2_MAP_BLOCK) memset(values + used, 0, (R2_MAP_BLOCK - used) * sizeof(float));
}

struct copy_job {
    struct r2_map dst, src;
    size_t channels;
};

VECTOR_CLONES static void copy_range(const void *data, size_t begin, size_t end)
{
    const struct copy_job *job = data;
    const size_t whole = job->channels / R2_MAP_BLOCK, rest = job->channels % R2_MAP_BLOCK;
    for (size_t p = begin; p < end; p++) {
        for (size_t b = 0; b < whole; b++)
            memcpy(at(&job->dst, p, b), at(&job->src, p, b), R2_MAP_BLOCK * sizeof(float));
        if (!rest) continue;
        float *last = at(&job->dst, p, whole);
        memcpy(last, at(&job->src, p, whole), rest * sizeof(float));
        clear_padding(&job->dst, last, rest);
    }
}

void r2_map_copy(struct r2_map dst, struct r2_map src, size_t pixels, size_t channels)
{
    struct copy_job job = {dst, src, channels};
    run_ranges(copy_range, &job, pixels, pixels * channels);
}

struct add_job {
    struct r2_map sum, a, b, copy;
    size_t channels;
    bool relu;
};

static inline void add_block(const struct add_job *job, size_t p, size_t block, size_t count)
{
    float *sum = at(&job->sum, p, block);
    const float *a = at(&job->a, p, block), *b = at(&job->b, p, block);
    if (job->copy.data) memcpy(at(&job->copy, p, block), b, count * sizeof(float));
    for (size_t c = 0; c < count; c++) {
        float value = a[c] + b[c];
        sum[c] = job->relu && !(value > 0) ? 0 : value;
    }
}

VECTOR_CLONES static void add_range(const void *data, size_t begin, size_t end)
{
    const struct add_job *job = data;
    const size_t whole = job->channels / R2_MAP_BLOCK, rest = job->channels % R2_MAP_BLOCK;
    for (size_t p = begin; p < end; p++) {
        for (size_t b = 0; b < whole; b++) add_block(job, p, b, R2_MAP_BLOCK);
        if (!rest) continue;
        add_block(job, p, whole, rest);
        clear_padding(&job->sum, at(&job->sum, p, whole), rest);
        if (job->copy.data) clear_padding(&job->copy, at(&job->copy, p, whole), rest);
    }
}

void r2_map_add(struct r2_map sum, struct r2_map a, struct r2_map b, struct r2_map copy,
                size_t pixels, size_t channels, bool relu)
{
    struct add_job job = {sum, a, b, copy, channels, relu};
    run_ranges(add_range, &job, pixels, pixels * channels);
}

struct pool_job {
    struct r2_map dst, src;
    const struct r2_pool *pool;
    struct r2_extent out, in;
    size_t channels;
};

/* The cells [begin, end) of one axis that a window covers inside the picture. */
struct window {
    size_t begin, end;
};

static struct window window_at(size_t index, const struct r2_pool *pool, size_t size)
{
    size_t start = index * pool->stride, stop = start + pool->kernel;
    size_t begin = start > pool->pad ? start - pool->pad : 0;
    size_t end = stop > pool->pad ? stop - pool->pad : 0;
    return (struct window){begin, end < size ? end : size};
}

VECTOR_CLONES static void pool_cell(float *restrict dst, const struct pool_job *job,
                                    struct window rows, struct window columns)
{
    const size_t channels = job->channels, pitch = job->src.pitch;
    const bool max = job->pool->kind == R2_POOL_MAX;
    size_t cells = (rows.end - rows.begin) * (columns.end - columns.begin);
    for (size_t c = 0; c < channels; c++) dst[c] = max ? -FLT_MAX : 0;
    for (size_t y = rows.begin; y < rows.end; y++) {
        for (size_t x = columns.begin; x < columns.end; x++) {
            const float *restrict src = job->src.data + (y * job->in.width + x) * pitch;
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

static void pool_range(const void *data, size_t begin, size_t end)
{
    const struct pool_job *job = data;
    for (size_t y = begin; y < end; y++) {
        struct window rows = window_at(y, job->pool, job->in.height);
        for (size_t x = 0; x < job->out.width; x++)
            pool_cell(job->dst.data + (y * job->out.width + x) * job->dst.pitch, job, rows,
                      window_at(x, job->pool, job->in.width));
    }
}

void r2_map_pool(struct r2_map dst, struct r2_map src, const struct r2_pool *pool,
                 struct r2_extent out, struct r2_extent in, size_t channels)
{
    struct pool_job job = {dst, src, pool, out, in, channels};
    run_ranges(pool_range, &job, out.height, (size_t)out.height * out.width * channels);
}

VECTOR_CLONES void r2_map_mean(float *dst, struct r2_map src, size_t pixels, size_t channels)
{
    for (size_t c = 0; c < channels; c++) dst[c] = 0;
    for (size_t p = 0; p < pixels; p++) {
        const float *map = src.data + p * src.pitch;
        for (size_t c = 0; c < channels; c++) dst[c] += map[c];
    }
    const float scale = 1.0f / (float)pixels;
    for (size_t c = 0; c < channels; c++) dst[c] *= scale;
}
