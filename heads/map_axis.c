#include "heads/map_axis.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

void r2_axis_finish(struct r2_axis *axis)
{
    free(axis->first);
    free(axis->weights);
    *axis = (struct r2_axis){0};
}

/* Between which two of `in` cells place i of `out` lies. */
struct spot {
    size_t low, high;
    double part; /* of high */
};

static struct spot find_spot(size_t i, size_t in, size_t out, bool align_corners)
{
    double at = 0;
    if (!align_corners)
        at = fmax(((double)i + 0.5) * (double)in / (double)out - 0.5, 0);
    else if (out > 1)
        at = (double)i * (double)(in - 1) / (double)(out - 1);
    size_t low = (size_t)at;
    if (low >= in) low = in - 1;
    const size_t high = low + 1 < in ? low + 1 : low;
    return (struct spot){low, high, high > low ? at - (double)low : 0};
}

/* One dimension of picture, network's input and logits. */
struct side {
    size_t picture, resized, network, cells;
    long offset; /* of the resized picture in the network's input */
};

static size_t to_network(const struct side *side, size_t resized)
{
    const long at = (long)resized + side->offset, last = (long)side->network - 1;
    return (size_t)(at < 0 ? 0 : at > last ? last : at);
}

static enum r2_status axis_init(struct r2_axis *axis, const struct side *side,
                                bool corners_to_input, bool corners_to_picture,
                                struct r2_error *err)
{
    axis->count = side->picture;
    axis->cells = side->cells;
    R2_TRY(r2_alloc(axis->count, sizeof *axis->first, "resizing", &axis->first, err));
    R2_TRY(r2_alloc(axis->count, sizeof *axis->weights, "resizing", &axis->weights, err));
    for (size_t i = 0; i < axis->count; i++) {
        const struct spot mid = find_spot(i, side->resized, side->picture, corners_to_picture);
        const struct spot a =
            find_spot(to_network(side, mid.low), side->cells, side->network, corners_to_input);
        const struct spot b =
            find_spot(to_network(side, mid.high), side->cells, side->network, corners_to_input);
        double weights[R2_AXIS_TAPS] = {0};
        weights[0] += (1 - mid.part) * (1 - a.part);
        weights[a.high - a.low] += (1 - mid.part) * a.part;
        weights[b.low - a.low] += mid.part * (1 - b.part);
        weights[b.high - a.low] += mid.part * b.part;
        axis->first[i] = (uint32_t)a.low;
        for (size_t t = 0; t < R2_AXIS_TAPS; t++) axis->weights[i][t] = (float)weights[t];
    }
    return R2_OK;
}

static size_t resized_size(double scale, uint32_t picture)
{
    const double size = round(scale * picture);
    return size > 1 ? (size_t)size : 1;
}

enum r2_status r2_axes_init(const struct r2_output_view *map, const struct r2_geometry *geometry,
                            bool corners_to_input, bool corners_to_picture, struct r2_axis *ret_x,
                            struct r2_axis *ret_y, struct r2_error *err)
{
    const struct side across = {geometry->picture_width,
                                resized_size(geometry->scale_x, geometry->picture_width),
                                geometry->network_width, map->width, lround(geometry->offset_x)};
    const struct side down = {geometry->picture_height,
                              resized_size(geometry->scale_y, geometry->picture_height),
                              geometry->network_height, map->height, lround(geometry->offset_y)};
    if (map->width > geometry->network_width || map->height > geometry->network_height)
        return r2_fail(err, R2_INVALID, "logits of %u x %u cells are finer than the input, %u x %u",
                       map->width, map->height, geometry->network_width, geometry->network_height);
    R2_TRY(axis_init(ret_x, &across, corners_to_input, corners_to_picture, err));
    return axis_init(ret_y, &down, corners_to_input, corners_to_picture, err);
}
