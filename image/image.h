/*
 * A decoded picture: 8-bit RGB in memory.
 */
#ifndef R2_IMAGE_IMAGE_H
#define R2_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct r2_image {
    uint32_t width, height; /* pixels */
    uint8_t *pixels;        /* [height, width, 3] RGB, rows without gaps; owned */
};

/* Uninitialised pixels, 64-byte aligned. R2_INVALID when a side is 0, R2_NO_MEMORY when the bytes
   do not fit into size_t or memory. */
enum r2_status r2_image_create(uint32_t width, uint32_t height, struct r2_image *ret,
                               struct r2_error *err);

/* Frees the pixels and empties the picture; takes NULL and zeroed pictures. */
void r2_image_finish(struct r2_image *image);

/* Bytes of a row. */
static inline size_t r2_image_stride(const struct r2_image *image)
{
    return (size_t)image->width * 3;
}

#endif
