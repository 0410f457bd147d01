#include "heads/classes.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/labels.h"
#include "image/draw.h"

static void classes_finish(void *data)
{
    struct r2_classes *classes = data;
    if (!classes) return;
    free(classes->items);
    r2_activation_map_finish(&classes->map);
    free(classes);
}

/* The part of the picture that the cells cover, and what each says. */
static json_t *map_json(const struct r2_activation_map *map, const struct r2_labels *labels)
{
    double x0, y0, x1, y1;
    const struct r2_geometry *geometry = &map->geometry;
    json_t *values = json_array();
    for (size_t i = 0; i < (size_t)map->height * map->width; i++)
        json_array_append_new(values, json_real((double)map->values[i]));
    r2_geometry_to_picture(geometry, 0, 0, &x0, &y0);
    r2_geometry_to_picture(geometry, geometry->network_width, geometry->network_height, &x1, &y1);
    return json_pack("{s:o, s:I, s:[I, I], s:[f, f, f, f], s:o}", "label",
                     r2_label_json(labels, map->index), "index", (json_int_t)map->index, "size",
                     (json_int_t)map->height, (json_int_t)map->width, "box", x0, y0, x1, y1,
                     "values", values);
}

static enum r2_status classes_to_json(const void *data, json_t *object, struct r2_error *err)
{
    const struct r2_classes *classes = data;
    json_t *list = json_array();
    bool failed = list == NULL;
    for (size_t i = 0; i < classes->count && !failed; i++) {
        const struct r2_class_score *item = &classes->items[i];
        json_t *label = r2_label_json(classes->labels, item->index);
        json_t *entry = json_pack("{s:o, s:I, s:f}", "label", label, "index",
                                  (json_int_t)item->index, "score", (double)item->score);
        failed = !entry || json_array_append_new(list, entry) != 0;
    }
    if (json_object_set_new(object, "classes", list) != 0) failed = true;
    if (classes->map.values &&
        json_object_set_new(object, "cam", map_json(&classes->map, classes->labels)) != 0)
        failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the classes' JSON") : R2_OK;
}

static enum r2_status classes_draw(const void *data, struct r2_draw *draw, struct r2_error *err)
{
    const struct r2_classes *classes = data;
    R2_AUTOFREE uint8_t *heat = NULL;
    if (!classes->map.values) return R2_OK;
    R2_TRY(r2_activation_map_heat(&classes->map, &heat, err));
    r2_draw_heat(draw, heat);
    return R2_OK;
}

const struct r2_result_kind r2_classes_kind = {
    .name = "classes", .to_json = classes_to_json, .draw = classes_draw, .finish = classes_finish};

static int by_score_down(const void *a, const void *b)
{
    const struct r2_class_score *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

enum r2_status r2_classes_from_logits(const float *logits, size_t count, size_t top,
                                      const struct r2_labels *labels, struct r2_result *ret,
                                      struct r2_error *err)
{
    R2_AUTOFREE struct r2_class_score *items = NULL;
    struct r2_classes *classes;
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(logits[i]))
            return r2_fail(err, R2_INTERNAL, "logit %zu is not a finite number", i);
        if (logits[i] > most) most = logits[i];
    }
    for (size_t i = 0; i < count; i++) sum += exp(logits[i] - most);
    R2_TRY(r2_alloc(count, sizeof *items, "classes", &items, err));
    for (size_t i = 0; i < count; i++)
        items[i] = (struct r2_class_score){i, (float)(exp(logits[i] - most) / sum)};
    qsort(items, count, sizeof *items, by_score_down);
    R2_TRY(r2_alloc(1, sizeof *classes, "classes", &classes, err));
    classes->labels = labels;
    classes->count = top && top < count ? top : count;
    classes->items = R2_TAKE(items);
    *ret = (struct r2_result){&r2_classes_kind, classes};
    return R2_OK;
}
