/*
 * Answers as pictures: the photo with the results drawn on it.
 */
#ifndef R2_SERVER_DRAWING_H
#define R2_SERVER_DRAWING_H

#include "base/bytes.h"
#include "base/error.h"
#include "heads/model.h"
#include "image/font.h"
#include "image/image.h"

#define R2_JPEG_TYPE "image/jpeg"
#define R2_PNG_TYPE "image/png"

/* The type of a file by its name's end, or NULL. */
const char *r2_drawing_type_of(const char *path);

/* Draws the answer on its picture, which is changed, and appends a file of that type to ret. Labels need a font, which may be NULL. Takes 4 bytes a pixel, besides the file's.
   R2_INVALID for a side that cannot be drawn or written. */
enum r2_status r2_drawing_make(const struct r2_answer *answer, struct r2_image *picture,
                               const struct r2_font *font, const char *type, struct r2_buffer *ret,
                               struct r2_error *err);

#endif
