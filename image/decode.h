/*
 * From the bytes of a picture file to pixels.
 *
 * The magic bytes decide the format, nothing else. Headers are read first and measured against the
 * limits before memory is taken. Pixels equal Pillow's: image.convert("RGB"), transparency laid
 * over white, 16-bit samples cut to their high byte, EXIF orientation applied as
 * ImageOps.exif_transpose does.
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
    R2_FORMAT_COUNT
};

enum r2_format r2_format_detect(struct r2_bytes file);

/* "JPEG" and "image/jpeg", "unknown" and "application/octet-stream"; static. */
const char *r2_format_name(enum r2_format format);
const char *r2_format_mime(enum r2_format format);

bool r2_format_decodable(enum r2_format format);

/* What can be read, for messages: "JPEG, PNG"; static. */
const char *r2_format_list(void);

/* What the header says. */
struct r2_picture_info {
    enum r2_format format;
    uint32_t width, height; /* as stored, before orientation: 5..8 exchange them */
    unsigned orientation;   /* EXIF, 1..8; 1 = upright or not given */
};

struct r2_decode_limits {
    uint64_t max_pixels; /* width * height; 0 = none */
    size_t max_memory;   /* bytes for pixels and the decoder's buffers together; 0 = none */
};

struct r2_decode_options {
    struct r2_decode_limits limits;
    bool orient; /* turn the picture upright by its EXIF orientation */
};

/* Reads headers only. Errors as r2_picture_decode, without the limits; damage behind the headers is
   not seen. */
enum r2_status r2_picture_probe(struct r2_bytes file, struct r2_picture_info *ret,
                                struct r2_error *err);

/*
 * Decodes a whole picture. ret is finished by the caller; ret_info may be NULL.
 *
 *   R2_UNSUPPORTED  a format, or a kind of JPEG, that is not read (names it and lists what is)
 *   R2_INVALID      empty, truncated or corrupt data; more than max_pixels; would need more than
 *                   max_memory; more scans than R2_JPEG_MAX_SCANS
 *   R2_NO_MEMORY    the system refused
 */
enum r2_status r2_picture_decode(struct r2_bytes file, const struct r2_decode_options *options,
                                 struct r2_image *ret, struct r2_picture_info *ret_info,
                                 struct r2_error *err);

/* A progressive JPEG can make the decoder pass over all pixels once for a few bytes. Cameras and
   converters write about 10 scans. */
enum { R2_JPEG_MAX_SCANS = 100 };

#endif
