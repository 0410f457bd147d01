/*
 * Files that are damaged or made to hurt: flipped, huge on paper, endless. test_truncated.c has those
 * that are cut off.
 */
#include <sys/resource.h>

#include "base/memory.h"
#include "image/decode.h"
#include "tests/image/golden.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

static const struct r2_decode_options limited = {
    .limits = {.max_pixels = 1 << 20, .max_memory = 32 << 20}, .orient = true, .strict = true};

static enum r2_status try_decode(struct r2_bytes file, struct r2_error *err)
{
    struct r2_image image = {0};
    struct r2_picture_info info = {0};
    enum r2_status status = r2_picture_decode(file, &limited, &image, &info, err);
    cr_assert(status == R2_OK ? image.pixels != NULL : !image.pixels && *err->message);
    if (status == R2_OK) r2_image_finish(&image);
    return status;
}

/* PNG checksum. */
static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int byte = 0; byte < 4; byte++) to[byte] = (uint8_t)(value >> (24 - 8 * byte));
}

static void set_png_size(struct r2_buffer *file, uint32_t width, uint32_t height)
{
    put_u32(file->data + 16, width);
    put_u32(file->data + 20, height);
    put_u32(file->data + 29, crc32_of(file->data + 12, 17));
}

/* The first byte of a two-byte marker, from `at` on. */
static size_t find_marker(const struct r2_buffer *file, uint8_t marker, size_t at)
{
    while (at + 1 < file->size && !(file->data[at] == 0xFF && file->data[at + 1] == marker)) at++;
    cr_assert(at + 1 < file->size, "no marker %02x", marker);
    return at;
}

/* The marker that begins the frame header: baseline or progressive. */
static size_t find_frame(const struct r2_buffer *file)
{
    size_t at = 2;
    while (at + 4 < file->size && file->data[at + 1] != 0xC0 && file->data[at + 1] != 0xC2)
        at += 2 + ((size_t)file->data[at + 2] << 8 | file->data[at + 3]);
    cr_assert(at + 9 < file->size && file->data[at] == 0xFF, "no frame");
    return at;
}

static void set_jpeg_size(struct r2_buffer *file, uint32_t width, uint32_t height)
{
    uint8_t *size = file->data + find_frame(file) + 5;
    size[0] = (uint8_t)(height >> 8), size[1] = (uint8_t)height;
    size[2] = (uint8_t)(width >> 8), size[3] = (uint8_t)width;
}

Test(hostile, bytes_behind_the_picture_do_no_harm)
{
    static const char *const files[] = {"jpeg_420.jpg", "png_6_8.png", "codecs/webp_lossy.webp",
                                        "codecs/exif_5.webp", "codecs/webp_animated.webp"};
    for (size_t i = 0; i < R2_COUNT(files); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = golden_read(files[i]);
        ASSERT_OK(r2_buffer_append(&file, "trailer", 7, &err), err);
        ASSERT_OK(try_decode(r2_buffer_view(&file), &err), err);
        r2_buffer_finish(&file);
    }
}

/* Every bit of a PNG behind the signature is under a checksum. */
Test(hostile, png_with_any_flipped_bit_is_refused)
{
    static const char *const files[] = {"png_6_8_interlaced.png", "png_3_2_key.png", "exif_5.png"};
    for (size_t i = 0; i < R2_COUNT(files); i++) {
        struct r2_buffer file = golden_read(files[i]);
        for (size_t at = 0; at < file.size; at++) {
            struct r2_error err = {0};
            uint8_t kept = file.data[at];
            file.data[at] ^= (uint8_t)(1u << at % 8);
            enum r2_status status = try_decode(r2_buffer_view(&file), &err);
            cr_assert_eq(status, at < 8 ? R2_UNSUPPORTED : R2_INVALID, "%s, byte %zu: %s", files[i],
                         at, err.message);
            file.data[at] = kept;
        }
        r2_buffer_finish(&file);
    }
}

/* A checksum in IDAT, and one in a chunk that pixels do not need. */
Test(hostile, png_checksum_errors_say_so)
{
    static const struct {
        const char *file, *chunk;
    } cases[] = {{"png_2_8.png", "IDAT"}, {"exif_5.png", "eXIf"}, {"png_3_8.png", "PLTE"}};
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = golden_read(cases[i].file);
        uint8_t *chunk = memmem(file.data, file.size, cases[i].chunk, 4);
        cr_assert(chunk && chunk - file.data >= 8);
        uint32_t length = (uint32_t)chunk[-2] << 8 | chunk[-1];
        chunk[4 + length] ^= 0x55; /* in the checksum behind the data */
        cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
        cr_expect(strstr(err.message, "CRC error") && strstr(err.message, cases[i].chunk), "%s: %s",
                  cases[i].file, err.message);
        r2_buffer_finish(&file);
    }
}

Test(hostile, random_damage)
{
    static const char *const files[] = {
        "jpeg_420.jpg",
        "jpeg_progressive.jpg",
        "jpeg_restart.jpg",
        "jpeg_cmyk_progressive.jpg",
        "jpeg_gray.jpg",
        "exif_7.jpg",
        "exif_7.png",
        "png_4_16_interlaced.png",
        "codecs/jpeg_arithmetic.jpg",
        "codecs/webp_lossy_alpha.webp",
        "codecs/exif_7.webp",
        "codecs/webp_animated_alpha.webp",
    };
    uint64_t random = 5;
    for (int round = 0; round < 9000; round++) {
        struct r2_error err = {0};
        struct r2_buffer file = golden_read(files[(size_t)round % R2_COUNT(files)]);
        for (uint64_t changes = 1 + next_random(&random) % 8; changes > 0; changes--) {
            size_t at = next_random(&random) % file.size;
            if (round % 3 == 0) at %= 700; /* headers more often */
            file.data[at < file.size ? at : 0] = (uint8_t)next_random(&random);
        }
        try_decode(r2_buffer_view(&file), &err);
        r2_buffer_finish(&file);
    }
}

/* Of a file of one chunk, and of one with canvas and frames. */
static void set_webp_size(struct r2_buffer *file, uint32_t width, uint32_t height)
{
    uint8_t *chunk = file->data + 12;
    if (memcmp(chunk, "VP8 ", 4) == 0) {
        const uint8_t size[] = {(uint8_t)width, (uint8_t)(width >> 8), (uint8_t)height,
                                (uint8_t)(height >> 8)};
        memcpy(chunk + 14, size, sizeof size);
    } else if (memcmp(chunk, "VP8L", 4) == 0) {
        uint32_t bits = (width - 1) | (height - 1) << 14;
        for (int byte = 0; byte < 3; byte++) chunk[9 + byte] = (uint8_t)(bits >> 8 * byte);
        chunk[12] = (uint8_t)((chunk[12] & 0xF0) | (bits >> 24));
    } else {
        cr_assert(memcmp(chunk, "VP8X", 4) == 0);
        for (int byte = 0; byte < 3; byte++) {
            chunk[12 + byte] = (uint8_t)((width - 1) >> 8 * byte);
            chunk[15 + byte] = (uint8_t)((height - 1) >> 8 * byte);
        }
    }
}

static void set_size(const char *name, struct r2_buffer *file, uint32_t width, uint32_t height)
{
    if (strstr(name, ".png"))
        set_png_size(file, width, height);
    else if (strstr(name, ".webp"))
        set_webp_size(file, width, height);
    else
        set_jpeg_size(file, width, height);
}

/* Large only in the header: refused by the numbers. Memory for the pixels could not be had here. */
Test(hostile, huge_headers_fail_before_memory_is_taken)
{
    static const struct {
        const char *file;
        uint32_t width, height;
        size_t max_pixels, max_memory;
        const char *message;
    } cases[] = {
        {"png_2_8.png", 10000, 10000, 50000000, 0,
         "the picture has 10000 x 10000 = 100000000 pixels, the limit is 50000000"},
        {"png_2_8_interlaced.png", 10000, 10000, 50000000, 0,
         "the picture has 10000 x 10000 = 100000000 pixels, the limit is 50000000"},
        {"jpeg_444.jpg", 10000, 10000, 50000000, 0,
         "the picture has 10000 x 10000 = 100000000 pixels, the limit is 50000000"},
        {"jpeg_progressive.jpg", 65500, 65500, 50000000, 0,
         "the picture has 65500 x 65500 = 4290250000 pixels, the limit is 50000000"},
        {"jpeg_444.jpg", 20000, 20000, 0, 500000000,
         "decoding the picture needs 1201280000 bytes of memory, the limit is 500000000"},
        {"jpeg_progressive_444.jpg", 10000, 10000, 0, 500000000,
         "decoding the picture needs 900640000 bytes of memory, the limit is 500000000"},
        {"png_2_8.png", 20000, 20000, 0, 500000000,
         "decoding the picture needs 1200000000 bytes of memory, the limit is 500000000"},
        {"codecs/webp_lossy.webp", 16383, 16383, 50000000, 0,
         "the picture has 16383 x 16383 = 268402689 pixels, the limit is 50000000"},
        {"codecs/webp_lossy.webp", 16383, 16383, 0, 500000000,
         "decoding the picture needs 806387643 bytes of memory, the limit is 500000000"},
        {"codecs/webp_lossless.webp", 10000, 10000, 0, 500000000,
         "decoding the picture needs 700720000 bytes of memory, the limit is 500000000"},
        {"codecs/webp_animated.webp", 16777216, 255, 50000000, 0,
         "the picture has 16777216 x 255 = 4278190080 pixels, the limit is 50000000"},
        {"png_2_8.png", 2147483647, 2147483647, 0, 0,
         "the picture has 2147483647 x 2147483647 pixels, the limit of a side is 1000000"},
        {"png_2_8.png", 1000001, 1, 0, 0,
         "the picture has 1000001 x 1 pixels, the limit of a side is 1000000"},
        {"png_2_8.png", 0, 11, 0, 0, "the picture has 0 x 11 pixels: no side may be 0"},
        {"png_2_8.png", 11, 0, 0, 0, "the picture has 11 x 0 pixels: no side may be 0"},
    };
    struct rlimit memory = {256 << 20, 256 << 20};
    if (!SANITIZED) cr_assert(setrlimit(RLIMIT_AS, &memory) == 0);
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_image image;
        struct r2_buffer file = golden_read(cases[i].file);
        set_size(cases[i].file, &file, cases[i].width, cases[i].height);
        struct r2_decode_options options = {.limits = {cases[i].max_pixels, cases[i].max_memory},
                                            .orient = true};
        EXPECT_FAIL(r2_picture_decode(r2_buffer_view(&file), &options, &image, NULL, &err), err,
                    R2_INVALID, cases[i].message);
        r2_buffer_finish(&file);
    }
}

Test(hostile, jpeg_without_height_or_width)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read("jpeg_444.jpg");
    set_jpeg_size(&file, 75, 0);
    EXPECT_FAIL(try_decode(r2_buffer_view(&file), &err), err, R2_INVALID,
                "JPEG data is corrupt: Empty JPEG image (DNL not supported)");
    set_jpeg_size(&file, 0, 53);
    EXPECT_FAIL(try_decode(r2_buffer_view(&file), &err), err, R2_INVALID,
                "JPEG data is corrupt: Empty JPEG image (DNL not supported)");
    r2_buffer_finish(&file);
}

/* A real size is smaller than the header says: the end mark comes too early, or the next scan. */
Test(hostile, jpeg_that_promises_more_than_it_has)
{
    static const char *const cases[][2] = {
        {"jpeg_444.jpg", "end inside the picture"},
        {"jpeg_progressive.jpg", "JPEG data is corrupt: premature end of data segment"},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = golden_read(cases[i][0]);
        set_jpeg_size(&file, 75, 153);
        cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
        cr_expect(strstr(err.message, cases[i][1]), "%s: %s", cases[i][0], err.message);
        r2_buffer_finish(&file);
    }
}

Test(hostile, kinds_of_jpeg_that_are_not_read)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read("jpeg_444.jpg");
    uint8_t *frame = file.data + find_frame(&file);
    frame[4] = 12;
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_UNSUPPORTED, "12 bits: %s",
                 err.message);
    cr_expect(strstr(err.message, "12"), "%s", err.message);
    frame[4] = 8;
    frame[1] = 0xC3;
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_UNSUPPORTED, "lossless: %s",
                 err.message);
    r2_buffer_finish(&file);
}

/* file with the segment [from, to) written `times` more */
static struct r2_buffer repeat_segment(const struct r2_buffer *file, size_t from, size_t to,
                                       int times)
{
    struct r2_error err = {0};
    struct r2_buffer out = {0};
    ASSERT_OK(r2_buffer_append(&out, file->data, to, &err), err);
    for (int i = 0; i < times; i++)
        ASSERT_OK(r2_buffer_append(&out, file->data + from, to - from, &err), err);
    ASSERT_OK(r2_buffer_append(&out, file->data + to, file->size - to, &err), err);
    return out;
}

/* The first scan of a progressive file holds the mean of each block and can be said again. */
Test(hostile, progressive_bomb)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read("jpeg_gray_progressive.jpg");
    size_t first = find_marker(&file, 0xDA, 0), next = first + 2;
    int scans = 0;
    for (size_t at = first; at + 1 < file.size; at++)
        scans += file.data[at] == 0xFF && file.data[at + 1] == 0xDA;
    cr_assert(scans > 3);
    while (file.data[next] != 0xFF || file.data[next + 1] == 0) next++;
    struct r2_buffer most = repeat_segment(&file, first, next, R2_JPEG_MAX_SCANS - scans);
    ASSERT_OK(try_decode(r2_buffer_view(&most), &err), err);
    struct r2_buffer more = repeat_segment(&file, first, next, R2_JPEG_MAX_SCANS - scans + 1);
    EXPECT_FAIL(try_decode(r2_buffer_view(&more), &err), err, R2_INVALID,
                "the JPEG has more than 100 scans");
    r2_buffer_finish(&more);
    r2_buffer_finish(&most);
    r2_buffer_finish(&file);
}

/* file with `size` bytes put in at `at` */
static struct r2_buffer insert_bytes(const struct r2_buffer *file, size_t at, const void *data,
                                     size_t size)
{
    struct r2_error err = {0};
    struct r2_buffer out = {0};
    ASSERT_OK(r2_buffer_append(&out, file->data, at, &err), err);
    ASSERT_OK(r2_buffer_append(&out, data, size, &err), err);
    ASSERT_OK(r2_buffer_append(&out, file->data + at, file->size - at, &err), err);
    return out;
}

/* Some cameras pad the compressed data; elsewhere stray bytes mean that pixels are missing. */
Test(hostile, jpeg_with_stray_bytes)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read("jpeg_restart.jpg");
    size_t end = find_marker(&file, 0xD9, 0), restart = find_marker(&file, 0xD3, 0);
    struct r2_buffer padded = insert_bytes(&file, end, "\0\0\0\0\0\0\0\0", 8);
    ASSERT_OK(try_decode(r2_buffer_view(&padded), &err), err);
    struct r2_buffer stray = insert_bytes(&file, restart, "\0\0\0\0\0\0\0\0", 8);
    EXPECT_FAIL(try_decode(r2_buffer_view(&stray), &err), err, R2_INVALID,
                "JPEG data is corrupt: 8 extraneous bytes before marker 0xd3");
    memmove(file.data + restart - 8, file.data + restart, file.size - restart);
    file.size -= 8; /* the end of a restart interval is missing */
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
    r2_buffer_finish(&stray);
    r2_buffer_finish(&padded);
    r2_buffer_finish(&file);
}

/* Chunks that pixels do not need are skipped: a profile that would not unpack does no harm. */
Test(hostile, png_with_a_broken_profile)
{
    struct r2_error err = {0};
    uint8_t chunk[8 + 40 + 4] = "\0\0\0\x28iCCPname\0\0not a zlib stream";
    put_u32(chunk + 48, crc32_of(chunk + 4, 44));
    struct r2_buffer file = golden_read("png_2_8.png");
    struct r2_buffer with = insert_bytes(&file, 33, chunk, sizeof chunk); /* behind IHDR */
    struct r2_image wanted = decode_good(r2_buffer_view(&file));
    struct r2_image got = decode_good(r2_buffer_view(&with));
    golden_expect_equal(&got, &wanted, 0, 0, "with a broken profile");
    with.data[33 + 48] ^= 1;
    cr_expect_eq(try_decode(r2_buffer_view(&with), &err), R2_INVALID, "but its checksum counts");
    r2_image_finish(&got);
    r2_image_finish(&wanted);
    r2_buffer_finish(&with);
    r2_buffer_finish(&file);
}

/* Lengths that lie must not lead the search for eXIf out of the file. */
Test(hostile, png_chunk_lengths_that_lie)
{
    static const uint32_t lengths[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF4, 0xFFFFFFFF};
    for (size_t i = 0; i < R2_COUNT(lengths); i++) {
        struct r2_error err = {0};
        struct r2_buffer file = golden_read("exif_6.png");
        uint8_t *copy = exact_copy(r2_buffer_view(&file), file.size);
        put_u32(copy + 33, lengths[i]); /* of the chunk behind IHDR */
        enum r2_status status = try_decode((struct r2_bytes){copy, file.size}, &err);
        cr_expect_eq(status, R2_INVALID, "length %u: %s", lengths[i], err.message);
        free(copy);
        r2_buffer_finish(&file);
    }
}

/* A frame that sticks out of its canvas, and sizes of one picture that do not agree. */
Test(hostile, webp_sizes_that_lie)
{
    struct r2_error err = {0};
    struct r2_buffer file = golden_read("codecs/webp_animated.webp");
    uint8_t *frame = memmem(file.data, file.size, "ANMF", 4);
    cr_assert(frame);
    frame[8] = 1;
    EXPECT_FAIL(
        try_decode(r2_buffer_view(&file), &err), err, R2_INVALID,
        "WebP data is corrupt: the first frame of 75 x 53 pixels at 2, 0 lies outside of the "
        "75 x 53 of the animation");
    memset(frame + 8, 0xFF, 6);
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
    cr_expect(strstr(err.message, "at 33554430, 33554430"), "%s", err.message);
    r2_buffer_finish(&file);
    file = golden_read("codecs/exif_6.webp");
    set_webp_size(&file, 36, 23);
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
    cr_expect(strstr(err.message, "WebP data is corrupt"), "%s", err.message);
    r2_buffer_finish(&file);
}

/* EXIF segments whose length, offsets or entries lie leave the picture as it is stored. */
Test(hostile, exif_that_lies)
{
    struct r2_buffer file = golden_read("exif_6.jpg");
    uint8_t *exif = memmem(file.data, file.size, "Exif\0", 6);
    cr_assert(exif);
    uint8_t kept[4];
    memcpy(kept, exif + 10, 4);
    for (unsigned value = 0; value < 256; value++) {
        struct r2_error err = {0};
        memset(exif + 10, (int)value, 4); /* the offset of IFD0 */
        ASSERT_OK(try_decode(r2_buffer_view(&file), &err), err);
    }
    memcpy(exif + 10, kept, 4);
    struct r2_error err = {0};
    exif[-2] = exif[-1] = 0xFF; /* the segment's length: behind the end of the file */
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
    cr_expect(strstr(err.message, "truncated"), "%s", err.message);
    exif[-2] = 0, exif[-1] = 1; /* less than the length's own two bytes */
    cr_expect_eq(try_decode(r2_buffer_view(&file), &err), R2_INVALID);
    r2_buffer_finish(&file);
}
