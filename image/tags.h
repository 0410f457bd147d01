/*
 * Where labels stand: places for tags beside their boxes, inside the picture and, where there is
 * room, not on other tags. Private to image/.
 */
#ifndef R2_IMAGE_TAGS_H
#define R2_IMAGE_TAGS_H

#include <stddef.h>

#include "base/error.h"
#include "image/glyphs.h"
#include "image/palette.h"

/* Pixels x0 .. x1 - 1, y0 .. y1 - 1. */
struct r2_rect {
    int x0, y0, x1, y1;
};

struct r2_tag {
    struct r2_rect rect;
    struct r2_colour colour;
    struct r2_run run;
};

struct r2_tags {
    struct r2_tag *items; /* [capacity]; owned */
    size_t count, capacity;
};

/* More labels than this cannot be read on any picture. */
enum { R2_TAGS_MAX = 1000 };

/* A free place of width x height for the tag of a box. Both fit into the picture. The best places
   are above the box and, in a large box, under its upper edge; when all are taken the tag goes over
   another one. */
struct r2_rect r2_tags_place(const struct r2_tags *tags, struct r2_rect box, int width, int height,
                             int picture_width, int picture_height);

/* Copies the tag; one over R2_TAGS_MAX is left out. */
enum r2_status r2_tags_add(struct r2_tags *tags, const struct r2_tag *tag, struct r2_error *err);

void r2_tags_finish(struct r2_tags *tags);

#endif
