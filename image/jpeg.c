#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/memory.h"
#include "image/codec.h"
#include "image/exif.h"

/* Everything that is alive across a longjmp out of libjpeg lives here, not in locals. */
struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    struct r2_bytes file;
    struct r2_bytes exif; /* a view into file */
    bool decoding;        /* the header is read: a file that ends now is truncated, not useless */
    const struct r2_decode_options *options;
    struct r2_picture_info info;
    struct r2_canvas canvas;
    uint8_t *strip; /* [R2_STRIP_ROWS, width, 3 or 4]; NULL: rows go straight into the canvas */
    struct r2_error *err;
};

static struct jpeg_reader *reader_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static _Noreturn void leave(struct jpeg_reader *reader)
{
    longjmp(reader->jump, 1);
}

/* The file is at its end too early: libjpeg gets an end mark to go on with, unless it has not even
   read the header. */
static void end_early(struct jpeg_reader *reader)
{
    static const uint8_t end_mark[] = {0xFF, JPEG_EOI};
    if (!reader->decoding) {
        r2_fail(reader->err, R2_INVALID,
                "JPEG data is truncated: the %zu bytes end inside the header", reader->file.size);
        leave(reader);
    }
    reader->info.truncated = true;
    reader->source.next_input_byte = end_mark;
    reader->source.bytes_in_buffer = sizeof end_mark;
}

/* The compressed data have ended: the rows of blocks before this one are complete. A later scan
   adds to rows that are all there. */
static void note_rows(struct jpeg_reader *reader)
{
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (jpeg->input_scan_number > 1) return;
    uint32_t rows = jpeg->input_iMCU_row * (uint32_t)jpeg->max_v_samp_factor * DCTSIZE;
    if (rows < reader->info.rows) reader->info.rows = rows;
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = reader_of(jpeg);
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY: r2_fail(reader->err, R2_NO_MEMORY, "JPEG decoder: %s", text); break;
    case JERR_NO_BACKING_STORE: /* what libjpeg does when it reaches max_memory_to_use */
        r2_fail(reader->err, R2_INVALID,
                "decoding the JPEG needs more memory than the limit of %zu bytes",
                reader->options->limits.max_memory);
        break;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        r2_fail(reader->err, R2_UNSUPPORTED, "this kind of JPEG is not supported: %s", text);
        break;
    default: {
        static const char prefix[] = "Corrupt JPEG data: "; /* of some messages; said already */
        size_t skip = strncmp(text, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
        r2_fail(reader->err, R2_INVALID, "JPEG data is corrupt: %s", text + skip);
        break;
    }
    }
    leave(reader);
}

/* libjpeg warns and goes on with made-up pixels; a picture with such pixels is refused here. What
   does not harm pixels passes: odd version numbers, bytes between the picture and its end mark. An
   end mark that comes too early truncates the picture; what is warned of then follows from that. */
static void on_message(j_common_ptr jpeg, int level)
{
    struct jpeg_reader *reader = reader_of(jpeg);
    if (level >= 0) return;
    if (jpeg->err->msg_code == JWRN_HIT_MARKER && reader->jpeg.unread_marker == JPEG_EOI) {
        reader->info.truncated = true;
        note_rows(reader);
    }
    if (reader->info.truncated) return;
    switch (jpeg->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_JFIF_MAJOR: return;
    case JWRN_EXTRANEOUS_DATA:
        if (jpeg->err->msg_parm.i[1] == JPEG_EOI) return;
        break;
    default: break;
    }
    on_error(jpeg);
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg; /* never to stderr */
}

static void source_nothing(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* The whole file is in the buffer from the start, so asking for more means that it is too short.
   Inside of a marker's parameters an end mark would be read as such: FALSE suspends libjpeg, and
   resume() lets it skip the marker. The arithmetic decoder never says that its data have
   ended: what it had read ahead counts as missing. */
static boolean source_fill(j_decompress_ptr jpeg)
{
    struct jpeg_reader *reader = reader_of((j_common_ptr)jpeg);
    end_early(reader);
    if (jpeg->unread_marker) return FALSE;
    if (jpeg->arith_code) note_rows(reader);
    return TRUE;
}

static void resume(struct jpeg_reader *reader)
{
    reader->jpeg.unread_marker = 0;
    end_early(reader);
}

static void source_skip(j_decompress_ptr jpeg, long count)
{
    if (count <= 0) return;
    if ((size_t)count > jpeg->src->bytes_in_buffer) {
        end_early(reader_of((j_common_ptr)jpeg));
        return;
    }
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

/* Called behind an APP1 marker: remembers where the first EXIF block is and skips it. */
static boolean read_app1(j_decompress_ptr jpeg)
{
    struct jpeg_reader *reader = reader_of((j_common_ptr)jpeg);
    struct jpeg_source_mgr *source = jpeg->src;
    const uint8_t *data = source->next_input_byte;
    size_t left = source->bytes_in_buffer, size = left < 2 ? 2 : (size_t)data[0] << 8 | data[1];
    if (size < 2) ERREXIT(jpeg, JERR_BAD_LENGTH);
    if (size > left) {
        end_early(reader);
        return TRUE;
    }
    if (!reader->exif.size && size >= 8 && memcmp(data + 2, "Exif\0", 6) == 0)
        reader->exif = (struct r2_bytes){data + 2, size - 2};
    source->next_input_byte += size;
    source->bytes_in_buffer -= size;
    return TRUE;
}

/* libjpeg calls this while it reads a file of many scans. */
static void watch_scans(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = reader_of(jpeg);
    if (reader->jpeg.input_scan_number <= R2_JPEG_MAX_SCANS) return;
    r2_fail(reader->err, R2_INVALID, "the JPEG has more than %d scans", R2_JPEG_MAX_SCANS);
    leave(reader);
}

static enum r2_status read_header(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_create_decompress(jpeg);
    reader->source = (struct jpeg_source_mgr){
        .next_input_byte = reader->file.data,
        .bytes_in_buffer = reader->file.size,
        .init_source = source_nothing,
        .fill_input_buffer = source_fill,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_nothing,
    };
    jpeg->src = &reader->source;
    jpeg_set_marker_processor(jpeg, JPEG_APP0 + 1, read_app1);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->data_precision != 8)
        return r2_fail(reader->err, R2_UNSUPPORTED,
                       "JPEG with %d bits a sample is not supported, only 8 bits are",
                       jpeg->data_precision);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        return r2_fail(reader->err, R2_UNSUPPORTED,
                       "JPEG with %d components is not supported, only 1, 3 and 4 are",
                       jpeg->num_components);
    reader->info = (struct r2_picture_info){
        .format = R2_FORMAT_JPEG,
        .width = jpeg->image_width,
        .height = jpeg->image_height,
        .orientation = r2_exif_orientation(reader->exif),
        .rows = jpeg->image_height,
    };
    reader->decoding = true;
    return R2_OK;
}

static bool is_cmyk(const struct jpeg_decompress_struct *jpeg)
{
    return jpeg->num_components == 4;
}

/* Bytes that decoding takes: pixels, strip, and all coefficients when there are several scans. */
static uint64_t memory_needed(struct jpeg_decompress_struct *jpeg)
{
    uint64_t width = jpeg->image_width, height = jpeg->image_height;
    uint64_t needed = width * height * 3 + width * 4 * R2_STRIP_ROWS;
    if (!jpeg_has_multiple_scans(jpeg)) return needed;
    for (int i = 0; i < jpeg->num_components; i++) {
        const jpeg_component_info *part = &jpeg->comp_info[i];
        needed +=
            (uint64_t)part->width_in_blocks * part->height_in_blocks * DCTSIZE2 * sizeof(JCOEF);
    }
    return needed;
}

/* CMYK as Adobe stores it (inverted), to RGB in place; rounding as Pillow. The fourth bytes stay
   behind: the row shrinks to 3 bytes a pixel. */
static void cmyk_to_rgb(const uint8_t *cmyk, size_t pixels, uint8_t *rgb)
{
    for (size_t i = 0; i < pixels; i++, cmyk += 4, rgb += 3) {
        uint32_t white = cmyk[3], inks[3] = {255u - cmyk[0], 255u - cmyk[1], 255u - cmyk[2]};
        for (int channel = 0; channel < 3; channel++) {
            uint32_t product = inks[channel] * white + 128;
            rgb[channel] = (uint8_t)(white - ((product + (product >> 8)) >> 8));
        }
    }
}

static void read_strips(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    size_t row_size = (size_t)jpeg->output_width * (is_cmyk(jpeg) ? 4 : 3);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint32_t y = jpeg->output_scanline, left = jpeg->output_height - y;
        uint32_t count = left < R2_STRIP_ROWS ? left : R2_STRIP_ROWS;
        uint8_t *strip = reader->strip ? reader->strip : reader->canvas.image.pixels + row_size * y;
        JSAMPROW rows[R2_STRIP_ROWS];
        for (uint32_t row = 0; row < count; row++) rows[row] = strip + row_size * row;
        while (jpeg->output_scanline < y + count) {
            uint32_t done = jpeg->output_scanline - y;
            if (!jpeg_read_scanlines(jpeg, rows + done, count - done)) resume(reader);
        }
        if (!reader->strip) continue;
        if (is_cmyk(jpeg)) cmyk_to_rgb(strip, (size_t)jpeg->output_width * count, strip);
        r2_canvas_put(&reader->canvas, y, count, strip);
    }
}

static enum r2_status read_picture(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    const struct r2_decode_limits *limits = &reader->options->limits;
    R2_TRY(read_header(reader));
    R2_TRY(r2_limits_check_pixels(limits, jpeg->image_width, jpeg->image_height, reader->err));
    R2_TRY(r2_limits_check_memory(limits, memory_needed(jpeg), reader->err));

    if (limits->max_memory)
        jpeg->mem->max_memory_to_use =
            limits->max_memory < LONG_MAX ? (long)limits->max_memory : LONG_MAX;
    reader->progress.progress_monitor = watch_scans;
    jpeg->progress = &reader->progress;
    jpeg->out_color_space = is_cmyk(jpeg) ? JCS_CMYK : JCS_RGB;
    while (!jpeg_start_decompress(jpeg)) resume(reader);

    R2_TRY(r2_canvas_create(jpeg->output_width, jpeg->output_height,
                            reader->options->orient ? reader->info.orientation : 1, &reader->canvas,
                            reader->err));
    if (is_cmyk(jpeg) || !r2_canvas_is_upright(&reader->canvas))
        R2_TRY(r2_alloc_aligned((size_t)jpeg->output_width * 4 * R2_STRIP_ROWS, "JPEG rows",
                                &reader->strip, reader->err));
    read_strips(reader);
    while (!jpeg_finish_decompress(jpeg)) resume(reader); /* reads on to the end mark */
    return R2_OK;
}

/* read_picture, which may leave by longjmp; the message is then in reader->err. */
static enum r2_status guard(struct jpeg_reader *reader)
{
    if (setjmp(reader->jump)) return reader->err->status;
    return read_picture(reader);
}

static void reader_init(struct jpeg_reader *reader, struct r2_bytes file,
                        const struct r2_decode_options *options, struct r2_error *err)
{
    memset(reader, 0, sizeof *reader);
    reader->file = file;
    reader->options = options;
    reader->err = err;
    reader->jpeg.err = jpeg_std_error(&reader->errors);
    reader->jpeg.client_data = reader;
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = on_output;
}

static void reader_finish(struct jpeg_reader *reader)
{
    jpeg_destroy_decompress(&reader->jpeg);
    r2_canvas_finish(&reader->canvas);
    free(reader->strip);
}

enum r2_status r2_jpeg_decode(struct r2_bytes file, const struct r2_decode_options *options,
                              struct r2_image *ret, struct r2_picture_info *ret_info,
                              struct r2_error *err)
{
    struct jpeg_reader reader;
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
