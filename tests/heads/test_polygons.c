/* Outlines: filled again they are the regions, and simplified ones stay near. */
#include "heads/polygons.h"

#include <math.h>
#include <stdbool.h>

#include "base/memory.h"
#include "tests/base/expect.h"

struct map {
    uint32_t width, height;
    uint8_t *labels; /* owned */
};

static struct map map_of_text(uint32_t width, const char *text)
{
    const size_t size = strlen(text);
    struct map map = {width, (uint32_t)(size / width), malloc(size)};
    cr_assert(map.labels && size % width == 0);
    for (size_t i = 0; i < size; i++) map.labels[i] = (uint8_t)(text[i] - '.');
    return map;
}

/* Regions whose edges are waves, of all sizes, with specks. */
static struct map waves(uint32_t width, uint32_t height, uint32_t seed, unsigned specks)
{
    struct map map = {width, height, malloc((size_t)width * height)};
    const double phase = seed;
    cr_assert(map.labels);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            const double wave = sin(x * 0.11 + phase) + cos(y * 0.13) + sin((x + y) * 0.05);
            seed = seed * 1664525 + 1013904223;
            uint8_t label = (uint8_t)(wave > 0.7 ? 2 : wave < -0.4);
            if (seed >> 24 < specks) label = (uint8_t)(seed >> 16 & 3);
            map.labels[(size_t)y * width + x] = label;
        }
    return map;
}

static struct r2_polygons find(const struct map *map, double tolerance)
{
    struct r2_error err = {0};
    struct r2_polygons ret = {0};
    ASSERT_OK(r2_polygons_find(map->labels, map->width, map->height, tolerance, &ret, &err), err);
    return ret;
}

/* Whether a ring surrounds the middle of pixel (x, y): by the edges to the right of it. */
static bool surrounds(const struct r2_polygons *polygons, const struct r2_ring *ring, double x,
                      double y)
{
    const struct r2_point *points = polygons->points + ring->first;
    bool inside = false;
    for (size_t i = 0; i < ring->count; i++) {
        const struct r2_point a = points[i], b = points[(i + 1) % ring->count];
        if ((a.y > y) != (b.y > y) &&
            x < a.x + (y - a.y) / ((double)b.y - a.y) * ((double)b.x - a.x))
            inside = !inside;
    }
    return inside;
}

/* The map that the rings make when all of them are filled; 255 where no region is. */
static struct map fill(const struct map *like, const struct r2_polygons *polygons)
{
    const size_t size = (size_t)like->width * like->height;
    struct map map = {like->width, like->height, malloc(size)};
    cr_assert(map.labels);
    memset(map.labels, 255, size);
    for (size_t i = 0; i < size; i++) {
        bool inside[256] = {false};
        for (size_t r = 0; r < polygons->ring_count; r++)
            if (surrounds(polygons, &polygons->rings[r], (double)(i % like->width) + 0.5,
                          (double)(i / like->width) + 0.5))
                inside[polygons->rings[r].label] ^= true;
        for (size_t label = 0; label < 256; label++)
            if (inside[label]) map.labels[i] = (uint8_t)label;
    }
    return map;
}

/* Twice the area, positive when clockwise (y goes down). */
static int64_t area2(const struct r2_polygons *polygons, const struct r2_ring *ring)
{
    const struct r2_point *points = polygons->points + ring->first;
    int64_t sum = 0;
    for (size_t i = 0; i < ring->count; i++) {
        const struct r2_point a = points[i], b = points[(i + 1) % ring->count];
        sum += (int64_t)a.x * b.y - (int64_t)b.x * a.y;
    }
    return sum;
}

/* Pixels that hang together with pixel `at`, by their sides; they become 255. */
static int64_t flood(struct map *map, size_t at)
{
    const size_t size = (size_t)map->width * map->height;
    size_t *open = malloc(size * sizeof *open), count = 1;
    const uint8_t label = map->labels[at];
    int64_t pixels = 0;
    cr_assert(open);
    open[0] = at;
    map->labels[at] = 255;
    while (count) {
        const size_t i = open[--count], x = i % map->width;
        const size_t next[] = {x ? i - 1 : size, x + 1 < map->width ? i + 1 : size,
                               i >= map->width ? i - map->width : size, i + map->width};
        pixels++;
        for (size_t n = 0; n < 4; n++)
            if (next[n] < size && map->labels[next[n]] == label) {
                map->labels[next[n]] = 255;
                open[count++] = next[n];
            }
    }
    free(open);
    return pixels;
}

/* Outlines less their holes are as large as the regions, in the order of their first pixels. */
static void expect_regions(const struct map *map, const struct r2_polygons *polygons)
{
    const size_t size = (size_t)map->width * map->height;
    struct map rest = {map->width, map->height, malloc(size)};
    int64_t *areas = calloc(polygons->ring_count, sizeof *areas);
    size_t ring = 0, at = 0;
    cr_assert(rest.labels && areas);
    memcpy(rest.labels, map->labels, size);
    for (size_t i = 0; i < polygons->ring_count; i++) {
        const int64_t area = area2(polygons, &polygons->rings[i]);
        cr_expect_eq(area > 0, polygons->rings[i].outer == i, "ring %zu", i);
        cr_assert_leq(polygons->rings[i].outer, i);
        areas[polygons->rings[i].outer] += area;
    }
    while (at < size) {
        if (rest.labels[at] == 255) {
            at++;
            continue;
        }
        while (ring < polygons->ring_count && polygons->rings[ring].outer != ring) ring++;
        cr_assert_lt(ring, polygons->ring_count, "the region of pixel %zu has no outline", at);
        cr_expect_eq(polygons->rings[ring].label, map->labels[at]);
        cr_expect_eq(areas[ring++], 2 * flood(&rest, at), "the region of pixel %zu", at);
    }
    free(areas);
    free(rest.labels);
}

static void expect_exact(struct map map)
{
    struct r2_polygons polygons = find(&map, 0);
    struct map filled = fill(&map, &polygons);
    cr_expect_arr_eq(filled.labels, map.labels, (size_t)map.width * map.height);
    expect_regions(&map, &polygons);
    r2_polygons_finish(&polygons);
    free(filled.labels);
    free(map.labels);
}

Test(polygons, filled_they_are_the_map)
{
    expect_exact(map_of_text(1, "."));
    expect_exact(map_of_text(4, "...."
                                ".//."
                                ".//."));
    /* corners that touch, holes that touch, a region in a hole in a region */
    expect_exact(map_of_text(9, "/./././.."
                                "././././/"
                                "/////////"
                                "/./////./"
                                "/././../."
                                "/...//../"
                                "/./././//"
                                "/////////"));
    expect_exact(map_of_text(7, "///////"
                                "/.....0"
                                "/.///.0"
                                "/./0/.0"
                                "/.///.0"
                                "/.....0"
                                "/000000"));
    expect_exact(waves(97, 61, 3, 0));
    expect_exact(waves(70, 83, 5, 40));
}

static double distance_to_ring(const struct r2_polygons *polygons, const struct r2_ring *ring,
                               double x, double y)
{
    const struct r2_point *points = polygons->points + ring->first;
    double least = INFINITY;
    for (size_t i = 0; i < ring->count; i++) {
        const struct r2_point a = points[i], b = points[(i + 1) % ring->count];
        const double dx = (double)b.x - a.x, dy = (double)b.y - a.y;
        const double part =
            fmin(fmax(((x - a.x) * dx + (y - a.y) * dy) / (dx * dx + dy * dy), 0), 1);
        least = fmin(least, hypot(x - a.x - part * dx, y - a.y - part * dy));
    }
    return least;
}

static void expect_near(struct map map, double tolerance)
{
    struct r2_polygons exact = find(&map, 0), simple = find(&map, tolerance);
    double most = 0;
    cr_assert_eq(exact.ring_count, simple.ring_count);
    for (size_t r = 0; r < exact.ring_count; r++) {
        cr_expect_eq(exact.rings[r].outer, simple.rings[r].outer);
        cr_expect_geq(simple.rings[r].count, 3);
        for (size_t i = 0; i < exact.rings[r].count; i++) {
            const struct r2_point point = exact.points[exact.rings[r].first + i];
            most = fmax(most, distance_to_ring(&simple, &simple.rings[r], point.x, point.y));
        }
    }
    cr_expect_leq(most, tolerance + 1e-9);
    cr_expect_gt(most, tolerance / 2, "nothing was left out");
    cr_expect_lt(simple.point_count, exact.point_count * 2 / 3);
    r2_polygons_finish(&exact);
    r2_polygons_finish(&simple);
    free(map.labels);
}

Test(polygons, simplified_they_stay_within_the_tolerance)
{
    expect_near(waves(97, 61, 3, 0), 1);
    expect_near(waves(300, 200, 1, 10), 1.5);
    expect_near(waves(1500, 400, 2, 0), 3); /* borders of several stretches */
}

Test(polygons, a_speck_keeps_its_corners)
{
    struct map map = map_of_text(3, "....../..");
    struct r2_polygons polygons = find(&map, 2);
    cr_assert_eq(polygons.ring_count, 2);
    cr_expect_eq(polygons.rings[1].count, 4);
    r2_polygons_finish(&polygons);
    free(map.labels);
}

Test(polygons, too_many_are_refused)
{
    struct r2_error err = {0};
    struct r2_polygons polygons = {0};
    struct map map = {1024, 1024, calloc(1024, 1024)};
    cr_assert(map.labels);
    for (size_t i = 0; i < 1024 * 1024; i++) map.labels[i] = (i ^ i >> 10) & 1;
    EXPECT_FAIL(r2_polygons_find(map.labels, map.width, map.height, 1, &polygons, &err), err,
                R2_INVALID, "the outlines have over 262144 points");
    cr_expect_null(polygons.rings);
    free(map.labels);
    map = (struct map){2048, 1025, calloc(2048, 1025)};
    cr_assert(map.labels);
    for (size_t i = 0; i < 2048 * 1025; i++) map.labels[i] = i & 1;
    EXPECT_FAIL(r2_polygons_find(map.labels, map.width, map.height, 1, &polygons, &err), err,
                R2_INVALID, "the regions are too many for outlines: over 2097152 runs of pixels");
    free(map.labels);
}
