#include "tests/support/golden_file.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST_POSITIONS = 512, NAME_SIZE = 128 };

struct golden_file golden_file_open(const char *name)
{
    char path[4096];
    struct r2_error err;
    struct golden_file file = {0};
    uint64_t header = 0;
    snprintf(path, sizeof path, "%s/golden/%s", getenv("R2_TEST_DATA"), name);
    cr_assert_eq(r2_safetensors_open(path, &file.tensors, &err), R2_OK, "%s", err.message);
    const uint8_t *bytes = file.tensors.mapping.bytes.data;
    memcpy(&header, bytes, sizeof header);
    json_t *root = json_loadb((const char *)bytes + 8, header, 0, NULL);
    file.metadata = json_incref(json_object_get(root, "__metadata__"));
    json_decref(root);
    return file;
}

void golden_file_close(struct golden_file *file)
{
    json_decref(file->metadata);
    r2_safetensors_close(&file->tensors);
}

const char *golden_file_meta(const struct golden_file *file, const char *key)
{
    const char *text = json_string_value(json_object_get(file->metadata, key));
    cr_assert_not_null(text, "golden without %s", key);
    return text;
}

const float *golden_file_data(const struct golden_file *file, const char *name, size_t *ret_count)
{
    const struct r2_tensor_entry *entry = r2_safetensors_find(&file->tensors, name);
    cr_assert_not_null(entry, "golden lacks %s", name);
    cr_assert_eq(entry->dtype, R2_DTYPE_F32);
    *ret_count = entry->count;
    return (const float *)(const void *)entry->data.data;
}

double golden_file_map_error(const struct golden_file *file, const char *name,
                             const struct r2_output_view *view)
{
    char full[NAME_SIZE];
    size_t count, one, channels;
    const size_t pixels = (size_t)view->height * view->width, all = pixels * view->channels;
    snprintf(full, sizeof full, "%s/values", name);
    const float *values = golden_file_data(file, full, &count);
    snprintf(full, sizeof full, "%s/sums", name);
    const float *sums = golden_file_data(file, full, &channels);
    snprintf(full, sizeof full, "%s/absmax", name);
    const double largest = (double)*golden_file_data(file, full, &one);
    cr_assert_eq(channels, view->channels);
    cr_assert(count == all || (count < all && count >= FEWEST_POSITIONS));
    double error = 0, sum_error = 0, sum_largest = 0;
    for (size_t k = 0; k < count; k++) {
        size_t at = all == count ? k : (size_t)(k * UINT64_C(2654435761) % all);
        double ours = (double)view->data[at % pixels * view->pitch + at / pixels];
        error = fmax(error, fabs(ours - (double)values[k]));
    }
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++) sum += (double)view->data[p * view->pitch + c];
        sum_error = fmax(sum_error, fabs(sum - (double)sums[c]));
        sum_largest = fmax(sum_largest, fabs((double)sums[c]));
    }
    return fmax(error / largest, sum_error / sum_largest);
}
