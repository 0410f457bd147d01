#include "heads/rle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { LABELS = 256, STRIP = 64 };

static void add_count(struct r2_rle *rle, int64_t count)
{
    char digits[16];
    size_t used = 0;
    int64_t rest = rle->written > 2 ? count - rle->last[1] : count;
    bool more = true;
    while (more) {
        int digit = (int)(rest & 31);
        rest >>= 5;
        more = rest != (digit & 16 ? -1 : 0);
        digits[used++] = (char)('0' + (more ? digit | 32 : digit));
    }
    r2_text_add_bytes(rle->text, digits, used);
    rle->last[1] = rle->last[0];
    rle->last[0] = count;
    if (rle->written < 3) rle->written++;
}

/* Writes the open run and what is between it and the one before. */
static void close_run(struct r2_rle *rle)
{
    if (rle->start == rle->end) return;
    add_count(rle, (int64_t)(rle->start - rle->counted));
    add_count(rle, (int64_t)(rle->end - rle->start));
    rle->counted = rle->end;
}

void r2_rle_add(struct r2_rle *rle, size_t start, size_t end)
{
    if (start != rle->end) {
        close_run(rle);
        rle->start = start;
    }
    rle->end = end;
}

void r2_rle_end(struct r2_rle *rle, size_t total)
{
    close_run(rle);
    if (rle->counted < total) add_count(rle, (int64_t)(total - rle->counted));
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

static void walk_strip(const uint8_t *strip, size_t size, size_t position, struct r2_rle *masks)
{
    for (size_t at = 0, end; at < size; at = end) {
        end = run_end(strip, at, size);
        r2_rle_add(&masks[strip[at]], position + at, position + end);
    }
}

static enum r2_status finish_masks(struct r2_rle *masks, size_t count, size_t total,
                                   struct r2_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (masks[i].end) r2_rle_end(&masks[i], total);
        if (masks[i].text->failed) return r2_fail(err, R2_NO_MEMORY, "no memory for run lengths");
    }
    return R2_OK;
}

enum r2_status r2_rle_encode(const uint8_t *labels, uint32_t width, uint32_t height, size_t count,
                             struct r2_text *ret, struct r2_error *err)
{
    struct r2_rle masks[LABELS] = {{0}};
    const size_t total = (size_t)width * height;
    R2_AUTOFREE uint8_t *strip = NULL;
    if (!total) return R2_OK;
    if (total > UINT32_MAX)
        return r2_fail(err, R2_INVALID, "a map of %u x %u pixels has no run lengths", width,
                       height);
    R2_TRY(r2_alloc(height, STRIP, "columns of a mask", &strip, err));
    for (size_t i = 0; i < count; i++) masks[i].text = &ret[i];
    for (size_t x = 0; x < width; x += STRIP) {
        const size_t columns = width - x < STRIP ? width - x : STRIP;
        turn_strip(labels + x, width, height, columns, strip);
        walk_strip(strip, columns * height, x * height, masks);
    }
    return finish_masks(masks, count, total, err);
}
