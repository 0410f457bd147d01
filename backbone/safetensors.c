#include "backbone/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/json.h"

enum { LONGEST_NAME = 512, LARGEST_HEADER = 16 << 20 };

static const struct {
    const char *name;
    enum r2_dtype dtype;
    unsigned size;
} dtypes[] = {
    {"F32", R2_DTYPE_F32, 4},    {"F16", R2_DTYPE_F16, 2},       {"BF16", R2_DTYPE_BF16, 2},
    {"F64", R2_DTYPE_OTHER, 8},  {"I64", R2_DTYPE_OTHER, 8},     {"I32", R2_DTYPE_OTHER, 4},
    {"I16", R2_DTYPE_OTHER, 2},  {"I8", R2_DTYPE_OTHER, 1},      {"U64", R2_DTYPE_OTHER, 8},
    {"U32", R2_DTYPE_OTHER, 4},  {"U16", R2_DTYPE_OTHER, 2},     {"U8", R2_DTYPE_OTHER, 1},
    {"BOOL", R2_DTYPE_OTHER, 1}, {"F8_E4M3", R2_DTYPE_OTHER, 1}, {"F8_E5M2", R2_DTYPE_OTHER, 1},
};

void r2_tensor_shape_text(unsigned rank, const uint64_t *dims, char *ret, size_t size)
{
    size_t used = 0;
    snprintf(ret, size, "scalar");
    for (unsigned i = 0; i < rank && used < size; i++) {
        int wrote = snprintf(ret + used, size - used, "%s%" PRIu64, i ? "x" : "", dims[i]);
        used += (size_t)wrote;
    }
}

/* A JSON integer that is not negative; everything else, 2^63 and beyond included, is refused. */
static bool read_size(const json_t *value, uint64_t *ret)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

static enum r2_status read_shape(const json_t *shape, struct r2_tensor_entry *entry,
                                 struct r2_error *err)
{
    if (!json_is_array(shape)) return r2_fail(err, R2_INVALID, "shape is not an array");
    if (json_array_size(shape) > R2_TENSOR_MAX_RANK)
        return r2_fail(err, R2_INVALID, "has %zu dimensions, the limit is %d",
                       json_array_size(shape), R2_TENSOR_MAX_RANK);
    entry->rank = (unsigned)json_array_size(shape);
    entry->count = 1;
    for (unsigned i = 0; i < entry->rank; i++) {
        if (!read_size(json_array_get(shape, i), &entry->dims[i]))
            return r2_fail(err, R2_INVALID, "dimension %u is not a whole number from 0", i);
        if (__builtin_mul_overflow(entry->count, entry->dims[i], &entry->count))
            return r2_fail(err, R2_INVALID, "the product of its dimensions is over 2^64");
    }
    return R2_OK;
}

static enum r2_status read_dtype(const json_t *dtype, struct r2_tensor_entry *entry,
                                 unsigned *ret_size, struct r2_error *err)
{
    const char *name = json_string_value(dtype);
    if (!name) return r2_fail(err, R2_INVALID, "dtype is not a text");
    for (size_t i = 0; i < R2_COUNT(dtypes); i++) {
        if (strcmp(name, dtypes[i].name) != 0) continue;
        entry->dtype = dtypes[i].dtype;
        *ret_size = dtypes[i].size;
        return R2_OK;
    }
    return r2_fail(err, R2_INVALID, "dtype '%.32s' is not known", name);
}

static enum r2_status read_entry(const json_t *object, struct r2_bytes data,
                                 struct r2_tensor_entry *entry, struct r2_error *err)
{
    unsigned size = 0;
    uint64_t begin, end, bytes;
    if (!json_is_object(object) || json_object_size(object) != 3)
        return r2_fail(err, R2_INVALID, "is not an object of dtype, shape and data_offsets");
    R2_TRY(read_dtype(json_object_get(object, "dtype"), entry, &size, err));
    R2_TRY(read_shape(json_object_get(object, "shape"), entry, err));
    const json_t *offsets = json_object_get(object, "data_offsets");
    if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
        !read_size(json_array_get(offsets, 1), &end))
        return r2_fail(err, R2_INVALID, "data_offsets is not [begin, end]");
    if (begin > end || end > data.size)
        return r2_fail(err, R2_INVALID,
                       "data_offsets [%" PRIu64 ", %" PRIu64 "] leave the %zu bytes of data", begin,
                       end, data.size);
    if (__builtin_mul_overflow(entry->count, (uint64_t)size, &bytes) || bytes != end - begin)
        return r2_fail(err, R2_INVALID,
                       "its shape needs %u x %" PRIu64 " bytes, data_offsets give %" PRIu64, size,
                       entry->count, end - begin);
    entry->data = (struct r2_bytes){data.data + begin, (size_t)(end - begin)};
    return R2_OK;
}

static enum r2_status read_metadata(const json_t *metadata, struct r2_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return r2_fail(err, R2_INVALID, "__metadata__ is not an object");
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        if (!json_is_string(value))
            return r2_fail(err, R2_INVALID, "__metadata__ holds '%.64s', which is not a text", key);
    }
    return R2_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct r2_tensor_entry *const *x = a, *const *y = b;
    if ((*x)->data.data != (*y)->data.data) return (*x)->data.data < (*y)->data.data ? -1 : 1;
    return ((*x)->data.size > (*y)->data.size) - ((*x)->data.size < (*y)->data.size);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct r2_tensor_entry *)a)->name,
                  ((const struct r2_tensor_entry *)b)->name);
}

/* The tensors, in order of their offsets, must cover the data exactly. */
static enum r2_status check_cover(const struct r2_safetensors *file, struct r2_bytes data,
                                  struct r2_error *err)
{
    R2_AUTOFREE const struct r2_tensor_entry **order = NULL;
    const uint8_t *position = data.data;
    R2_TRY(r2_alloc(file->count, sizeof *order, file->path, &order, err));
    for (size_t i = 0; i < file->count; i++) order[i] = &file->entries[i];
    qsort(order, file->count, sizeof *order, by_offset);
    for (size_t i = 0; i < file->count; i++) {
        if (order[i]->data.data < position)
            return r2_fail(err, R2_INVALID, "tensors '%.128s' and '%.128s' overlap",
                           order[i - 1]->name, order[i]->name);
        if (order[i]->data.data > position)
            return r2_fail(err, R2_INVALID, "%td bytes before tensor '%.128s' belong to no tensor",
                           order[i]->data.data - position, order[i]->name);
        position += order[i]->data.size;
    }
    if (position != data.data + data.size)
        return r2_fail(err, R2_INVALID, "the last %td bytes belong to no tensor",
                       data.data + data.size - position);
    return R2_OK;
}

static enum r2_status read_header(json_t *header, struct r2_bytes data, struct r2_safetensors *file,
                                  struct r2_error *err)
{
    const char *name;
    json_t *value;
    R2_TRY(r2_alloc(json_object_size(header), sizeof *file->entries, "tensor index", &file->entries,
                    err));
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            R2_TRY(read_metadata(value, err));
            continue;
        }
        struct r2_tensor_entry *entry = &file->entries[file->count];
        if (!name[0] || strlen(name) > LONGEST_NAME)
            return r2_fail(err, R2_INVALID, "a tensor's name has %zu bytes, allowed are 1 to %d",
                           strlen(name), LONGEST_NAME);
        if (read_entry(value, data, entry, err) != R2_OK)
            return r2_fail_in(err, "tensor '%.128s'", name);
        entry->name = strdup(name);
        if (!entry->name) return r2_fail(err, R2_NO_MEMORY, "no memory for a tensor's name");
        file->count++;
    }
    R2_TRY(check_cover(file, data, err));
    qsort(file->entries, file->count, sizeof *file->entries, by_name);
    return R2_OK;
}

static enum r2_status parse(struct r2_bytes bytes, struct r2_safetensors *file,
                            struct r2_error *err)
{
    uint64_t header_size = 0;
    if (bytes.size < 8)
        return r2_fail(err, R2_INVALID, "%zu bytes are too few for a safetensors file", bytes.size);
    for (unsigned i = 0; i < 8; i++) header_size |= (uint64_t)bytes.data[i] << (8 * i);
    if (header_size > LARGEST_HEADER)
        return r2_fail(err, R2_INVALID, "the header length %" PRIu64 " is over the limit of %d",
                       header_size, LARGEST_HEADER);
    if (header_size > bytes.size - 8)
        return r2_fail(err, R2_INVALID,
                       "the header length %" PRIu64 " is over the file's %zu bytes", header_size,
                       bytes.size);
    json_t *header;
    if (r2_json_parse((const char *)bytes.data + 8, (size_t)header_size, "header", &header, err) !=
        R2_OK)
        return err->status = R2_INVALID;
    struct r2_bytes data = {bytes.data + 8 + header_size, bytes.size - 8 - (size_t)header_size};
    enum r2_status status = read_header(header, data, file, err);
    json_decref(header);
    return status;
}

enum r2_status r2_safetensors_parse(struct r2_bytes bytes, const char *path,
                                    struct r2_safetensors *ret, struct r2_error *err)
{
    struct r2_safetensors file = {.path = strdup(path)};
    enum r2_status status =
        file.path ? parse(bytes, &file, err) : r2_fail(err, R2_NO_MEMORY, "no memory for a path");
    if (status == R2_OK) {
        *ret = file;
        return R2_OK;
    }
    r2_fail_in(err, "%s", path);
    r2_safetensors_close(&file);
    return status;
}

enum r2_status r2_safetensors_open(const char *path, struct r2_safetensors *ret,
                                   struct r2_error *err)
{
    struct r2_mapping mapping;
    R2_TRY(r2_file_map(path, &mapping, err));
    enum r2_status status = r2_safetensors_parse(mapping.bytes, path, ret, err);
    if (status == R2_OK)
        ret->mapping = mapping;
    else
        r2_mapping_finish(&mapping);
    return status;
}

void r2_safetensors_close(struct r2_safetensors *file)
{
    if (!file) return;
    for (size_t i = 0; i < file->count; i++) free(file->entries[i].name);
    free(file->entries);
    free(file->path);
    r2_mapping_finish(&file->mapping);
    *file = (struct r2_safetensors){0};
}

struct r2_tensor_entry *r2_safetensors_find(const struct r2_safetensors *file, const char *name)
{
    struct r2_tensor_entry key = {.name = (char *)(uintptr_t)name};
    if (!file->count) return NULL;
    return bsearch(&key, file->entries, file->count, sizeof key, by_name);
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31, mantissa = half & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7F800000 | mantissa << 13);
    if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float tiny = (float)mantissa * 0x1p-24f; /* subnormal or zero */
    return sign ? -tiny : tiny;
}

void r2_tensor_read(const struct r2_tensor_entry *entry, float *ret)
{
    const uint8_t *data = entry->data.data;
    if (entry->dtype == R2_DTYPE_F32) {
        if (entry->data.size) memcpy(ret, data, entry->data.size);
        return;
    }
    for (uint64_t i = 0; i < entry->count; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        ret[i] = entry->dtype == R2_DTYPE_BF16 ? float_of_bits((uint32_t)bits << 16)
                                               : float_of_half(bits);
    }
}

void r2_tensor_read_row(const struct r2_tensor_entry *entry, uint64_t row, float *ret)
{
    struct r2_tensor_entry part = *entry;
    part.count = entry->count / entry->dims[0];
    part.data.size = entry->data.size / entry->dims[0];
    part.data.data = entry->data.data + row * part.data.size;
    r2_tensor_read(&part, ret);
}
