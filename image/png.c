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
    const struct r2_decode_options *options;
    struct r2_picture_info info;
    struct r2_canvas canvas;
    unsigned channels; /* 3 or 4; 0 while the header is not complete */
    bool interlaced, ended;
    uint8_t *strip; /* [R2_STRIP_ROWS, or height if interlaced; width; channels]; NULL when rows go
                       straight into the canvas */
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

/* Where a row of the stored picture is put together. */
static uint8_t *row_at(const struct png_reader *reader, uint32_t y)
{
    size_t row_size = (size_t)reader->info.width * reader->channels;
    if (!reader->strip) return reader->canvas.image.pixels + row_size * y;
    return reader->strip + row_size * (reader->interlaced ? y : y % R2_STRIP_ROWS);
}

/* The rows up to y are complete: of those in the strip, puts each R2_STRIP_ROWS at once. */
static void put_strip(struct png_reader *reader, uint32_t y)
{
    uint32_t count = y % R2_STRIP_ROWS + 1;
    if (!reader->strip || (count < R2_STRIP_ROWS && y + 1 < reader->info.height)) return;
    uint8_t *strip = row_at(reader, y - (count - 1));
    if (reader->channels == 4) r2_rgba_over_white(strip, (size_t)reader->info.width * count, strip);
    r2_canvas_put(&reader->canvas, y - (count - 1), count, strip);
}

/* The size is within the limits; this measures memory, and takes it. */
static enum r2_status prepare(struct png_reader *reader)
{
    png_structp png = reader->png;
    uint32_t width = reader->info.width, height = reader->info.height;
    unsigned orientation = reader->options->orient ? reader->info.orientation : 1;
    reader->channels = choose_output(reader);
    reader->interlaced = png_get_interlace_type(png, reader->head) != PNG_INTERLACE_NONE;
    bool needs_strip = reader->channels == 4 || orientation != 1;
    uint64_t strip_size = (uint64_t)width * reader->channels *
                          (reader->interlaced ? height : (uint32_t)R2_STRIP_ROWS);
    uint64_t needed = (uint64_t)width * height * 3 + (needs_strip ? strip_size : 0);
    R2_TRY(r2_limits_check_memory(&reader->options->limits, needed, reader->err));

    if (reader->interlaced) png_set_interlace_handling(png);
    png_read_update_info(png, reader->head);
    if (png_get_rowbytes(png, reader->head) != (size_t)width * reader->channels)
        return r2_fail(reader->err, R2_INTERNAL, "PNG decoder: rows of %zu bytes, not %zu",
                       png_get_rowbytes(png, reader->head), (size_t)width * reader->channels);
    R2_TRY(r2_canvas_create(width, height, orientation, &reader->canvas, reader->err));
    if (!needs_strip) return R2_OK;
    return r2_alloc_aligned(strip_size, "PNG pixels", &reader->strip, reader->err);
}

static void on_info(png_structp png, png_infop head)
{
    (void)head;
    if (prepare(png_get_progressive_ptr(png)) != R2_OK) png_error(png, "refused");
}

/* The first pass of an interlaced picture fills all pixels, in blocks of 8 x 8, and each later one
   puts more of them right. */
static void on_row(png_structp png, png_bytep row, png_uint_32 y, int pass)
{
    struct png_reader *reader = png_get_progressive_ptr(png);
    if (!row || y >= reader->info.height) return;
    png_progressive_combine_row(png, row_at(reader, y), row);
    if (pass == 0) reader->info.rows = y + 1;
    if (!reader->interlaced) put_strip(reader, y);
}

static void on_end(png_structp png, png_infop head)
{
    struct png_reader *reader = png_get_progressive_ptr(png);
    (void)head;
    reader->ended = true;
}

/* Rows that the file does not have, and the strips that wait for the last pass. */
static void complete_rows(struct png_reader *reader)
{
    uint32_t height = reader->info.height, rows = reader->info.rows;
    for (uint32_t y = reader->interlaced ? 0 : rows; y < height; y++) {
        if (y >= rows) r2_missing_fill(row_at(reader, y), reader->info.width, reader->channels);
        put_strip(reader, y);
    }
}

static enum r2_status start(struct png_reader *reader)
{
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
    png_set_progressive_read_fn(png, reader, on_info, on_row, on_end);
    return R2_OK;
}

/* libpng is pushed the whole file: where it ends too early, the rows that it holds have come. */
static enum r2_status read_picture(struct png_reader *reader)
{
    R2_TRY(read_size(reader));
    R2_TRY(start(reader));
    uintptr_t data =
        (uintptr_t)reader->file.data; /* libpng does not change it, but says no const */
    png_process_data(reader->png, reader->head, (png_bytep)data, reader->file.size);
    if (!reader->channels)
        return r2_fail(reader->err, R2_INVALID,
                       "PNG data is truncated: the %zu bytes end before the picture",
                       reader->file.size);
    reader->info.truncated = !reader->ended;
    if (reader->ended && reader->info.rows < reader->info.height)
        return r2_fail(reader->err, R2_INVALID, "PNG data is corrupt: it has %u of %u rows",
                       reader->info.rows, reader->info.height);
    complete_rows(reader);
    return R2_OK;
}

/* read_picture, which may leave by longjmp; the message is then in reader->err. */
static enum r2_status guard(struct png_reader *reader)
{
    if (setjmp(reader->jump)) return reader->err->status;
    return read_picture(reader);
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
}

enum r2_status r2_png_decode(struct r2_bytes file, const struct r2_decode_options *options,
                             struct r2_image *ret, struct r2_picture_info *ret_info,
                             struct r2_error *err)
{
    struct png_reader reader;
    reader_init(&reader, file, options, err);
    enum r2_status status = guard(&reader);
    if (status == R2_OK) {
        *ret = reader.canvas.image;
        *ret_info = reader.info;
        reader.canvas.image = (struct r2_image){0};
    }
    reader_finish(&reader);
    return status;
}
