#include "heads/labels.h"

#include "base/memory.h"

enum r2_status r2_head_find_rows(const struct r2_head_setup *setup, const char *official,
                                 const struct r2_tensor_entry **ret, struct r2_error *err)
{
    char name[R2_NAME_SIZE];
    R2_TRY(r2_naming_apply(setup->naming, official, name, err));
    const struct r2_tensor_entry *weight = r2_weights_find(setup->weights, name);
    if (!weight) return r2_weights_missing(setup->weights, name, err);
    const bool flat =
        weight->rank == 2 || (weight->rank == 4 && weight->dims[2] == 1 && weight->dims[3] == 1);
    if (!flat || weight->dims[0] < 1 || weight->dims[0] > R2_CLASSES_MAX)
        return r2_fail(err, R2_INVALID, "tensor '%s' is not [classes 1..%d, features]", name,
                       R2_CLASSES_MAX);
    *ret = weight;
    return R2_OK;
}

enum r2_status r2_head_has_tensor(const struct r2_head_setup *setup, const char *official,
                                  bool *ret, struct r2_error *err)
{
    char name[R2_NAME_SIZE];
    R2_TRY(r2_naming_apply(setup->naming, official, name, err));
    *ret = r2_weights_find(setup->weights, name) != NULL;
    return R2_OK;
}

enum r2_status r2_head_read_labels(const struct r2_head_setup *setup, const char *path,
                                   uint32_t classes, struct r2_labels *ret, struct r2_error *err)
{
    if (!path) return R2_OK;
    R2_AUTOFREE char *full = NULL;
    struct r2_labels labels = {0};
    R2_TRY(r2_model_path(setup->dir, path, &full, err));
    R2_TRY(r2_labels_read(full, &labels, err));
    if (labels.count != classes) {
        r2_fail(err, R2_INVALID, "labels '%s' has %zu names, the weights have %u classes", path,
                labels.count, classes);
        r2_labels_finish(&labels);
        return err->status;
    }
    *ret = labels;
    return R2_OK;
}

void r2_label_add(const struct r2_labels *labels, size_t index, struct r2_text *text)
{
    if (labels && index < labels->count)
        r2_text_add(text, "%s", labels->names[index]);
    else
        r2_text_add(text, "%zu", index);
}

json_t *r2_label_json(const struct r2_labels *labels, size_t index)
{
    R2_CLEANUP(r2_text_finish) struct r2_text text = {0};
    r2_label_add(labels, index, &text);
    return text.failed ? NULL : json_string(r2_text_view(&text));
}

enum r2_status r2_head_describe_labels(const struct r2_labels *labels, uint32_t classes,
                                       json_t *object, struct r2_error *err)
{
    json_t *list = json_array();
    bool failed = !list;
    for (size_t i = 0; i < labels->count && !failed; i++)
        failed = json_array_append_new(list, json_string(labels->names[i])) != 0;
    if (json_object_set_new(object, "labels", list) != 0 ||
        json_object_set_new(object, "classes", json_integer(classes)) != 0)
        failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the labels' JSON") : R2_OK;
}
