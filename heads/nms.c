/*
 * Where a box can be that overlaps another with an IoU above t: on each axis by itself the two
 * intervals overlap at least as well, so with widths w and v and middles a distance d apart
 *
 *     t < v / w < 1 / t    and    d < (w + v) / 2 * (1 - t) / (1 + t).
 *
 * Kept boxes therefore stand in cells by the power of two of their width and height, and by their
 * middle in steps of twice those powers. The cells that a box must look at on one axis are few, and
 * kept boxes in one cell, all of similar size and place, are few because they do not suppress each
 * other. Cells are hashed to chains; what a collision adds is compared in vain.
 */
#include "heads/nms.h"

#include <math.h>
#include <stdbool.h>

#include "base/memory.h"
#include "heads/top_k.h"

#define LEAST_THRESHOLD 0.1f /* below it everything stands in one cell */

enum {
    COUNT_MOST = 1 << 30,
    CELLS_MOST = 48, /* on one axis; 40 at the least threshold */
};

struct table {
    double threshold; /* a little below the real one, for rounding; 0: one cell */
    unsigned shift;   /* 64 - log2 of the number of chains */
    uint32_t *chains; /* the first box of each, + 1; 0: none */
    uint32_t *next;   /* [count] the box after this one, + 1 */
};

/* The cells of one axis that a box belongs to or has to look at. */
struct cells {
    size_t count;
    uint64_t codes[CELLS_MOST];
};

/* Floats that differ lie at most 2^25 of their differences from 0, so a step has room. */
static uint64_t cell_code(int level, int64_t step)
{
    return (uint64_t)step ^ (uint64_t)level << 48;
}

static int64_t step_at(int level, double place)
{
    return (int64_t)floor(ldexp(place, -level - 1));
}

static uint64_t home_cell(const struct table *table, double from, double to)
{
    const int level = ilogb(to - from);
    return table->threshold > 0 ? cell_code(level, step_at(level, (from + to) / 2)) : 0;
}

static void look_around(const struct table *table, double from, double to, struct cells *ret)
{
    const double t = table->threshold, width = to - from, middle = (from + to) / 2;
    ret->count = 0;
    if (t <= 0) {
        ret->codes[ret->count++] = 0;
        return;
    }
    const int last = ilogb(width / t);
    for (int level = ilogb(width * t); level <= last; level++) {
        const double reach = (width + ldexp(1, level + 1)) / 2 * (1 - t) / (1 + t);
        const int64_t end = step_at(level, middle + reach);
        for (int64_t step = step_at(level, middle - reach); step <= end; step++)
            ret->codes[ret->count++] = cell_code(level, step);
    }
}

static uint32_t *chain_of(const struct table *table, uint64_t column, uint64_t row, uint32_t group)
{
    uint64_t hash = column * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 32 ^ row) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 32 ^ group) * 0x94D049BB133111EBu;
    return &table->chains[hash >> table->shift];
}

static bool is_suppressed(const struct table *table, const struct r2_nms_input *input,
                          uint32_t self, float threshold)
{
    const struct r2_box box = input->boxes[self];
    const uint32_t group = input->groups ? input->groups[self] : 0;
    struct cells columns, rows;
    look_around(table, box.x1, box.x2, &columns);
    look_around(table, box.y1, box.y2, &rows);
    for (size_t c = 0; c < columns.count; c++) {
        for (size_t r = 0; r < rows.count; r++) {
            uint32_t other = *chain_of(table, columns.codes[c], rows.codes[r], group);
            for (; other; other = table->next[other - 1])
                if ((!input->groups || input->groups[other - 1] == group) &&
                    r2_box_iou(box, input->boxes[other - 1]) > threshold)
                    return true;
        }
    }
    return false;
}

static void insert(struct table *table, const struct r2_nms_input *input, uint32_t self)
{
    const struct r2_box box = input->boxes[self];
    uint32_t *chain =
        chain_of(table, home_cell(table, box.x1, box.x2), home_cell(table, box.y1, box.y2),
                 input->groups ? input->groups[self] : 0);
    table->next[self] = *chain;
    *chain = self + 1;
}

static size_t keep(struct table *table, const struct r2_nms_input *input, float threshold,
                   size_t limit, const uint32_t *order, uint32_t *ret)
{
    size_t kept = 0;
    for (size_t i = 0; i < input->count && kept < limit; i++) {
        const uint32_t self = order[i];
        const struct r2_box box = input->boxes[self];
        if (isnan(input->scores[self])) break; /* and so are all that follow */
        if (!r2_box_is_finite(box)) continue;
        if (r2_box_area(box) > 0) {
            if (is_suppressed(table, input, self, threshold)) continue;
            insert(table, input, self);
        }
        ret[kept++] = self;
    }
    return kept;
}

enum r2_status r2_nms_keep(const struct r2_nms_input *input, float threshold, size_t limit,
                           uint32_t *ret, size_t *ret_count, struct r2_error *err)
{
    R2_AUTOFREE uint32_t *order = NULL, *next = NULL, *chains = NULL;
    const size_t count = input->count;
    unsigned bits = 1;
    if (count >= COUNT_MOST)
        return r2_fail(err, R2_TOO_LARGE, "suppression: %zu boxes, at most %d", count,
                       COUNT_MOST - 1);
    while ((size_t)1 << bits < 2 * count) bits++;
    R2_TRY(r2_alloc(count, sizeof *order, "suppression", &order, err));
    R2_TRY(r2_alloc(count, sizeof *next, "suppression", &next, err));
    R2_TRY(r2_alloc((size_t)1 << bits, sizeof *chains, "suppression", &chains, err));
    struct table table = {
        .threshold = threshold < LEAST_THRESHOLD ? 0 : (double)threshold * (1 - 1e-6),
        .shift = 64 - bits,
        .chains = chains,
        .next = next,
    };
    r2_top_k(input->scores, count, count, next, order); /* next is free until the first is kept */
    *ret_count = keep(&table, input, threshold, limit, order, ret);
    return R2_OK;
}
