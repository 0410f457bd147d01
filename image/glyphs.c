#include "image/glyphs.h"

#include <string.h>

#include FT_OUTLINE_H

#include "base/memory.h"

enum { REPLACEMENT = 0xFFFD, ELLIPSIS = 0x2026 };

enum r2_status r2_glyphs_init(const struct r2_font *font, int pixels, struct r2_glyphs *ret,
                              struct r2_error *err)
{
    R2_CLEANUP(r2_glyphs_finish) struct r2_glyphs glyphs = {0};
    struct r2_bytes file = font->file.bytes;
    if (FT_Init_FreeType(&glyphs.library))
        return r2_fail(err, R2_NO_MEMORY, "FreeType cannot be started");
    if (FT_New_Memory_Face(glyphs.library, file.data, (FT_Long)file.size, 0, &glyphs.face) ||
        !FT_IS_SCALABLE(glyphs.face) || FT_Select_Charmap(glyphs.face, FT_ENCODING_UNICODE) ||
        FT_Set_Pixel_Sizes(glyphs.face, 0, (FT_UInt)pixels))
        return r2_fail(err, R2_INVALID, "font: not one with outlines and Unicode characters");
    glyphs.ascent = (int)(glyphs.face->size->metrics.ascender + 63) / 64;
    glyphs.descent = (int)(63 - glyphs.face->size->metrics.descender) / 64;
    *ret = glyphs;
    glyphs = (struct r2_glyphs){0};
    return R2_OK;
}

void r2_glyphs_finish(struct r2_glyphs *glyphs)
{
    if (!glyphs) return;
    FT_Done_Face(glyphs->face);
    FT_Done_FreeType(glyphs->library); /* both refuse NULL by an error code */
    *glyphs = (struct r2_glyphs){0};
}

/* The character at *text, which moves behind it; 0 at the end. */
static uint32_t next_character(const unsigned char **text)
{
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *at = *text;
    if (!*at) return 0;
    *text = at + 1;
    if (*at < 0x80) return *at < 0x20 || *at == 0x7F ? ' ' : *at;
    int more = *at >= 0xF0 ? 3 : *at >= 0xE0 ? 2 : 1;
    if (*at < 0xC2 || *at > 0xF4) return REPLACEMENT;
    uint32_t code = *at & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) { /* the final NUL is no continuation, so this stays inside */
        if ((at[i] & 0xC0) != 0x80) return REPLACEMENT;
        code = code << 6 | (at[i] & 0x3Fu);
    }
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return REPLACEMENT;
    *text = at + 1 + more;
    return code;
}

/* Loads a glyph and gives its advance in pixels. Light hinting moves outlines onto the pixel grid
   in height only, so that letters keep their shapes and distances. */
static double load(struct r2_glyphs *glyphs, uint32_t id)
{
    if (FT_Load_Glyph(glyphs->face, id, FT_LOAD_NO_BITMAP | FT_LOAD_TARGET_LIGHT)) return 0;
    return (double)glyphs->face->glyph->linearHoriAdvance / 65536;
}

struct r2_run r2_glyphs_lay_out(struct r2_glyphs *glyphs, const char *text, double max_width)
{
    struct r2_run run = {0};
    uint32_t dots = FT_Get_Char_Index(glyphs->face, ELLIPSIS), code;
    double dots_width = load(glyphs, dots), width_at_cut = 0;
    unsigned cut = 0; /* glyphs that leave room for the ellipsis */
    const unsigned char *at = (const unsigned char *)text;
    while ((code = next_character(&at))) {
        uint32_t id = FT_Get_Char_Index(glyphs->face, code);
        double advance = load(glyphs, id);
        if (run.count == R2_RUN_MAX || run.width + advance > max_width) break;
        if (run.width + dots_width <= max_width && run.count < R2_RUN_MAX)
            cut = run.count, width_at_cut = run.width;
        run.ids[run.count++] = id;
        run.width += advance;
    }
    if (!code) return run;
    if (run.count < R2_RUN_MAX && run.width + dots_width <= max_width)
        cut = run.count, width_at_cut = run.width;
    if (dots_width > max_width) return (struct r2_run){0};
    run.ids[cut] = dots;
    run.count = cut + 1;
    run.width = width_at_cut + dots_width;
    return run;
}

/* Where outlines go: their units are 1/64 pixel, y upwards. */
struct pen {
    cairo_t *cairo;
    double x, y; /* of the glyph's origin */
};

static double pen_x(const struct pen *pen, const FT_Vector *point)
{
    return pen->x + (double)point->x / 64;
}

static double pen_y(const struct pen *pen, const FT_Vector *point)
{
    return pen->y - (double)point->y / 64;
}

static int move_to(const FT_Vector *to, void *user)
{
    struct pen *pen = user;
    cairo_close_path(pen->cairo);
    cairo_move_to(pen->cairo, pen_x(pen, to), pen_y(pen, to));
    return 0;
}

static int line_to(const FT_Vector *to, void *user)
{
    struct pen *pen = user;
    cairo_line_to(pen->cairo, pen_x(pen, to), pen_y(pen, to));
    return 0;
}

/* A quadratic curve as the cubic one that it is. */
static int conic_to(const FT_Vector *control, const FT_Vector *to, void *user)
{
    struct pen *pen = user;
    double x, y, cx = pen_x(pen, control), cy = pen_y(pen, control);
    double end_x = pen_x(pen, to), end_y = pen_y(pen, to);
    cairo_get_current_point(pen->cairo, &x, &y);
    cairo_curve_to(pen->cairo, (x + 2 * cx) / 3, (y + 2 * cy) / 3, (end_x + 2 * cx) / 3,
                   (end_y + 2 * cy) / 3, end_x, end_y);
    return 0;
}

static int cubic_to(const FT_Vector *a, const FT_Vector *b, const FT_Vector *to, void *user)
{
    struct pen *pen = user;
    cairo_curve_to(pen->cairo, pen_x(pen, a), pen_y(pen, a), pen_x(pen, b), pen_y(pen, b),
                   pen_x(pen, to), pen_y(pen, to));
    return 0;
}

void r2_glyphs_trace(struct r2_glyphs *glyphs, const struct r2_run *run, double x, double y,
                     cairo_t *cairo)
{
    static const FT_Outline_Funcs funcs = {
        .move_to = move_to, .line_to = line_to, .conic_to = conic_to, .cubic_to = cubic_to};
    struct pen pen = {.cairo = cairo, .x = x, .y = y};
    for (unsigned i = 0; i < run->count; i++) {
        double advance = load(glyphs, run->ids[i]);
        FT_GlyphSlot slot = glyphs->face->glyph;
        if (slot->format == FT_GLYPH_FORMAT_OUTLINE)
            FT_Outline_Decompose(&slot->outline, &funcs, &pen);
        pen.x += advance;
    }
    cairo_close_path(cairo);
}
