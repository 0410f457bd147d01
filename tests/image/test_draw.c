/*
 * Shapes: which pixels they change and which they must leave alone. Labels: test_draw_text.c.
 */
#include "image/draw.h"

#include <math.h>

#include "base/memory.h"
#include "tests/image/golden.h"

enum { GREY = 100 };
static const struct r2_colour red = {255, 0, 0};

struct sheet {
    struct r2_image image;
    struct r2_draw *draw;
};

static struct sheet sheet_begin(uint32_t width, uint32_t height)
{
    struct r2_error err = {0};
    struct sheet sheet = {0};
    ASSERT_OK(r2_image_create(width, height, &sheet.image, &err), err);
    memset(sheet.image.pixels, GREY, r2_image_stride(&sheet.image) * height);
    return sheet;
}

static void draw_begin(struct sheet *sheet)
{
    struct r2_error err = {0};
    ASSERT_OK(r2_draw_begin(&sheet->image, NULL, &sheet->draw, &err), err);
}

static void draw_end(struct sheet *sheet)
{
    struct r2_error err = {0};
    ASSERT_OK(r2_draw_end(sheet->draw, &err), err);
    r2_draw_destroy(sheet->draw);
}

static bool is_changed(const struct sheet *sheet, uint32_t x, uint32_t y)
{
    const uint8_t *at = sheet->image.pixels + r2_image_stride(&sheet->image) * y + 3 * (size_t)x;
    return at[0] != GREY || at[1] != GREY || at[2] != GREY;
}

static size_t count_changed(const struct sheet *sheet)
{
    size_t count = 0;
    for (uint32_t y = 0; y < sheet->image.height; y++)
        for (uint32_t x = 0; x < sheet->image.width; x++) count += is_changed(sheet, x, y);
    return count;
}

Test(draw, nothing_changes_nothing)
{
    struct sheet sheet = sheet_begin(301, 77);
    draw_begin(&sheet);
    draw_end(&sheet);
    cr_expect_eq(count_changed(&sheet), 0);
    draw_begin(&sheet);
    r2_draw_box(sheet.draw, 5, 5, 50, 50, red, NULL);
    r2_draw_destroy(sheet.draw);
    cr_expect_eq(count_changed(&sheet), 0, "without an end the picture stays");
    r2_draw_destroy(NULL);
    r2_image_finish(&sheet.image);
}

/* Corners in any order; on a picture of 200 x 200 the line has 2 pixels. */
Test(draw, a_box_is_its_outline)
{
    static const double corners[][4] = {{20, 30, 120, 90}, {120, 90, 20, 30}, {120, 30, 20, 90}};
    for (size_t i = 0; i < R2_COUNT(corners); i++) {
        const double *c = corners[i];
        struct sheet sheet = sheet_begin(200, 200);
        draw_begin(&sheet);
        r2_draw_box(sheet.draw, c[0], c[1], c[2], c[3], red, "no font, no label");
        draw_end(&sheet);
        for (uint32_t y = 0; y < 200; y++)
            for (uint32_t x = 0; x < 200; x++) {
                bool outer = x >= 20 && x < 120 && y >= 30 && y < 90;
                bool inner = x >= 22 && x < 118 && y >= 32 && y < 88;
                cr_assert_eq(is_changed(&sheet, x, y), outer && !inner, "%u, %u", x, y);
            }
        cr_expect_arr_eq(sheet.image.pixels + (30 * 200 + 20) * 3, &red, 3, "opaque and crisp");
        r2_image_finish(&sheet.image);
    }
}

Test(draw, boxes_are_cut_at_the_picture)
{
    struct sheet sheet = sheet_begin(200, 200);
    draw_begin(&sheet);
    r2_draw_box(sheet.draw, -50, 40, 500, 1e5, red, NULL);
    draw_end(&sheet);
    cr_expect(is_changed(&sheet, 0, 199) && is_changed(&sheet, 199, 40) &&
              is_changed(&sheet, 100, 199) && !is_changed(&sheet, 100, 100));
    r2_image_finish(&sheet.image);
}

Test(draw, what_is_not_there_is_not_drawn)
{
    struct sheet sheet = sheet_begin(100, 60);
    const double bad[] = {NAN, INFINITY, -INFINITY, 1e30, -1e300};
    draw_begin(&sheet);
    for (size_t i = 0; i < R2_COUNT(bad); i++) {
        r2_draw_box(sheet.draw, bad[i], 10, 50, 50, red, NULL);
        r2_draw_box(sheet.draw, 10, 10, 50, bad[i], red, NULL);
        r2_draw_point(sheet.draw, bad[i], 10, red);
        r2_draw_line(sheet.draw, 10, bad[i], 50, 50, red);
    }
    r2_draw_box(sheet.draw, 101, 10, 180, 50, red, NULL);
    r2_draw_box(sheet.draw, 10, -90, 50, -1, red, NULL);
    r2_draw_point(sheet.draw, -40, 30, red);
    r2_draw_line(sheet.draw, 0, 90, 99, 90, red);
    draw_end(&sheet);
    cr_expect_eq(count_changed(&sheet), 0);
    r2_image_finish(&sheet.image);
}

Test(draw, points_and_limbs_stay_where_they_are)
{
    struct sheet sheet = sheet_begin(200, 200);
    draw_begin(&sheet);
    r2_draw_line(sheet.draw, 20, 100, 180, 100, red);
    r2_draw_point(sheet.draw, 100.5, 40.5, red);
    draw_end(&sheet);
    cr_expect(is_changed(&sheet, 20, 100) && is_changed(&sheet, 179, 99));
    cr_expect_arr_eq(sheet.image.pixels + (40 * 200 + 100) * 3, &red, 3);
    for (uint32_t y = 0; y < 200; y++)
        for (uint32_t x = 0; x < 200; x++) {
            bool line = y >= 98 && y < 102 && x >= 18 && x < 182;
            bool point = hypot(x - 100.0, y - 40.0) < 6;
            cr_assert(line || point || !is_changed(&sheet, x, y), "%u, %u", x, y);
        }
    r2_image_finish(&sheet.image);
}

/* AddressSanitizer sees what is written beside the pixels. */
Test(draw, every_size_of_picture)
{
    static const uint32_t sizes[][2] = {{1, 1}, {2, 3}, {32, 32}, {8000, 200}, {1, 3000}};
    for (size_t i = 0; i < R2_COUNT(sizes); i++) {
        uint32_t width = sizes[i][0], height = sizes[i][1];
        struct sheet sheet = sheet_begin(width, height);
        uint8_t *labels = calloc(width, height);
        const struct r2_colour colours[2] = {red, red};
        labels[(size_t)width * height - 1] = 1;
        draw_begin(&sheet);
        r2_draw_heat(sheet.draw, labels);
        r2_draw_mask(sheet.draw, labels, colours, 2);
        r2_draw_box(sheet.draw, 0, 0, width, height, red, NULL);
        r2_draw_line(sheet.draw, -5, -5, width + 5.0, height + 5.0, red);
        r2_draw_point(sheet.draw, width, height, red);
        draw_end(&sheet);
        cr_expect(is_changed(&sheet, 0, 0) && is_changed(&sheet, width - 1, height - 1));
        free(labels);
        r2_image_finish(&sheet.image);
    }
}

/* A rectangle of label 2 beside one of label 3, which has no colour. */
Test(draw, a_mask_is_a_veil_with_an_outline)
{
    const struct r2_colour colours[3] = {{0, 0, 255}, {0, 0, 255}, red};
    struct sheet sheet = sheet_begin(200, 200);
    uint8_t *labels = calloc(200, 200);
    for (size_t y = 50; y < 150; y++)
        memset(labels + 200 * y + 50, 2, 50), labels[200 * y + 100] = 3;
    draw_begin(&sheet);
    r2_draw_mask(sheet.draw, labels, colours, R2_COUNT(colours));
    draw_end(&sheet);
    for (uint32_t y = 0; y < 200; y++)
        for (uint32_t x = 0; x < 200; x++)
            cr_assert_eq(is_changed(&sheet, x, y), labels[200 * y + x] == 2, "%u, %u", x, y);
    const uint8_t *inside = sheet.image.pixels + (100 * 200 + 75) * 3;
    const uint8_t *edge = sheet.image.pixels + (100 * 200 + 50) * 3;
    cr_expect(inside[0] > 130 && inside[0] < 190 && edge[0] > 230, "%d, %d", inside[0], edge[0]);
    free(labels);
    r2_image_finish(&sheet.image);
}

Test(draw, heat_is_denser_where_it_is_hotter)
{
    struct sheet sheet = sheet_begin(256, 1);
    uint8_t heat[256];
    for (unsigned i = 0; i < 256; i++) heat[i] = (uint8_t)i;
    draw_begin(&sheet);
    r2_draw_heat(sheet.draw, heat);
    draw_end(&sheet);
    const uint8_t *cold = sheet.image.pixels, *hot = cold + 255 * 3;
    cr_expect(abs(cold[1] - GREY) < 20 && hot[1] > 180, "%d, %d", cold[1], hot[1]);
    r2_image_finish(&sheet.image);
}

Test(draw, too_wide_for_cairo)
{
    struct r2_error err = {0};
    struct r2_image image = {40000, 1, NULL};
    struct r2_draw *draw = NULL;
    EXPECT_FAIL(r2_draw_begin(&image, NULL, &draw, &err), err, R2_INVALID,
                "drawing on a picture of 40000 x 1 pixels: the limit of a side is 32767");
    cr_expect_null(draw);
}
