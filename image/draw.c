#include "image/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "image/drawing.h"

enum { LETTERS_LEAST = 6 }; /* pixels; smaller ones cannot be read */

/* The side of the square with as many pixels: what lines and letters are measured by. */
static double mean_side(const struct r2_image *image)
{
    return sqrt((double)image->width * image->height);
}

static int line_width(const struct r2_image *image)
{
    double side = mean_side(image);
    return (int)fmax(side < 160 ? 1 : 2, round(0.0028 * side));
}

/* Of the em square; 0 when the picture has no room for letters. From 7 pixels on the smallest
   pictures over 12 on those of 320 to an even share of the large ones. */
static int letter_size(const struct r2_image *image)
{
    double side = mean_side(image);
    double size = fmax(fmin(7 + 0.0157 * side, 12), 0.0155 * side);
    size = floor(fmin(size, image->height / 3.5));
    return size < LETTERS_LEAST ? 0 : (int)size;
}

static void load_pixels(struct r2_draw *draw)
{
    const uint8_t *rgb = draw->image->pixels;
    cairo_surface_flush(draw->surface);
    for (uint32_t y = 0; y < draw->image->height; y++) {
        uint32_t *row = r2_draw_row(draw, y);
        for (uint32_t x = 0; x < draw->image->width; x++, rgb += 3)
            row[x] = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    }
    cairo_surface_mark_dirty(draw->surface);
}

static void store_pixels(struct r2_draw *draw)
{
    uint8_t *rgb = draw->image->pixels;
    cairo_surface_flush(draw->surface);
    for (uint32_t y = 0; y < draw->image->height; y++) {
        const uint32_t *row = r2_draw_row(draw, y);
        for (uint32_t x = 0; x < draw->image->width; x++, rgb += 3) {
            rgb[0] = (uint8_t)(row[x] >> 16);
            rgb[1] = (uint8_t)(row[x] >> 8);
            rgb[2] = (uint8_t)row[x];
        }
    }
}

static enum r2_status check_cairo(cairo_status_t status, struct r2_error *err)
{
    if (status == CAIRO_STATUS_SUCCESS) return R2_OK;
    return r2_fail(err, status == CAIRO_STATUS_NO_MEMORY ? R2_NO_MEMORY : R2_INTERNAL,
                   "drawing: %s", cairo_status_to_string(status));
}

enum r2_status r2_draw_begin(struct r2_image *image, const struct r2_font *font,
                             struct r2_draw **ret, struct r2_error *err)
{
    if (image->width > R2_DRAW_MAX_SIDE || image->height > R2_DRAW_MAX_SIDE)
        return r2_fail(err, R2_INVALID,
                       "drawing on a picture of %u x %u pixels: the limit of a side is %d",
                       image->width, image->height, R2_DRAW_MAX_SIDE);
    R2_CLEANUP(r2_draw_drop) struct r2_draw *draw = NULL;
    R2_TRY(r2_alloc(1, sizeof *draw, "drawing", &draw, err));
    draw->image = image;
    draw->line = line_width(image);
    int letters = letter_size(image);
    if (font && font->file.bytes.size && letters) {
        R2_TRY(r2_glyphs_init(font, letters, &draw->glyphs, err));
        draw->has_glyphs = true;
    }
    draw->surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)image->width, (int)image->height);
    draw->cairo = cairo_create(draw->surface);
    R2_TRY(check_cairo(cairo_status(draw->cairo), err));
    load_pixels(draw);
    *ret = R2_TAKE(draw);
    return R2_OK;
}

void r2_draw_destroy(struct r2_draw *draw)
{
    if (!draw) return;
    r2_tags_finish(&draw->tags);
    if (draw->has_glyphs) r2_glyphs_finish(&draw->glyphs);
    cairo_destroy(draw->cairo);
    cairo_surface_destroy(draw->surface);
    free(draw);
}

void r2_draw_drop(struct r2_draw **draw)
{
    r2_draw_destroy(*draw);
}

static void set_colour(struct r2_draw *draw, struct r2_colour colour, double alpha)
{
    cairo_set_source_rgba(draw->cairo, colour.red / 255.0, colour.green / 255.0,
                          colour.blue / 255.0, alpha);
}

/* False for NaN too. */
static bool is_near(double coordinate)
{
    return fabs(coordinate) <= R2_DRAW_FAR;
}

/* The nearest pixel edge, inside the picture. */
static int snap(double edge, uint32_t size)
{
    return (int)fmin(fmax(round(edge), 0), size);
}

/* Both ends of a side, at least a pixel apart; false when it lies outside the picture. */
static bool snap_side(double a, double b, uint32_t size, int *ret_first, int *ret_last)
{
    double low = fmin(a, b), high = fmax(a, b);
    if (high < 0 || low > size) return false;
    int first = snap(low, size), last = snap(high, size);
    if (first == last) first == (int)size ? first-- : last++;
    *ret_first = first, *ret_last = last;
    return true;
}

static void add_rect(struct r2_draw *draw, struct r2_rect rect)
{
    cairo_rectangle(draw->cairo, rect.x0, rect.y0, rect.x1 - rect.x0, rect.y1 - rect.y0);
}

/* An outline within the box, on whole pixels; thinner in small boxes, to leave something to see. */
static void outline(struct r2_draw *draw, struct r2_rect box, struct r2_colour colour)
{
    int width = box.x1 - box.x0, height = box.y1 - box.y0;
    int shorter = width < height ? width : height, line = draw->line;
    if (line > shorter / 6) line = shorter < 6 ? 1 : shorter / 6;
    set_colour(draw, colour, 1);
    add_rect(draw, box);
    if (shorter > 2 * line)
        add_rect(draw,
                 (struct r2_rect){box.x0 + line, box.y0 + line, box.x1 - line, box.y1 - line});
    cairo_set_fill_rule(draw->cairo, CAIRO_FILL_RULE_EVEN_ODD);
    cairo_fill(draw->cairo);
}

static int tag_padding(const struct r2_draw *draw)
{
    return draw->glyphs.ascent / 3;
}

static void add_tag(struct r2_draw *draw, struct r2_rect box, struct r2_colour colour,
                    const char *label)
{
    int picture_width = (int)draw->image->width, picture_height = (int)draw->image->height;
    int padding = tag_padding(draw);
    struct r2_tag tag = {
        .colour = colour,
        .run = r2_glyphs_lay_out(&draw->glyphs, label, picture_width - 2 * padding),
    };
    if (!tag.run.count) return;
    int width = (int)ceil(tag.run.width) + 2 * padding;
    int height = draw->glyphs.ascent + draw->glyphs.descent;
    tag.rect = r2_tags_place(&draw->tags, box, width, height, picture_width, picture_height);
    r2_tags_add(&draw->tags, &tag, &draw->error);
}

void r2_draw_box(struct r2_draw *draw, double x0, double y0, double x1, double y1,
                 struct r2_colour colour, const char *label)
{
    struct r2_rect box;
    if (draw->error.status != R2_OK) return;
    if (!is_near(x0) || !is_near(y0) || !is_near(x1) || !is_near(y1)) return;
    if (!snap_side(x0, x1, draw->image->width, &box.x0, &box.x1) ||
        !snap_side(y0, y1, draw->image->height, &box.y0, &box.y1))
        return;
    outline(draw, box, colour);
    if (label && *label && draw->has_glyphs) add_tag(draw, box, colour, label);
}

void r2_draw_point(struct r2_draw *draw, double x, double y, struct r2_colour colour)
{
    if (!is_near(x) || !is_near(y)) return;
    double rim = fmax(1, draw->line / 2.0), radius = 1.25 * draw->line + 0.75;
    cairo_arc(draw->cairo, x, y, radius + rim, 0, 2 * 3.141592653589793);
    set_colour(draw, r2_colour_text_on(colour), 0.85);
    cairo_fill(draw->cairo);
    cairo_arc(draw->cairo, x, y, radius, 0, 2 * 3.141592653589793);
    set_colour(draw, colour, 1);
    cairo_fill(draw->cairo);
}

void r2_draw_line(struct r2_draw *draw, double x0, double y0, double x1, double y1,
                  struct r2_colour colour)
{
    if (!is_near(x0) || !is_near(y0) || !is_near(x1) || !is_near(y1)) return;
    cairo_move_to(draw->cairo, x0, y0);
    cairo_line_to(draw->cairo, x1, y1);
    cairo_set_line_cap(draw->cairo, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(draw->cairo, 1.25 * draw->line);
    set_colour(draw, colour, 1);
    cairo_stroke(draw->cairo);
}

static void draw_tag(struct r2_draw *draw, const struct r2_tag *tag)
{
    add_rect(draw, tag->rect);
    set_colour(draw, tag->colour, 1);
    cairo_fill(draw->cairo);
    r2_glyphs_trace(&draw->glyphs, &tag->run, tag->rect.x0 + tag_padding(draw),
                    tag->rect.y0 + draw->glyphs.ascent, draw->cairo);
    cairo_set_fill_rule(draw->cairo, CAIRO_FILL_RULE_WINDING);
    set_colour(draw, r2_colour_text_on(tag->colour), 1);
    cairo_fill(draw->cairo);
}

enum r2_status r2_draw_end(struct r2_draw *draw, struct r2_error *err)
{
    if (draw->error.status != R2_OK) {
        *err = draw->error;
        return err->status;
    }
    /* the first ones, being the most important, on top */
    for (size_t i = draw->tags.count; i-- > 0;) draw_tag(draw, &draw->tags.items[i]);
    R2_TRY(check_cairo(cairo_status(draw->cairo), err));
    store_pixels(draw);
    return R2_OK;
}
