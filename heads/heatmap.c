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
