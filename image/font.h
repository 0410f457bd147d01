/*
 * The font that labels are drawn with: one file, opened once and shared by all drawings.
 */
#ifndef R2_IMAGE_FONT_H
#define R2_IMAGE_FONT_H

#include "base/bytes.h"
#include "base/error.h"

struct r2_font {
    struct r2_mapping file; /* owned; what FreeType reads: TrueType, OpenType, ... */
};

/* Opens the font at `path`, or, when path is NULL, the first that exists of the places where
   distributions put DejaVu Sans, which has Latin, Greek and Cyrillic letters. R2_NOT_FOUND names
   the file, or all of those places; R2_INVALID when it is not a font with outlines. ret is finished
   by the caller, behind the last drawing. */
enum r2_status r2_font_open(const char *path, struct r2_font *ret, struct r2_error *err);

/* Takes NULL and zeroed fonts. */
void r2_font_finish(struct r2_font *font);

#endif
