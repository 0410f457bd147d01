/*
 * Byte ranges: a view borrows, a buffer owns. Files are read or written whole, or mapped.
 */
#ifndef R2_BASE_BYTES_H
#define R2_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Borrowed bytes; data may be NULL when size is 0. */
struct r2_bytes {
    const uint8_t *data;
    size_t size;
};

/* Owned, growing bytes; zero-initialised is empty. Never holds more than `limit` bytes. */
struct r2_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit; /* bytes; 0 = none */
};

void r2_buffer_finish(struct r2_buffer *buffer);

/* Makes room for `size` bytes in all, so that appends up to it do not allocate. R2_TOO_LARGE over
 * the limit. */
enum r2_status r2_buffer_reserve(struct r2_buffer *buffer, size_t size, struct r2_error *err);

/* R2_TOO_LARGE when the limit would be passed: nothing is appended then. */
enum r2_status r2_buffer_append(struct r2_buffer *buffer, const void *data, size_t size,
                                struct r2_error *err);

static inline struct r2_bytes r2_buffer_view(const struct r2_buffer *buffer)
{
    return (struct r2_bytes){buffer->data, buffer->size};
}

/* Reads a whole regular file of at most `limit` bytes into an empty buffer, which the caller
   finishes. The file is data for the caller; a NUL follows it (not counted in size). */
enum r2_status r2_file_read(const char *path, size_t limit, struct r2_buffer *ret,
                            struct r2_error *err);

/* Writes a whole file, in place of one that is there. After a failure it may be incomplete. */
enum r2_status r2_file_write(const char *path, struct r2_bytes bytes, struct r2_error *err);

/* A regular file mapped read-only. A file that someone truncates while it is mapped raises SIGBUS:
   replace model files by rename, never in place. */
struct r2_mapping {
    struct r2_bytes bytes;
};

enum r2_status r2_file_map(const char *path, struct r2_mapping *ret, struct r2_error *err);
void r2_mapping_finish(struct r2_mapping *mapping);

#endif
