/* Label maps against two bilinear resizes done the plain way, in double. */
#include "heads/label_map.h"

#include <math.h>

#include "base/memory.h"
#include "tests/base/expect.h"

enum { SPARE = 3 }; /* floats behind each cell that are no logits */

static double at_of(size_t i, size_t in, size_t out, bool corners)
{
    if (corners) return out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0;
    const double at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
    return at > 0 ? at : 0;
}

/* A plane [height, width], borrowed. */
struct plane {
    const double *data;
    size_t height, width;
};

static double sample(struct plane plane, double y, double x)
{
    const size_t y0 = (size_t)y, x0 = (size_t)x, y1 = y0 + 1 < plane.height ? y0 + 1 : y0,
                 x1 = x0 + 1 < plane.width ? x0 + 1 : x0;
    const double b = y - (double)y0, a = x - (double)x0;
    const double *up = plane.data + y0 * plane.width, *down = plane.data + y1 * plane.width;
    return (1 - b) * ((1 - a) * up[x0] + a * up[x1]) + b * ((1 - a) * down[x0] + a * down[x1]);
}

/* The plane in another size; a new array. */
static double *resize(struct plane plane, size_t height, size_t width, bool corners)
{
    double *ret = malloc(height * width * sizeof *ret);
    cr_assert(ret);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            ret[y * width + x] = sample(plane, at_of(y, plane.height, height, corners),
                                        at_of(x, plane.width, width, corners));
    return ret;
}

struct scene {
    const char *what;
    uint32_t height, width; /* cells */
    struct r2_geometry geometry;
    uint32_t resized_height, resized_width;
};

static const struct scene scenes[] = {
    {"a large photo", 20, 27, {0.2, 0.2, 0, 0, 540, 400, 108, 80}, 80, 108},
    {"as it is", 17, 23, {1, 1, 0, 0, 91, 67, 91, 67}, 67, 91},
    {"smaller than the input", 16, 24, {2, 2, 0, 0, 48, 31, 96, 62}, 62, 96},
    {"padded", 24, 24, {0.5, 0.5, 0, 0, 150, 190, 96, 96}, 95, 75},
    {"in the middle", 24, 24, {0.5, 0.5, 10, 1, 150, 190, 96, 96}, 95, 75},
    {"cropped", 8, 8, {0.5, 0.5, -21, -31, 150, 190, 32, 32}, 95, 75},
    {"one pixel high", 4, 12, {0.3, 0.3, 0, 0, 160, 1, 48, 16}, 1, 48},
    {"one cell", 1, 1, {0.25, 0.25, 0, 0, 70, 50, 18, 13}, 13, 18},
};

static double *shown(const struct scene *scene, double *network)
{
    const struct r2_geometry *g = &scene->geometry;
    const size_t height = scene->resized_height, width = scene->resized_width;
    double *ret = malloc(height * width * sizeof *ret);
    cr_assert(ret);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            const double ny = fmin(fmax((double)y + g->offset_y, 0), g->network_height - 1);
            const double nx = fmin(fmax((double)x + g->offset_x, 0), g->network_width - 1);
            ret[y * width + x] = network[(size_t)ny * g->network_width + (size_t)nx];
        }
    free(network);
    return ret;
}

/* One class at every pixel of the picture. */
static double *expected_plane(const struct scene *scene, const struct r2_output_view *logits,
                              size_t class, const struct r2_label_rule *rule)
{
    const struct r2_geometry *g = &scene->geometry;
    const size_t cells = (size_t)logits->height * logits->width;
    double *plane = malloc(cells * sizeof *plane);
    cr_assert(plane);
    for (size_t i = 0; i < cells; i++) plane[i] = (double)logits->data[i * logits->pitch + class];
    double *network = resize((struct plane){plane, logits->height, logits->width},
                             g->network_height, g->network_width, rule->align_corners);
    double *part = shown(scene, network);
    double *ret =
        resize((struct plane){part, scene->resized_height, scene->resized_width}, g->picture_height,
               g->picture_width, rule->align_corners && !rule->corners_to_input);
    free(plane);
    free(part);
    return ret;
}

/* Random, or with regions of one class: the cells' classes are then those of larger squares. */
static float *make_logits(const struct scene *scene, uint32_t classes, bool regions)
{
    const size_t pitch = classes + SPARE;
    float *logits = malloc(scene->height * scene->width * pitch * sizeof *logits);
    uint32_t state = 1 + classes;
    cr_assert(logits);
    for (size_t i = 0; i < scene->height * scene->width; i++) {
        const size_t region = i / scene->width / 6 * 5 + i % scene->width / 6;
        for (size_t c = 0; c < pitch; c++) {
            state = state * 1664525 + 1013904223;
            logits[i * pitch + c] = (float)(state >> 8) / (1 << 24) - 0.5f;
            if (regions && c == region * 7 % classes) logits[i * pitch + c] += 1.5f;
            if (c >= classes) logits[i * pitch + c] = NAN;
        }
    }
    return logits;
}

static void expect_labels(const struct scene *scene, const struct r2_output_view *logits,
                          const struct r2_label_rule *rule, const uint8_t *map)
{
    const size_t pixels = (size_t)scene->geometry.picture_width * scene->geometry.picture_height;
    double *best = malloc(pixels * sizeof *best), *ours = malloc(pixels * sizeof *ours);
    cr_assert(best && ours);
    for (size_t i = 0; i < pixels; i++) best[i] = -INFINITY, ours[i] = -INFINITY;
    for (size_t c = 0; c < logits->channels; c++) {
        double *plane = expected_plane(scene, logits, c, rule);
        for (size_t i = 0; i < pixels; i++) {
            best[i] = fmax(best[i], plane[i]);
            if (map[i] == c + rule->first) ours[i] = plane[i];
        }
        free(plane);
    }
    for (size_t i = 0; i < pixels; i++)
        cr_assert(best[i] - ours[i] < 2e-6,
                  "%s, %u classes, corners %d%d: pixel %zu is %u, %g below", scene->what,
                  logits->channels, rule->align_corners, rule->corners_to_input, i, map[i],
                  best[i] - ours[i]);
    free(best);
    free(ours);
}

/* corners: 0 none, 1 in both resizes, 2 in the first */
static void check(const struct scene *scene, uint32_t classes, bool regions, int corners)
{
    struct r2_error err = {0};
    const struct r2_label_rule rule = {corners > 0, regions ? 1 : 0, corners == 2, 0};
    const size_t pixels = (size_t)scene->geometry.picture_width * scene->geometry.picture_height;
    R2_AUTOFREE float *data = make_logits(scene, classes, regions);
    R2_AUTOFREE uint8_t *map = malloc(pixels);
    const struct r2_output_view logits = {data,         1,       scene->height,
                                          scene->width, classes, classes + SPARE};
    memset(map, 255, pixels);
    ASSERT_OK(r2_label_map_make(&logits, &scene->geometry, &rule, map, &err), err);
    expect_labels(scene, &logits, &rule, map);
}

Test(label_map, is_that_of_two_resizes)
{
    for (size_t i = 0; i < R2_COUNT(scenes); i++)
        for (int corners = 0; corners < 3; corners++) {
            check(&scenes[i], 6, false, corners);
            check(&scenes[i], 21, true, corners);
        }
    check(&scenes[1], 150, true, 0);
}

/* It stands against a plane of the bar, which resizing does not change. */
Test(label_map, a_single_class_must_exceed_the_bar)
{
    const struct r2_label_rule rule = {.bar = 0.25f};
    for (size_t i = 0; i < R2_COUNT(scenes); i++) {
        const struct scene *scene = &scenes[i];
        struct r2_error err = {0};
        R2_AUTOFREE float *data = make_logits(scene, 2, true);
        R2_AUTOFREE uint8_t *map =
            malloc((size_t)scene->geometry.picture_width * scene->geometry.picture_height);
        struct r2_output_view two = {data, 1, scene->height, scene->width, 2, 2 + SPARE}, one = two;
        for (size_t k = 0; k < (size_t)scene->height * scene->width; k++)
            data[k * two.pitch] = rule.bar;
        one.data++;
        one.channels = 1;
        ASSERT_OK(r2_label_map_make(&one, &scene->geometry, &rule, map, &err), err);
        expect_labels(scene, &two, &rule, map);
    }
}

Test(label_map, the_lower_of_equal_classes_wins)
{
    struct r2_error err = {0};
    const float logits[] = {-2, 1, 1, -2, 3, 3};
    uint8_t map[6] = {0};
    const struct r2_geometry geometry = {1, 1, 0, 0, 6, 1, 6, 1};
    ASSERT_OK(r2_label_map_make(&(struct r2_output_view){logits, 1, 1, 2, 3, 3}, &geometry,
                                &(struct r2_label_rule){0}, map, &err),
              err);
    for (size_t i = 0; i < sizeof map; i++) cr_expect_eq(map[i], 1, "pixel %zu: %u", i, map[i]);
}

Test(label_map, says_what_it_cannot_do)
{
    struct r2_error err = {0};
    R2_AUTOFREE float *logits = calloc(257 * 4, sizeof *logits);
    uint8_t map[4] = {7, 7, 7, 7};
    const struct r2_geometry geometry = {1, 1, 0, 0, 2, 2, 2, 2};
    EXPECT_FAIL(r2_label_map_make(&(struct r2_output_view){logits, 1, 2, 2, 256, 256}, &geometry,
                                  &(struct r2_label_rule){.first = 1}, map, &err),
                err, R2_INVALID, "a label map has 1 to 255 classes, not 256");
    EXPECT_FAIL(r2_label_map_make(&(struct r2_output_view){logits, 1, 3, 2, 2, 2}, &geometry,
                                  &(struct r2_label_rule){0}, map, &err),
                err, R2_INVALID, "logits of 2 x 3 cells are finer than the input, 2 x 2");
    logits[5] = INFINITY;
    EXPECT_FAIL(r2_label_map_make(&(struct r2_output_view){logits, 1, 2, 2, 2, 2}, &geometry,
                                  &(struct r2_label_rule){0}, map, &err),
                err, R2_INTERNAL, "the logits of cell 2 are not finite");
    cr_expect_eq(map[0], 7);
}
