/* From boxes and masks to the result, its JSON and its drawing. */
#include "heads/detections.h"

#include <math.h>

#include "base/memory.h"
#include "image/draw.h"
#include "tests/base/expect.h"

static void expect_json(const struct r2_detection *items, size_t count,
                        const struct r2_labels *labels, const char *wanted)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    ASSERT_OK(r2_detections_create(items, count, labels, &result, &err), err);
    cr_expect_eq(result.kind, &r2_detections_kind);
    json_t *object = json_pack("{s:i}", "kept", 1);
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    cr_expect_str_eq(text, wanted, "%s", text);
    free(text);
    json_decref(object);
    r2_result_finish(&result);
    cr_expect(!result.kind && !result.data);
}

Test(detections, json)
{
    static const struct r2_detection items[] = {
        {1, 0.75f, {-0.001f, 10.123456f, 1332.996f, 99999.75f}},
        {7, 0.0625f, {0.005f, 2, 3.1f, 4096.7f}},
    };
    char cat[] = "cat", dog[] = "Hund \xC3\xA4", *names[] = {cat, dog};
    const struct r2_labels labels = {2, names};
    expect_json(items, 2, &labels,
                "{\"kept\":1,\"detections\":["
                "{\"label\":\"Hund \xC3\xA4\",\"index\":1,\"score\":0.75,"
                "\"box\":[0.0,10.12,1333.0,99999.75]},"
                "{\"label\":\"7\",\"index\":7,\"score\":0.0625,\"box\":[0.0,2.0,3.1,4096.7]}]}");
    expect_json(items, 1, NULL,
                "{\"kept\":1,\"detections\":[{\"label\":\"1\",\"index\":1,\"score\":0.75,"
                "\"box\":[0.0,10.12,1333.0,99999.75]}]}");
    expect_json(NULL, 0, &labels, "{\"kept\":1,\"detections\":[]}");
}

Test(detections, items_are_copied)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    struct r2_detection item = {3, 0.5f, {1, 2, 3, 4}};
    ASSERT_OK(r2_detections_create(&item, 1, NULL, &result, &err), err);
    item = (struct r2_detection){0};
    const struct r2_detections *detections = result.data;
    cr_expect(detections->count == 1 && detections->items[0].index == 3);
    cr_expect(detections->items[0].box.y2 == 4);
    r2_result_finish(&result);
    r2_detections_kind.finish(NULL);
}

Test(detections, broken_numbers)
{
    static const struct r2_detection broken[] = {
        {0, NAN, {0, 0, 1, 1}},       {0, INFINITY, {0, 0, 1, 1}}, {0, 1, {NAN, 0, 1, 1}},
        {0, 1, {0, -INFINITY, 1, 1}}, {0, 1, {0, 0, INFINITY, 1}}, {0, 1, {0, 0, 1, NAN}},
    };
    for (size_t i = 0; i < R2_COUNT(broken); i++) {
        struct r2_error err = {0};
        struct r2_result result = {0};
        const struct r2_detection items[] = {{0, 1, {0, 0, 1, 1}}, broken[i]};
        EXPECT_FAIL(r2_detections_create(items, 2, NULL, &result, &err), err, R2_INTERNAL,
                    "detection 1: its score or box is not finite");
        cr_expect(!result.kind && !result.data, "untouched on failure");
    }
}

enum { SIDE = 28, CELLS = SIDE * SIDE };

/* Masks of `count` boxes of a picture: their cells are 1 where (x ^ y) & pattern is 0. */
static struct r2_result make_masks(const struct r2_detection *items, size_t count,
                                   enum r2_mask_format format, uint32_t size, uint32_t pattern)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    ASSERT_OK(r2_detections_create(items, count, NULL, &result, &err), err);
    struct r2_detections *found = result.data;
    ASSERT_OK(r2_alloc(count, CELLS * sizeof(float), "masks", &found->cells, &err), err);
    for (uint32_t i = 0; i < count * CELLS; i++)
        found->cells[i] = ((i % SIDE) ^ (i / SIDE % SIDE)) & pattern ? 0 : 1;
    found->side = SIDE;
    found->format = format;
    found->width = found->height = size;
    return result;
}

static void expect_mask_json(enum r2_mask_format format, const char *wanted)
{
    static const struct r2_detection items[] = {{2, 0.5f, {1, 0, 3, 2}}, {0, 0.25f, {4, 4, 4, 4}}};
    struct r2_error err = {0};
    struct r2_result result = make_masks(items, 2, format, 4, 0);
    json_t *object = json_object();
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(4));
    cr_expect_str_eq(text, wanted, "%s", text);
    free(text);
    json_decref(object);
    r2_result_finish(&result);
}

/* The second one's box is empty. */
Test(detections, masks_in_json)
{
    expect_mask_json(R2_MASK_RLE,
                     "{\"detections\":["
                     "{\"label\":\"2\",\"index\":2,\"score\":0.5,\"box\":[1.0,0.0,3.0,2.0],"
                     "\"rle\":{\"size\":[4,4],\"counts\":\"42204\"}},"
                     "{\"label\":\"0\",\"index\":0,\"score\":0.25,\"box\":[4.0,4.0,4.0,4.0],"
                     "\"rle\":{\"size\":[4,4],\"counts\":\"`0\"}}]}");
    expect_mask_json(R2_MASK_POLYGONS,
                     "{\"detections\":["
                     "{\"label\":\"2\",\"index\":2,\"score\":0.5,\"box\":[1.0,0.0,3.0,2.0],"
                     "\"polygons\":[{\"outer\":[1,0,3,0,3,2,1,2],\"holes\":[]}]},"
                     "{\"label\":\"0\",\"index\":0,\"score\":0.25,\"box\":[4.0,4.0,4.0,4.0],"
                     "\"polygons\":[]}]}");
}

static void expect_too_much(enum r2_mask_format format, uint32_t size, size_t count,
                            const char *message)
{
    struct r2_error err = {0};
    struct r2_detection *items = calloc(count, sizeof *items);
    cr_assert_not_null(items);
    for (size_t i = 0; i < count; i++)
        items[i].box = (struct r2_box){0, 0, (float)size, (float)size};
    struct r2_result result = make_masks(items, count, format, size, 1);
    json_t *object = json_object();
    EXPECT_FAIL(result.kind->to_json(result.data, object, &err), err, R2_INVALID, message);
    json_decref(object);
    r2_result_finish(&result);
    free(items);
}

Test(detections, masks_are_bounded_together)
{
    expect_too_much(
        R2_MASK_RLE, 30000, 50,
        "parameter masks: over 16777216 bytes of run lengths; a lower 'max', or 'none', "
        "has less");
    expect_too_much(
        R2_MASK_POLYGONS, 280, 300,
        "parameter masks: over 262144 points of outlines; a lower 'max', or 'none', has "
        "less");
    expect_too_much(
        R2_MASK_POLYGONS, 33000, 1,
        "parameter masks: over 1073741824 pixels to find outlines in; a lower 'max', or "
        "'none', has less");
}

/* The colour of a pixel of a grey picture, drawn on. */
static struct r2_colour drawn_at(const struct r2_detection *items, size_t count, uint32_t x,
                                 uint32_t y)
{
    enum { SIZE = 90 };
    static uint8_t pixels[SIZE * SIZE * 3];
    struct r2_error err = {0};
    struct r2_draw *draw = NULL;
    struct r2_image image = {.width = SIZE, .height = SIZE, .pixels = pixels};
    memset(pixels, 100, sizeof pixels);
    struct r2_result result = make_masks(items, count, R2_MASK_RLE, SIZE, 0);
    ASSERT_OK(r2_draw_begin(&image, NULL, &draw, &err), err);
    ASSERT_OK(result.kind->draw(result.data, draw, &err), err);
    ASSERT_OK(r2_draw_end(draw, &err), err);
    r2_draw_destroy(draw);
    r2_result_finish(&result);
    const uint8_t *pixel = image.pixels + y * r2_image_stride(&image) + 3 * (size_t)x;
    return (struct r2_colour){pixel[0], pixel[1], pixel[2]};
}

static bool same(struct r2_colour a, struct r2_colour b)
{
    return a.red == b.red && a.green == b.green && a.blue == b.blue;
}

Test(detections, the_mask_of_the_best_is_drawn_above)
{
    static const struct r2_colour grey = {100, 100, 100};
    static const struct r2_detection two[] = {{1, 0.9f, {10, 10, 50, 80}},
                                              {2, 0.5f, {30, 10, 80, 80}}};
    const struct r2_colour first = drawn_at(two, 2, 20, 45), both = drawn_at(two, 2, 40, 45),
                           second = drawn_at(two, 2, 65, 45);
    cr_expect(same(both, first));
    cr_expect_not(same(second, first) || same(first, grey) || same(second, grey));
    cr_expect(same(drawn_at(two, 2, 5, 45), grey));
}

Test(detections, more_masks_are_drawn_than_a_map_has_labels)
{
    enum { MANY = 300 };
    static const struct r2_colour grey = {100, 100, 100};
    struct r2_detection items[MANY];
    for (size_t i = 0; i < MANY; i++) items[i] = (struct r2_detection){3, 0.5f, {2, 2, 8, 8}};
    items[0].box = (struct r2_box){10, 10, 40, 40};
    items[MANY - 1].box = (struct r2_box){50, 50, 80, 80};
    cr_expect_not(same(drawn_at(items, MANY, 25, 25), grey));
    cr_expect_not(same(drawn_at(items, MANY, 65, 65), grey));
}
