/*
 * A weights file; every tensor that can be read as floats is.
 */
#include "backbone/safetensors.h"
#include "tests/fuzz/fuzz.h"

static void read_entry(const struct r2_safetensors *file, struct r2_tensor_entry *entry)
{
    char shape[24];
    r2_tensor_shape_text(entry->rank, entry->dims, shape, sizeof shape);
    FUZZ_MUST(memchr(shape, 0, sizeof shape));
    FUZZ_MUST(r2_safetensors_find(file, entry->name) == entry);
    fuzz_touch(entry->data.data, entry->data.size);
    if (entry->dtype == R2_DTYPE_OTHER) return;
    FUZZ_MUST(entry->data.size == entry->count * (entry->dtype == R2_DTYPE_F32 ? 4 : 2));
    float *values = malloc(entry->count * sizeof *values);
    FUZZ_MUST(values || !entry->count);
    r2_tensor_read(entry, values);
    fuzz_touch(values, entry->count * sizeof *values);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    struct r2_safetensors file = {0};
    if (r2_safetensors_parse((struct r2_bytes){data, size}, "file", &file, &err) != R2_OK) {
        FUZZ_MUST(err.status == R2_INVALID && strncmp(err.message, "file: ", 6) == 0);
        FUZZ_MUST(!file.entries && !file.path);
        return 0;
    }
    for (size_t i = 0; i < file.count; i++) read_entry(&file, &file.entries[i]);
    FUZZ_MUST(!r2_safetensors_find(&file, ""));
    r2_safetensors_close(&file);
    return 0;
}
