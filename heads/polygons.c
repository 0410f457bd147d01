#include "heads/polygons.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"

/* Vertices between points that always stay: keeps the time of Douglas and Peucker's rule, the
   square of the length at worst, within bounds. */
enum { STRETCH = 256 };

/* Pixels of one label in a row, and the borders at its ends: index + 1, 0 = not followed yet. */
struct run {
    uint32_t begin, end;
    uint32_t left, right;
};

struct finder {
    const uint8_t *labels;
    uint32_t width, height;
    double tolerance;
    struct run *runs;               /* row by row */
    size_t *rows;                   /* [height + 1]: the first of each row */
    struct r2_buffer vertices;      /* of the border that is followed */
    struct r2_buffer rings, points; /* found so far */
};

void r2_polygons_finish(struct r2_polygons *polygons)
{
    if (!polygons) return;
    free(polygons->rings);
    free(polygons->points);
    *polygons = (struct r2_polygons){0};
}

static void finder_finish(struct finder *finder)
{
    free(finder->runs);
    free(finder->rows);
    r2_buffer_finish(&finder->vertices);
    r2_buffer_finish(&finder->rings);
    r2_buffer_finish(&finder->points);
}

/* --- runs --- */

/* Runs of a row; ret may be NULL. */
static size_t find_runs(const uint8_t *row, uint32_t width, struct run *ret)
{
    size_t count = 0;
    for (uint32_t x = 0; x < width; count++) {
        const uint32_t begin = x;
        while (x < width && row[x] == row[begin]) x++;
        if (ret) ret[count] = (struct run){begin, x, 0, 0};
    }
    return count;
}

static enum r2_status list_runs(struct finder *finder, struct r2_error *err)
{
    size_t count = 0;
    const size_t width = finder->width;
    R2_TRY(
        r2_alloc((size_t)finder->height + 1, sizeof *finder->rows, "outlines", &finder->rows, err));
    for (uint32_t y = 0; y < finder->height; y++) {
        finder->rows[y] = count;
        count += find_runs(finder->labels + y * width, finder->width, NULL);
        if (count > R2_POLYGONS_MAX_RUNS)
            return r2_fail(err, R2_INVALID,
                           "the regions are too many for outlines: over %d runs of pixels",
                           R2_POLYGONS_MAX_RUNS);
    }
    finder->rows[finder->height] = count;
    R2_TRY(r2_alloc(count, sizeof *finder->runs, "outlines", &finder->runs, err));
    for (uint32_t y = 0; y < finder->height; y++)
        find_runs(finder->labels + y * width, finder->width, finder->runs + finder->rows[y]);
    return R2_OK;
}

/* The run of pixel (x, y). */
static struct run *run_at(const struct finder *finder, uint32_t x, uint32_t y)
{
    size_t low = finder->rows[y], high = finder->rows[y + 1] - 1;
    while (low < high) {
        const size_t middle = low + (high - low + 1) / 2;
        if (finder->runs[middle].begin <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return &finder->runs[low];
}

/* --- borders --- */

enum direction { NORTH, EAST, SOUTH, WEST };

/* Just before a step along cracks, with the region at the right hand. */
struct walker {
    uint32_t x, y;
    enum direction direction;
};

static bool has_label(const struct finder *finder, int64_t x, int64_t y, uint8_t label)
{
    return x >= 0 && y >= 0 && x < finder->width && y < finder->height &&
           finder->labels[(size_t)y * finder->width + (size_t)x] == label;
}

static void step(struct walker *walker)
{
    static const int across[] = {0, 1, 0, -1}, down[] = {-1, 0, 1, 0};
    walker->x += (uint32_t)across[walker->direction];
    walker->y += (uint32_t)down[walker->direction];
}

/* Turns to the next crack of the border; false when it goes straight on. */
static bool turn(const struct finder *finder, uint8_t label, struct walker *walker)
{
    /* the pixels ahead, from the corner that the walker stands on */
    static const int right_x[] = {0, 0, -1, -1}, right_y[] = {-1, 0, 0, -1};
    static const int left_x[] = {-1, 0, 0, -1}, left_y[] = {-1, -1, 0, 0};
    const enum direction d = walker->direction;
    const int64_t x = walker->x, y = walker->y;
    if (!has_label(finder, x + right_x[d], y + right_y[d], label))
        walker->direction = (d + 1) % 4;
    else if (has_label(finder, x + left_x[d], y + left_y[d], label))
        walker->direction = (d + 3) % 4;
    else
        return false;
    return true;
}

/* Collects the vertices of the border and marks the ends of runs that it passes. */
static enum r2_status follow(struct finder *finder, struct walker start, uint8_t label,
                             uint32_t mark, struct r2_error *err)
{
    struct walker at = start;
    finder->vertices.size = 0;
    do {
        if (at.direction == NORTH)
            run_at(finder, at.x, at.y - 1)->left = mark;
        else if (at.direction == SOUTH)
            run_at(finder, at.x - 1, at.y)->right = mark;
        step(&at);
        const struct r2_point corner = {at.x, at.y};
        if (turn(finder, label, &at))
            R2_TRY(r2_buffer_append(&finder->vertices, &corner, sizeof corner, err));
    } while (at.x != start.x || at.y != start.y || at.direction != start.direction);
    return R2_OK;
}

/* --- simplification --- */

/* Vertices of a closed border; index `count` is the first again. */
struct border {
    const struct r2_point *vertices;
    size_t count;
};

static struct r2_point vertex(const struct border *border, size_t i)
{
    return border->vertices[i == border->count ? 0 : i];
}

/* Squared distance of p from the line between a and b. */
static double distance2(struct r2_point p, struct r2_point a, struct r2_point b)
{
    const double dx = (double)b.x - a.x, dy = (double)b.y - a.y;
    double px = (double)p.x - a.x, py = (double)p.y - a.y;
    const double length2 = dx * dx + dy * dy;
    double part = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    px -= part * dx;
    py -= part * dy;
    return px * px + py * py;
}

/* The vertex between two that is farthest from the line between them. */
static size_t farthest(const struct border *border, size_t begin, size_t end, double *ret_distance2)
{
    size_t found = begin;
    double most = -1;
    for (size_t i = begin + 1; i < end; i++) {
        const double away =
            distance2(vertex(border, i), vertex(border, begin), vertex(border, end));
        if (away > most) {
            most = away;
            found = i;
        }
    }
    *ret_distance2 = most;
    return found;
}

/* Appends the vertices [begin, end) that stay; end - begin is at most STRETCH. */
static enum r2_status keep_stretch(struct finder *finder, const struct border *border, size_t begin,
                                   size_t end, struct r2_error *err)
{
    struct {
        size_t begin, end;
    } open[STRETCH] = {{begin, end}};
    bool kept[STRETCH] = {true};
    size_t count = begin < end;
    while (count) {
        double away;
        const size_t from = open[--count].begin, to = open[count].end;
        const size_t far = farthest(border, from, to, &away);
        if (away <= finder->tolerance * finder->tolerance) continue;
        kept[far - begin] = true;
        open[count].begin = from;
        open[count++].end = far;
        open[count].begin = far;
        open[count++].end = to;
    }
    for (size_t i = begin; i < end; i++)
        if (kept[i - begin])
            R2_TRY(r2_buffer_append(&finder->points, &border->vertices[i], sizeof *border->vertices,
                                    err));
    return R2_OK;
}

static enum r2_status keep_border(struct finder *finder, const struct border *border,
                                  struct r2_error *err)
{
    if (border->count <= STRETCH) {
        double away;
        const size_t middle = farthest(border, 0, border->count, &away);
        R2_TRY(keep_stretch(finder, border, 0, middle, err));
        return keep_stretch(finder, border, middle, border->count, err);
    }
    for (size_t i = 0; i < border->count; i += STRETCH)
        R2_TRY(keep_stretch(finder, border, i,
                            i + STRETCH < border->count ? i + STRETCH : border->count, err));
    return R2_OK;
}

static enum r2_status keep_ring(struct finder *finder, uint8_t label, size_t outer,
                                struct r2_error *err)
{
    const struct border border = {(const struct r2_point *)(const void *)finder->vertices.data,
                                  finder->vertices.size / sizeof(struct r2_point)};
    const size_t before = finder->points.size;
    enum r2_status status = keep_border(finder, &border, err);
    if (status == R2_OK && finder->points.size - before < 3 * sizeof(struct r2_point)) {
        finder->points.size = before;
        status =
            r2_buffer_append(&finder->points, finder->vertices.data, finder->vertices.size, err);
    }
    if (status == R2_TOO_LARGE)
        return r2_fail(err, R2_INVALID, "the outlines have over %d points", R2_POLYGONS_MAX_POINTS);
    R2_TRY(status);
    const struct r2_ring ring = {label, outer, before / sizeof(struct r2_point),
                                 (finder->points.size - before) / sizeof(struct r2_point)};
    return r2_buffer_append(&finder->rings, &ring, sizeof ring, err);
}

/* --- all of it --- */

static const struct r2_ring *rings_of(const struct finder *finder)
{
    return (const struct r2_ring *)(const void *)finder->rings.data;
}

/* The borders that begin at the ends of a run: the left one of a region, the right one of a hole.
 */
static enum r2_status find_at_run(struct finder *finder, struct run *run, uint32_t y,
                                  struct r2_error *err)
{
    const uint8_t label = finder->labels[(size_t)y * finder->width + run->begin];
    size_t next = finder->rings.size / sizeof(struct r2_ring);
    if (!run->left) {
        R2_TRY(follow(finder, (struct walker){run->begin, y + 1, NORTH}, label, (uint32_t)next + 1,
                      err));
        R2_TRY(keep_ring(finder, label, next++, err));
    }
    if (run->right) return R2_OK;
    const size_t outer = rings_of(finder)[run->left - 1].outer;
    R2_TRY(follow(finder, (struct walker){run->end, y, SOUTH}, label, (uint32_t)next + 1, err));
    return keep_ring(finder, label, outer, err);
}

static enum r2_status find_all(struct finder *finder, struct r2_error *err)
{
    for (uint32_t y = 0; y < finder->height; y++)
        for (size_t i = finder->rows[y]; i < finder->rows[y + 1]; i++)
            R2_TRY(find_at_run(finder, &finder->runs[i], y, err));
    return R2_OK;
}

enum r2_status r2_polygons_find(const uint8_t *labels, uint32_t width, uint32_t height,
                                double tolerance, struct r2_polygons *ret, struct r2_error *err)
{
    R2_CLEANUP(finder_finish)
    struct finder finder = {.labels = labels,
                            .width = width,
                            .height = height,
                            .tolerance = tolerance,
                            .points.limit = R2_POLYGONS_MAX_POINTS * sizeof(struct r2_point)};
    R2_TRY(list_runs(&finder, err));
    R2_TRY(find_all(&finder, err));
    *ret = (struct r2_polygons){.ring_count = finder.rings.size / sizeof(struct r2_ring),
                                .point_count = finder.points.size / sizeof(struct r2_point),
                                .rings = (struct r2_ring *)(void *)R2_TAKE(finder.rings.data),
                                .points = (struct r2_point *)(void *)R2_TAKE(finder.points.data)};
    return R2_OK;
}
