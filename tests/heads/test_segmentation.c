/* What leaves for a small map: JSON by format (run lengths as pycocotools writes them), the PNG, the
   drawing. */
#include "heads/segmentation.h"

#include "base/base64.h"
#include "base/memory.h"
#include "image/decode.h"
#include "image/draw.h"
#include "tests/base/expect.h"

enum { WIDTH = 4, HEIGHT = 3, PIXELS = WIDTH * HEIGHT };

static const uint8_t map[PIXELS] = {1, 1, 1, 3, 1, 0, 1, 3, 1, 1, 1, 3};
static char texts[][8] = {"ground", "cat", "dog", "bird"};
static char *names[] = {texts[0], texts[1], texts[2], texts[3]};
static const struct r2_labels labels = {4, names};

static struct r2_result make(struct r2_segmentation from, const uint8_t *pixels)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    from.width = WIDTH;
    from.height = HEIGHT;
    from.map = malloc(PIXELS);
    cr_assert(from.map);
    memcpy(from.map, pixels, PIXELS);
    ASSERT_OK(r2_segmentation_create(&from, &result, &err), err);
    return result;
}

static const struct r2_segmentation with_background = {
    .labels = &labels, .background = true, .classes = 4};

static json_t *to_json(struct r2_segmentation from, enum r2_segmentation_format format,
                       const uint8_t *pixels)
{
    struct r2_error err = {0};
    json_t *object = json_object();
    from.format = format;
    struct r2_result result = make(from, pixels);
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    r2_result_finish(&result);
    return object;
}

static void expect_json(json_t *object, const char *expected)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(4));
    cr_expect_str_eq(text, expected);
    free(text);
    json_decref(object);
}

Test(segmentation, runs_with_the_background_last)
{
    expect_json(to_json(with_background, R2_SEGMENTATION_RLE, map),
                "{\"classes\":["
                "{\"label\":\"cat\",\"index\":1,\"pixels\":8,\"fraction\":0.6667,"
                "\"rle\":{\"size\":[3,4],\"counts\":\"04102\"}},"
                "{\"label\":\"bird\",\"index\":3,\"pixels\":3,\"fraction\":0.25,"
                "\"rle\":{\"size\":[3,4],\"counts\":\"93\"}},"
                "{\"label\":\"ground\",\"index\":0,\"pixels\":1,\"fraction\":0.08333,"
                "\"rle\":{\"size\":[3,4],\"counts\":\"417\"}}]}");
}

Test(segmentation, outlines_have_holes)
{
    expect_json(to_json(with_background, R2_SEGMENTATION_POLYGONS, map),
                "{\"classes\":["
                "{\"label\":\"cat\",\"index\":1,\"pixels\":8,\"fraction\":0.6667,\"polygons\":["
                "{\"outer\":[0,0,3,0,3,3,0,3],\"holes\":[[1,2,2,2,2,1,1,1]]}]},"
                "{\"label\":\"bird\",\"index\":3,\"pixels\":3,\"fraction\":0.25,\"polygons\":["
                "{\"outer\":[3,0,4,0,4,3,3,3],\"holes\":[]}]},"
                "{\"label\":\"ground\",\"index\":0,\"pixels\":1,\"fraction\":0.08333,\"polygons\":["
                "{\"outer\":[1,1,2,1,2,2,1,2],\"holes\":[]}]}]}");
}

Test(segmentation, without_a_background_label_1_is_class_0)
{
    const struct r2_segmentation all = {.classes = 3};
    static const uint8_t pixels[PIXELS] = {1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3};
    expect_json(to_json(all, R2_SEGMENTATION_RLE, pixels),
                "{\"classes\":["
                "{\"label\":\"0\",\"index\":0,\"pixels\":4,\"fraction\":0.3333,"
                "\"rle\":{\"size\":[3,4],\"counts\":\"012000000\"}},"
                "{\"label\":\"2\",\"index\":2,\"pixels\":8,\"fraction\":0.6667,"
                "\"rle\":{\"size\":[3,4],\"counts\":\"12100000\"}}]}");
}

static void expect_colours(struct r2_bytes file, const uint8_t *pixels, unsigned first)
{
    const struct r2_decode_options options = {.limits = {1 << 20, 1 << 20}};
    struct r2_error err = {0};
    struct r2_image image = {0};
    ASSERT_OK(r2_picture_decode(file, &options, &image, NULL, &err), err);
    cr_assert(image.width == WIDTH && image.height == HEIGHT);
    for (uint32_t i = 0; i < PIXELS; i++) {
        const uint8_t *got = image.pixels + i / WIDTH * r2_image_stride(&image) + i % WIDTH * 3;
        struct r2_colour wanted = r2_colour_class(pixels[i] - first);
        if (!pixels[i]) wanted = (struct r2_colour){0};
        cr_expect(got[0] == wanted.red && got[1] == wanted.green && got[2] == wanted.blue,
                  "pixel %u", i);
    }
    r2_image_finish(&image);
}

Test(segmentation, the_mask_is_a_palette_png)
{
    uint8_t file[4096];
    size_t size = 0;
    struct r2_error err = {0};
    json_t *object = to_json(with_background, R2_SEGMENTATION_PNG, map);
    const char *mask = json_string_value(json_object_get(object, "mask"));
    cr_assert(mask && strlen(mask) < sizeof file);
    ASSERT_OK(r2_base64_decode((const uint8_t *)mask, strlen(mask), file, &size, &err), err);
    expect_colours((struct r2_bytes){file, size}, map, 0);
    cr_expect_eq(file[25], 3, "colour type %u is not the palette's", file[25]);
    cr_expect_eq(json_array_size(json_object_get(object, "classes")), 3);
    json_decref(object);
}

Test(segmentation, is_a_png_itself)
{
    static const uint8_t pixels[PIXELS] = {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3};
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    struct r2_result result = make((struct r2_segmentation){.classes = 3}, pixels);
    ASSERT_OK(result.kind->to_png(result.data, &file, &err), err);
    expect_colours(r2_buffer_view(&file), pixels, 1);
    r2_buffer_finish(&file);
    r2_result_finish(&result);
}

Test(segmentation, the_background_is_not_drawn_over)
{
    struct r2_error err = {0};
    struct r2_draw *draw = NULL;
    uint8_t pixels[PIXELS * 3];
    struct r2_image image = {.width = WIDTH, .height = HEIGHT, .pixels = pixels};
    memset(pixels, 100, sizeof pixels);
    struct r2_result result = make(with_background, map);
    ASSERT_OK(r2_draw_begin(&image, NULL, &draw, &err), err);
    ASSERT_OK(result.kind->draw(result.data, draw, &err), err);
    ASSERT_OK(r2_draw_end(draw, &err), err);
    for (size_t i = 0; i < PIXELS; i++) {
        const bool same = pixels[3 * i] == 100 && pixels[3 * i + 1] == 100;
        cr_expect_eq(same, map[i] == 0, "pixel %zu", i);
    }
    r2_draw_destroy(draw);
    r2_result_finish(&result);
}

Test(segmentation, too_many_outlines_name_the_parameter)
{
    enum { SIDE = 1024 };
    struct r2_error err = {0};
    struct r2_result result = {0};
    struct r2_segmentation from = with_background;
    json_t *object = json_object();
    from.format = R2_SEGMENTATION_POLYGONS;
    from.width = from.height = SIDE;
    from.map = malloc(SIDE * SIDE);
    cr_assert(from.map);
    for (size_t i = 0; i < SIDE * SIDE; i++) from.map[i] = (i ^ i / SIDE) & 1;
    ASSERT_OK(r2_segmentation_create(&from, &result, &err), err);
    EXPECT_FAIL(result.kind->to_json(result.data, object, &err), err, R2_INVALID,
                "parameter format: polygons: the outlines have over 262144 points");
    r2_result_finish(&result);
    json_decref(object);
}
