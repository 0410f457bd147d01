/*
 * A picture file, decoded as stored and upright, and again strictly; a PNG also with its checksums
 * put right, which mutations break.
 */
#include "image/decode.h"
#include "tests/fuzz/fuzz.h"

/* Strictly, a file is refused that is truncated or refused anyhow, and no other. */
static void decode_strictly(struct r2_bytes file, struct r2_decode_options options, bool whole)
{
    struct r2_error err = {0};
    struct r2_image image = {0};
    options.strict = true;
    FUZZ_MUST((r2_picture_decode(file, &options, &image, NULL, &err) == R2_OK) == whole);
    FUZZ_MUST(whole || (err.message[0] && !image.pixels));
    r2_image_finish(&image);
}

static void decode(struct r2_bytes file, bool orient)
{
    const struct r2_decode_options options = {
        .limits = {.max_pixels = 1 << 20, .max_memory = 64 << 20}, .orient = orient};
    struct r2_error err = {0};
    struct r2_picture_info info;
    struct r2_image image = {0};
    if (r2_picture_decode(file, &options, &image, &info, &err) != R2_OK) {
        FUZZ_MUST(err.status != R2_OK && err.status != R2_INTERNAL && err.message[0]);
        FUZZ_MUST(!image.pixels);
        if (orient) decode_strictly(file, options, false);
        return;
    }
    bool turned = orient && info.orientation >= 5;
    FUZZ_MUST(info.format == r2_format_detect(file));
    FUZZ_MUST(info.rows >= 1 && info.rows <= info.height);
    FUZZ_MUST(info.truncated || info.rows == info.height);
    FUZZ_MUST(image.width == (turned ? info.height : info.width));
    FUZZ_MUST(image.height == (turned ? info.width : info.height));
    fuzz_touch(image.pixels, r2_image_stride(&image) * image.height);
    r2_image_finish(&image);
    if (orient) decode_strictly(file, options, !info.truncated);
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void repair_png(uint8_t *file, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        uint32_t length = read_u32(file + at), crc = 0xFFFFFFFF;
        if (length > size - at - 12) return;
        uint8_t *end = file + at + 8 + length;
        for (const uint8_t *p = file + at + 4; p < end; p++) {
            crc ^= *p;
            for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
        }
        for (int byte = 0; byte < 4; byte++) end[byte] = (uint8_t)(~crc >> (24 - 8 * byte));
        at += 12 + (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_bytes file = {data, size};
    decode(file, false);
    decode(file, true);
    if (r2_format_detect(file) != R2_FORMAT_PNG) return 0;
    uint8_t *repaired = (uint8_t *)fuzz_copy(data, size, false);
    repair_png(repaired, size);
    decode((struct r2_bytes){repaired, size}, true);
    free(repaired);
    return 0;
}
