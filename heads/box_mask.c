#include "heads/box_mask.h"

#include <math.h>
#include <string.h>

#include "heads/rle.h"

enum { SIDE_MOST = R2_BOX_MASK_SIDE_MOST };

/* How pixels of an axis lie on the cells. */
struct axis {
    double start, scale; /* pixels; cells a pixel */
    uint32_t side;
    /* Piece k is between the middles of cells k - 1 and k, of which -1 and `side` are zeros: pixels
       [first[k], first[k + 1]). */
    uint32_t first[SIDE_MOST + 2];
};

/* Pixels of a line that are in the mask. */
struct run {
    uint32_t begin, end;
};

static struct axis make_axis(float from, float to, uint32_t side, uint32_t pixels)
{
    struct axis axis = {.start = (double)from, .side = side};
    if (!(from < to)) return axis;
    axis.scale = side / ((double)to - (double)from);
    for (uint32_t k = 0; k <= side + 1; k++) {
        const double pixel = ceil(axis.start + (k - 0.5) / axis.scale - 0.5);
        axis.first[k] = pixel > 0 ? pixel < pixels ? (uint32_t)pixel : pixels : 0;
    }
    return axis;
}

static struct axis across(const struct r2_box_mask *mask)
{
    return make_axis(mask->box.x1, mask->box.x2, mask->side, mask->width);
}

static struct axis down(const struct r2_box_mask *mask)
{
    return make_axis(mask->box.y1, mask->box.y2, mask->side, mask->height);
}

/* The middle of a pixel, in cells from the middle of the first one. */
static double place(const struct axis *axis, uint32_t pixel)
{
    return (pixel + 0.5 - axis->start) * axis->scale - 0.5;
}

/* The cells' values on the line at a pixel of `axis`, with the zeros around: ret [side + 2]. Cells on the
   line are `along` apart in memory, those beside it `beside`. */
static void read_line(const struct r2_box_mask *mask, const struct axis *axis, uint32_t pixel,
                      size_t along, size_t beside, double *ret)
{
    const uint32_t side = mask->side;
    const double at = place(axis, pixel), piece = fmin(fmax(floor(at) + 1, 0), side);
    const double part = at - (piece - 1);
    const uint32_t k = (uint32_t)piece;
    ret[0] = ret[side + 1] = 0;
    for (uint32_t i = 0; i < side; i++) {
        const float *cells = mask->cells + i * along;
        const double low = k > 0 ? (double)cells[(k - 1) * beside] : 0;
        const double high = k < side ? (double)cells[k * beside] : 0;
        ret[i + 1] = low + part * (high - low);
    }
}

static bool is_in(const struct axis *axis, const double *line, uint32_t k, uint32_t pixel)
{
    return line[k] + (place(axis, pixel) - (k - 1.0)) * (line[k + 1] - line[k]) >= 0.5;
}

/* The first pixel of piece k that is not as `begin` is, while the one before `end` is not. */
static uint32_t find_change(const struct axis *axis, const double *line, uint32_t k, uint32_t begin,
                            uint32_t end)
{
    const bool before = is_in(axis, line, k, begin);
    for (end--; end - begin > 1;) {
        const uint32_t middle = begin + (end - begin) / 2;
        if (is_in(axis, line, k, middle) == before)
            begin = middle;
        else
            end = middle;
    }
    return end;
}

/* Runs of a line, ascending and apart: at most one a piece. */
static size_t find_runs(const struct axis *axis, const double *line, struct run *ret)
{
    size_t count = 0;
    for (uint32_t k = 0; k <= axis->side; k++) {
        struct run run = {axis->first[k], axis->first[k + 1]};
        if (run.begin == run.end || (line[k] < 0.5 && line[k + 1] < 0.5)) continue;
        const bool first = is_in(axis, line, k, run.begin),
                   last = is_in(axis, line, k, run.end - 1);
        if (!first && !last) continue;
        if (first != last)
            *(first ? &run.end : &run.begin) = find_change(axis, line, k, run.begin, run.end);
        if (count && ret[count - 1].end == run.begin)
            ret[count - 1].end = run.end;
        else
            ret[count++] = run;
    }
    return count;
}

struct r2_mask_window r2_box_mask_window(const struct r2_box_mask *mask)
{
    const struct axis x = across(mask), y = down(mask);
    const uint32_t end = mask->side + 1;
    return (struct r2_mask_window){x.first[0], y.first[0], x.first[end] - x.first[0],
                                   y.first[end] - y.first[0]};
}

void r2_box_mask_encode(const struct r2_box_mask *mask, struct r2_text *ret)
{
    const struct axis columns = across(mask), rows = down(mask);
    struct r2_rle rle = {.text = ret};
    for (uint32_t x = columns.first[0]; x < columns.first[mask->side + 1]; x++) {
        double line[SIDE_MOST + 2];
        struct run runs[SIDE_MOST + 1];
        read_line(mask, &columns, x, mask->side, 1, line);
        const size_t count = find_runs(&rows, line, runs), top = (size_t)x * mask->height;
        for (size_t i = 0; i < count; i++) r2_rle_add(&rle, top + runs[i].begin, top + runs[i].end);
    }
    r2_rle_end(&rle, (size_t)mask->width * mask->height);
}

void r2_box_mask_fill(const struct r2_box_mask *mask, uint8_t value, struct r2_mask_window window,
                      uint8_t *map)
{
    const struct axis columns = across(mask), rows = down(mask);
    for (uint32_t y = rows.first[0]; y < rows.first[mask->side + 1]; y++) {
        double line[SIDE_MOST + 2];
        struct run runs[SIDE_MOST + 1];
        read_line(mask, &rows, y, 1, mask->side, line);
        uint8_t *row = map + (size_t)(y - window.y) * window.width;
        const size_t count = find_runs(&columns, line, runs);
        for (size_t i = 0; i < count; i++)
            memset(row + (runs[i].begin - window.x), value, runs[i].end - runs[i].begin);
    }
}
