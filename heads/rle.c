#include "heads/rle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { LABELS = 256, STRIP = 64 };

/* A mask that is being written. */
struct mask {
    size_t end;       /* pixels that are counted so far */
    int64_t last[2];  /* counts: the last, the one before it */
    unsigned written; /* counts; 3 stands for all above */
    struct r2_text *text;
};

static void add_count(struct mask *mask, int64_t count)
{
    char digits[16];
    size_t used = 0;
    int64_t rest = mask->written > 2 ? count - mask->last[1] : count;
    bool more = true;
    while (more) {
        int digit = (int)(rest & 31);
        rest >>= 5;
        more = rest != (digit & 16 ? -1 : 0);
        digits[used++] = (char)('0' + (more ? digit | 32 : digit));
    }
    r2_text_add_bytes(mask->text, digits, used);
    mask->last[1] = mask->last[0];
    mask->last[0] = count;
    if (mask->written < 3) mask->written++;
}

static void add_run(struct mask *mask, size_t start, size_t end)
{
    add_count(mask, (int64_t)(start - mask->end));
    add_count(mask, (int64_t)(end - start));
    mask->end = end;
}

/* Where the run of bytes that begins at `at` ends. */
static size_t run_end(const uint8_t *bytes, size_t at, size_t size)
{
    const uint8_t label = bytes[at];
    const uint64_t eight = UINT64_C(0x0101010101010101) * label;
    uint64_t next;
    for (; size - at >= sizeof next; at += sizeof next) {
        memcpy(&next, bytes + at, sizeof next);
        if (next != eight) break;
    }
    while (at < size && bytes[at] == label) at++;
    return at;
}

/* The columns of a strip, one after the other. */
static void turn_strip(const uint8_t *labels, size_t width, size_t height, size_t columns,
                       uint8_t *ret)
{
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < columns; x++) ret[x * height + y] = labels[y * width + x];
}

/* The run that is open, which may go on in the next strip. */
struct open_run {
    size_t start;
    uint8_t label;
};

static void walk_strip(const uint8_t *strip, size_t size, size_t position, struct open_run *open,
                       struct mask *masks)
{
    for (size_t at = 0; at < size; at = run_end(strip, at, size)) {
        if (strip[at] == open->label) continue;
        add_run(&masks[open->label], open->start, position + at);
        *open = (struct open_run){position + at, strip[at]};
    }
}

static enum r2_status finish_masks(const struct mask *masks, size_t count, struct r2_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (masks[i].text->failed) return r2_fail(err, R2_NO_MEMORY, "no memory for run lengths");
    return R2_OK;
}

enum r2_status r2_rle_encode(const uint8_t *labels, uint32_t width, uint32_t height, size_t count,
                             struct r2_text *ret, struct r2_error *err)
{
    struct mask masks[LABELS] = {{0}};
    const size_t total = (size_t)width * height;
    R2_AUTOFREE uint8_t *strip = NULL;
    if (!total) return R2_OK;
    if (total > UINT32_MAX)
        return r2_fail(err, R2_INVALID, "a map of %u x %u pixels has no run lengths", width,
                       height);
    R2_TRY(r2_alloc(height, STRIP, "columns of a mask", &strip, err));
    for (size_t i = 0; i < count; i++) masks[i].text = &ret[i];
    struct open_run open = {0, labels[0]};
    for (size_t x = 0; x < width; x += STRIP) {
        const size_t columns = width - x < STRIP ? width - x : STRIP;
        turn_strip(labels + x, width, height, columns, strip);
        walk_strip(strip, columns * height, x * height, &open, masks);
    }
    add_run(&masks[open.label], open.start, total);
    for (size_t i = 0; i < count; i++)
        if (masks[i].written && masks[i].end < total)
            add_count(&masks[i], (int64_t)(total - masks[i].end));
    return finish_masks(masks, count, err);
}
