#include "heads/detections.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "heads/box_mask.h"
#include "heads/labels.h"
#include "heads/mask_json.h"
#include "heads/polygons.h"
#include "image/draw.h"

/* Pixels that an outline may be off, as a segmentation's. */
static const double tolerance = 1;

static void detections_finish(void *data)
{
    struct r2_detections *detections = data;
    if (!detections) return;
    free(detections->items);
    free(detections->cells);
    free(detections);
}

static enum r2_status no_memory(struct r2_error *err)
{
    return r2_fail(err, R2_NO_MEMORY, "no memory for the detections' JSON");
}

/* --- masks in JSON --- */

static struct r2_box_mask mask_of(const struct r2_detections *detections, size_t i)
{
    const size_t cells = (size_t)detections->side * detections->side;
    return (struct r2_box_mask){detections->cells + i * cells, detections->side,
                                detections->items[i].box, detections->width, detections->height};
}

/* What the masks of an answer may still take. */
struct budget {
    size_t bytes, points, pixels;
};

static enum r2_status spend(size_t amount, size_t *left, size_t most, const char *what,
                            struct r2_error *err)
{
    if (amount > *left)
        return r2_fail(err, R2_INVALID,
                       "parameter masks: over %zu %s; a lower 'max', or 'none', has less", most,
                       what);
    *left -= amount;
    return R2_OK;
}

static enum r2_status add_runs(const struct r2_box_mask *mask, struct budget *left, json_t *item,
                               struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text counts = {0};
    r2_box_mask_encode(mask, &counts);
    if (counts.failed) return no_memory(err);
    R2_TRY(spend(counts.size, &left->bytes, R2_MASKS_MAX_BYTES, "bytes of run lengths", err));
    if (json_object_set_new(item, "rle", r2_rle_json(mask->width, mask->height, &counts)) != 0)
        return no_memory(err);
    return R2_OK;
}

static enum r2_status find_outlines(const struct r2_box_mask *mask, struct r2_mask_window window,
                                    struct r2_polygons *ret, struct r2_error *err)
{
    R2_AUTOFREE uint8_t *map = NULL;
    R2_TRY(r2_alloc(window.height, window.width, "mask", &map, err));
    r2_box_mask_fill(mask, 1, window, map);
    return r2_polygons_find(map, window.width, window.height, tolerance, ret, err);
}

static enum r2_status add_outlines(const struct r2_box_mask *mask, struct budget *left,
                                   json_t *item, struct r2_error *err)
{
    R2_CLEANUP(r2_polygons_finish) struct r2_polygons polygons = {0};
    const struct r2_mask_window window = r2_box_mask_window(mask);
    json_t *lists[2] = {NULL, json_array()}; /* what is not in the mask is left out */
    if (json_object_set_new(item, "polygons", lists[1]) != 0) return no_memory(err);
    R2_TRY(spend((size_t)window.width * window.height, &left->pixels, R2_MASKS_MAX_PIXELS,
                 "pixels to find outlines in", err));
    if (find_outlines(mask, window, &polygons, err) != R2_OK)
        return r2_fail_in(err, "parameter masks: polygons");
    R2_TRY(spend(polygons.point_count, &left->points, R2_POLYGONS_MAX_POINTS, "points of outlines",
                 err));
    return r2_polygons_json(&polygons, (struct r2_point){window.x, window.y}, lists, err);
}

static enum r2_status add_mask(const struct r2_detections *detections, size_t i,
                               struct budget *left, json_t *item, struct r2_error *err)
{
    const struct r2_box_mask mask = mask_of(detections, i);
    switch (detections->format) {
    case R2_MASK_RLE: return add_runs(&mask, left, item, err);
    case R2_MASK_POLYGONS: return add_outlines(&mask, left, item, err);
    case R2_MASK_NONE: break;
    }
    return R2_OK;
}

/* --- JSON --- */

/* Adding 0 makes 0 of -0. */
static double hundredths(float value)
{
    return round((double)value * 100) / 100 + 0.0;
}

static json_t *item_to_json(const struct r2_detection *item, const struct r2_labels *labels)
{
    return json_pack("{s:o, s:I, s:f, s:[f, f, f, f]}", "label", r2_label_json(labels, item->index),
                     "index", (json_int_t)item->index, "score", (double)item->score, "box",
                     hundredths(item->box.x1), hundredths(item->box.y1), hundredths(item->box.x2),
                     hundredths(item->box.y2));
}

static enum r2_status detections_to_json(const void *data, json_t *object, struct r2_error *err)
{
    const struct r2_detections *detections = data;
    struct budget left = {R2_MASKS_MAX_BYTES, R2_POLYGONS_MAX_POINTS, R2_MASKS_MAX_PIXELS};
    json_t *list = json_array();
    if (json_object_set_new(object, "detections", list) != 0) return no_memory(err);
    for (size_t i = 0; i < detections->count; i++) {
        json_t *item = item_to_json(&detections->items[i], detections->labels);
        if (json_array_append_new(list, item) != 0) return no_memory(err);
        if (detections->cells) R2_TRY(add_mask(detections, i, &left, item, err));
    }
    return R2_OK;
}

/* --- drawing --- */

/* Masks are drawn together, up to 255 at a time: on one map, the best last. */
static enum r2_status draw_masks(const struct r2_detections *detections, struct r2_draw *draw,
                                 struct r2_error *err)
{
    enum { MOST = 255 };
    const struct r2_mask_window all = {0, 0, detections->width, detections->height};
    struct r2_colour colours[MOST + 1];
    for (size_t end = detections->count, first; end > 0; end = first) {
        R2_AUTOFREE uint8_t *map = NULL;
        first = end > MOST ? end - MOST : 0;
        R2_TRY(r2_alloc(all.height, all.width, "masks", &map, err));
        for (size_t i = end; i-- > first;) {
            const struct r2_box_mask mask = mask_of(detections, i);
            colours[i - first + 1] = r2_colour_class((uint32_t)detections->items[i].index);
            r2_box_mask_fill(&mask, (uint8_t)(i - first + 1), all, map);
        }
        r2_draw_mask(draw, map, colours, end - first + 1);
    }
    return R2_OK;
}

static void item_draw(const struct r2_detection *item, const struct r2_labels *labels,
                      struct r2_draw *draw)
{
    R2_CLEANUP(r2_text_finish) struct r2_text label = {0};
    r2_label_add(labels, item->index, &label);
    r2_text_add(&label, " %.2f", (double)item->score);
    r2_draw_box(draw, (double)item->box.x1, (double)item->box.y1, (double)item->box.x2,
                (double)item->box.y2, r2_colour_class((uint32_t)item->index), r2_text_view(&label));
}

/* The best first: their labels get the best places. */
static enum r2_status detections_draw(const void *data, struct r2_draw *draw, struct r2_error *err)
{
    const struct r2_detections *detections = data;
    if (detections->cells) R2_TRY(draw_masks(detections, draw, err));
    for (size_t i = 0; i < detections->count; i++)
        item_draw(&detections->items[i], detections->labels, draw);
    return R2_OK;
}

const struct r2_result_kind r2_detections_kind = {.name = "detections",
                                                  .to_json = detections_to_json,
                                                  .draw = detections_draw,
                                                  .finish = detections_finish};

enum r2_status r2_detections_create(const struct r2_detection *items, size_t count,
                                    const struct r2_labels *labels, struct r2_result *ret,
                                    struct r2_error *err)
{
    R2_AUTOFREE struct r2_detection *copy = NULL;
    struct r2_detections *detections = NULL;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(items[i].score) || !r2_box_is_finite(items[i].box))
            return r2_fail(err, R2_INTERNAL, "detection %zu: its score or box is not finite", i);
    R2_TRY(r2_alloc(count, sizeof *copy, "detections", &copy, err));
    R2_TRY(r2_alloc(1, sizeof *detections, "detections", &detections, err));
    if (count) memcpy(copy, items, count * sizeof *copy);
    *detections = (struct r2_detections){.labels = labels, .count = count, .items = R2_TAKE(copy)};
    *ret = (struct r2_result){&r2_detections_kind, detections};
    return R2_OK;
}
