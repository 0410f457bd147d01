/*
 * Text as outlines: UTF-8 to glyphs of a font, and glyphs to a cairo path. Private to image/.
 *
 * One glyph a character, left to right: no ligatures, no right-to-left scripts. A character that
 * the font lacks shows its box for that; a byte that is not UTF-8 shows as U+FFFD.
 *
 * FreeType gives the outlines and cairo fills them, without cairo's own text functions: those keep
 * fonts in caches of the process behind locks, and look into fontconfig's files.
 */
#ifndef R2_IMAGE_GLYPHS_H
#define R2_IMAGE_GLYPHS_H

#include <stdint.h>

#include <cairo.h>
#include <ft2build.h>
#include FT_FREETYPE_H

#include "base/error.h"
#include "image/font.h"

/* A font at a size. Each drawing has its own, since FreeType's faces are not to be shared between
   threads; making one costs 0.1 ms. */
struct r2_glyphs {
    FT_Library library;
    FT_Face face;
    int ascent, descent; /* pixels above and below the base line */
};

/* Borrows the font. R2_INVALID when it is none; `pixels` is the size of the em square. */
enum r2_status r2_glyphs_init(const struct r2_font *font, int pixels, struct r2_glyphs *ret,
                              struct r2_error *err);
void r2_glyphs_finish(struct r2_glyphs *glyphs);

enum { R2_RUN_MAX = 80 };

/* A line of text, laid out. */
struct r2_run {
    unsigned count;
    double width; /* pixels */
    uint32_t ids[R2_RUN_MAX];
};

/* As much of the NUL-terminated text as fits into max_width pixels and R2_RUN_MAX glyphs; text that
   is cut ends in an ellipsis. An empty run when not even that fits. */
struct r2_run r2_glyphs_lay_out(struct r2_glyphs *glyphs, const char *text, double max_width);

/* Adds the outlines of the run to cairo's path; (x, y) is where its base line begins. */
void r2_glyphs_trace(struct r2_glyphs *glyphs, const struct r2_run *run, double x, double y,
                     cairo_t *cairo);

#endif
