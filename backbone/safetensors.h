/*
 * safetensors files, mapped read-only and verified once when opened.
 *
 * Format: an 8-byte little-endian header length, a JSON object of {name: {dtype, shape,
 * data_offsets}} with an optional __metadata__ object of strings, then the data, which the tensors
 * must cover without overlap or hole. After open every entry can be read without further checks.
 */
#ifndef R2_BACKBONE_SAFETENSORS_H
#define R2_BACKBONE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { R2_TENSOR_MAX_RANK = 8 };

enum r2_dtype {
    R2_DTYPE_F32,
    R2_DTYPE_F16,
    R2_DTYPE_BF16,
    R2_DTYPE_OTHER /* integers and the like: their sizes are verified, their values never read */
};

/* One tensor of an open file; borrows from the mapping. */
struct r2_tensor_entry {
    char *name;
    enum r2_dtype dtype;
    unsigned rank;
    uint64_t dims[R2_TENSOR_MAX_RANK];
    uint64_t count; /* product of dims, 1 for rank 0 */
    struct r2_bytes data;
    bool taken; /* somebody uses it; what nobody takes is an error when a model is loaded */
};

struct r2_safetensors {
    char *path;
    struct r2_mapping mapping;
    struct r2_tensor_entry *entries; /* sorted by name */
    size_t count;
};

/* Maps and verifies. R2_NOT_FOUND, R2_IO, or R2_INVALID with the first rule that the file breaks.
 */
enum r2_status r2_safetensors_open(const char *path, struct r2_safetensors *ret,
                                   struct r2_error *err);
void r2_safetensors_close(struct r2_safetensors *file);

/* The same verification over bytes in memory, which must outlive `ret` (for fuzzing; close frees
   the index only). */
enum r2_status r2_safetensors_parse(struct r2_bytes bytes, const char *path,
                                    struct r2_safetensors *ret, struct r2_error *err);

/* NULL when there is none. */
struct r2_tensor_entry *r2_safetensors_find(const struct r2_safetensors *file, const char *name);

/* Writes entry->count floats. The entry is F32, F16 or BF16. */
void r2_tensor_read(const struct r2_tensor_entry *entry, float *ret);

/* The same of row `row` of dims[0] rows: count / dims[0] floats. */
void r2_tensor_read_row(const struct r2_tensor_entry *entry, uint64_t row, float *ret);

/* "26x26x3x3" */
void r2_tensor_shape_text(unsigned rank, const uint64_t *dims, char *ret, size_t size);

#endif
