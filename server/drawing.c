#include "server/drawing.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "image/draw.h"
#include "image/encode.h"

enum { JPEG_QUALITY = 90 };

const char *r2_drawing_type_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (!dot) return NULL;
    if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0) return R2_JPEG_TYPE;
    return strcasecmp(dot, ".png") == 0 ? R2_PNG_TYPE : NULL;
}

static enum r2_status draw_on(const struct r2_answer *answer, struct r2_image *picture,
                              const struct r2_font *font, struct r2_error *err)
{
    R2_CLEANUP(r2_draw_drop) struct r2_draw *draw = NULL;
    R2_TRY(r2_draw_begin(picture, font, &draw, err));
    R2_TRY(r2_answer_draw(answer, draw, err));
    return r2_draw_end(draw, err);
}

enum r2_status r2_drawing_make(const struct r2_answer *answer, struct r2_image *picture,
                               const struct r2_font *font, const char *type, struct r2_buffer *ret,
                               struct r2_error *err)
{
    R2_TRY(draw_on(answer, picture, font, err));
    return strcmp(type, R2_PNG_TYPE) == 0 ? r2_png_encode(picture, ret, err)
                                          : r2_jpeg_encode(picture, JPEG_QUALITY, ret, err);
}
