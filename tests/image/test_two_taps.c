#include "image/resample.h"

#include "base/memory.h"
#include "tests/image/golden.h"

static struct r2_image resize(const struct r2_image *src, uint32_t width, uint32_t height,
                              struct r2_window window, enum r2_filter filter)
{
    struct r2_error err = {0};
    struct r2_resampler *resampler;
    struct r2_image image;
    ASSERT_OK(r2_image_create(window.width, window.height, &image, &err), err);
    ASSERT_OK(
        r2_resampler_create(src, width, height, window, filter, R2_LIKE_OPENCV, &resampler, &err),
        err);
    size_t stride = r2_image_stride(&image);
    for (uint32_t y = 0; y < window.height; y++)
        memcpy(image.pixels + stride * y, r2_resampler_next(resampler), stride);
    r2_resampler_destroy(resampler);
    return image;
}

static void expect_windows(const struct r2_image *src, const struct r2_image *full,
                           enum r2_filter filter, const char *what)
{
    uint64_t random = 7;
    for (int i = 0; i < 6; i++) {
        struct r2_window window = {.x = (uint32_t)(next_random(&random) % full->width),
                                   .y = (uint32_t)(next_random(&random) % full->height)};
        window.width = 1 + (uint32_t)(next_random(&random) % (full->width - window.x));
        window.height = 1 + (uint32_t)(next_random(&random) % (full->height - window.y));
        struct r2_image got = resize(src, full->width, full->height, window, filter);
        for (uint32_t y = 0; y < window.height; y++)
            cr_assert(
                memcmp(got.pixels + r2_image_stride(&got) * y,
                       full->pixels + r2_image_stride(full) * (window.y + y) + (size_t)window.x * 3,
                       r2_image_stride(&got)) == 0,
                "%s: row %u of window %u x %u at (%u, %u)", what, y, window.width, window.height,
                window.x, window.y);
        r2_image_finish(&got);
    }
}

/* source, width, height, filter, expected. All exact, windows too. */
static void check_golden(char *const *cells)
{
    struct r2_image src = golden_image(cells[0]), wanted = golden_image(cells[4]);
    uint32_t width = (uint32_t)atoi(cells[1]), height = (uint32_t)atoi(cells[2]);
    enum r2_filter filter =
        strcmp(cells[3], "nearest") == 0 ? R2_FILTER_NEAREST : R2_FILTER_BILINEAR;
    struct r2_image got =
        resize(&src, width, height, (struct r2_window){0, 0, width, height}, filter);
    golden_expect_equal(&got, &wanted, 0, 0, cells[4]);
    expect_windows(&src, &got, filter, cells[4]);
    r2_image_finish(&src);
    r2_image_finish(&wanted);
    r2_image_finish(&got);
}

Test(two_taps, goldens)
{
    size_t cases = golden_table("opencv.tsv", 5, check_golden);
    cr_expect(cases >= 2 * 20, "only %zu cases", cases);
}

Test(two_taps, same_size_is_a_copy)
{
    struct r2_image src = golden_image("noise_97x61.png");
    for (int filter = R2_FILTER_NEAREST; filter <= R2_FILTER_BILINEAR; filter++) {
        struct r2_image got =
            resize(&src, 97, 61, (struct r2_window){0, 0, 97, 61}, (enum r2_filter)filter);
        golden_expect_equal(&got, &src, 0, 0, "same size");
        r2_image_finish(&got);
    }
    r2_image_finish(&src);
}

/* A huge upscaling of which little is seen costs little, and floats do not lead outside. */
Test(two_taps, window_of_a_huge_picture)
{
    struct r2_image src = golden_image("noise_200x3.png");
    struct r2_window window = {R2_RESIZE_MAX_SIDE - 224, R2_RESIZE_MAX_SIDE - 4, 224, 4};
    const uint8_t *last = src.pixels + r2_image_stride(&src) * 3 - 3;
    for (int filter = R2_FILTER_NEAREST; filter <= R2_FILTER_BILINEAR; filter++) {
        struct r2_image got =
            resize(&src, R2_RESIZE_MAX_SIDE, R2_RESIZE_MAX_SIDE, window, (enum r2_filter)filter);
        cr_expect(memcmp(got.pixels + 224 * 4 * 3 - 3, last, 3) == 0, "filter %d", filter);
        r2_image_finish(&got);
    }
    r2_image_finish(&src);
}

Test(two_taps, bicubic_is_refused)
{
    struct r2_error err = {0};
    struct r2_image src = golden_image("noise_1x1.png");
    struct r2_resampler *resampler = NULL;
    EXPECT_FAIL(r2_resampler_create(&src, 2, 2, (struct r2_window){0, 0, 2, 2}, R2_FILTER_BICUBIC,
                                    R2_LIKE_OPENCV, &resampler, &err),
                err, R2_UNSUPPORTED,
                "resize: bicubic like opencv is not supported; supported: nearest, bilinear");
    cr_expect_null(resampler, "untouched on failure");
    r2_image_finish(&src);
}
