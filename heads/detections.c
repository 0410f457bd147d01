#include "heads/detections.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "heads/labels.h"
#include "image/draw.h"

static void detections_finish(void *data)
{
    struct r2_detections *detections = data;
    if (!detections) return;
    free(detections->items);
    free(detections);
}

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
    json_t *list = json_array();
    bool failed = list == NULL;
    for (size_t i = 0; i < detections->count && !failed; i++)
        failed = json_array_append_new(
                     list, item_to_json(&detections->items[i], detections->labels)) != 0;
    if (json_object_set_new(object, "detections", list) != 0) failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the detections' JSON") : R2_OK;
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
    (void)err;
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
    *detections = (struct r2_detections){labels, count, R2_TAKE(copy)};
    *ret = (struct r2_result){&r2_detections_kind, detections};
    return R2_OK;
}
