/*
 * Files that end too early: what they hold is decoded, unless it is nothing or strictness is asked.
 */
#include "base/memory.h"
#include "image/decode.h"
#include "tests/image/golden.h"

enum { MISSING = 128 };

static const char *const files[] = {
    "jpeg_420.jpg",
    "jpeg_progressive.jpg",
    "jpeg_restart.jpg",
    "jpeg_restart_progressive.jpg",
    "jpeg_cmyk.jpg",
    "exif_6.jpg",
    "codecs/jpeg_arithmetic.jpg",
    "codecs/jpeg_arithmetic_progressive.jpg",
    "png_6_8.png",
    "exif_6.png",
    "png_2_16_interlaced.png",
    "png_3_4_key.png",
    "codecs/webp_lossy.webp",
    "codecs/webp_lossless.webp",
    "codecs/webp_lossy_alpha.webp",
    "codecs/webp_animated_small_frame.webp",
    "codecs/exif_6.webp",
};

/* The beginning of a file, of which nothing can be read behind its end. */
struct cut {
    const char *name;
    uint8_t *data;
    size_t size;
    enum r2_status status;
    struct r2_image image;
    struct r2_picture_info info;
};

static struct cut cut_off(const char *name, const struct r2_buffer *file, size_t size, bool orient)
{
    const struct r2_decode_options options = {.orient = orient};
    struct r2_error err = {0};
    struct cut cut = {.name = name, .size = size};
    cut.data = exact_copy(r2_buffer_view(file), size);
    struct r2_bytes bytes = {cut.data, size};
    cut.status = r2_picture_decode(bytes, &options, &cut.image, &cut.info, &err);
    if (cut.status != R2_OK && size >= 12)
        cr_assert(cut.status == R2_INVALID && strstr(err.message, "truncated"),
                  "%s cut to %zu bytes: %s", name, size, err.message);
    return cut;
}

static void cut_finish(struct cut *cut)
{
    r2_image_finish(&cut->image);
    free(cut->data);
}

static void expect_refused_strictly(const struct cut *cut)
{
    const struct r2_decode_options options = {.strict = true};
    struct r2_image image;
    struct r2_error err = {0};
    struct r2_bytes bytes = {cut->data, cut->size};
    enum r2_status status = r2_picture_decode(bytes, &options, &image, NULL, &err);
    cr_assert_neq(status, R2_OK, "%s cut to %zu bytes, strictly", cut->name, cut->size);
    if (cut->size >= 12)
        cr_assert(status == R2_INVALID && strstr(err.message, "truncated"), "%s: %s", cut->name,
                  err.message);
}

Test(truncated, at_every_length)
{
    for (size_t i = 0; i < R2_COUNT(files); i++) {
        struct r2_buffer file = golden_read(files[i]);
        uint32_t rows = 0;
        size_t answered = 0;
        for (size_t size = 0; size < file.size; size++) {
            struct cut cut = cut_off(files[i], &file, size, true);
            expect_refused_strictly(&cut);
            if (cut.status == R2_OK) {
                cr_assert(cut.info.truncated, "%s cut to %zu bytes", files[i], size);
                cr_assert(cut.info.rows >= 1 && cut.info.rows <= cut.info.height);
                cr_assert(cut.info.rows >= rows, "%s: more bytes give no fewer rows", files[i]);
                rows = cut.info.rows;
                answered++;
            } else {
                cr_assert_not(answered, "%s cut to %zu bytes: fewer were enough", files[i], size);
                cr_assert_null(cut.image.pixels);
            }
            cut_finish(&cut);
        }
        struct cut last = cut_off(files[i], &file, file.size - 1, true);
        /* the arithmetic decoder reads ahead: its last row of blocks does not count */
        cr_expect(last.info.rows == last.info.height || strstr(files[i], "arithmetic"),
                  "%s: all but the last byte", files[i]);
        cr_expect(answered >= 1, "%s", files[i]);
        cut_finish(&last);
        r2_buffer_finish(&file);
    }
}

/* Half a file: its rows are the picture's, and what follows is grey. The upsampling of a JPEG or a
   WebP looks at the rows of the next blocks. */
Test(truncated, rows_are_those_of_the_whole_picture)
{
    static const struct {
        const char *file;
        uint32_t margin; /* rows at the end that may differ */
        bool grey;       /* behind them */
    } cases[] = {
        {"jpeg_420.jpg", 1, true},
        {"jpeg_444.jpg", 0, true},
        {"jpeg_restart.jpg", 1, true},
        {"jpeg_gray.jpg", 0, true},
        {"png_2_8.png", 0, true},
        {"png_6_8.png", 0, true},
        {"exif_1.png", 0, true},
        {"codecs/webp_lossy.webp", 0, true},
        {"codecs/webp_lossless.webp", 0, true},
        {"codecs/webp_lossy_alpha.webp", 0, true},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_buffer file = golden_read(cases[i].file);
        struct r2_image whole = decode_good(r2_buffer_view(&file));
        struct cut half = cut_off(cases[i].file, &file, file.size * 3 / 4, true);
        cr_assert_eq(half.status, R2_OK, "%s", cases[i].file);
        uint32_t rows = half.info.rows;
        cr_expect(rows >= 4 && rows < whole.height, "%s: %u rows", cases[i].file, rows);
        size_t stride = r2_image_stride(&whole), same = (rows - cases[i].margin) * stride;
        cr_expect(memcmp(half.image.pixels, whole.pixels, same) == 0, "%s: %u rows", cases[i].file,
                  rows);
        const uint8_t *last = half.image.pixels + stride * (whole.height - 1);
        for (size_t at = 0; at < stride; at++)
            cr_assert_eq(last[at], MISSING, "%s: the last row is grey, not %u", cases[i].file,
                         last[at]);
        cut_finish(&half);
        r2_image_finish(&whole);
        r2_buffer_finish(&file);
    }
}

/* Passes over the whole picture: half a file shows all of it, less exactly. */
Test(truncated, coarse_passes_show_the_whole_picture)
{
    static const char *const coarse[] = {"jpeg_progressive.jpg", "jpeg_gray_progressive.jpg",
                                         "png_6_8_interlaced.png", "png_2_8_interlaced.png"};
    for (size_t i = 0; i < R2_COUNT(coarse); i++) {
        struct r2_buffer file = golden_read(coarse[i]);
        struct r2_image whole = decode_good(r2_buffer_view(&file));
        struct cut half = cut_off(coarse[i], &file, file.size * 3 / 4, true);
        cr_assert_eq(half.status, R2_OK, "%s", coarse[i]);
        cr_expect_eq(half.info.rows, whole.height, "%s: %u rows", coarse[i], half.info.rows);
        const uint8_t *last = half.image.pixels + r2_image_stride(&whole) * (whole.height - 1);
        size_t grey = 0, stride = r2_image_stride(&whole);
        for (size_t at = 0; at < stride; at++) grey += last[at] == MISSING;
        cr_expect(grey < stride / 2, "%s: the last row is filled", coarse[i]);
        cut_finish(&half);
        r2_image_finish(&whole);
        r2_buffer_finish(&file);
    }
}

/* A turned picture is the upright one turned, its missing rows included. */
Test(truncated, orientation_is_applied)
{
    static const char *const turned[] = {"exif_6.jpg", "exif_6.png", "codecs/webp_lossy.webp"};
    for (size_t i = 0; i < R2_COUNT(turned); i++) {
        struct r2_buffer file = golden_read(turned[i]);
        struct cut stored = cut_off(turned[i], &file, file.size * 19 / 20, false);
        struct cut upright = cut_off(turned[i], &file, file.size * 19 / 20, true);
        cr_assert(stored.status == R2_OK && upright.status == R2_OK, "%s", turned[i]);
        bool turns = upright.info.orientation == 6;
        uint32_t width = stored.image.width, height = stored.image.height;
        cr_assert_eq(upright.image.width, turns ? height : width);
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = 0; x < width; x++) {
                size_t from = ((size_t)y * width + x) * 3;
                size_t to = turns ? ((size_t)x * height + (height - 1 - y)) * 3 : from;
                cr_assert(memcmp(stored.image.pixels + from, upright.image.pixels + to, 3) == 0,
                          "%s: %u, %u", turned[i], x, y);
            }
        cut_finish(&stored);
        cut_finish(&upright);
        r2_buffer_finish(&file);
    }
}
