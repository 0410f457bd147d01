#include "heads/classes.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

static void classes_finish(void *data)
{
    struct r2_classes *classes = data;
    if (!classes) return;
    free(classes->items);
    free(classes);
}

static enum r2_status classes_to_json(const void *data, json_t *object, struct r2_error *err)
{
    const struct r2_classes *classes = data;
    json_t *list = json_array();
    bool failed = list == NULL;
    for (size_t i = 0; i < classes->count && !failed; i++) {
        const struct r2_class_score *item = &classes->items[i];
        json_t *label = classes->labels && item->index < classes->labels->count
                            ? json_string(classes->labels->names[item->index])
                            : json_sprintf("%zu", item->index);
        json_t *entry = json_pack("{s:o, s:I, s:f}", "label", label, "index",
                                  (json_int_t)item->index, "score", (double)item->score);
        failed = !entry || json_array_append_new(list, entry) != 0;
    }
    if (json_object_set_new(object, "classes", list) != 0) failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the classes' JSON") : R2_OK;
}

const struct r2_result_kind r2_classes_kind = {
    .name = "classes", .to_json = classes_to_json, .finish = classes_finish};

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
