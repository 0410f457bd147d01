#include "heads/activation_map.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

enum r2_status r2_activation_map_make(const struct r2_output_view *features, const float *weights,
                                      size_t index, const struct r2_geometry *geometry,
                                      struct r2_activation_map *ret, struct r2_error *err)
{
    R2_AUTOFREE float *values = NULL;
    const size_t cells = (size_t)features->height * features->width;
    R2_TRY(r2_alloc(cells, sizeof *values, "activation map", &values, err));
    for (size_t i = 0; i < cells; i++) {
        const float *cell = features->data + i * features->pitch;
        double sum = 0;
        for (uint32_t k = 0; k < features->channels; k++)
            sum += (double)weights[k] * (double)cell[k];
        if (!isfinite(sum))
            return r2_fail(err, R2_INTERNAL, "a feature of cell %zu is not a finite number", i);
        values[i] = sum > 0 ? (float)(sum / (double)cells) : 0;
    }
    *ret = (struct r2_activation_map){.index = index,
                                      .height = features->height,
                                      .width = features->width,
                                      .values = R2_TAKE(values),
                                      .geometry = *geometry};
    return R2_OK;
}

void r2_activation_map_finish(struct r2_activation_map *map)
{
    if (!map) return;
    free(map->values);
    map->values = NULL;
}

/* Between which cells of an axis a pixel of the picture lies. */
struct place {
    uint32_t low, high;
    float part;  /* of high */
    bool inside; /* the network looked there */
};

static struct place place_at(double at, uint32_t network, uint32_t cells)
{
    struct place place = {.inside = at >= 0 && at < network};
    const double cell = at * cells / network - 0.5;
    place.low = cell > 0 ? (uint32_t)fmin(cell, cells - 1) : 0;
    place.high = place.low + 1 < cells ? place.low + 1 : place.low;
    place.part = cell > place.low ? (float)(cell - place.low) : 0;
    return place;
}

static float value_at(const struct r2_activation_map *map, struct place y, struct place x)
{
    const float *low = map->values + (size_t)y.low * map->width;
    const float *high = map->values + (size_t)y.high * map->width;
    const float above = low[x.low] + x.part * (low[x.high] - low[x.low]);
    const float below = high[x.low] + x.part * (high[x.high] - high[x.low]);
    return above + y.part * (below - above);
}

static float hottest(const struct r2_activation_map *map)
{
    float most = 0;
    for (size_t i = 0; i < (size_t)map->height * map->width; i++)
        if (map->values[i] > most) most = map->values[i];
    return most;
}

enum r2_status r2_activation_map_heat(const struct r2_activation_map *map, uint8_t **ret,
                                      struct r2_error *err)
{
    const struct r2_geometry *geometry = &map->geometry;
    const size_t width = geometry->picture_width, height = geometry->picture_height;
    const float most = hottest(map), scale = most > 0 ? 255 / most : 0;
    R2_AUTOFREE uint8_t *heat = NULL;
    R2_AUTOFREE struct place *columns = NULL;
    double x_at, y_at;
    R2_TRY(r2_alloc(height, width, "heat map", &heat, err));
    R2_TRY(r2_alloc(width, sizeof *columns, "heat map", &columns, err));
    for (size_t x = 0; x < width; x++) {
        r2_geometry_to_network(geometry, (double)x + 0.5, 0, &x_at, &y_at);
        columns[x] = place_at(x_at, geometry->network_width, map->width);
    }
    for (size_t y = 0; y < height; y++) {
        r2_geometry_to_network(geometry, 0, (double)y + 0.5, &x_at, &y_at);
        const struct place row = place_at(y_at, geometry->network_height, map->height);
        if (!row.inside) continue;
        for (size_t x = 0; x < width; x++)
            if (columns[x].inside)
                heat[y * width + x] = (uint8_t)(value_at(map, row, columns[x]) * scale + 0.5f);
    }
    *ret = R2_TAKE(heat);
    return R2_OK;
}
