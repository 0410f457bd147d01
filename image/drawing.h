/*
 * What a drawing is made of; only draw.c and overlay.c include this.
 */
#ifndef R2_IMAGE_DRAWING_H
#define R2_IMAGE_DRAWING_H

#include <stdbool.h>

#include <cairo.h>

#include "image/draw.h"
#include "image/glyphs.h"
#include "image/tags.h"

struct r2_draw {
    struct r2_image *image;
    cairo_surface_t *surface; /* CAIRO_FORMAT_RGB24: a pixel is 0x00RRGGBB */
    cairo_t *cairo;
    int line; /* width in pixels */
    bool has_glyphs;
    struct r2_glyphs glyphs;
    struct r2_tags tags;
    struct r2_error error; /* of the first shape that failed; then no other is drawn */
};

/* Row y of the surface's pixels. Between cairo_surface_flush and cairo_surface_mark_dirty. */
static inline uint32_t *r2_draw_row(struct r2_draw *draw, uint32_t y)
{
    unsigned char *data = cairo_image_surface_get_data(draw->surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(draw->surface);
    return (uint32_t *)(void *)(data + stride * y);
}

static inline uint32_t r2_draw_pixel(struct r2_colour colour)
{
    return (uint32_t)colour.red << 16 | (uint32_t)colour.green << 8 | colour.blue;
}

#endif
