#include "image/encode.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

enum {
    JPEG_CHUNK = 16 << 10, /* bytes that libjpeg fills before they are appended */
    PNG_MAX_SIDE = 1000000 /* pixels; what libpng allows unless told otherwise */
};

/* Everything that is alive across a longjmp out of libjpeg lives here, not in locals. */
struct jpeg_writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf jump;
    struct r2_buffer *out;
    struct r2_error *err;
    uint8_t chunk[JPEG_CHUNK];
};

static _Noreturn void jpeg_on_error(j_common_ptr jpeg)
{
    struct jpeg_writer *writer = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    r2_fail(writer->err, R2_INTERNAL, "JPEG encoder: %s", text);
    longjmp(writer->jump, 1);
}

static void jpeg_on_output(j_common_ptr jpeg)
{
    (void)jpeg; /* never to stderr */
}

static void jpeg_begin_chunk(j_compress_ptr jpeg)
{
    struct jpeg_writer *writer = jpeg->client_data;
    jpeg->dest->next_output_byte = writer->chunk;
    jpeg->dest->free_in_buffer = JPEG_CHUNK;
}

static void jpeg_append(struct jpeg_writer *writer, size_t size)
{
    if (r2_buffer_append(writer->out, writer->chunk, size, writer->err) != R2_OK)
        longjmp(writer->jump, 1);
}

static boolean jpeg_full_chunk(j_compress_ptr jpeg)
{
    jpeg_append(jpeg->client_data, JPEG_CHUNK);
    jpeg_begin_chunk(jpeg);
    return TRUE;
}

static void jpeg_last_chunk(j_compress_ptr jpeg)
{
    jpeg_append(jpeg->client_data, JPEG_CHUNK - jpeg->dest->free_in_buffer);
}

static enum r2_status jpeg_write(struct jpeg_writer *writer, const struct r2_image *image,
                                 int quality)
{
    struct jpeg_compress_struct *jpeg = &writer->jpeg;
    if (setjmp(writer->jump)) return writer->err->status;
    jpeg_create_compress(jpeg);
    jpeg->dest = &writer->destination;
    jpeg->image_width = image->width;
    jpeg->image_height = image->height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = image->pixels + r2_image_stride(image) * jpeg->next_scanline;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return R2_OK;
}

enum r2_status r2_jpeg_encode(const struct r2_image *image, int quality, struct r2_buffer *ret,
                              struct r2_error *err)
{
    if (quality < 1 || quality > 100)
        return r2_fail(err, R2_INVALID, "JPEG quality: %d, it goes from 1 to 100", quality);
    if (image->width > JPEG_MAX_DIMENSION || image->height > JPEG_MAX_DIMENSION)
        return r2_fail(err, R2_INVALID,
                       "a JPEG of %u x %u pixels: the format's limit of a side is %ld",
                       image->width, image->height, JPEG_MAX_DIMENSION);
    size_t size_before = ret->size;
    struct jpeg_writer writer = {.out = ret, .err = err};
    writer.destination = (struct jpeg_destination_mgr){
        .init_destination = jpeg_begin_chunk,
        .empty_output_buffer = jpeg_full_chunk,
        .term_destination = jpeg_last_chunk,
    };
    writer.jpeg.err = jpeg_std_error(&writer.errors);
    writer.errors.error_exit = jpeg_on_error;
    writer.errors.output_message = jpeg_on_output;
    writer.jpeg.client_data = &writer;
    enum r2_status status = jpeg_write(&writer, image, quality);
    jpeg_destroy_compress(&writer.jpeg);
    if (status != R2_OK) ret->size = size_before;
    return status;
}

/* What a PNG is made from: rows of `channels` bytes a pixel; 1 is grey, or with a palette labels. */
struct png_source {
    const uint8_t *pixels;
    uint32_t width, height;
    unsigned channels;
    const png_color *palette; /* NULL: none */
    int palette_size;
};

struct png_writer {
    png_structp png;
    png_infop head;
    jmp_buf jump;
    struct r2_buffer *out;
    struct r2_error *err;
};

static _Noreturn void png_on_error(png_structp png, png_const_charp text)
{
    struct png_writer *writer = png_get_error_ptr(png);
    r2_fail(writer->err, R2_INTERNAL, "PNG encoder: %s", text);
    longjmp(writer->jump, 1);
}

static void png_on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text; /* never to stderr */
}

static void png_append(png_structp png, png_bytep data, size_t size)
{
    struct png_writer *writer = png_get_io_ptr(png);
    if (r2_buffer_append(writer->out, data, size, writer->err) != R2_OK) longjmp(writer->jump, 1);
}

static void png_flush_nothing(png_structp png)
{
    (void)png;
}

/* On a photo with 100 boxes, level 1 with this filter takes a fifth of the time of libpng's defaults
   for an eighth more bytes. Labels are runs of equal bytes, which a filter would only disturb. */
static enum r2_status png_write(struct png_writer *writer, const struct png_source *source)
{
    if (setjmp(writer->jump)) return writer->err->status;
    png_structp png = writer->png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, writer, png_on_error, png_on_warning);
    if (png) writer->head = png_create_info_struct(png);
    if (!writer->head) return r2_fail(writer->err, R2_NO_MEMORY, "PNG encoder: no memory");
    const int colours = source->channels == 3 ? PNG_COLOR_TYPE_RGB
                        : source->palette     ? PNG_COLOR_TYPE_PALETTE
                                              : PNG_COLOR_TYPE_GRAY;
    png_set_write_fn(png, writer, png_append, png_flush_nothing);
    png_set_compression_level(png, 1);
    png_set_filter(png, 0, source->palette ? PNG_FILTER_NONE : PNG_FILTER_PAETH);
    png_set_IHDR(png, writer->head, source->width, source->height, 8, colours, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (source->palette) png_set_PLTE(png, writer->head, source->palette, source->palette_size);
    png_write_info(png, writer->head);
    for (uint32_t y = 0; y < source->height; y++)
        png_write_row(png, source->pixels + (size_t)source->width * source->channels * y);
    png_write_end(png, NULL);
    return R2_OK;
}

static enum r2_status png_encode(const struct png_source *source, struct r2_buffer *ret,
                                 struct r2_error *err)
{
    if (source->width > PNG_MAX_SIDE || source->height > PNG_MAX_SIDE)
        return r2_fail(err, R2_INVALID, "a PNG of %u x %u pixels: the limit of a side is %d",
                       source->width, source->height, PNG_MAX_SIDE);
    size_t size_before = ret->size;
    struct png_writer writer = {.out = ret, .err = err};
    enum r2_status status = png_write(&writer, source);
    png_destroy_write_struct(&writer.png, &writer.head);
    if (status != R2_OK) ret->size = size_before;
    return status;
}

enum r2_status r2_png_encode(const struct r2_image *image, struct r2_buffer *ret,
                             struct r2_error *err)
{
    struct png_source source = {
        .pixels = image->pixels, .width = image->width, .height = image->height, .channels = 3};
    return png_encode(&source, ret, err);
}

enum r2_status r2_png_encode_grey(const uint8_t *samples, uint32_t width, uint32_t height,
                                  struct r2_buffer *ret, struct r2_error *err)
{
    struct png_source source = {.pixels = samples, .width = width, .height = height, .channels = 1};
    return png_encode(&source, ret, err);
}

enum r2_status r2_png_encode_labels(const uint8_t *labels, uint32_t width, uint32_t height,
                                    const struct r2_colour *colours, size_t count,
                                    struct r2_buffer *ret, struct r2_error *err)
{
    png_color palette[PNG_MAX_PALETTE_LENGTH];
    if (!width || !height)
        return r2_fail(err, R2_INVALID, "labels of %u x %u pixels: no side may be 0", width,
                       height);
    if (!count || count > PNG_MAX_PALETTE_LENGTH)
        return r2_fail(err, R2_INVALID, "a palette of %zu colours: it has 1 to %d", count,
                       PNG_MAX_PALETTE_LENGTH);
    for (size_t i = 0; i < (size_t)width * height; i++)
        if (labels[i] >= count)
            return r2_fail(err, R2_INVALID, "label %d has no colour in a palette of %zu", labels[i],
                           count);
    for (size_t i = 0; i < count; i++)
        palette[i] = (png_color){colours[i].red, colours[i].green, colours[i].blue};
    struct png_source source = {.pixels = labels,
                                .width = width,
                                .height = height,
                                .channels = 1,
                                .palette = palette,
                                .palette_size = (int)count};
    return png_encode(&source, ret, err);
}
