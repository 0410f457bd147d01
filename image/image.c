#include "image/image.h"

#include <stdlib.h>

#include "base/memory.h"

enum r2_status r2_image_create(uint32_t width, uint32_t height, struct r2_image *ret,
                               struct r2_error *err)
{
    size_t size;
    uint8_t *pixels;
    if (!width || !height)
        return r2_fail(err, R2_INVALID, "a picture of %u x %u pixels: no side may be 0", width,
                       height);
    if (!r2_size_mul(width, height, &size) || !r2_size_mul(size, 3, &size))
        return r2_fail(err, R2_NO_MEMORY, "a picture of %u x %u pixels: too large to address",
                       width, height);
    R2_TRY(r2_alloc_aligned(size, "picture", &pixels, err));
    *ret = (struct r2_image){width, height, pixels};
    return R2_OK;
}

void r2_image_finish(struct r2_image *image)
{
    if (!image) return;
    free(image->pixels);
    *image = (struct r2_image){0};
}
