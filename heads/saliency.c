#include "heads/saliency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/memory.h"
#include "heads/map_axis.h"
#include "heads/rle.h"
#include "image/draw.h"
#include "image/encode.h"

static void saliency_finish(void *data)
{
    struct r2_saliency *saliency = data;
    if (!saliency) return;
    free(saliency->map);
    free(saliency);
}

static enum r2_status no_memory(struct r2_error *err)
{
    return r2_fail(err, R2_NO_MEMORY, "no memory for the saliency's JSON");
}

/* --- the region --- */

/* What is salient of a map; x1 and y1 are behind the last pixel. */
struct region {
    uint8_t *mask; /* [height, width], owned; 1 where salient */
    uint64_t pixels, sum;
    uint32_t x0, y0, x1, y1;
};

static void region_finish(struct region *region)
{
    free(region->mask);
}

static void grow_box(struct region *region, uint32_t x, uint32_t y)
{
    if (!region->pixels)
        *region = (struct region){region->mask, 0, region->sum, x, y, x + 1, y + 1};
    if (x < region->x0) region->x0 = x;
    if (x >= region->x1) region->x1 = x + 1;
    region->y1 = y + 1; /* rows come in order */
}

static enum r2_status region_find(const struct r2_saliency *saliency, struct region *ret,
                                  struct r2_error *err)
{
    const double least = 255 * saliency->threshold;
    const uint8_t *map = saliency->map;
    R2_TRY(r2_alloc(saliency->height, saliency->width, "mask", &ret->mask, err));
    for (uint32_t y = 0; y < saliency->height; y++)
        for (uint32_t x = 0; x < saliency->width; x++) {
            const size_t at = (size_t)y * saliency->width + x;
            ret->sum += map[at];
            ret->mask[at] = map[at] >= least;
            if (!ret->mask[at]) continue;
            grow_box(ret, x, y);
            ret->pixels++;
        }
    return R2_OK;
}

static double fraction_of(const struct r2_saliency *saliency, const struct region *region)
{
    return (double)region->pixels / ((double)saliency->width * saliency->height);
}

/* Of label 0 and 1. */
struct mask_colours {
    struct r2_colour items[2];
};

static struct mask_colours mask_colours(void)
{
    return (struct mask_colours){{{0, 0, 0}, r2_colour_class(0)}};
}

/* --- JSON --- */

/* Sets object[key]; false without memory, also for a value that there was none for. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static enum r2_status add_runs(const struct r2_saliency *saliency, const struct region *region,
                               json_t *object, struct r2_error *err)
{
    struct r2_text texts[2] = {{0}};
    enum r2_status status =
        r2_rle_encode(region->mask, saliency->width, saliency->height, 2, texts, err);
    if (status == R2_OK) {
        json_t *counts = json_stringn_nocheck(r2_text_view(&texts[1]), texts[1].size);
        if (!set(object, "rle",
                 json_pack("{s:[I, I], s:o}", "size", (json_int_t)saliency->height,
                           (json_int_t)saliency->width, "counts", counts)))
            status = no_memory(err);
    }
    for (size_t i = 0; i < R2_COUNT(texts); i++) r2_text_finish(&texts[i]);
    return status;
}

static enum r2_status add_file(json_t *object, const char *key, struct r2_buffer *file,
                               struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text text = {0};
    r2_base64_encode(r2_buffer_view(file), &text);
    if (text.failed || !set(object, key, json_stringn_nocheck(r2_text_view(&text), text.size)))
        return no_memory(err);
    return R2_OK;
}

static enum r2_status saliency_to_png(const void *data, struct r2_buffer *ret, struct r2_error *err)
{
    const struct r2_saliency *saliency = data;
    return r2_png_encode_grey(saliency->map, saliency->width, saliency->height, ret, err);
}

static enum r2_status add_pictures(const struct r2_saliency *saliency, const struct region *region,
                                   json_t *object, struct r2_error *err)
{
    R2_CLEANUP(r2_buffer_finish) struct r2_buffer map = {0};
    R2_CLEANUP(r2_buffer_finish) struct r2_buffer mask = {0};
    const struct mask_colours colours = mask_colours();
    R2_TRY(saliency_to_png(saliency, &map, err));
    R2_TRY(r2_png_encode_labels(region->mask, saliency->width, saliency->height, colours.items, 2,
                                &mask, err));
    R2_TRY(add_file(object, "map", &map, err));
    return add_file(object, "mask", &mask, err);
}

static enum r2_status saliency_to_json(const void *data, json_t *object, struct r2_error *err)
{
    const struct r2_saliency *saliency = data;
    R2_CLEANUP(region_finish) struct region region = {0};
    R2_TRY(region_find(saliency, &region, err));
    const double all = (double)saliency->width * saliency->height;
    json_t *box = region.pixels
                      ? json_pack("[I, I, I, I]", (json_int_t)region.x0, (json_int_t)region.y0,
                                  (json_int_t)region.x1, (json_int_t)region.y1)
                      : json_null();
    if (!set(object, "threshold", json_real(saliency->threshold)) ||
        !set(object, "pixels", json_integer((json_int_t)region.pixels)) ||
        !set(object, "fraction", json_real(fraction_of(saliency, &region))) ||
        !set(object, "box", box) ||
        !set(object, "mean", json_real((double)region.sum / (255 * all))))
        return no_memory(err);
    return saliency->format == R2_SALIENCY_RLE ? add_runs(saliency, &region, object, err)
                                               : add_pictures(saliency, &region, object, err);
}

/* --- pictures --- */

static enum r2_status saliency_draw(const void *data, struct r2_draw *draw, struct r2_error *err)
{
    const struct r2_saliency *saliency = data;
    R2_CLEANUP(region_finish) struct region region = {0};
    const struct mask_colours colours = mask_colours();
    char label[32];
    R2_TRY(region_find(saliency, &region, err));
    if (!region.pixels) return R2_OK;
    r2_draw_mask(draw, region.mask, colours.items, 2);
    snprintf(label, sizeof label, "salient %.0f %%", 100 * fraction_of(saliency, &region));
    r2_draw_box(draw, region.x0, region.y0, region.x1, region.y1, colours.items[1], label);
    return R2_OK;
}

const struct r2_result_kind r2_saliency_kind = {.name = "saliency",
                                                .to_json = saliency_to_json,
                                                .draw = saliency_draw,
                                                .to_png = saliency_to_png,
                                                .finish = saliency_finish};

enum r2_status r2_saliency_create(const struct r2_saliency *from, struct r2_result *ret,
                                  struct r2_error *err)
{
    struct r2_saliency *saliency;
    R2_TRY(r2_alloc(1, sizeof *saliency, "saliency", &saliency, err));
    *saliency = *from;
    *ret = (struct r2_result){&r2_saliency_kind, saliency};
    return R2_OK;
}

/* --- from logits --- */

/* One row of the map in the picture's columns. */
static void widen(const struct r2_output_view *logits, const struct r2_axis *x, size_t row,
                  float *ret)
{
    const float *cells = logits->data + row * logits->width * logits->pitch;
    for (size_t i = 0; i < x->count; i++) {
        const size_t first = x->first[i], left = x->cells - first;
        ret[i] = 0;
        for (size_t t = 0; t < R2_AXIS_TAPS && t < left; t++)
            ret[i] += cells[(first + t) * logits->pitch] * x->weights[i][t];
    }
}

static void fill_row(const float *wide, size_t width, size_t rows, const float *weights,
                     uint8_t *ret)
{
    for (size_t i = 0; i < width; i++) {
        float logit = 0;
        for (size_t t = 0; t < rows; t++) logit += wide[t * width + i] * weights[t];
        ret[i] = (uint8_t)lrintf(255 / (1 + expf(-logit)));
    }
}

static enum r2_status fill_map(const struct r2_output_view *logits, const struct r2_axis *x,
                               const struct r2_axis *y, uint8_t *map, struct r2_error *err)
{
    R2_AUTOFREE float *wide = NULL; /* of the rows that make the pixels at hand */
    size_t held = SIZE_MAX, rows = 0;
    R2_TRY(r2_alloc(R2_AXIS_TAPS * x->count, sizeof *wide, "saliency", &wide, err));
    for (size_t i = 0; i < y->count; i++) {
        const size_t first = y->first[i], left = y->cells - first;
        if (first != held) {
            held = first;
            rows = left < R2_AXIS_TAPS ? left : R2_AXIS_TAPS;
            for (size_t t = 0; t < rows; t++) widen(logits, x, first + t, wide + t * x->count);
        }
        fill_row(wide, x->count, rows, y->weights[i], map + i * x->count);
    }
    return R2_OK;
}

static enum r2_status check(const struct r2_output_view *logits, struct r2_error *err)
{
    if (logits->channels != 1)
        return r2_fail(err, R2_INVALID, "a saliency map has 1 channel, not %u", logits->channels);
    for (size_t i = 0; i < (size_t)logits->height * logits->width; i++)
        if (!isfinite(logits->data[i * logits->pitch]))
            return r2_fail(err, R2_INTERNAL, "the logit of cell %zu is not finite", i);
    return R2_OK;
}

enum r2_status r2_saliency_decode(const struct r2_saliency *from,
                                  const struct r2_output_view *logits,
                                  const struct r2_geometry *geometry, struct r2_result *ret,
                                  struct r2_error *err)
{
    R2_CLEANUP(r2_axis_finish) struct r2_axis x = {0};
    R2_CLEANUP(r2_axis_finish) struct r2_axis y = {0};
    R2_AUTOFREE uint8_t *map = NULL;
    struct r2_saliency made = *from;
    made.width = geometry->picture_width;
    made.height = geometry->picture_height;
    R2_TRY(check(logits, err));
    R2_TRY(r2_axes_init(logits, geometry, true, false, &x, &y, err));
    R2_TRY(r2_alloc(made.height, made.width, "saliency map", &map, err));
    R2_TRY(fill_map(logits, &x, &y, map, err));
    made.map = map;
    R2_TRY(r2_saliency_create(&made, ret, err));
    map = NULL;
    return R2_OK;
}
