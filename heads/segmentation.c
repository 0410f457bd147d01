#include "heads/segmentation.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/memory.h"
#include "heads/labels.h"
#include "heads/mask_json.h"
#include "heads/polygons.h"
#include "heads/rle.h"
#include "image/draw.h"
#include "image/encode.h"

/* Pixels that an outline may be off: the steps of a slanting edge go, its corners stay. */
static const double tolerance = 1;

static void segmentation_finish(void *data)
{
    struct r2_segmentation *segmentation = data;
    if (!segmentation) return;
    free(segmentation->map);
    free(segmentation);
}

static enum r2_status no_memory(struct r2_error *err)
{
    return r2_fail(err, R2_NO_MEMORY, "no memory for the segmentation's JSON");
}

static size_t label_count(const struct r2_segmentation *segmentation)
{
    return segmentation->classes + r2_segmentation_first(segmentation->background);
}

/* --- what goes by label --- */

/* Four tables, since equal neighbours would wait for each other's sums. */
static void count_pixels(const struct r2_segmentation *segmentation, uint64_t *ret)
{
    uint64_t sums[4][R2_SEGMENTATION_LABELS] = {{0}};
    const size_t size = (size_t)segmentation->width * segmentation->height;
    for (size_t i = 0; i < size; i++) sums[i % 4][segmentation->map[i]]++;
    for (size_t i = 0; i < R2_SEGMENTATION_LABELS; i++)
        ret[i] = sums[0][i] + sums[1][i] + sums[2][i] + sums[3][i];
}

static void fill_colours(const struct r2_segmentation *segmentation, struct r2_colour *ret)
{
    const uint8_t first = r2_segmentation_first(segmentation->background);
    ret[0] = (struct r2_colour){0, 0, 0};
    for (uint32_t i = 1; i < R2_SEGMENTATION_LABELS; i++) ret[i] = r2_colour_class(i - first);
}

/* --- JSON --- */

/* Sets object[key]; false without memory, also for a value that there was none for. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *class_to_json(const struct r2_segmentation *segmentation, size_t label,
                             uint64_t pixels)
{
    const size_t index = label - r2_segmentation_first(segmentation->background);
    return json_pack("{s:o, s:I, s:I, s:f}", "label", r2_label_json(segmentation->labels, index),
                     "index", (json_int_t)index, "pixels", (json_int_t)pixels, "fraction",
                     (double)pixels / ((double)segmentation->width * segmentation->height));
}

/* The objects of all classes, by label (borrowed; NULL: absent), and the list of them. */
struct class_list {
    json_t *by_label[R2_SEGMENTATION_LABELS];
    json_t *list;
};

static bool fill_list(const struct r2_segmentation *segmentation, struct class_list *ret)
{
    uint64_t pixels[R2_SEGMENTATION_LABELS];
    const size_t count = label_count(segmentation);
    count_pixels(segmentation, pixels);
    for (size_t i = 1; i <= count; i++) {
        const size_t label = i % count; /* 0 comes last */
        if (!pixels[label]) continue;
        json_t *object = class_to_json(segmentation, label, pixels[label]);
        if (json_array_append_new(ret->list, object) != 0) return false;
        ret->by_label[label] = object;
    }
    return true;
}

static bool set_runs(const struct r2_segmentation *segmentation, const struct r2_text *texts,
                     struct class_list *classes)
{
    for (size_t i = 0; i < label_count(segmentation); i++) {
        if (!classes->by_label[i]) continue;
        if (!set(classes->by_label[i], "rle",
                 r2_rle_json(segmentation->width, segmentation->height, &texts[i])))
            return false;
    }
    return true;
}

static enum r2_status add_runs(const struct r2_segmentation *segmentation,
                               struct class_list *classes, struct r2_error *err)
{
    struct r2_text texts[R2_SEGMENTATION_LABELS] = {{0}};
    enum r2_status status =
        r2_rle_encode(segmentation->map, segmentation->width, segmentation->height,
                      label_count(segmentation), texts, err);
    if (status == R2_OK && !set_runs(segmentation, texts, classes)) status = no_memory(err);
    for (size_t i = 0; i < R2_SEGMENTATION_LABELS; i++) r2_text_finish(&texts[i]);
    return status;
}

static enum r2_status add_polygons(const struct r2_segmentation *segmentation,
                                   struct class_list *classes, struct r2_error *err)
{
    R2_CLEANUP(r2_polygons_finish) struct r2_polygons polygons = {0};
    json_t *lists[R2_SEGMENTATION_LABELS] = {NULL};
    if (r2_polygons_find(segmentation->map, segmentation->width, segmentation->height, tolerance,
                         &polygons, err) != R2_OK)
        return r2_fail_in(err, "parameter format: polygons");
    for (size_t i = 0; i < label_count(segmentation); i++) {
        if (!classes->by_label[i]) continue;
        lists[i] = json_array();
        if (!set(classes->by_label[i], "polygons", lists[i])) return no_memory(err);
    }
    return r2_polygons_json(&polygons, (struct r2_point){0, 0}, lists, err);
}

static enum r2_status segmentation_to_png(const void *data, struct r2_buffer *ret,
                                          struct r2_error *err)
{
    const struct r2_segmentation *segmentation = data;
    struct r2_colour colours[R2_SEGMENTATION_LABELS];
    fill_colours(segmentation, colours);
    return r2_png_encode_labels(segmentation->map, segmentation->width, segmentation->height,
                                colours, label_count(segmentation), ret, err);
}

static enum r2_status add_mask(const struct r2_segmentation *segmentation, json_t *object,
                               struct r2_error *err)
{
    R2_CLEANUP(r2_buffer_finish) struct r2_buffer file = {0};
    R2_CLEANUP(r2_text_finish) struct r2_text text = {0};
    R2_TRY(segmentation_to_png(segmentation, &file, err));
    r2_base64_encode(r2_buffer_view(&file), &text);
    if (text.failed || !set(object, "mask", json_stringn_nocheck(r2_text_view(&text), text.size)))
        return no_memory(err);
    return R2_OK;
}

static enum r2_status segmentation_to_json(const void *data, json_t *object, struct r2_error *err)
{
    const struct r2_segmentation *segmentation = data;
    struct class_list classes = {.list = json_array()};
    if (!set(object, "classes", classes.list) || !fill_list(segmentation, &classes))
        return no_memory(err);
    switch (segmentation->format) {
    case R2_SEGMENTATION_RLE: return add_runs(segmentation, &classes, err);
    case R2_SEGMENTATION_PNG: return add_mask(segmentation, object, err);
    case R2_SEGMENTATION_POLYGONS: return add_polygons(segmentation, &classes, err);
    }
    return R2_OK;
}

/* --- pictures --- */

static enum r2_status segmentation_draw(const void *data, struct r2_draw *draw,
                                        struct r2_error *err)
{
    const struct r2_segmentation *segmentation = data;
    struct r2_colour colours[R2_SEGMENTATION_LABELS];
    (void)err;
    fill_colours(segmentation, colours);
    r2_draw_mask(draw, segmentation->map, colours, label_count(segmentation));
    return R2_OK;
}

const struct r2_result_kind r2_segmentation_kind = {.name = "segmentation",
                                                    .to_json = segmentation_to_json,
                                                    .draw = segmentation_draw,
                                                    .to_png = segmentation_to_png,
                                                    .finish = segmentation_finish};

enum r2_status r2_segmentation_create(const struct r2_segmentation *from, struct r2_result *ret,
                                      struct r2_error *err)
{
    struct r2_segmentation *segmentation;
    R2_TRY(r2_alloc(1, sizeof *segmentation, "segmentation", &segmentation, err));
    *segmentation = *from;
    *ret = (struct r2_result){&r2_segmentation_kind, segmentation};
    return R2_OK;
}

enum r2_status r2_segmentation_decode(const struct r2_segmentation *from,
                                      const struct r2_output_view *logits,
                                      const struct r2_geometry *geometry,
                                      const struct r2_label_rule *rule, struct r2_result *ret,
                                      struct r2_error *err)
{
    R2_AUTOFREE uint8_t *map = NULL;
    struct r2_segmentation made = *from;
    made.width = geometry->picture_width;
    made.height = geometry->picture_height;
    R2_TRY(r2_alloc(made.height, made.width, "label map", &map, err));
    R2_TRY(r2_label_map_make(logits, geometry, rule, map, err));
    made.map = map;
    R2_TRY(r2_segmentation_create(&made, ret, err));
    map = NULL;
    return R2_OK;
}

enum r2_status r2_segmentation_check(bool background, uint32_t classes, struct r2_error *err)
{
    const uint32_t most = (uint32_t)R2_SEGMENTATION_LABELS - r2_segmentation_first(background);
    if (classes <= most) return R2_OK;
    return r2_fail(err, R2_INVALID, "the weights have %u classes, a mask has room for %u", classes,
                   most);
}
