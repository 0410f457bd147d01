#include "heads/roi_align.h"

#include <math.h>
#include <string.h>

#include "base/vector.h"

/* What one bin takes of the cells of one axis. */
struct bin {
    uint32_t first, count;
    float *weights; /* [size of the axis], the first `count` used: of the cells from `first` on */
};

size_t r2_roi_align_work(const struct r2_output_view *map, uint32_t bins)
{
    return ((size_t)map->height + map->width) * bins;
}

static void add_weight(struct bin *bin, uint32_t cell, float weight)
{
    if (!bin->count) bin->first = cell;
    while (bin->first + bin->count <= cell) bin->weights[bin->count++] = 0;
    bin->weights[cell - bin->first] += weight;
}

/* The sample at `place` (cells) of an axis of `size` cells; samples come in ascending order. */
static void add_sample(struct bin *bin, float place, uint32_t size, float weight)
{
    if (!(place >= -1 && place <= (float)size)) return;
    if (place < 0) place = 0;
    const uint32_t cell = (uint32_t)place;
    if (cell >= size - 1) {
        add_weight(bin, size - 1, weight);
        return;
    }
    const float part = place - (float)cell;
    add_weight(bin, cell, weight * (1 - part));
    add_weight(bin, cell + 1, weight * part);
}

/* Bin `index` of `bins` from `from` to `to` (cells). */
static void fill_bin(float from, float to, uint32_t index, uint32_t bins, uint32_t size,
                     struct bin *ret)
{
    const float length = (to - from) / (float)bins, samples = ceilf(length);
    const float start = from + (float)index * length;
    ret->first = ret->count = 0;
    if (!(samples > 0)) return;
    /* Only samples about the map, of which there are few even where the bin is huge: they are half
       a cell or more apart. */
    const float before = floorf((-1 - start) / length * samples) - 1;
    const float skipped = before > 0 ? before : 0;
    for (uint32_t i = 0; i < 2 * size + 8 && skipped + (float)i < samples; i++)
        add_sample(ret, start + (skipped + (float)i + 0.5f) * length / samples, size, 1 / samples);
}

/* ret [channels] = the weighted sum of the cells under two bins. */
R2_VECTOR_CLONES static void pool_bin(const struct r2_output_view *map, const struct bin *rows,
                                      const struct bin *columns, float *restrict ret)
{
    const size_t channels = map->channels, pitch = map->pitch;
    memset(ret, 0, channels * sizeof *ret);
    for (uint32_t y = 0; y < rows->count; y++) {
        const float *cell =
            map->data + ((size_t)(rows->first + y) * map->width + columns->first) * pitch;
        uint32_t x = 0;
        for (; x + 1 < columns->count; x += 2, cell += 2 * pitch) {
            const float *restrict right = cell + pitch, *restrict left = cell;
            const float a = rows->weights[y] * columns->weights[x];
            const float b = rows->weights[y] * columns->weights[x + 1];
            for (size_t c = 0; c < channels; c++) ret[c] += a * left[c] + b * right[c];
        }
        if (x == columns->count) continue;
        const float a = rows->weights[y] * columns->weights[x];
        for (size_t c = 0; c < channels; c++) ret[c] += a * cell[c];
    }
}

void r2_roi_align(const struct r2_output_view *map, float scale, struct r2_box roi, uint32_t bins,
                  float *work, float *ret)
{
    struct bin columns[R2_ROI_BINS_MOST], rows[R2_ROI_BINS_MOST];
    const struct r2_box on_map = {roi.x1 * scale - 0.5f, roi.y1 * scale - 0.5f,
                                  roi.x2 * scale - 0.5f, roi.y2 * scale - 0.5f};
    if (!r2_box_is_finite(roi)) {
        memset(ret, 0, (size_t)bins * bins * map->channels * sizeof *ret);
        return;
    }
    for (uint32_t i = 0; i < bins; i++) {
        columns[i].weights = work + (size_t)i * map->width;
        rows[i].weights = work + (size_t)bins * map->width + (size_t)i * map->height;
        fill_bin(on_map.x1, on_map.x2, i, bins, map->width, &columns[i]);
        fill_bin(on_map.y1, on_map.y2, i, bins, map->height, &rows[i]);
    }
    for (uint32_t y = 0; y < bins; y++)
        for (uint32_t x = 0; x < bins; x++, ret += map->channels)
            pool_bin(map, &rows[y], &columns[x], ret);
}

uint32_t r2_roi_level(struct r2_box roi, float finest, uint32_t count)
{
    const float side = sqrtf((float)r2_box_area(roi));
    const float level = floorf(log2f(side / finest + 1e-6f));
    if (!(level > 0)) return 0;
    return level < (float)(count - 1) ? (uint32_t)level : count - 1;
}
