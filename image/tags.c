#include "image/tags.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"

static bool overlap(struct r2_rect a, struct r2_rect b)
{
    return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}

static bool is_free(const struct r2_tags *tags, struct r2_rect rect)
{
    for (size_t i = 0; i < tags->count; i++)
        if (overlap(tags->items[i].rect, rect)) return false;
    return true;
}

static int clamp(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

struct r2_rect r2_tags_place(const struct r2_tags *tags, struct r2_rect box, int width, int height,
                             int picture_width, int picture_height)
{
    enum { ROOMY = 5, STEPS = 12 }; /* heights of a tag */
    bool roomy = box.y1 - box.y0 >= ROOMY * height && box.x1 - box.x0 >= width;
    int left = box.x0, right = box.x1 - width, above = box.y0 - height, below = box.y1;
    struct {
        int x, y;
    } places[7 + STEPS] = {
        {left, above},   {left, roomy ? box.y0 : below},
        {right, above},  {left, below},
        {right, below},  {left, box.y0},
        {right, box.y0},
    };
    /* then down along the box */
    for (int i = 0; i < STEPS; i++)
        places[7 + i].x = left, places[7 + i].y = box.y0 + height * (i + 1);

    struct r2_rect best = {0};
    for (size_t i = 0; i < R2_COUNT(places); i++) {
        int x = clamp(places[i].x, 0, picture_width - width);
        int y = clamp(places[i].y, 0, picture_height - height);
        struct r2_rect rect = {x, y, x + width, y + height};
        if (i == 0) best = rect;
        if (y == places[i].y && is_free(tags, rect)) return rect;
    }
    return best;
}

enum r2_status r2_tags_add(struct r2_tags *tags, const struct r2_tag *tag, struct r2_error *err)
{
    if (tags->count == R2_TAGS_MAX) return R2_OK;
    if (tags->count == tags->capacity) {
        size_t capacity = tags->capacity ? 2 * tags->capacity : 16;
        struct r2_tag *items = realloc(tags->items, capacity * sizeof *items);
        if (!items) return r2_fail(err, R2_NO_MEMORY, "no memory for %zu labels", capacity);
        tags->items = items;
        tags->capacity = capacity;
    }
    tags->items[tags->count++] = *tag;
    return R2_OK;
}

void r2_tags_finish(struct r2_tags *tags)
{
    if (!tags) return;
    free(tags->items);
    *tags = (struct r2_tags){0};
}
