#include "image/encode.h"

#include <png.h>

#include "base/memory.h"
#include "tests/image/golden.h"

/* Noise over a slope, so that every byte value occurs. */
static struct r2_image some_picture(uint32_t width, uint32_t height)
{
    struct r2_error err = {0};
    struct r2_image image;
    uint64_t random = 7;
    ASSERT_OK(r2_image_create(width, height, &image, &err), err);
    for (size_t i = 0; i < r2_image_stride(&image) * height; i++)
        image.pixels[i] = (uint8_t)(i / 16 + (next_random(&random) & 15));
    return image;
}

static const uint32_t sizes[][2] = {{1, 1}, {32, 32}, {8000, 200}, {33, 500}};

Test(encode, png_decodes_to_the_same_pixels)
{
    for (size_t i = 0; i < R2_COUNT(sizes); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = {0};
        struct r2_image image = some_picture(sizes[i][0], sizes[i][1]);
        ASSERT_OK(r2_png_encode(&image, &file, &err), err);
        struct r2_image back = decode_good(r2_buffer_view(&file));
        golden_expect_equal(&back, &image, 0, 0, "PNG");
        r2_image_finish(&back);
        r2_image_finish(&image);
        r2_buffer_finish(&file);
    }
}

Test(encode, grey_png_decodes_to_the_same_samples)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    uint8_t samples[33 * 20];
    for (size_t i = 0; i < sizeof samples; i++) samples[i] = (uint8_t)(i * i / 7);
    ASSERT_OK(r2_png_encode_grey(samples, 33, 20, &file, &err), err);
    cr_expect_eq(file.data[25], PNG_COLOR_TYPE_GRAY);
    struct r2_image back = decode_good(r2_buffer_view(&file));
    cr_assert(back.width == 33 && back.height == 20);
    for (size_t i = 0; i < 3 * sizeof samples; i++)
        cr_assert_eq(back.pixels[i], samples[i / 3], "sample %zu", i);
    r2_image_finish(&back);
    r2_buffer_finish(&file);
}

Test(encode, jpeg_decodes_to_nearly_the_same_pixels)
{
    for (size_t i = 0; i < R2_COUNT(sizes); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = {0}, small = {0};
        struct r2_image image = some_picture(sizes[i][0], sizes[i][1]);
        memset(image.pixels, 90, r2_image_stride(&image) * image.height);
        image.pixels[0] = 250;
        ASSERT_OK(r2_jpeg_encode(&image, 95, &file, &err), err);
        ASSERT_OK(r2_jpeg_encode(&image, 20, &small, &err), err);
        cr_expect(small.size < file.size || image.width == 1, "%zu, %zu", small.size, file.size);
        struct r2_image back = decode_good(r2_buffer_view(&file));
        golden_expect_equal(&back, &image, 40, 1000, "JPEG");
        r2_image_finish(&back);
        r2_image_finish(&image);
        r2_buffer_finish(&small);
        r2_buffer_finish(&file);
    }
}

/* In 4:2:0 a red line of one pixel on blue would lose half of its colour. */
Test(encode, jpeg_keeps_thin_lines)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    struct r2_image image = some_picture(64, 64);
    for (uint32_t i = 0; i < 64 * 64; i++)
        memcpy(image.pixels + 3 * i, i % 64 == 21 ? "\xFF\0\0" : "\0\0\xFF", 3);
    ASSERT_OK(r2_jpeg_encode(&image, 95, &file, &err), err);
    struct r2_image back = decode_good(r2_buffer_view(&file));
    golden_expect_equal(&back, &image, 30, 1000, "a red line");
    r2_image_finish(&back);
    r2_image_finish(&image);
    r2_buffer_finish(&file);
}

Test(encode, labels_are_the_samples)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    uint8_t labels[5 * 7], back[5 * 7];
    struct r2_colour colours[9] = {{0}};
    for (unsigned i = 0; i < 9; i++) colours[i] = r2_colour_class(i);
    for (unsigned i = 0; i < sizeof labels; i++) labels[i] = (uint8_t)(i % 9);
    ASSERT_OK(r2_png_encode_labels(labels, 5, 7, colours, 9, &file, &err), err);

    png_image png = {.version = PNG_IMAGE_VERSION};
    uint8_t map[256 * 3];
    cr_assert(png_image_begin_read_from_memory(&png, file.data, file.size));
    cr_assert(png.format & PNG_FORMAT_FLAG_COLORMAP);
    cr_expect_eq(png.colormap_entries, 9);
    png.format = PNG_FORMAT_RGB_COLORMAP;
    cr_assert(png_image_finish_read(&png, NULL, back, 0, map));
    cr_expect_arr_eq(back, labels, sizeof labels);
    cr_expect_arr_eq(map, colours, sizeof colours);
    r2_buffer_finish(&file);
}

Test(encode, what_is_wrong_is_refused)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    struct r2_colour colours[2] = {{0, 0, 0}, {9, 9, 9}};
    struct r2_image image = some_picture(2, 2), wide = {65501, 1, NULL}, wider = {1000001, 1, NULL};
    EXPECT_FAIL(r2_jpeg_encode(&image, 0, &file, &err), err, R2_INVALID,
                "JPEG quality: 0, it goes from 1 to 100");
    EXPECT_FAIL(r2_jpeg_encode(&wide, 80, &file, &err), err, R2_INVALID,
                "a JPEG of 65501 x 1 pixels: the format's limit of a side is 65500");
    EXPECT_FAIL(r2_png_encode(&wider, &file, &err), err, R2_INVALID,
                "a PNG of 1000001 x 1 pixels: the limit of a side is 1000000");
    EXPECT_FAIL(r2_png_encode_labels((uint8_t[]){0, 2}, 2, 1, colours, 2, &file, &err), err,
                R2_INVALID, "label 2 has no colour in a palette of 2");
    EXPECT_FAIL(r2_png_encode_labels((uint8_t[]){0}, 1, 1, colours, 257, &file, &err), err,
                R2_INVALID, "a palette of 257 colours: it has 1 to 256");
    EXPECT_FAIL(r2_png_encode_labels(NULL, 0, 1, colours, 2, &file, &err), err, R2_INVALID,
                "labels of 0 x 1 pixels: no side may be 0");
    cr_expect_eq(file.size, 0);
    r2_image_finish(&image);
}

Test(encode, the_buffer_bounds_the_file)
{
    struct r2_error err = {0};
    struct r2_image image = some_picture(300, 300);
    struct r2_buffer file = {.limit = 20000};
    ASSERT_OK(r2_buffer_append(&file, "before", 6, &err), err);
    cr_expect_eq(r2_jpeg_encode(&image, 100, &file, &err), R2_TOO_LARGE);
    cr_expect_eq(r2_png_encode(&image, &file, &err), R2_TOO_LARGE);
    cr_expect(file.size == 6 && memcmp(file.data, "before", 6) == 0);
    r2_image_finish(&image);
    r2_buffer_finish(&file);
}
