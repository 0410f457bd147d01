#include "image/decode.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "image/codec.h"

#define FORMAT_LIST "JPEG, PNG, WebP"

static const struct {
    const char *name, *mime;
    enum r2_status (*decode)(struct r2_bytes file, const struct r2_decode_options *options,
                             struct r2_image *ret, struct r2_picture_info *ret_info,
                             struct r2_error *err);
} formats[R2_FORMAT_COUNT] = {
    [R2_FORMAT_UNKNOWN] = {"unknown", "application/octet-stream", NULL},
    [R2_FORMAT_JPEG] = {"JPEG", "image/jpeg", r2_jpeg_decode},
    [R2_FORMAT_PNG] = {"PNG", "image/png", r2_png_decode},
    [R2_FORMAT_WEBP] = {"WebP", "image/webp", r2_webp_decode},
    [R2_FORMAT_GIF] = {"GIF", "image/gif", NULL},
    [R2_FORMAT_HEIC] = {"HEIC", "image/heic", NULL},
    [R2_FORMAT_AVIF] = {"AVIF", "image/avif", NULL},
    [R2_FORMAT_JXL] = {"JPEG XL", "image/jxl", NULL},
    [R2_FORMAT_BMP] = {"BMP", "image/bmp", NULL},
    [R2_FORMAT_TIFF] = {"TIFF", "image/tiff", NULL},
};

static bool has_bytes(struct r2_bytes file, size_t at, const void *expected, size_t size)
{
    return file.size >= at + size && memcmp(file.data + at, expected, size) == 0;
}

/* ISO media files begin with a box of type ftyp: length, "ftyp", major brand, version, then
   compatible brands. "mif1" and "msf1" say only that it is a still or a sequence. */
static enum r2_format detect_iso_media(struct r2_bytes file)
{
    static const struct {
        char brand[5];
        enum r2_format format;
    } brands[] = {
        {"avif", R2_FORMAT_AVIF}, {"avis", R2_FORMAT_AVIF}, {"heic", R2_FORMAT_HEIC},
        {"heim", R2_FORMAT_HEIC}, {"heis", R2_FORMAT_HEIC}, {"heix", R2_FORMAT_HEIC},
        {"hevc", R2_FORMAT_HEIC}, {"hevx", R2_FORMAT_HEIC},
    };
    if (!has_bytes(file, 4, "ftyp", 4)) return R2_FORMAT_UNKNOWN;
    uint32_t box = (uint32_t)file.data[0] << 24 | (uint32_t)file.data[1] << 16 |
                   (uint32_t)file.data[2] << 8 | file.data[3];
    size_t end = box < file.size ? box : file.size;
    if (end > 256) end = 256;
    for (size_t at = 8; at + 4 <= end; at += 4)
        for (size_t i = 0; i < R2_COUNT(brands); i++)
            if (at != 12 && has_bytes(file, at, brands[i].brand, 4)) return brands[i].format;
    return R2_FORMAT_UNKNOWN;
}

enum r2_format r2_format_detect(struct r2_bytes file)
{
    if (has_bytes(file, 0, "\xFF\xD8\xFF", 3)) return R2_FORMAT_JPEG;
    if (has_bytes(file, 0, "\x89PNG\r\n\x1A\n", 8)) return R2_FORMAT_PNG;
    if (has_bytes(file, 0, "RIFF", 4) && has_bytes(file, 8, "WEBP", 4)) return R2_FORMAT_WEBP;
    if (has_bytes(file, 0, "GIF87a", 6) || has_bytes(file, 0, "GIF89a", 6)) return R2_FORMAT_GIF;
    if (has_bytes(file, 0, "\xFF\x0A", 2) || has_bytes(file, 0, "\0\0\0\x0CJXL \r\n\x87\n", 12))
        return R2_FORMAT_JXL;
    if (has_bytes(file, 0, "BM", 2) && has_bytes(file, 6, "\0\0\0\0", 4)) return R2_FORMAT_BMP;
    if (has_bytes(file, 0, "II*\0", 4) || has_bytes(file, 0, "MM\0*", 4)) return R2_FORMAT_TIFF;
    return detect_iso_media(file);
}

const char *r2_format_name(enum r2_format format)
{
    return formats[(unsigned)format < R2_FORMAT_COUNT ? format : R2_FORMAT_UNKNOWN].name;
}

const char *r2_format_mime(enum r2_format format)
{
    return formats[(unsigned)format < R2_FORMAT_COUNT ? format : R2_FORMAT_UNKNOWN].mime;
}

bool r2_format_decodable(enum r2_format format)
{
    return (unsigned)format < R2_FORMAT_COUNT && formats[format].decode;
}

const char *r2_format_list(void)
{
    return FORMAT_LIST;
}

enum r2_status r2_limits_check_pixels(const struct r2_decode_limits *limits, uint32_t width,
                                      uint32_t height, struct r2_error *err)
{
    uint64_t pixels = (uint64_t)width * height;
    if (!pixels)
        return r2_fail(err, R2_INVALID,
                       "the picture has %" PRIu32 " x %" PRIu32 " pixels: no side may be 0", width,
                       height);
    if (limits->max_pixels && pixels > limits->max_pixels)
        return r2_fail(err, R2_INVALID,
                       "the picture has %" PRIu32 " x %" PRIu32 " = %" PRIu64
                       " pixels, the limit is %" PRIu64,
                       width, height, pixels, limits->max_pixels);
    return R2_OK;
}

enum r2_status r2_limits_check_memory(const struct r2_decode_limits *limits, uint64_t needed,
                                      struct r2_error *err)
{
    if (limits->max_memory && needed > limits->max_memory)
        return r2_fail(err, R2_INVALID,
                       "decoding the picture needs %" PRIu64 " bytes of memory, the limit is %zu",
                       needed, limits->max_memory);
    return R2_OK;
}

static enum r2_status detect_decodable(struct r2_bytes file, enum r2_format *ret,
                                       struct r2_error *err)
{
    if (!file.size) return r2_fail(err, R2_INVALID, "there is no picture: 0 bytes");
    enum r2_format format = r2_format_detect(file);
    if (format == R2_FORMAT_UNKNOWN)
        return r2_fail(err, R2_UNSUPPORTED,
                       "the %zu bytes are not a picture of a known format; accepted: " FORMAT_LIST,
                       file.size);
    if (!r2_format_decodable(format))
        return r2_fail(err, R2_UNSUPPORTED, "%s pictures are not supported; accepted: " FORMAT_LIST,
                       r2_format_name(format));
    *ret = format;
    return R2_OK;
}

/* What a client is told who wants whole pictures, or whose picture has nothing to see. */
static enum r2_status refuse_truncated(struct r2_bytes file, const struct r2_picture_info *info,
                                       struct r2_error *err)
{
    return r2_fail(err, R2_INVALID, "%s data is truncated: the %zu bytes end %s the picture",
                   r2_format_name(info->format), file.size,
                   info->rows ? "inside" : "before the first row of");
}

enum r2_status r2_picture_decode(struct r2_bytes file, const struct r2_decode_options *options,
                                 struct r2_image *ret, struct r2_picture_info *ret_info,
                                 struct r2_error *err)
{
    enum r2_format format = R2_FORMAT_UNKNOWN;
    struct r2_picture_info info = {0};
    struct r2_image image = {0};
    R2_TRY(detect_decodable(file, &format, err));
    R2_TRY(formats[format].decode(file, options, &image, &info, err));
    if (info.truncated && (options->strict || !info.rows)) {
        r2_image_finish(&image);
        return refuse_truncated(file, &info, err);
    }
    *ret = image;
    if (ret_info) *ret_info = info;
    return R2_OK;
}
