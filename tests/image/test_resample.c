#include "image/resample.h"

#include "base/memory.h"
#include "tests/image/golden.h"

static enum r2_filter filter_named(const char *name)
{
    static const char *const names[] = {"nearest", "bilinear", "bicubic"};
    size_t i = 0;
    while (i < R2_COUNT(names) && strcmp(name, names[i]) != 0) i++;
    cr_assert(i < R2_COUNT(names), "no filter %s", name);
    return (enum r2_filter)i;
}

static struct r2_image random_image(uint32_t width, uint32_t height, uint64_t seed)
{
    struct r2_error err = {0};
    struct r2_image image;
    ASSERT_OK(r2_image_create(width, height, &image, &err), err);
    /* Exactly the pixels on the heap: reads behind the last row show under AddressSanitizer. */
    size_t size = r2_image_stride(&image) * height;
    free(image.pixels);
    image.pixels = malloc(size);
    for (size_t i = 0; i < size; i++) image.pixels[i] = (uint8_t)next_random(&seed);
    return image;
}

static void expect_window(const struct r2_image *src, const struct r2_image *full,
                          struct r2_window window, enum r2_filter filter, const char *what)
{
    struct r2_error err = {0};
    struct r2_image got;
    ASSERT_OK(r2_image_resize_window(src, full->width, full->height, window, filter, &got, &err),
              err);
    cr_assert(got.width == window.width && got.height == window.height);
    for (uint32_t y = 0; y < window.height; y++) {
        const uint8_t *wanted = full->pixels + r2_image_stride(full) * (window.y + y);
        cr_assert(memcmp(got.pixels + r2_image_stride(&got) * y, wanted + (size_t)window.x * 3,
                         r2_image_stride(&got)) == 0,
                  "%s: row %u of window %u x %u at (%u, %u)", what, y, window.width, window.height,
                  window.x, window.y);
    }
    r2_image_finish(&got);
}

/* source, width, height, filter, expected: exact, or the rule at the least: a few samples in a
   thousand off by 1. Windows are exact crops. */
static void check_golden(char *const *cells)
{
    struct r2_error err = {0};
    struct r2_image src = golden_image(cells[0]), wanted = golden_image(cells[4]), got;
    uint32_t width = (uint32_t)atoi(cells[1]), height = (uint32_t)atoi(cells[2]);
    enum r2_filter filter = filter_named(cells[3]);
    ASSERT_OK(r2_image_resize(&src, width, height, filter, &got, &err), err);
    golden_expect_equal(&got, &wanted, 1, 3, cells[4]);
    uint64_t random = 7;
    for (int i = 0; i < 6; i++) {
        struct r2_window window = {.x = (uint32_t)(next_random(&random) % width),
                                   .y = (uint32_t)(next_random(&random) % height)};
        window.width = 1 + (uint32_t)(next_random(&random) % (width - window.x));
        window.height = 1 + (uint32_t)(next_random(&random) % (height - window.y));
        expect_window(&src, &got, window, filter, cells[4]);
    }
    r2_image_finish(&src);
    r2_image_finish(&wanted);
    r2_image_finish(&got);
}

Test(resample, goldens)
{
    size_t cases = golden_table("resize.tsv", 5, check_golden);
    cr_expect(cases >= 3 * 12, "only %zu cases", cases);
}

/* Coefficients sum to one: a picture of one colour keeps it in every size. */
Test(resample, one_colour_stays)
{
    struct r2_error err = {0};
    uint64_t random = 3;
    for (int round = 0; round < 300; round++) {
        uint32_t sides[4];
        for (int i = 0; i < 4; i++) sides[i] = 1 + (uint32_t)(next_random(&random) % 90);
        struct r2_image src = random_image(sides[0], sides[1], 1), got;
        uint8_t colour[3] = {(uint8_t)next_random(&random), 0, 255};
        for (size_t i = 0; i < (size_t)sides[0] * sides[1]; i++)
            memcpy(src.pixels + i * 3, colour, 3);
        ASSERT_OK(
            r2_image_resize(&src, sides[2], sides[3], (enum r2_filter)(round % 3), &got, &err),
            err);
        for (size_t i = 0; i < (size_t)sides[2] * sides[3]; i++)
            cr_assert(memcmp(got.pixels + i * 3, colour, 3) == 0, "%u x %u to %u x %u", sides[0],
                      sides[1], sides[2], sides[3]);
        r2_image_finish(&src);
        r2_image_finish(&got);
    }
}

/* Thousands of taps for one sample: the mean of all, up to the rounding of coefficients. */
Test(resample, extreme_shrinking)
{
    static const uint32_t sides[][2] = {{60000, 1}, {1, 60000}, {3000, 40}};
    for (size_t i = 0; i < R2_COUNT(sides); i++) {
        struct r2_error err = {0};
        struct r2_image src = random_image(sides[i][0], sides[i][1], 11), got;
        ASSERT_OK(r2_image_resize(&src, 1, 1, R2_FILTER_BILINEAR, &got, &err), err);
        for (int channel = 0; channel < 3; channel++)
            cr_expect(abs(got.pixels[channel] - 127) <= 3, "%u x %u: %d", sides[i][0], sides[i][1],
                      got.pixels[channel]);
        r2_image_finish(&src);
        r2_image_finish(&got);
    }
}

Test(resample, same_size_is_a_copy)
{
    struct r2_error err = {0};
    struct r2_image src = random_image(13, 9, 2), got;
    for (int filter = 0; filter < R2_FILTER_COUNT; filter++) {
        ASSERT_OK(r2_image_resize(&src, 13, 9, (enum r2_filter)filter, &got, &err), err);
        golden_expect_equal(&got, &src, 0, 0, "same size");
        expect_window(&src, &src, (struct r2_window){3, 2, 7, 5}, (enum r2_filter)filter, "same");
        r2_image_finish(&got);
    }
    r2_image_finish(&src);
}

Test(resample, arguments_are_checked)
{
    struct r2_error err = {0};
    struct r2_image src = random_image(4, 4, 2), got = {7, 7, NULL}, empty = {0};
    struct r2_window inside = {0, 0, 1, 1};
    EXPECT_FAIL(r2_image_resize(&src, 0, 5, R2_FILTER_BILINEAR, &got, &err), err, R2_INVALID,
                "resize to 0 x 5 pixels: sides must be from 1 to 16777216");
    EXPECT_FAIL(r2_image_resize(&src, 5, R2_RESIZE_MAX_SIDE + 1, R2_FILTER_BILINEAR, &got, &err),
                err, R2_INVALID, "resize to 5 x 16777217 pixels: sides must be from 1 to 16777216");
    EXPECT_FAIL(r2_image_resize(&src, 5, 5, R2_FILTER_COUNT, &got, &err), err, R2_INVALID,
                "resize: there is no filter 3");
    EXPECT_FAIL(r2_image_resize(&empty, 5, 5, R2_FILTER_BILINEAR, &got, &err), err, R2_INVALID,
                "resize: the source is empty");
    static const struct r2_window outside[] = {
        {0, 0, 6, 1}, {0, 0, 1, 6}, {5, 0, 1, 1}, {0, 5, 1, 1},          {0, 0, 0, 1},
        {0, 0, 1, 0}, {4, 0, 2, 1}, {6, 0, 1, 1}, {1, 0, UINT32_MAX, 1}, {0, 1, 1, UINT32_MAX},
    };
    for (size_t i = 0; i < R2_COUNT(outside); i++) {
        enum r2_status status =
            r2_image_resize_window(&src, 5, 5, outside[i], R2_FILTER_BICUBIC, &got, &err);
        cr_expect(status == R2_INVALID && strstr(err.message, "is not inside 5 x 5 pixels"),
                  "window %zu: %s", i, err.message);
    }
    cr_expect(got.width == 7, "untouched on failure");
    ASSERT_OK(r2_image_resize_window(&src, 5, 5, inside, R2_FILTER_BICUBIC, &got, &err), err);
    r2_image_finish(&got);
    r2_image_finish(&src);
    r2_resampler_destroy(NULL);
}

/* A huge upscaling of which little is seen costs little. */
Test(resample, window_of_a_huge_picture)
{
    struct r2_error err = {0};
    struct r2_image src = random_image(30000, 2, 5), got;
    struct r2_window window = {R2_RESIZE_MAX_SIDE - 224, 0, 224, 224};
    for (int filter = 0; filter < R2_FILTER_COUNT; filter++) {
        ASSERT_OK(r2_image_resize_window(&src, R2_RESIZE_MAX_SIDE, 256, window,
                                         (enum r2_filter)filter, &got, &err),
                  err);
        const uint8_t *last = src.pixels + 29999 * 3;
        if (filter != R2_FILTER_BICUBIC) /* which overshoots */
            cr_expect(memcmp(got.pixels + 223 * 3, last, 3) == 0, "the end shows the last pixel");
        r2_image_finish(&got);
    }
    r2_image_finish(&src);
}
