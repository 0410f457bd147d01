#include "image/font.h"

#include <stdio.h>

#include "base/memory.h"
#include "image/glyphs.h"

/* Debian, Fedora, Arch, Alpine. */
static const char *const places[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",
};

static enum r2_status map_first_place(struct r2_font *ret, struct r2_error *err)
{
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < R2_COUNT(places); i++) {
        enum r2_status status = r2_file_map(places[i], &ret->file, err);
        if (status != R2_NOT_FOUND) return status;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", places[i]);
    }
    return r2_fail(err, R2_NOT_FOUND, "no font for labels: none of %s exists", list);
}

enum r2_status r2_font_open(const char *path, struct r2_font *ret, struct r2_error *err)
{
    R2_CLEANUP(r2_font_finish) struct r2_font font = {0};
    R2_CLEANUP(r2_glyphs_finish) struct r2_glyphs glyphs = {0};
    if (path) {
        R2_TRY(r2_file_map(path, &font.file, err));
    } else {
        R2_TRY(map_first_place(&font, err));
    }
    if (r2_glyphs_init(&font, 16, &glyphs, err) != R2_OK)
        return path ? r2_fail_in(err, "%s", path) : err->status;
    *ret = font;
    font = (struct r2_font){0};
    return R2_OK;
}

void r2_font_finish(struct r2_font *font)
{
    if (!font) return;
    r2_mapping_finish(&font->file);
    *font = (struct r2_font){0};
}
