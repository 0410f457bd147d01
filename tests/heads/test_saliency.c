/* Saliency maps against two bilinear resizes worked out by hand; their region as JSON and pictures. */
#include "heads/saliency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/memory.h"
#include "image/decode.h"
#include "image/draw.h"
#include "tests/base/expect.h"

/* 6 x 4: a region of 2 x 2 at the right, dimmer and dimmer to the left. */
enum { WIDTH = 6, HEIGHT = 4, PIXELS = WIDTH * HEIGHT };
static const uint8_t pixels[PIXELS] = {0, 0, 0,  0,   0,   0, 0, 0, 51, 204, 255, 0,
                                       0, 0, 51, 204, 255, 0, 0, 0, 0,  0,   0,   0};

static struct r2_result make(double threshold, enum r2_saliency_format format)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    uint8_t *map = malloc(PIXELS);
    cr_assert(map);
    memcpy(map, pixels, PIXELS);
    ASSERT_OK(r2_saliency_create(&(struct r2_saliency){threshold, format, WIDTH, HEIGHT, map},
                                 &result, &err),
              err);
    return result;
}

static json_t *json_of(double threshold, enum r2_saliency_format format)
{
    struct r2_error err = {0};
    struct r2_result result = make(threshold, format);
    json_t *object = json_object();
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    r2_result_finish(&result);
    return object;
}

static void expect_json(double threshold, json_int_t count, const char *box)
{
    json_t *object = json_of(threshold, R2_SALIENCY_RLE),
           *expected = json_loads(box, JSON_DECODE_ANY, NULL);
    cr_expect_eq(json_integer_value(json_object_get(object, "pixels")), count);
    cr_expect_float_eq(json_real_value(json_object_get(object, "fraction")), (double)count / PIXELS,
                       1e-12);
    cr_expect_float_eq(json_real_value(json_object_get(object, "threshold")), threshold, 1e-12);
    cr_expect_float_eq(json_real_value(json_object_get(object, "mean")), 1020.0 / 255 / PIXELS,
                       1e-12);
    cr_expect(json_equal(json_object_get(object, "box"), expected), "threshold %g", threshold);
    json_decref(expected);
    json_decref(object);
}

Test(saliency, region_and_box_follow_the_threshold)
{
    expect_json(0.5, 4, "[3, 1, 5, 3]");
    expect_json(0.2, 6, "[2, 1, 5, 3]"); /* 51 / 255 */
    expect_json(1, 2, "[4, 1, 5, 3]");
    expect_json(0, PIXELS, "[0, 0, 6, 4]");
}

Test(saliency, nothing_has_no_box)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    json_t *object = json_object();
    uint8_t *map = calloc(PIXELS, 1);
    ASSERT_OK(r2_saliency_create(&(struct r2_saliency){0.5, R2_SALIENCY_RLE, WIDTH, HEIGHT, map},
                                 &result, &err),
              err);
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    cr_expect(json_is_null(json_object_get(object, "box")));
    cr_expect_eq(json_integer_value(json_object_get(object, "pixels")), 0);
    json_decref(object);
    r2_result_finish(&result);
}

/* pycocotools.mask.encode of map >= 128. */
Test(saliency, runs_are_coco_s)
{
    json_t *object = json_of(0.5, R2_SALIENCY_RLE);
    const json_t *rle = json_object_get(object, "rle");
    cr_expect_str_eq(json_string_value(json_object_get(rle, "counts")), "=2203");
    cr_expect_eq(json_integer_value(json_array_get(json_object_get(rle, "size"), 0)), HEIGHT);
    cr_expect_null(json_object_get(object, "map"));
    json_decref(object);
}

static struct r2_image decode(const char *text)
{
    const struct r2_decode_options options = {.limits = {1 << 20, 1 << 24}};
    struct r2_error err = {0};
    struct r2_image image = {0};
    size_t size = 0;
    cr_assert_not_null(text);
    R2_AUTOFREE uint8_t *file = malloc(r2_base64_room(strlen(text)));
    ASSERT_OK(r2_base64_decode((const uint8_t *)text, strlen(text), file, &size, &err), err);
    ASSERT_OK(r2_picture_decode((struct r2_bytes){file, size}, &options, &image, NULL, &err), err);
    cr_assert(image.width == WIDTH && image.height == HEIGHT);
    return image;
}

Test(saliency, as_pictures)
{
    json_t *object = json_of(0.5, R2_SALIENCY_PNG);
    struct r2_image map = decode(json_string_value(json_object_get(object, "map")));
    struct r2_image mask = decode(json_string_value(json_object_get(object, "mask")));
    cr_expect_null(json_object_get(object, "rle"));
    for (size_t i = 0; i < PIXELS; i++) {
        const bool bright = mask.pixels[3 * i] || mask.pixels[3 * i + 1] || mask.pixels[3 * i + 2];
        cr_expect_eq(bright, pixels[i] >= 128, "pixel %zu", i);
        for (size_t c = 0; c < 3; c++) cr_expect_eq(map.pixels[3 * i + c], pixels[i]);
    }
    r2_image_finish(&map);
    r2_image_finish(&mask);
    json_decref(object);
}

/* Whether drawing changes pixel (x, y) of a grey picture. */
static bool is_drawn_at(double threshold, size_t x, size_t y)
{
    struct r2_error err = {0};
    struct r2_draw *draw = NULL;
    struct r2_image image = {0};
    struct r2_result result = make(threshold, R2_SALIENCY_RLE);
    ASSERT_OK(r2_image_create(WIDTH, HEIGHT, &image, &err), err);
    memset(image.pixels, 100, (size_t)PIXELS * 3);
    ASSERT_OK(r2_draw_begin(&image, NULL, &draw, &err), err);
    ASSERT_OK(result.kind->draw(result.data, draw, &err), err);
    ASSERT_OK(r2_draw_end(draw, &err), err);
    const bool drawn = image.pixels[3 * (y * WIDTH + x)] != 100;
    r2_draw_destroy(draw);
    r2_image_finish(&image);
    r2_result_finish(&result);
    return drawn;
}

Test(saliency, the_region_is_drawn)
{
    cr_expect(is_drawn_at(0.5, 4, 1));
    cr_expect_not(is_drawn_at(0.5, 0, 0));
    cr_expect(is_drawn_at(0, 0, 0));
}

/* --- decode --- */

/* Cells 0 and 4 at the ends of 5 network pixels, corners kept: 0 1 2 3 4; of 10 picture pixels, between
   centres: 0 .25 .75 1.25 ... 3.75 4. A second channel of nothing stands between cells. */
Test(saliency, logits_are_resized_twice)
{
    static const float logits[] = {0, NAN, 4, NAN};
    static const double expected[] = {0, .25, .75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4};
    const struct r2_output_view view = {logits, 1, 1, 2, 1, 2};
    const struct r2_geometry geometry = {0.5, 0.5, 0, 0, 10, 2, 5, 1};
    struct r2_error err = {0};
    struct r2_result result = {0};
    ASSERT_OK(r2_saliency_decode(&(struct r2_saliency){.threshold = 0.5}, &view, &geometry, &result,
                                 &err),
              err);
    const struct r2_saliency *saliency = result.data;
    cr_assert(saliency->width == 10 && saliency->height == 2);
    for (size_t i = 0; i < 20; i++) {
        const double value = 255 / (1 + exp(-expected[i % 10]));
        cr_expect_eq(saliency->map[i], (uint8_t)lrint(value), "pixel %zu: %d, not %g", i,
                     saliency->map[i], value);
    }
    r2_result_finish(&result);
}

Test(saliency, says_what_it_cannot_do)
{
    static const float logits[] = {0, 1, INFINITY, 3}, finite[] = {0, 1, 2, 3};
    const struct r2_geometry geometry = {1, 1, 0, 0, 4, 1, 4, 1};
    const struct r2_saliency from = {.threshold = 0.5};
    struct r2_error err = {0};
    struct r2_result result = {0};
    EXPECT_FAIL(r2_saliency_decode(&from, &(struct r2_output_view){logits, 1, 1, 4, 1, 1},
                                   &geometry, &result, &err),
                err, R2_INTERNAL, "the logit of cell 2 is not finite");
    EXPECT_FAIL(r2_saliency_decode(&from, &(struct r2_output_view){finite, 1, 1, 2, 2, 2},
                                   &geometry, &result, &err),
                err, R2_INVALID, "a saliency map has 1 channel, not 2");
    EXPECT_FAIL(r2_saliency_decode(&from, &(struct r2_output_view){finite, 1, 2, 2, 1, 1},
                                   &geometry, &result, &err),
                err, R2_INVALID, "logits of 2 x 2 cells are finer than the input, 4 x 1");
    cr_expect_null(result.kind);
}
