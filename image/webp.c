#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>

#include "base/memory.h"
#include "image/codec.h"
#include "image/exif.h"

/* The container: "RIFF", length, "WEBP", then chunks: type 4, length 4, data, padded to even. */
enum {
    RIFF_HEADER_SIZE = 12,
    CHUNK_HEADER_SIZE = 8,
    FRAME_HEADER_SIZE = 16, /* of ANMF: x / 2, y / 2, width - 1, height - 1, duration, flags */
};

struct webp_reader {
    struct r2_bytes file; /* cut to the container's length, when more follows */
    const struct r2_decode_options *options;
    struct r2_picture_info info;
    struct r2_bytes frame;    /* what libwebp decodes: the file, or an animation's first frame */
    uint32_t x, y;            /* of the frame in the picture */
    uint32_t width, height;   /* of the frame */
    bool has_alpha, lossless; /* the frame */
    unsigned channels;        /* of the stored picture: 4 when any of it may be transparent */
    struct r2_canvas canvas;
    uint8_t *stored; /* [height, width, channels]; NULL when rows go straight into the canvas */
    WebPIDecoder *decoder;
    struct r2_error *err;
};

static uint32_t read_u24(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static uint32_t read_u32(const uint8_t *p)
{
    return read_u24(p) | (uint32_t)p[3] << 24;
}

/* The data of the first chunk of a type, as much of it as there is; empty when there is none. */
static struct r2_bytes find_chunk(struct r2_bytes file, const char type[4])
{
    size_t at = RIFF_HEADER_SIZE;
    while (at < file.size && file.size - at >= CHUNK_HEADER_SIZE) {
        const uint8_t *chunk = file.data + at;
        uint64_t length = read_u32(chunk + 4);
        size_t left = file.size - at - CHUNK_HEADER_SIZE;
        if (memcmp(chunk, type, 4) == 0)
            return (struct r2_bytes){chunk + CHUNK_HEADER_SIZE, length < left ? length : left};
        length += length & 1;
        if (length > left) break;
        at += CHUNK_HEADER_SIZE + (size_t)length;
    }
    return (struct r2_bytes){0};
}

static enum r2_status fail_in_header(const struct webp_reader *reader)
{
    return r2_fail(reader->err, R2_INVALID,
                   "WebP data is truncated: the %zu bytes end inside the header",
                   reader->file.size);
}

static enum r2_status fail_by_status(const struct webp_reader *reader, VP8StatusCode status)
{
    switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA: return fail_in_header(reader);
    case VP8_STATUS_OUT_OF_MEMORY:
        return r2_fail(reader->err, R2_NO_MEMORY, "WebP decoder: no memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return r2_fail(reader->err, R2_UNSUPPORTED, "this kind of WebP is not supported");
    default:
        return r2_fail(reader->err, R2_INVALID, "WebP data is corrupt: libwebp's status is %d",
                       (int)status);
    }
}

/* An animation's first frame: where it lies, and its own header. */
static enum r2_status find_first_frame(struct webp_reader *reader, WebPBitstreamFeatures *features)
{
    struct r2_bytes chunk = find_chunk(reader->file, "ANMF");
    if (chunk.size < FRAME_HEADER_SIZE) return fail_in_header(reader);
    reader->x = read_u24(chunk.data) * 2;
    reader->y = read_u24(chunk.data + 3) * 2;
    reader->frame =
        (struct r2_bytes){chunk.data + FRAME_HEADER_SIZE, chunk.size - FRAME_HEADER_SIZE};
    VP8StatusCode status = WebPGetFeatures(reader->frame.data, reader->frame.size, features);
    if (status != VP8_STATUS_OK) return fail_by_status(reader, status);
    uint64_t right = (uint64_t)reader->x + (uint32_t)features->width;
    uint64_t bottom = (uint64_t)reader->y + (uint32_t)features->height;
    if (right > reader->info.width || bottom > reader->info.height)
        return r2_fail(reader->err, R2_INVALID,
                       "WebP data is corrupt: the first frame of %d x %d pixels at %u, %u lies "
                       "outside of the %u x %u of the animation",
                       features->width, features->height, reader->x, reader->y, reader->info.width,
                       reader->info.height);
    return R2_OK;
}

/* libwebp takes no memory for this. */
static enum r2_status read_header(struct webp_reader *reader)
{
    WebPBitstreamFeatures features;
    struct r2_bytes file = reader->file;
    VP8StatusCode status = WebPGetFeatures(file.data, file.size, &features);
    if (status != VP8_STATUS_OK) return fail_by_status(reader, status);
    reader->info = (struct r2_picture_info){
        .format = R2_FORMAT_WEBP,
        .width = (uint32_t)features.width,
        .height = (uint32_t)features.height,
        .orientation = r2_exif_orientation(find_chunk(file, "EXIF")),
        .truncated = reader->info.truncated,
    };
    reader->frame = file;
    bool animated = features.has_animation;
    if (animated) R2_TRY(find_first_frame(reader, &features));
    reader->width = (uint32_t)features.width;
    reader->height = (uint32_t)features.height;
    reader->has_alpha = features.has_alpha;
    reader->lossless = features.format == 2;
    reader->channels = reader->has_alpha || animated ? 4 : 3;
    return R2_OK;
}

static bool needs_store(const struct webp_reader *reader)
{
    return reader->channels == 4 || (reader->options->orient && reader->info.orientation != 1);
}

/* Bytes that decoding takes: pixels, the stored picture, and what libwebp holds: of a lossless file
   all pixels, else all of its alpha, compressed as a lossless picture; some rows. Its tables of
   Huffman codes are not in it: a lossless file decides how many there are, up to one for every 16
   pixels and 65536 (of 12 to 20 KB), and libwebp offers neither a limit nor an allocator. */
static uint64_t memory_needed(const struct webp_reader *reader)
{
    enum { ROWS_BYTES = 72 /* for a column */ };
    uint64_t pixels = (uint64_t)reader->info.width * reader->info.height;
    uint64_t inside = (uint64_t)reader->width * reader->height;
    uint64_t needed = pixels * 3 + (uint64_t)reader->width * ROWS_BYTES;
    if (needs_store(reader)) needed += pixels * reader->channels;
    if (reader->lossless) return needed + inside * 4;
    return needed + (reader->has_alpha ? inside * 5 : 0);
}

/* The stored picture's pixel x, y. */
static uint8_t *stored_at(const struct webp_reader *reader, uint32_t x, uint32_t y)
{
    uint8_t *pixels = reader->stored ? reader->stored : reader->canvas.image.pixels;
    return pixels + ((size_t)reader->info.width * y + x) * reader->channels;
}

/* Decodes the frame into its place. The decoder for pieces is given all at once: of a truncated
   file it keeps the rows that are complete. */
static enum r2_status read_frame(struct webp_reader *reader)
{
    size_t stride = (size_t)reader->info.width * reader->channels;
    size_t size = stride * (reader->height - 1) + (size_t)reader->width * reader->channels;
    uint8_t *start = stored_at(reader, reader->x, reader->y);
    reader->decoder =
        WebPINewRGB(reader->channels == 4 ? MODE_RGBA : MODE_RGB, start, size, (int)stride);
    if (!reader->decoder) return fail_by_status(reader, VP8_STATUS_OUT_OF_MEMORY);
    VP8StatusCode status = WebPIUpdate(reader->decoder, reader->frame.data, reader->frame.size);
    if (status != VP8_STATUS_OK && status != VP8_STATUS_SUSPENDED)
        return fail_by_status(reader, status);
    reader->info.rows = reader->info.height;
    if (status == VP8_STATUS_OK) return R2_OK;
    int rows = 0;
    if (!WebPIDecGetRGB(reader->decoder, &rows, NULL, NULL, NULL)) rows = 0;
    reader->info.truncated = true;
    reader->info.rows = rows ? reader->y + (uint32_t)rows : 0;
    for (uint32_t y = (uint32_t)rows; y < reader->height; y++)
        r2_missing_fill(stored_at(reader, reader->x, reader->y + y), reader->width,
                        reader->channels);
    return R2_OK;
}

static void put_stored(struct webp_reader *reader)
{
    uint32_t width = reader->info.width, height = reader->info.height;
    for (uint32_t y = 0; y < height; y += R2_STRIP_ROWS) {
        uint32_t count = height - y < R2_STRIP_ROWS ? height - y : R2_STRIP_ROWS;
        uint8_t *strip = stored_at(reader, 0, y);
        if (reader->channels == 4) r2_rgba_over_white(strip, (size_t)width * count, strip);
        r2_canvas_put(&reader->canvas, y, count, strip);
    }
}

static enum r2_status read_picture(struct webp_reader *reader)
{
    const struct r2_decode_options *options = reader->options;
    R2_TRY(read_header(reader));
    uint32_t width = reader->info.width, height = reader->info.height;
    R2_TRY(r2_limits_check_pixels(&options->limits, width, height, reader->err));
    R2_TRY(r2_limits_check_memory(&options->limits, memory_needed(reader), reader->err));
    R2_TRY(r2_canvas_create(width, height, options->orient ? reader->info.orientation : 1,
                            &reader->canvas, reader->err));
    if (needs_store(reader)) {
        size_t size = (size_t)width * height * reader->channels;
        R2_TRY(r2_alloc_aligned(size, "WebP pixels", &reader->stored, reader->err));
        /* around the first frame of an animation: transparent */
        if (reader->width != width || reader->height != height) memset(reader->stored, 0, size);
    }
    R2_TRY(read_frame(reader));
    if (reader->stored) put_stored(reader);
    return R2_OK;
}

/* The container's length is the file's; more is no harm, less is a file that was cut off. */
static void reader_init(struct webp_reader *reader, struct r2_bytes file,
                        const struct r2_decode_options *options, struct r2_error *err)
{
    uint64_t length = 8 + (uint64_t)(read_u32(file.data + 4) & ~1u);
    *reader = (struct webp_reader){.file = file, .options = options, .err = err};
    reader->info.truncated = file.size < length;
    if (file.size > length + 1) reader->file.size = (size_t)length + 1;
}

enum r2_status r2_webp_decode(struct r2_bytes file, const struct r2_decode_options *options,
                              struct r2_image *ret, struct r2_picture_info *ret_info,
                              struct r2_error *err)
{
    struct webp_reader reader;
    reader_init(&reader, file, options, err);
    enum r2_status status = read_picture(&reader);
    if (status == R2_OK) {
        *ret = reader.canvas.image;
        *ret_info = reader.info;
        reader.canvas.image = (struct r2_image){0};
    }
    WebPIDelete(reader.decoder);
    r2_canvas_finish(&reader.canvas);
    free(reader.stored);
    return status;
}
