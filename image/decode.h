/*
 * From the bytes of a picture file to pixels.
 *
 * The magic bytes decide the format, nothing else. Headers are read first and measured against the
 * limits before memory is taken. Pixels equal Pillow's: image.convert("RGB"), transparency laid
 * over white, 16-bit samples cut to their high byte (grey too, which Pillow clips), CMYK taken as
 * inverted with or without Adobe's marker, colour profiles and gamma ignored, of an animation the
 * first frame, EXIF orientation applied as ImageOps.exif_transpose does.
 *
 * A truncated file gives what it has, and a grey of 128 for the rows that are missing; of a
 * progressive JPEG or an interlaced PNG, all rows from the passes that are there.
 */
#ifndef R2_IMAGE_DECODE_H
#define R2_IMAGE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/image.h"

/* File formats that are told apart; r2_format_decodable says which of them can be read. */
enum r2_format {
    R2_FORMAT_UNKNOWN,
    R2_FORMAT_JPEG,
    R2_FORMAT_PNG,
    R2_FORMAT_WEBP,
    R2_FORMAT_GIF,
    R2_FORMAT_HEIC,
    R2_FORMAT_AVIF,
    R2_FORMAT_JXL,
    R2_FORMAT_BMP,
    R2_FORMAT_TIFF,
    R2_FORMAT_COUNT
};

enum r2_format r2_format_detect(struct r2_bytes file);

/* "JPEG" and "image/jpeg", "unknown" and "application/octet-stream"; static. */
const char *r2_format_name(enum r2_format format);
const char *r2_format_mime(enum r2_format format);

bool r2_format_decodable(enum r2_format format);

/* What can be read, for messages: "JPEG, PNG, WebP"; static. */
const char *r2_format_list(void);

/* What the header says, and how much of the picture there was. */
struct r2_picture_info {
    enum r2_format format;
    uint32_t width, height; /* as stored, before orientation: 5..8 exchange them */
    unsigned orientation;   /* EXIF, 1..8; 1 = upright or not given */
    bool truncated;         /* the file ends too early, if only by its end mark */
    uint32_t rows;          /* stored rows that have pixels from the file: 1..height */
};

struct r2_decode_limits {
    uint64_t max_pixels; /* width * height; 0 = none */
    size_t max_memory;   /* bytes for pixels and the decoder's buffers together; 0 = none */
};

struct r2_decode_options {
    struct r2_decode_limits limits;
    bool orient; /* turn the picture upright by its EXIF orientation */
    bool strict; /* refuse truncated files */
};

/*
 * Decodes a picture. ret is finished by the caller; ret_info may be NULL.
 *
 *   R2_UNSUPPORTED  a format, or a kind of JPEG, that is not read (names it and lists what is)
 *   R2_INVALID      empty or corrupt data; truncated data, where strict or without a row of pixels;
 *                   more than max_pixels; would need more than max_memory; more scans than
 *                   R2_JPEG_MAX_SCANS
 *   R2_NO_MEMORY    the system refused
 */
enum r2_status r2_picture_decode(struct r2_bytes file, const struct r2_decode_options *options,
                                 struct r2_image *ret, struct r2_picture_info *ret_info,
                                 struct r2_error *err);

/* A progressive JPEG can make the decoder pass over all pixels once for a few bytes. Cameras and
   converters write about 10 scans. */
enum { R2_JPEG_MAX_SCANS = 100 };

#endif
