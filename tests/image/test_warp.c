/* Crops by an affine map against OpenCV (tests/golden/warp.u8), channel order, and what is refused. */
#include "image/warp.h"

#include <math.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "tests/base/expect.h"

/* The picture and the crops of training/make_warp_golden.py. */
enum { WIDTH = 97, HEIGHT = 61, CROP_WIDTH = 18, CROP_HEIGHT = 24, MAP = 6 * sizeof(double) };
enum { CROP = CROP_WIDTH * CROP_HEIGHT * 3, RECORD = MAP + CROP };

/* Samples come out as they are, 0..255. */
static const struct r2_input_spec plain = {.std = {1 / 255.0f, 1 / 255.0f, 1 / 255.0f}};
static const struct r2_input_shape shape = {CROP_HEIGHT, CROP_WIDTH};
static const struct r2_affine identity = {.xx = 1, .yy = 1};

static struct r2_image make_picture(void)
{
    struct r2_image picture;
    struct r2_error err = {0};
    ASSERT_OK(r2_image_create(WIDTH, HEIGHT, &picture, &err), err);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++)
                picture.pixels[(y * WIDTH + x) * 3 + c] =
                    (uint8_t)(x * 37 + y * 59 + c * 85 + x * y % 97 * 3);
    return picture;
}

static void expect_crop(const struct r2_image *picture, const uint8_t *record, size_t index)
{
    struct r2_error err = {0};
    double m[6];
    float got[CROP];
    memcpy(m, record, MAP);
    const struct r2_affine to_crop = {m[0], m[1], m[2], m[3], m[4], m[5]};
    const struct r2_affine to_picture = r2_affine_invert(&to_crop);
    ASSERT_OK(r2_warp(picture, &to_picture, &plain, shape, got, &err), err);
    for (int i = 0; i < CROP; i++)
        cr_assert(fabsf(got[i] - record[MAP + i]) < 0.01f, "crop %zu, sample %d: %g, not %u", index,
                  i, (double)got[i], record[MAP + i]);
}

Test(warp, like_opencv)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    struct r2_image picture = make_picture();
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/warp.u8", getenv("R2_TEST_DATA"));
    ASSERT_OK(r2_file_read(path, 1 << 20, &file, &err), err);
    cr_assert(file.size % RECORD == 0 && file.size / RECORD >= 19);
    for (size_t i = 0; i < file.size / RECORD; i++)
        expect_crop(&picture, file.data + i * RECORD, i);
    r2_buffer_finish(&file);
    r2_image_finish(&picture);
}

/* Blue first, and each channel of the network by its own mean and std, also outside the picture. */
Test(warp, channels)
{
    struct r2_error err = {0};
    uint8_t pixel[3] = {51, 102, 204};
    const struct r2_image picture = {1, 1, pixel};
    const struct r2_input_spec spec = {
        .bgr = true, .mean = {0.5f, 0.25f, 0.125f}, .std = {0.5f, 0.25f, 0.125f}};
    const float wanted[6] = {0.6f, 0.6f, 0.6f, -1, -1, -1};
    float got[6];
    ASSERT_OK(r2_warp(&picture, &identity, &spec, (struct r2_input_shape){1, 2}, got, &err), err);
    for (int i = 0; i < 6; i++)
        cr_expect(fabsf(got[i] - wanted[i]) < 1e-6f, "%d: %g", i, (double)got[i]);
}

Test(warp, inverse)
{
    const struct r2_affine map = {0.8, -0.6, 3, 1.2, 1.6, -5}, back = r2_affine_invert(&map);
    double x, y;
    r2_affine_apply(&map, 7, 11, &x, &y);
    cr_expect(fabs(x - 2) < 1e-12 && fabs(y - 21) < 1e-12, "%g %g", x, y);
    r2_affine_apply(&back, x, y, &x, &y);
    cr_expect(fabs(x - 7) < 1e-12 && fabs(y - 11) < 1e-12, "%g %g", x, y);
}

/* Far from the picture nothing overflows: it is black. */
Test(warp, far)
{
    struct r2_error err = {0};
    struct r2_image picture = make_picture();
    const struct r2_affine maps[] = {
        {1e300, 0, 1e300, 0, -1e300, 0}, {1e9, -1e9, 1e9, 1e9, 1e9, 0}, {1, 0, -1e12, 0, 1, 0}};
    for (size_t m = 0; m < R2_COUNT(maps); m++) {
        float got[CROP];
        ASSERT_OK(r2_warp(&picture, &maps[m], &plain, shape, got, &err), err);
        for (int i = 3; i < CROP; i++) cr_expect(got[i] <= 0, "map %zu, sample %d", m, i);
    }
    r2_image_finish(&picture);
}

Test(warp, refused)
{
    struct r2_error err = {0};
    uint8_t pixel[3] = {0};
    float untouched[3] = {7, 7, 7};
    const struct r2_image picture = {1, 1, pixel};
    const struct r2_affine broken = {.xx = 1, .yy = 1, .y0 = NAN};
    EXPECT_FAIL(r2_warp(&picture, &broken, &plain, (struct r2_input_shape){1, 1}, untouched, &err),
                err, R2_INVALID, "a crop's place in the picture is not finite");
    EXPECT_FAIL(
        r2_warp(&picture, &identity, &plain, (struct r2_input_shape){1, 16385}, untouched, &err),
        err, R2_INVALID,
        "a crop of 16385 x 1 pixels: the limit is 16384 a side and 67108864 pixels");
    EXPECT_FAIL(
        r2_warp(&picture, &identity, &plain, (struct r2_input_shape){0, 1}, untouched, &err), err,
        R2_INVALID, "a crop of 1 x 0 pixels: the limit is 16384 a side and 67108864 pixels");
    cr_expect_eq(untouched[0], 7);
}
