/*
 * safetensors files for tests, written byte by byte, good and bad ones.
 */
#ifndef R2_TESTS_TENSOR_FILE_H
#define R2_TESTS_TENSOR_FILE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"

/* Zero-initialised is a file without tensors. */
struct tensor_file {
    struct r2_text header; /* the entries so far, without the braces */
    struct r2_text data;
    struct r2_text whole;
};

/* Adds an entry whose bytes follow those of the ones before. `shape` is "[2, 3]". */
void tensor_file_add(struct tensor_file *file, const char *name, const char *dtype,
                     const char *shape, const void *data, size_t size);

/* Adds an F32 entry of this shape; element i is 1 / (i + 1). */
void tensor_file_add_f32(struct tensor_file *file, const char *name, unsigned rank,
                         const uint64_t *dims);

/* The bytes of the file; valid until the file is changed. */
struct r2_bytes tensor_file_bytes(struct tensor_file *file);

/* A file of this header and data, whatever they are; `header_size` is what the first 8 bytes say.
 */
struct r2_bytes tensor_file_raw(struct tensor_file *file, uint64_t header_size, const char *header,
                                const void *data, size_t size);

enum r2_status tensor_file_write(struct tensor_file *file, const char *path, struct r2_error *err);
void tensor_file_finish(struct tensor_file *file);

#endif
