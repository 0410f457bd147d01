#include "tests/support/tensor_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tensor_file_add(struct tensor_file *file, const char *name, const char *dtype,
                     const char *shape, const void *data, size_t size)
{
    r2_text_add(
        &file->header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": %s, \"data_offsets\": [%zu, %zu]}",
        file->header.size ? ", " : "", name, dtype, shape, file->data.size, file->data.size + size);
    r2_text_add_bytes(&file->data, data, size);
}

void tensor_file_add_f32(struct tensor_file *file, const char *name, unsigned rank,
                         const uint64_t *dims)
{
    struct r2_text shape = {0}, data = {0};
    uint64_t count = 1;
    r2_text_add(&shape, "[");
    for (unsigned i = 0; i < rank; i++) {
        r2_text_add(&shape, "%s%" PRIu64, i ? ", " : "", dims[i]);
        count *= dims[i];
    }
    r2_text_add(&shape, "]");
    for (uint64_t i = 0; i < count; i++) {
        float value = 1.0f / (float)(i + 1);
        r2_text_add_bytes(&data, (const char *)&value, sizeof value);
    }
    tensor_file_add(file, name, "F32", r2_text_view(&shape), r2_text_view(&data), data.size);
    r2_text_finish(&shape);
    r2_text_finish(&data);
}

struct r2_bytes tensor_file_raw(struct tensor_file *file, uint64_t header_size, const char *header,
                                const void *data, size_t size)
{
    char length[8];
    for (unsigned i = 0; i < 8; i++) length[i] = (char)(header_size >> (8 * i) & 255);
    r2_text_finish(&file->whole);
    r2_text_add_bytes(&file->whole, length, sizeof length);
    r2_text_add_bytes(&file->whole, header, strlen(header));
    r2_text_add_bytes(&file->whole, data, size);
    return (struct r2_bytes){(const uint8_t *)file->whole.data, file->whole.size};
}

struct r2_bytes tensor_file_bytes(struct tensor_file *file)
{
    struct r2_text header = {0};
    r2_text_add(&header, "{%s}", r2_text_view(&file->header));
    tensor_file_raw(file, header.size, r2_text_view(&header), r2_text_view(&file->data),
                    file->data.size);
    r2_text_finish(&header);
    return (struct r2_bytes){(const uint8_t *)file->whole.data, file->whole.size};
}

enum r2_status tensor_file_write(struct tensor_file *file, const char *path, struct r2_error *err)
{
    struct r2_bytes bytes = tensor_file_bytes(file);
    FILE *out = fopen(path, "wb");
    if (!out) return r2_fail(err, R2_IO, "%s: cannot be written", path);
    size_t wrote = fwrite(bytes.data, 1, bytes.size, out);
    if (fclose(out) != 0 || wrote != bytes.size)
        return r2_fail(err, R2_IO, "%s: write failed", path);
    return R2_OK;
}

void tensor_file_finish(struct tensor_file *file)
{
    r2_text_finish(&file->header);
    r2_text_finish(&file->data);
    r2_text_finish(&file->whole);
}
