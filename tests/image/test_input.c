#include "image/input.h"

#include <math.h>

#include "base/memory.h"
#include "tests/image/golden.h"

static size_t index_of(const char *name, const char *const *names, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(name, names[i]) != 0) i++;
    cr_assert(i < count, "no %s", name);
    return i;
}

/* mode, size 0, size 1, filter, like, crop h, crop w, letterbox, pad_multiple, bgr */
static struct r2_input_spec read_spec(char *const *cells)
{
    static const char *const modes[] = {"none", "exact", "shorter", "longer", "fit"};
    static const char *const filters[] = {"nearest", "bilinear", "bicubic"};
    static const char *const likes[] = {"pil", "opencv"};
    struct r2_input_spec spec = r2_input_spec_default();
    spec.mode = (enum r2_resize_mode)index_of(cells[0], modes, R2_COUNT(modes));
    for (int i = 0; i < 2; i++) spec.size[i] = (uint32_t)atoi(cells[1 + i]);
    spec.filter = (enum r2_filter)index_of(cells[3], filters, R2_COUNT(filters));
    spec.like = (enum r2_resize_like)index_of(cells[4], likes, R2_COUNT(likes));
    for (int i = 0; i < 2; i++) spec.crop[i] = (uint32_t)atoi(cells[5 + i]);
    spec.letterbox = atoi(cells[7]);
    spec.pad_multiple = (uint32_t)atoi(cells[8]);
    spec.bgr = atoi(cells[9]);
    return spec;
}

static float *prepare(const struct r2_input_spec *spec, const struct r2_image *picture,
                      struct r2_input_shape *ret_shape, struct r2_geometry *ret)
{
    struct r2_error err = {0};
    ASSERT_OK(r2_input_shape(spec, picture->width, picture->height, ret_shape, &err), err);
    float *input = malloc((size_t)ret_shape->height * ret_shape->width * 3 * sizeof *input);
    cr_assert(input);
    ASSERT_OK(r2_input_prepare(spec, picture, input, ret, &err), err);
    return input;
}

/* source, spec, expected: the input before normalisation, with alpha 0 where there is padding. The
   values of normalised samples are numpy's own, bit for bit. */
static void check_golden(char *const *cells)
{
    const char *name = cells[11];
    struct r2_buffer table_file = golden_read("normalise.f32");
    cr_assert(table_file.size == 256 * 3 * sizeof(float));
    float table[256][3];
    memcpy(table, table_file.data, sizeof table);
    struct r2_image picture = golden_image(cells[0]);
    struct r2_input_spec spec = read_spec(cells + 1);
    struct r2_input_shape shape;
    struct r2_geometry geometry;
    uint32_t width, height;
    uint8_t *wanted = golden_png(name, 4, &width, &height);
    float *got = prepare(&spec, &picture, &shape, &geometry);

    cr_assert(shape.height == height && shape.width == width, "%s: %u x %u, not %u x %u", name,
              shape.width, shape.height, width, height);
    cr_expect(geometry.network_width == width && geometry.network_height == height);
    size_t off = 0, count = (size_t)width * height;
    for (size_t i = 0; i < count * 3; i++) {
        size_t at = i / 3, channel = i % 3;
        const uint8_t *rgba = wanted + at * 4;
        float value = 0.0f;
        if (rgba[3]) value = table[rgba[spec.bgr ? 2 - channel : channel]][channel];
        /* bgr: mean and deviation go by the network's channels */
        off += got[i] < value || got[i] > value;
        cr_assert(fabsf(got[i] - value) < 0.02f, "%s: pixel %zu channel %zu is %g, not %g", name,
                  at, channel, (double)got[i], (double)value);
    }
    cr_expect(off * 1000 <= 3 * count, "%s: %zu values differ", name, off);
    free(got);
    free(wanted);
    r2_image_finish(&picture);
    r2_buffer_finish(&table_file);
}

Test(input, goldens)
{
    size_t cases = golden_table("input.tsv", 12, check_golden);
    cr_expect(cases >= 20, "only %zu cases", cases);
}

Test(input, default_spec)
{
    struct r2_error err = {0};
    struct r2_input_spec spec = r2_input_spec_default();
    struct r2_input_shape shape;
    ASSERT_OK(r2_input_spec_check(&spec, &err), err);
    ASSERT_OK(r2_input_shape(&spec, 500, 375, &shape, &err), err);
    cr_expect(shape.height == 224 && shape.width == 224);
    cr_expect(spec.mode == R2_RESIZE_SHORTER && spec.size[0] == 256 && !spec.bgr);
    cr_expect(spec.filter == R2_FILTER_BILINEAR && spec.like == R2_LIKE_PIL);
}

/* Pictures within the limits stay, others come as near as they can; the long side decides. */
Test(input, within_limits)
{
    static const uint32_t cases[][4] = {
        {400, 300, 400, 300},  {300, 512, 300, 512}, {128, 128, 128, 128},
        {1024, 768, 512, 384}, {80, 64, 160, 128},   {64, 80, 128, 160},
        {1000, 100, 512, 51},  {600, 100, 512, 85},  {4000, 3, 512, 1},
    };
    struct r2_input_spec spec = r2_input_spec_default();
    struct r2_error err = {0};
    spec.mode = R2_RESIZE_WITHIN;
    spec.size[0] = 128;
    spec.size[1] = 512;
    spec.crop[0] = spec.crop[1] = 0;
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_input_shape shape;
        ASSERT_OK(r2_input_shape(&spec, cases[i][0], cases[i][1], &shape, &err), err);
        cr_expect(shape.width == cases[i][2] && shape.height == cases[i][3], "%u x %u: %u x %u",
                  cases[i][0], cases[i][1], shape.width, shape.height);
    }
    spec.size[0] = 513;
    EXPECT_FAIL(r2_input_spec_check(&spec, &err), err, R2_INVALID,
                "input resize within is [513, 512]: the short side must come first");
}

Test(input, equal_when_the_result_is)
{
    struct r2_input_spec a = r2_input_spec_default(), b = a;
    cr_expect(r2_input_spec_equal(&a, &b));
    b.size[1] = 99;
    b.pad_multiple = 1;
    cr_expect(r2_input_spec_equal(&a, &b), "the second size is not used, 1 pads nothing");
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        b = a;                                                                                     \
        change;                                                                                    \
        cr_expect_not(r2_input_spec_equal(&a, &b), "%s", #change);                                 \
        cr_expect_not(r2_input_spec_equal(&b, &a), "%s", #change);                                 \
    } while (0)
    DIFFERS(b.mode = R2_RESIZE_LONGER);
    DIFFERS(b.size[0] = 255);
    DIFFERS(b.filter = R2_FILTER_BICUBIC);
    DIFFERS(b.like = R2_LIKE_OPENCV);
    DIFFERS(b.crop[0] = 223);
    DIFFERS(b.crop[1] = 223);
    DIFFERS(b.letterbox = true);
    DIFFERS(b.pad_multiple = 32);
    DIFFERS(b.bgr = true);
    DIFFERS(b.mean[1] += 0.001f);
    DIFFERS(b.std[2] -= 0.001f);
    a.mode = R2_RESIZE_EXACT;
    DIFFERS(b.size[1] = 5);
    a.mode = R2_RESIZE_NONE;
    b = a;
    b.size[0] = 9;
    b.filter = R2_FILTER_NEAREST;
    cr_expect(r2_input_spec_equal(&a, &b), "mode none has neither size nor filter");
}

Test(input, spec_check_names_field_and_rule)
{
    struct r2_error err = {0};
    struct r2_input_spec spec;
#define REFUSED(change, status, text)                                                              \
    do {                                                                                           \
        spec = r2_input_spec_default();                                                            \
        change;                                                                                    \
        EXPECT_FAIL(r2_input_spec_check(&spec, &err), err, status, text);                          \
    } while (0)
    REFUSED(spec.mode = R2_RESIZE_MODE_COUNT, R2_INVALID,
            "input resize mode is 6: there is no such mode");
    REFUSED(spec.filter = R2_FILTER_COUNT, R2_INVALID,
            "input filter is 3: there is no such filter");
    REFUSED(spec.like = R2_LIKE_COUNT, R2_INVALID, "input like is 2: must be pil or opencv");
    REFUSED((spec.like = R2_LIKE_OPENCV, spec.filter = R2_FILTER_BICUBIC), R2_UNSUPPORTED,
            "input filter bicubic is not supported like opencv; supported: nearest, bilinear, or "
            "like pil");
    REFUSED(spec.size[0] = 0, R2_INVALID, "input resize size[0] is 0: must be from 1 to 8192");
    REFUSED(spec.size[0] = 8193, R2_INVALID,
            "input resize size[0] is 8193: must be from 1 to 8192");
    REFUSED((spec.mode = R2_RESIZE_EXACT, spec.size[1] = 0), R2_INVALID,
            "input resize size[1] is 0: must be from 1 to 8192");
    REFUSED((spec.mode = R2_RESIZE_FIT, spec.size[1] = 255), R2_INVALID,
            "input resize fit is [256, 255]: the short side must come first");
    REFUSED(spec.crop[0] = 0, R2_INVALID,
            "input crop is [0, 224]: both must be 0 or both from 1 to 8192");
    REFUSED(spec.crop[1] = 8193, R2_INVALID,
            "input crop is [224, 8193]: both must be 0 or both from 1 to 8192");
    REFUSED(spec.letterbox = true, R2_INVALID,
            "input has crop and letterbox: only one can be used");
    REFUSED(spec.pad_multiple = 1025, R2_INVALID,
            "input pad_multiple is 1025: must be from 0 to 1024");
    REFUSED(spec.mean[1] = NAN, R2_INVALID, "input mean[1] is nan: must be finite");
    REFUSED(spec.std[2] = 0.0f, R2_INVALID, "input std[2] is 0: must be positive and finite");
    REFUSED(spec.std[0] = -1.0f, R2_INVALID, "input std[0] is -1: must be positive and finite");
    REFUSED(spec.std[0] = INFINITY, R2_INVALID, "input std[0] is inf: must be positive and finite");
    REFUSED(spec.std[0] = 1e-40f, R2_INVALID,
            "input std[0] is 9.99995e-41: too small for a finite normalised value");
}

Test(input, shapes)
{
    static const struct {
        enum r2_resize_mode mode;
        uint32_t size[2], crop[2];
        bool letterbox;
        uint32_t multiple, width, height, wanted_width, wanted_height;
    } cases[] = {
        {R2_RESIZE_NONE, {0}, {0}, false, 0, 500, 375, 500, 375},
        {R2_RESIZE_NONE, {0}, {0}, false, 32, 500, 375, 512, 384},
        {R2_RESIZE_NONE, {0}, {0}, false, 32, 512, 384, 512, 384},
        {R2_RESIZE_NONE, {0}, {0}, true, 32, 500, 375, 512, 512},
        {R2_RESIZE_NONE, {0}, {224, 300}, false, 32, 500, 375, 320, 224},
        {R2_RESIZE_EXACT, {48, 80}, {0}, false, 0, 500, 375, 80, 48},
        {R2_RESIZE_SHORTER, {256}, {0}, false, 0, 500, 375, 341, 256}, /* 341.33 */
        {R2_RESIZE_SHORTER, {256}, {0}, false, 0, 375, 500, 256, 341},
        {R2_RESIZE_SHORTER, {256}, {0}, false, 0, 383, 256, 383, 256},
        {R2_RESIZE_SHORTER, {224}, {0}, false, 0, 1000, 667, 335, 224}, /* 335.83: cut */
        {R2_RESIZE_LONGER, {320}, {0}, false, 0, 500, 375, 320, 240},
        {R2_RESIZE_LONGER, {320}, {0}, false, 0, 375, 500, 240, 320},
        {R2_RESIZE_LONGER, {100}, {0}, false, 0, 200, 133, 100, 67}, /* 66.5 */
        {R2_RESIZE_LONGER, {100}, {0}, false, 0, 1000, 3, 100, 1},   /* 0.3: at least 1 */
        {R2_RESIZE_LONGER, {320}, {0}, true, 0, 500, 375, 320, 320},
        {R2_RESIZE_FIT, {800, 1333}, {0}, false, 32, 640, 480, 1088, 800}, /* 1067 x 800 */
        {R2_RESIZE_FIT, {800, 1333}, {0}, false, 0, 1000, 300, 1333, 400}, /* 399.9 */
        {R2_RESIZE_FIT, {800, 1333}, {0}, false, 0, 300, 1000, 400, 1333},
        {R2_RESIZE_FIT, {800, 1333}, {0}, false, 0, 5000, 1, 1333, 1},
        {R2_RESIZE_SHORTER, {256}, {224, 224}, false, 0, 60000, 1, 224, 224},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_input_shape shape;
        struct r2_input_spec spec = r2_input_spec_default();
        spec.mode = cases[i].mode;
        memcpy(spec.size, cases[i].size, sizeof spec.size);
        memcpy(spec.crop, cases[i].crop, sizeof spec.crop);
        spec.letterbox = cases[i].letterbox;
        spec.pad_multiple = cases[i].multiple;
        ASSERT_OK(r2_input_shape(&spec, cases[i].width, cases[i].height, &shape, &err), err);
        cr_expect(shape.width == cases[i].wanted_width && shape.height == cases[i].wanted_height,
                  "case %zu: %u x %u, not %u x %u", i, shape.width, shape.height,
                  cases[i].wanted_width, cases[i].wanted_height);
    }
}

Test(input, shape_limits)
{
    struct r2_error err = {0};
    struct r2_input_shape shape = {7, 7};
    struct r2_input_spec spec = r2_input_spec_default();
    EXPECT_FAIL(r2_input_shape(&spec, 0, 5, &shape, &err), err, R2_INVALID,
                "the picture has 0 x 5 pixels: no side may be 0");
    EXPECT_FAIL(r2_input_shape(&spec, UINT32_MAX, 1, &shape, &err), err, R2_INVALID,
                "the picture of 4294967295 x 1 pixels is too thin: resized it would have "
                "1099511627520 x 256, the limit of a side is 16777216");
    spec.crop[0] = spec.crop[1] = 0;
    EXPECT_FAIL(r2_input_shape(&spec, 65, 1, &shape, &err), err, R2_INVALID,
                "the picture of 65 x 1 pixels would make a network input of 16640 x 256, the limit "
                "is 16384 a side and 67108864 pixels");
    spec.mode = R2_RESIZE_NONE;
    EXPECT_FAIL(r2_input_shape(&spec, 9000, 9000, &shape, &err), err, R2_INVALID,
                "the picture of 9000 x 9000 pixels would make a network input of 9000 x 9000, the "
                "limit is 16384 a side and 67108864 pixels");
    spec.letterbox = true;
    EXPECT_FAIL(r2_input_shape(&spec, 9000, 10, &shape, &err), err, R2_INVALID,
                "the picture of 9000 x 10 pixels would make a network input of 9000 x 9000, the "
                "limit is 16384 a side and 67108864 pixels");
    cr_expect(shape.width == 7, "untouched on failure");
    ASSERT_OK(r2_input_shape(&spec, 8192, 10, &shape, &err), err);
}

/* Halves of a pixel go to the even side, as Python rounds. */
Test(input, centre_of_a_crop)
{
    static const struct {
        uint32_t side, crop;
        int offset;
    } cases[] = {{341, 224, -58}, {256, 224, -16}, {227, 224, -2}, {225, 224, 0}, {229, 224, -2},
                 {231, 224, -4},  {224, 224, 0},   {100, 103, 1},  {100, 105, 2}, {100, 104, 2}};
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_image picture;
        ASSERT_OK(r2_image_create(cases[i].side, 40, &picture, &err), err);
        memset(picture.pixels, 255, (size_t)cases[i].side * 40 * 3);
        struct r2_input_spec spec = r2_input_spec_default();
        struct r2_input_shape shape;
        struct r2_geometry geometry;
        spec.mode = R2_RESIZE_NONE;
        spec.crop[0] = 40;
        spec.crop[1] = cases[i].crop;
        float *input = prepare(&spec, &picture, &shape, &geometry);
        cr_expect(fabs(geometry.offset_x - cases[i].offset) < 1e-9, "%u to %u: %g", cases[i].side,
                  cases[i].crop, geometry.offset_x);
        cr_expect(fabs(geometry.offset_y) < 1e-9);
        free(input);
        r2_image_finish(&picture);
    }
}

Test(input, padding_is_zero_and_channels_are_turned)
{
    struct r2_error err = {0};
    struct r2_image picture;
    ASSERT_OK(r2_image_create(2, 1, &picture, &err), err);
    memcpy(picture.pixels, "\xFF\x00\x33\xFF\x00\x33", 6); /* red 1, green 0, blue 0.2 */
    struct r2_input_spec spec = {
        .mode = R2_RESIZE_NONE,
        .filter = R2_FILTER_BILINEAR,
        .pad_multiple = 3,
        .bgr = true,
        .mean = {0.2f, 0.5f, 0.5f},
        .std = {1.0f, 0.5f, 0.25f},
    };
    struct r2_input_shape shape;
    struct r2_geometry geometry;
    float *input = prepare(&spec, &picture, &shape, &geometry);
    static const float pixel[3] = {0.0f, -1.0f, 2.0f};
    cr_assert(shape.width == 3 && shape.height == 3);
    for (size_t i = 0; i < 27; i++) {
        bool inside = i < 6;
        cr_expect_float_eq(input[i], inside ? pixel[i % 3] : 0.0f, 1e-6f, "value %zu", i);
    }
    free(input);
    r2_image_finish(&picture);
}

Test(input, geometry_there_and_back)
{
    static const struct {
        enum r2_resize_mode mode;
        uint32_t size[2], crop[2];
        bool letterbox;
    } specs[] = {
        {R2_RESIZE_SHORTER, {64}, {48, 50}, false}, {R2_RESIZE_LONGER, {90}, {0}, true},
        {R2_RESIZE_NONE, {0}, {120, 300}, false},   {R2_RESIZE_EXACT, {31, 77}, {0}, false},
        {R2_RESIZE_FIT, {50, 70}, {0}, false},
    };
    struct r2_image picture = golden_image("input_wide.png");
    for (size_t i = 0; i < R2_COUNT(specs); i++) {
        struct r2_input_spec spec = r2_input_spec_default();
        struct r2_input_shape shape;
        struct r2_geometry geometry;
        double x, y, back_x, back_y;
        spec.mode = specs[i].mode;
        memcpy(spec.size, specs[i].size, sizeof spec.size);
        memcpy(spec.crop, specs[i].crop, sizeof spec.crop);
        spec.letterbox = specs[i].letterbox;
        float *input = prepare(&spec, &picture, &shape, &geometry);
        cr_expect(geometry.picture_width == picture.width);
        cr_expect(geometry.picture_height == picture.height);
        for (int step = -2; step < 20; step++) {
            double px = step * 11.3, py = step * 7.7 - 3;
            r2_geometry_to_network(&geometry, px, py, &x, &y);
            r2_geometry_to_picture(&geometry, x, y, &back_x, &back_y);
            cr_expect(fabs(back_x - px) < 1e-9 && fabs(back_y - py) < 1e-9);
        }
        /* The picture's corners are the corners of what is shown. */
        r2_geometry_to_network(&geometry, 0, 0, &x, &y);
        cr_expect(fabs(x - geometry.offset_x) < 1e-9 && fabs(y - geometry.offset_y) < 1e-9);
        free(input);
    }
    r2_image_finish(&picture);
}

/* A white square on black is found again where the geometry says. */
Test(input, geometry_agrees_with_pixels)
{
    struct r2_error err = {0};
    struct r2_image picture;
    struct r2_input_spec spec = r2_input_spec_default();
    struct r2_input_shape shape;
    struct r2_geometry geometry;
    ASSERT_OK(r2_image_create(300, 200, &picture, &err), err);
    memset(picture.pixels, 0, 300 * 200 * 3);
    for (size_t y = 90; y < 110; y++) memset(picture.pixels + (y * 300 + 150) * 3, 255, 40 * 3);
    spec.size[0] = 100;
    spec.crop[0] = spec.crop[1] = 80;
    float *input = prepare(&spec, &picture, &shape, &geometry);
    double left, top, right, bottom;
    r2_geometry_to_network(&geometry, 150, 90, &left, &top);
    r2_geometry_to_network(&geometry, 190, 110, &right, &bottom);
    /* 150 x 100 after resizing, cut by 35 and 10 */
    cr_expect(fabs(left - 40) < 1e-9 && fabs(right - 60) < 1e-9);
    cr_expect(fabs(top - 35) < 1e-9 && fabs(bottom - 45) < 1e-9);
    for (uint32_t y = 0; y < 80; y++) {
        for (uint32_t x = 0; x < 80; x++) {
            double cx = x + 0.5, cy = y + 0.5;
            bool border = fabs(cx - left) < 1 || fabs(cx - right) < 1 || fabs(cy - top) < 1 ||
                          fabs(cy - bottom) < 1;
            bool inside = cx > left && cx < right && cy > top && cy < bottom;
            float value = input[(y * 80 + x) * 3] * spec.std[0] + spec.mean[0];
            if (!border) cr_expect_float_eq(value, inside ? 1.0f : 0.0f, 1e-5f, "%u, %u", x, y);
        }
    }
    free(input);
    r2_image_finish(&picture);
}
