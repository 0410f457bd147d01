#include "tests/image/golden.h"

#include <png.h>

#include "base/memory.h"

struct r2_buffer golden_read(const char *name)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    char path[1024];
    const char *root = getenv("R2_TEST_DATA");
    cr_assert(root, "R2_TEST_DATA must name the folder tests/");
    snprintf(path, sizeof path, "%s/golden/image/%s", root, name);
    ASSERT_OK(r2_file_read(path, 1 << 24, &buffer, &err), err);
    return buffer;
}

uint8_t *golden_png(const char *name, unsigned channels, uint32_t *ret_width, uint32_t *ret_height)
{
    struct r2_buffer file = golden_read(name);
    png_image png = {.version = PNG_IMAGE_VERSION};
    cr_assert(png_image_begin_read_from_memory(&png, file.data, file.size), "%s: %s", name,
              png.message);
    png.format = channels == 4 ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(png));
    cr_assert(pixels && png_image_finish_read(&png, NULL, pixels, 0, NULL), "%s: %s", name,
              png.message);
    *ret_width = png.width;
    *ret_height = png.height;
    r2_buffer_finish(&file);
    return pixels;
}

struct r2_image golden_image(const char *name)
{
    struct r2_image image;
    image.pixels = golden_png(name, 3, &image.width, &image.height);
    return image;
}

size_t golden_table(const char *name, unsigned columns, void (*row)(char *const *cells))
{
    struct r2_buffer file = golden_read(name);
    char *line, *rest = (char *)file.data; /* a NUL follows */
    size_t lines = 0;
    while ((line = strsep(&rest, "\n")) && *line) {
        char *cells[GOLDEN_COLUMNS] = {0};
        unsigned count = 0;
        for (char *cell; (cell = strsep(&line, "\t")); count++) {
            cr_assert(count < GOLDEN_COLUMNS);
            cells[count] = cell;
        }
        cr_assert(count == columns, "%s, line %zu: %u cells", name, lines + 1, count);
        row(cells);
        lines++;
    }
    r2_buffer_finish(&file);
    return lines;
}

void golden_expect_equal(const struct r2_image *got, const struct r2_image *wanted, int most,
                         unsigned per_mille, const char *what)
{
    cr_assert(got->width == wanted->width && got->height == wanted->height,
              "%s: %u x %u pixels, not %u x %u", what, got->width, got->height, wanted->width,
              wanted->height);
    size_t count = r2_image_stride(got) * got->height, off = 0;
    int worst = 0;
    for (size_t i = 0; i < count; i++) {
        int difference = abs(got->pixels[i] - wanted->pixels[i]);
        if (difference) off++;
        if (difference > worst) worst = difference;
    }
    cr_expect(worst <= most, "%s: a sample is off by %d, at most %d is allowed", what, worst, most);
    cr_expect(off * 1000 <= count * per_mille, "%s: %zu of %zu samples are off", what, off, count);
}

struct r2_image decode_good(struct r2_bytes file)
{
    struct r2_error err = {0};
    struct r2_decode_options options = {.orient = true};
    struct r2_image image;
    ASSERT_OK(r2_picture_decode(file, &options, &image, NULL, &err), err);
    return image;
}

uint8_t *exact_copy(struct r2_bytes bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    cr_assert(copy && size <= bytes.size);
    if (size) memcpy(copy, bytes.data, size);
    return copy;
}

uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
