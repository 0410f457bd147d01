#include "heads/heatmap.h"

#include <math.h>
#include <string.h>

/* All maps' values at the first cell of a picture. */
static const float *first_cell(const struct r2_output_view *maps, uint32_t item)
{
    return maps->data + (size_t)item * maps->height * maps->width * maps->pitch;
}

/* Makes `best` [maps] the cell where each map is hottest. Cell after cell, as memory lies. */
static void find_hottest(const struct r2_output_view *maps, const float *first,
                         struct r2_point *best)
{
    for (uint32_t j = 0; j < maps->channels; j++) best[j] = (struct r2_point){0, 0, first[j]};
    for (uint32_t y = 0; y < maps->height; y++)
        for (uint32_t x = 0; x < maps->width; x++) {
            const float *cell = first + ((size_t)y * maps->width + x) * maps->pitch;
            for (uint32_t j = 0; j < maps->channels; j++)
                if (cell[j] > best[j].score || (isnan(cell[j]) && !isnan(best[j].score)))
                    best[j] = (struct r2_point){(float)x, (float)y, cell[j]};
        }
}

static float quarter_towards(float before, float after)
{
    return after > before ? 0.25f : after < before ? -0.25f : 0.0f;
}

static struct r2_point refine(const struct r2_output_view *maps, const float *map,
                              struct r2_point point)
{
    const uint32_t x = (uint32_t)point.x, y = (uint32_t)point.y;
    const size_t row = maps->width * maps->pitch;
    if (!(point.score > 0)) return (struct r2_point){0, 0, point.score};
    if (x <= 1 || y <= 1 || x + 1 >= maps->width || y + 1 >= maps->height) return point;
    const float *cell = map + y * row + x * maps->pitch;
    point.x += quarter_towards(*(cell - maps->pitch), cell[maps->pitch]);
    point.y += quarter_towards(*(cell - row), cell[row]);
    return point;
}

void r2_heatmap_points(const struct r2_output_view *maps, uint32_t item, struct r2_point *ret)
{
    const float *first = first_cell(maps, item);
    find_hottest(maps, first, ret);
    for (uint32_t j = 0; j < maps->channels; j++) ret[j] = refine(maps, first + j, ret[j]);
}

/* --- where most heat is near --- */

size_t r2_heatmap_work(const struct r2_output_view *maps)
{
    const size_t height = maps->height, width = maps->width;
    return 2 * height * width * maps->channels + height + width;
}

/* share[i] = what a cell gets of one that is i cells away. */
static void fill_shares(uint32_t count, float sigma, float *share)
{
    for (uint32_t i = 0; i < count; i++) {
        const float far = (float)i / sigma;
        share[i] = expf(-far * far / 2);
    }
}

/* Of a line of `count` cells, `step` floats apart, of all maps: dst, zeroed before, gets what each
   cell has of all in src. */
static void spread_line(const float *src, uint32_t count, size_t step, uint32_t channels,
                        const float *share, float *dst)
{
    for (uint32_t to = 0; to < count; to++)
        for (uint32_t from = 0; from < count; from++) {
            const float part = share[to > from ? to - from : from - to];
            for (uint32_t j = 0; j < channels; j++)
                dst[to * step + j] += part * src[from * step + j];
        }
}

void r2_heatmap_near_points(const struct r2_output_view *maps, uint32_t item, float sigma_x,
                            float sigma_y, float *work, struct r2_point *ret)
{
    const uint32_t height = maps->height, width = maps->width, channels = maps->channels;
    const size_t row = (size_t)width * channels, all = height * row;
    float *heat = work, *half = heat + all, *share_x = half + all, *share_y = share_x + width;
    r2_heatmap_copy(maps, item, heat);
    for (size_t i = 0; i < all; i++)
        if (heat[i] < 0) heat[i] = 0;
    fill_shares(width, sigma_x, share_x);
    fill_shares(height, sigma_y, share_y);
    memset(half, 0, all * sizeof *half);
    for (uint32_t y = 0; y < height; y++)
        spread_line(heat + y * row, width, channels, channels, share_x, half + y * row);
    memset(heat, 0, all * sizeof *heat);
    for (uint32_t x = 0; x < width; x++)
        spread_line(half + x * channels, height, row, channels, share_y, heat + x * channels);
    r2_heatmap_points(&(struct r2_output_view){heat, 1, height, width, channels, channels}, 0, ret);

    const float *cell = first_cell(maps, item);
    for (uint32_t j = 0; j < channels; j++) ret[j].score = cell[j];
    for (size_t i = 1; i < (size_t)height * width; i++)
        for (uint32_t j = 0; j < channels; j++) {
            const float value = cell[i * maps->pitch + j];
            if (value > ret[j].score || isnan(value)) ret[j].score = value;
        }
}

void r2_heatmap_copy(const struct r2_output_view *maps, uint32_t item, float *ret)
{
    const float *cell = first_cell(maps, item);
    const size_t cells = (size_t)maps->height * maps->width;
    for (size_t i = 0; i < cells; i++, cell += maps->pitch, ret += maps->channels)
        memcpy(ret, cell, maps->channels * sizeof *ret);
}

void r2_heatmap_merge(const struct r2_output_view *mirror, uint32_t item, const uint32_t *partner,
                      float *merged)
{
    const float *row = first_cell(mirror, item);
    for (uint32_t y = 0; y < mirror->height; y++, row += mirror->width * mirror->pitch)
        for (uint32_t x = 0; x < mirror->width; x++, merged += mirror->channels) {
            const float *cell = row + (mirror->width - 1 - (x ? x - 1 : 0)) * mirror->pitch;
            for (uint32_t j = 0; j < mirror->channels; j++)
                merged[j] = (merged[j] + cell[partner[j]]) * 0.5f;
        }
}
