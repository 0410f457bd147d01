#include "image/decode.h"

#include "base/memory.h"
#include "tests/image/golden.h"

static const struct r2_decode_options upright = {.orient = true};

static struct r2_bytes text_bytes(const char *text, size_t size)
{
    return (struct r2_bytes){(const uint8_t *)text, size};
}

Test(decode, formats_by_magic_bytes)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum r2_format format;
    } cases[] = {
        {"\xFF\xD8\xFF\xE0", 4, R2_FORMAT_JPEG},
        {"\xFF\xD8\xFF", 3, R2_FORMAT_JPEG},
        {"\xFF\xD8", 2, R2_FORMAT_UNKNOWN},
        {"\x89PNG\r\n\x1A\n", 8, R2_FORMAT_PNG},
        {"\x89PNG\r\n\x1A", 7, R2_FORMAT_UNKNOWN},
        {"RIFF\x10\0\0\0WEBPVP8 ", 16, R2_FORMAT_WEBP},
        {"RIFF\x10\0\0\0WAVEfmt ", 16, R2_FORMAT_UNKNOWN},
        {"GIF87a", 6, R2_FORMAT_GIF},
        {"GIF89a", 6, R2_FORMAT_GIF},
        {"GIF88a", 6, R2_FORMAT_UNKNOWN},
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0mif1heic",
         24, R2_FORMAT_HEIC},
        {"\0\0\0\x18"
         "ftypmif1\0\0\0\0mif1heic",
         24, R2_FORMAT_HEIC},
        {"\0\0\0\x18"
         "ftypavif\0\0\0\0mif1avif",
         24, R2_FORMAT_AVIF},
        {"\0\0\0\x18"
         "ftypmif1\0\0\0\0mif1avif",
         24, R2_FORMAT_AVIF},
        {"\0\0\0\x14"
         "ftypmif1\0\0\0\0mif1avif",
         24, R2_FORMAT_UNKNOWN}, /* behind the box */
        {"\0\0\0\x18"
         "ftypisom\0\0\0\0isommp42",
         24, R2_FORMAT_UNKNOWN},
        {"\xFF\xFF\xFF\xFF"
         "ftyp",
         8, R2_FORMAT_UNKNOWN},
        {"\xFF\x0A\xFA\x1F", 4, R2_FORMAT_JXL},
        {"\0\0\0\x0CJXL \r\n\x87\n", 12, R2_FORMAT_JXL},
        {"\0\0\0\x0CjP  \r\n\x87\n", 12, R2_FORMAT_UNKNOWN},
        {"BM\x3A\0\0\0\0\0\0\0", 10, R2_FORMAT_BMP},
        {"BMW drives", 10, R2_FORMAT_UNKNOWN},
        {"II*\0", 4, R2_FORMAT_TIFF},
        {"MM\0*", 4, R2_FORMAT_TIFF},
        {"MM*\0", 4, R2_FORMAT_UNKNOWN},
        {"hello", 5, R2_FORMAT_UNKNOWN},
        {"", 0, R2_FORMAT_UNKNOWN},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_bytes all = text_bytes(cases[i].bytes, cases[i].size);
        uint8_t *copy = exact_copy(all, cases[i].size);
        cr_expect_eq(r2_format_detect((struct r2_bytes){copy, cases[i].size}), cases[i].format,
                     "case %zu", i);
        free(copy);
    }
}

Test(decode, format_names)
{
    for (int format = 0; format < R2_FORMAT_COUNT; format++) {
        cr_expect(r2_format_name((enum r2_format)format) && r2_format_mime((enum r2_format)format));
        bool decodable =
            format == R2_FORMAT_JPEG || format == R2_FORMAT_PNG || format == R2_FORMAT_WEBP;
        cr_expect_eq(r2_format_decodable((enum r2_format)format), decodable);
    }
    cr_expect_str_eq(r2_format_list(), "JPEG, PNG, WebP");
    cr_expect_str_eq(r2_format_mime(R2_FORMAT_JPEG), "image/jpeg");
    cr_expect_str_eq(r2_format_mime(R2_FORMAT_UNKNOWN), "application/octet-stream");
    cr_expect_str_eq(r2_format_name(R2_FORMAT_COUNT), "unknown");
    cr_expect_not(r2_format_decodable(R2_FORMAT_COUNT));
}

Test(decode, what_is_not_read_is_named)
{
    struct r2_error err = {0};
    struct r2_image image = {9, 9, NULL};
    struct r2_picture_info info = {.width = 9};
    EXPECT_FAIL(r2_picture_decode((struct r2_bytes){0}, &upright, &image, &info, &err), err,
                R2_INVALID, "there is no picture: 0 bytes");
    EXPECT_FAIL(r2_picture_decode(text_bytes("hello", 5), &upright, &image, &info, &err), err,
                R2_UNSUPPORTED,
                "the 5 bytes are not a picture of a known format; accepted: JPEG, PNG, WebP");
    EXPECT_FAIL(r2_picture_decode(text_bytes("GIF89a", 6), &upright, &image, &info, &err), err,
                R2_UNSUPPORTED, "GIF pictures are not supported; accepted: JPEG, PNG, WebP");
    cr_expect(image.width == 9 && info.width == 9, "untouched on failure");
}

static bool ends_with(const char *name, const char *end)
{
    return strlen(name) >= strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

static enum r2_format format_of(const char *name)
{
    if (ends_with(name, ".webp")) return R2_FORMAT_WEBP;
    return ends_with(name, ".jpg") ? R2_FORMAT_JPEG : R2_FORMAT_PNG;
}

/* file, orientation, tolerance, expected */
static void check_golden(char *const *cells)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read(cells[0]);
    struct r2_image wanted = golden_image(cells[3]), got;
    struct r2_picture_info info;
    unsigned orientation = (unsigned)atoi(cells[1]);
    uint8_t *copy = exact_copy(r2_buffer_view(&file), file.size);
    struct r2_bytes bytes = {copy, file.size};

    ASSERT_OK(r2_picture_decode(bytes, &upright, &got, &info, &err), err);
    golden_expect_equal(&got, &wanted, atoi(cells[2]), 1000, cells[0]);
    cr_expect_eq(info.orientation, orientation, "%s: orientation %u", cells[0], info.orientation);
    cr_expect_eq(info.format, format_of(cells[0]), "%s", cells[0]);
    cr_expect(!info.truncated && info.rows == info.height, "%s: is whole", cells[0]);
    bool turned = orientation >= 5;
    cr_expect(info.width == (turned ? got.height : got.width), "%s: stored width", cells[0]);
    cr_expect(info.height == (turned ? got.width : got.height), "%s: stored height", cells[0]);
    r2_image_finish(&got);
    r2_image_finish(&wanted);
    r2_buffer_finish(&file);
    free(copy);
}

Test(decode, goldens)
{
    size_t cases = golden_table("decode.tsv", 4, check_golden);
    cr_expect(cases >= 80, "only %zu cases", cases);
}

Test(decode, goldens_of_codecs)
{
    size_t cases = golden_table("codecs/table.tsv", 4, check_golden);
    cr_expect(cases >= 45, "only %zu cases", cases);
}

Test(decode, orient_false_leaves_pixels_as_stored)
{
    static const char *const files[][2] = {{"exif_1.jpg", "exif_6.jpg"},
                                           {"exif_1.png", "exif_6.png"},
                                           {"codecs/exif_1.webp", "codecs/exif_6.webp"}};
    for (size_t i = 0; i < R2_COUNT(files); i++) {
        struct r2_error err = {0};
        struct r2_buffer plain = golden_read(files[i][0]), turned = golden_read(files[i][1]);
        struct r2_decode_options as_stored = {.orient = false};
        struct r2_image wanted = decode_good(r2_buffer_view(&plain)), got;
        struct r2_picture_info info;
        ASSERT_OK(r2_picture_decode(r2_buffer_view(&turned), &as_stored, &got, &info, &err), err);
        golden_expect_equal(&got, &wanted, 0, 0, files[i][1]);
        cr_expect_eq(info.orientation, 6);
        r2_image_finish(&got);
        r2_image_finish(&wanted);
        r2_buffer_finish(&plain);
        r2_buffer_finish(&turned);
    }
}

/* The chunk may stand behind the pixels too. */
Test(decode, png_exif_behind_the_pixels)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read("exif_6.png"), moved = {0};
    struct r2_image wanted = decode_good(r2_buffer_view(&file));
    const uint8_t *exif = memmem(file.data, file.size, "eXIf", 4);
    cr_assert(exif);
    size_t from = (size_t)(exif - file.data) - 4, size = 12u + exif[-1];
    size_t end = file.size - 12; /* IEND */
    cr_assert(from + size < end && exif[-2] == 0);
    ASSERT_OK(r2_buffer_append(&moved, file.data, from, &err), err);
    ASSERT_OK(r2_buffer_append(&moved, file.data + from + size, end - from - size, &err), err);
    ASSERT_OK(r2_buffer_append(&moved, file.data + from, size, &err), err);
    ASSERT_OK(r2_buffer_append(&moved, file.data + end, 12, &err), err);
    struct r2_image got = decode_good(r2_buffer_view(&moved));
    golden_expect_equal(&got, &wanted, 0, 0, "eXIf behind the pixels");
    r2_image_finish(&got);
    r2_image_finish(&wanted);
    r2_buffer_finish(&moved);
    r2_buffer_finish(&file);
}

Test(decode, pixel_limit)
{
    static const char *const files[] = {"jpeg_444.jpg", "jpeg_progressive.jpg",
                                        "codecs/webp_lossy.webp", "codecs/webp_animated.webp"};
    for (size_t i = 0; i < R2_COUNT(files); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = golden_read(files[i]);
        struct r2_decode_options options = {.limits.max_pixels = 75 * 53 - 1};
        struct r2_image image;
        EXPECT_FAIL(r2_picture_decode(r2_buffer_view(&file), &options, &image, NULL, &err), err,
                    R2_INVALID, "the picture has 75 x 53 = 3975 pixels, the limit is 3974");
        options.limits.max_pixels = 75 * 53;
        ASSERT_OK(r2_picture_decode(r2_buffer_view(&file), &options, &image, NULL, &err), err);
        r2_image_finish(&image);
        r2_buffer_finish(&file);
    }
}

/* A progressive JPEG needs all its coefficients in memory, an interlaced PNG all its rows. */
Test(decode, memory_limit)
{
    static const struct {
        const char *file;
        size_t needed;
    } cases[] = {
        {"jpeg_444.jpg", 75 * 53 * 3 + 75 * 4 * 16},
        {"jpeg_progressive_444.jpg", 75 * 53 * 3 + 75 * 4 * 16 + 3 * 10 * 7 * 128},
        {"png_2_8.png", 21 * 11 * 3},
        {"png_6_8.png", 21 * 11 * 3 + 21 * 4 * 16},
        {"png_6_8_interlaced.png", 19 * 13 * 3 + 19 * 13 * 4},
        {"codecs/webp_lossy.webp", 75 * 53 * 3 + 75 * 72},
        {"codecs/webp_lossless.webp", 75 * 53 * (3 + 4) + 75 * 72},
        {"codecs/webp_lossy_alpha.webp", 75 * 53 * (3 + 4 + 5) + 75 * 72},
        {"codecs/webp_lossless_alpha.webp", 75 * 53 * (3 + 4 + 4) + 75 * 72},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        char message[200];
        struct r2_buffer file = golden_read(cases[i].file);
        struct r2_decode_options options = {.limits.max_memory = cases[i].needed - 1};
        struct r2_image image;
        snprintf(message, sizeof message,
                 "decoding the picture needs %zu bytes of memory, the limit is %zu",
                 cases[i].needed, cases[i].needed - 1);
        EXPECT_FAIL(r2_picture_decode(r2_buffer_view(&file), &options, &image, NULL, &err), err,
                    R2_INVALID, message);
        options.limits.max_memory = 1 << 20;
        ASSERT_OK(r2_picture_decode(r2_buffer_view(&file), &options, &image, NULL, &err), err);
        r2_image_finish(&image);
        r2_buffer_finish(&file);
    }
}
