/*
 * Masks and heat: veils over pixels, without cairo.
 */
#include "base/memory.h"
#include "image/drawing.h"

/* alpha 0..256 */
static uint32_t blend(uint32_t under, uint32_t over, uint32_t alpha)
{
    uint32_t rest = 256 - alpha;
    uint32_t odd = ((under & 0xFF00FF) * rest + (over & 0xFF00FF) * alpha + 0x800080) >> 8;
    uint32_t even = ((under & 0x00FF00) * rest + (over & 0x00FF00) * alpha + 0x008000) >> 8;
    return (odd & 0xFF00FF) | (even & 0x00FF00);
}

/* How far a pixel is from another label, in thirds of a pixel: 3 to the next one, 4 over a corner
   (Borgefors' 3-4 chamfer distance), up to FAR. */
enum { BESIDE = 3, CORNER = 4, FAR = 240 };

struct labels {
    const uint8_t *at;
    uint8_t *distance; /* [height, width] */
    size_t width, height;
};

/* Lowers the distance of pixel i by what its neighbour j knows. */
static void relax(const struct labels *labels, size_t i, size_t j, uint8_t step)
{
    unsigned there = labels->at[i] == labels->at[j] ? labels->distance[j] : 0;
    if (there + step < labels->distance[i]) labels->distance[i] = (uint8_t)(there + step);
}

/* Along a row, and from the row before it on the way, which is the upper or the lower one. */
static void relax_row(const struct labels *labels, size_t row, size_t from, bool has_from,
                      bool back)
{
    size_t width = labels->width;
    for (size_t n = 0; n < width; n++) {
        size_t x = back ? width - 1 - n : n, i = row + x;
        if (n) relax(labels, i, back ? i + 1 : i - 1, BESIDE);
        if (!has_from) continue;
        relax(labels, i, from + x, BESIDE);
        if (x) relax(labels, i, from + x - 1, CORNER);
        if (x + 1 < width) relax(labels, i, from + x + 1, CORNER);
    }
}

static void measure(const struct labels *labels)
{
    size_t width = labels->width, height = labels->height;
    for (size_t i = 0; i < width * height; i++) labels->distance[i] = FAR;
    for (size_t y = 0; y < height; y++) relax_row(labels, y * width, (y - 1) * width, y > 0, false);
    for (size_t y = height; y-- > 0;)
        relax_row(labels, y * width, (y + 1) * width, y + 1 < height, true);
}

/* The veil's alpha by distance: an outline of `line` pixels that fades within one. */
static void fill_alphas(int line, uint32_t alphas[256])
{
    enum { VEIL = 105, OUTLINE = 235 };
    for (int distance = 0; distance < 256; distance++) {
        int cover = BESIDE * (line + 1) - distance; /* thirds */
        cover = cover < 0 ? 0 : cover > BESIDE ? BESIDE : cover;
        alphas[distance] = (uint32_t)(VEIL + (OUTLINE - VEIL) * cover / BESIDE);
    }
}

void r2_draw_mask(struct r2_draw *draw, const uint8_t *labels, const struct r2_colour *colours,
                  size_t count)
{
    if (draw->error.status != R2_OK) return;
    uint32_t width = draw->image->width, height = draw->image->height, alphas[256];
    R2_AUTOFREE uint8_t *distance = NULL;
    if (r2_alloc(height, width, "mask outlines", &distance, &draw->error) != R2_OK) return;
    measure(&(struct labels){labels, distance, width, height});
    fill_alphas(draw->line, alphas);
    cairo_surface_flush(draw->surface);
    for (uint32_t y = 0; y < height; y++) {
        uint32_t *row = r2_draw_row(draw, y);
        const uint8_t *label = labels + (size_t)width * y, *far = distance + (size_t)width * y;
        for (uint32_t x = 0; x < width; x++)
            if (label[x] && label[x] < count)
                row[x] = blend(row[x], r2_draw_pixel(colours[label[x]]), alphas[far[x]]);
    }
    cairo_surface_mark_dirty(draw->surface);
}

void r2_draw_heat(struct r2_draw *draw, const uint8_t *heat)
{
    enum { COLD = 20, HOT = 185 }; /* alphas */
    uint32_t width = draw->image->width, colours[256], alphas[256];
    for (unsigned i = 0; i < 256; i++) {
        colours[i] = r2_draw_pixel(r2_colour_heat((uint8_t)i));
        alphas[i] = COLD + (HOT - COLD) * i / 255;
    }
    cairo_surface_flush(draw->surface);
    for (uint32_t y = 0; y < draw->image->height; y++) {
        uint32_t *row = r2_draw_row(draw, y);
        const uint8_t *values = heat + (size_t)width * y;
        for (uint32_t x = 0; x < width; x++)
            row[x] = blend(row[x], colours[values[x]], alphas[values[x]]);
    }
    cairo_surface_mark_dirty(draw->surface);
}
