#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/memory.h"
#include "image/codec.h"
#include "image/exif.h"

enum {
    SIGNATURE_SIZE = 8,
    CHUNK_HEADER_SIZE = 8, /* length 4, type 4 */
    CHUNK_FRAME_SIZE = 12, /* and the checksum behind the data */
    IHDR_SIZE = 13,
    MAX_SIDE = 1000000,        /* pixels; what libpng allows unless told otherwise */
    MAX_CHUNK_BYTES = 8 << 20, /* of one chunk other than pixels */
    MAX_CHUNKS_KEPT = 16,
};

/* Everything that is alive across a longjmp out of libpng lives here, not in locals. */
struct png_reader {
    png_structp png;
    png_infop head;
    jmp_buf jump;
    struct r2_bytes file;
    size_t at; /* bytes of file that libpng has read */
    const struct r2_decode_options *options;
    struct r2_picture_info info;
    struct r2_canvas canvas;
    uint8_t *strip; /* [rows, width, channels]; NULL when rows go straight into the canvas */
    png_bytep *rows;
    struct r2_error *err;
};

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    struct png_reader *reader = png_get_error_ptr(png);
    /* The message may be set already, by what called png_error. */
    if (reader->err->status == R2_OK)
        r2_fail(reader->err, R2_INVALID, "PNG data is corrupt: %s", text);
    longjmp(reader->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png; /* never to stderr */
    (void)text;
}

static void read_bytes(png_structp png, png_bytep data, size_t size)
{
    struct png_reader *reader = png_get_io_ptr(png);
    if (size > reader->file.size - reader->at) {
        r2_fail(reader->err, R2_INVALID,
                "PNG data is truncated: the %zu bytes end inside the picture", reader->file.size);
        png_error(png, "truncated");
    }
    memcpy(data, reader->file.data + reader->at, size);
    reader->at += size;
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The data of the first chunk of a type, wherever it stands: eXIf may come behind the pixels. Empty
   when there is none. Checksums are libpng's business. */
static struct r2_bytes find_chunk(struct r2_bytes file, const char type[4])
{
    size_t at = SIGNATURE_SIZE;
    while (file.size - at >= CHUNK_FRAME_SIZE) {
        size_t length = read_u32(file.data + at);
        if (length > file.size - at - CHUNK_FRAME_SIZE) break;
        if (memcmp(file.data + at + 4, type, 4) == 0)
            return (struct r2_bytes){file.data + at + CHUNK_HEADER_SIZE, length};
        at += length + CHUNK_FRAME_SIZE;
    }
    return (struct r2_bytes){0};
}

/* Size and orientation by our own eyes, so that limits hold before libpng does anything. */
static enum r2_status read_size(struct png_reader *reader)
{
    struct r2_bytes file = reader->file;
    if (file.size < SIGNATURE_SIZE + CHUNK_FRAME_SIZE + IHDR_SIZE)
        return r2_fail(reader->err, R2_INVALID,
                       "PNG data is truncated: the %zu bytes end inside the header", file.size);
    const uint8_t *chunk = file.data + SIGNATURE_SIZE;
    if (read_u32(chunk) != IHDR_SIZE || memcmp(chunk + 4, "IHDR", 4) != 0)
        return r2_fail(reader->err, R2_INVALID, "PNG data is corrupt: no IHDR at the start");
    uint32_t width = read_u32(chunk + CHUNK_HEADER_SIZE);
    uint32_t height = read_u32(chunk + CHUNK_HEADER_SIZE + 4);
    R2_TRY(r2_limits_check_pixels(&reader->options->limits, width, height, reader->err));
    if (width > MAX_SIDE || height > MAX_SIDE)
        return r2_fail(reader->err, R2_INVALID,
                       "the picture has %u x %u pixels, the limit of a side is %d", width, height,
                       MAX_SIDE);
    reader->info = (struct r2_picture_info){
        .format = R2_FORMAT_PNG,
        .width = width,
        .height = height,
        .orientation = r2_exif_orientation(find_chunk(file, "eXIf")),
    };
    return R2_OK;
}

static enum r2_status read_header(struct png_reader *reader)
{
    R2_TRY(read_size(reader));
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
    if (reader->png) reader->head = png_create_info_struct(reader->png);
    if (!reader->head) return r2_fail(reader->err, R2_NO_MEMORY, "PNG decoder: no memory");
    png_structp png = reader->png;
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
    png_set_chunk_cache_max(png, MAX_CHUNKS_KEPT);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* -1: text, profiles and everything else that pixels do not need is skipped, not stored. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_read_fn(png, reader, read_bytes);
    png_read_info(png, reader->head);
    return R2_OK;
}

/* Asks libpng for 8-bit RGB, or RGBA when there is any transparency; the number of channels. */
static unsigned choose_output(struct png_reader *reader)
{
    png_structp png = reader->png;
    bool has_alpha = (png_get_color_type(png, reader->head) & PNG_COLOR_MASK_ALPHA) ||
                     png_get_valid(png, reader->head, PNG_INFO_tRNS);
    png_set_expand(png);   /* palette, 1..4 bits and tRNS to full samples */
    png_set_strip_16(png); /* the high byte, as Pillow */
    png_set_gray_to_rgb(png);
    return has_alpha ? 4 : 3;
}

/* Over white, in place, as Pillow pastes with a mask; the row shrinks to 3 bytes a pixel. */
static void blend_over_white(const uint8_t *rgba, size_t pixels, uint8_t *rgb)
{
    for (size_t i = 0; i < pixels; i++, rgba += 4, rgb += 3) {
        uint32_t alpha = rgba[3], samples[3] = {rgba[0], rgba[1], rgba[2]};
        for (int channel = 0; channel < 3; channel++) {
            uint32_t sum = samples[channel] * alpha + 255 * (255 - alpha) + 128;
            rgb[channel] = (uint8_t)((sum + (sum >> 8)) >> 8);
        }
    }
}

/* Strip rows y .. y + count - 1 of the stored picture, at `strip`, to the canvas. */
static void put_strip(struct png_reader *reader, uint32_t y, uint32_t count, uint8_t *strip,
                      unsigned channels)
{
    if (channels == 4) blend_over_white(strip, (size_t)reader->info.width * count, strip);
    r2_canvas_put(&reader->canvas, y, count, strip);
}

/* Interlaced: each pass adds pixels to all rows, so that all of them are held at once. */
static enum r2_status read_interlaced(struct png_reader *reader, unsigned channels)
{
    uint32_t height = reader->info.height;
    size_t row_size = (size_t)reader->info.width * channels;
    uint8_t *pixels = reader->strip ? reader->strip : reader->canvas.image.pixels;
    R2_TRY(r2_alloc(height, sizeof *reader->rows, "PNG rows", &reader->rows, reader->err));
    for (uint32_t y = 0; y < height; y++) reader->rows[y] = pixels + row_size * y;
    png_read_image(reader->png, reader->rows);
    if (!reader->strip) return R2_OK;
    for (uint32_t y = 0; y < height; y += R2_STRIP_ROWS) {
        uint32_t count = height - y < R2_STRIP_ROWS ? height - y : R2_STRIP_ROWS;
        put_strip(reader, y, count, pixels + row_size * y, channels);
    }
    return R2_OK;
}

static void read_plain(struct png_reader *reader, unsigned channels)
{
    uint32_t height = reader->info.height;
    size_t row_size = (size_t)reader->info.width * channels;
    for (uint32_t y = 0; y < height; y += R2_STRIP_ROWS) {
        uint32_t count = height - y < R2_STRIP_ROWS ? height - y : R2_STRIP_ROWS;
        uint8_t *strip = reader->strip ? reader->strip : reader->canvas.image.pixels + row_size * y;
        for (uint32_t row = 0; row < count; row++)
            png_read_row(reader->png, strip + row_size * row, NULL);
        if (reader->strip) put_strip(reader, y, count, strip, channels);
    }
}

static enum r2_status read_picture(struct png_reader *reader)
{
    R2_TRY(read_header(reader));
    uint32_t width = reader->info.width, height = reader->info.height;
    unsigned channels = choose_output(reader);
    unsigned orientation = reader->options->orient ? reader->info.orientation : 1;
    bool interlaced = png_get_interlace_type(reader->png, reader->head) != PNG_INTERLACE_NONE;
    bool needs_strip = channels == 4 || orientation != 1;
    uint64_t strip_size =
        (uint64_t)width * channels * (interlaced ? height : (uint32_t)R2_STRIP_ROWS);
    uint64_t needed = (uint64_t)width * height * 3 + (needs_strip ? strip_size : 0) +
                      (interlaced ? (uint64_t)height * sizeof *reader->rows : 0);
    R2_TRY(r2_limits_check_memory(&reader->options->limits, needed, reader->err));

    if (interlaced) png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->head);
    if (png_get_rowbytes(reader->png, reader->head) != (size_t)width * channels)
        return r2_fail(reader->err, R2_INTERNAL, "PNG decoder: rows of %zu bytes, not %zu",
                       png_get_rowbytes(reader->png, reader->head), (size_t)width * channels);
    R2_TRY(r2_canvas_create(width, height, orientation, &reader->canvas, reader->err));
    if (needs_strip)
        R2_TRY(r2_alloc_aligned(strip_size, "PNG pixels", &reader->strip, reader->err));
    if (interlaced) {
        R2_TRY(read_interlaced(reader, channels));
    } else {
        read_plain(reader, channels);
    }
    png_read_end(reader->png, NULL); /* reads on to IEND: all checksums count */
    return R2_OK;
}

/* Runs a step that may leave by longjmp; the message is then in reader->err. */
static enum r2_status guard(struct png_reader *reader,
                            enum r2_status (*step)(struct png_reader *reader))
{
    if (setjmp(reader->jump)) return reader->err->status;
    return step(reader);
}

static void reader_init(struct png_reader *reader, struct r2_bytes file,
                        const struct r2_decode_options *options, struct r2_error *err)
{
    memset(reader, 0, sizeof *reader);
    reader->file = file;
    reader->options = options;
    reader->err = err;
    err->status = R2_OK; /* on_error looks whether it is set */
}

static void reader_finish(struct png_reader *reader)
{
    if (reader->png) png_destroy_read_struct(&reader->png, &reader->head, NULL);
    r2_canvas_finish(&reader->canvas);
    free(reader->strip);
    free(reader->rows);
}

enum r2_status r2_png_probe(struct r2_bytes file, struct r2_picture_info *ret, struct r2_error *err)
{
    static const struct r2_decode_options no_options = {0};
    struct png_reader reader;
    reader_init(&reader, file, &no_options, err);
    enum r2_status status = guard(&reader, read_header);
    if (status == R2_OK) *ret = reader.info;
    reader_finish(&reader);
    return status;
}

enum r2_status r2_png_decode(struct r2_bytes file, const struct r2_decode_options *options,
                             struct r2_image *ret, struct r2_picture_info *ret_info,
                             struct r2_error *err)
{
    struct png_reader reader;
    reader_init(&reader, file, options, err);
    enum r2_status status = guard(&reader, read_picture);
    if (status == R2_OK) {
        *ret = reader.canvas.image;
        *ret_info = reader.info;
        reader.canvas.image = (struct r2_image){0};
    }
    reader_finish(&reader);
    return status;
}
