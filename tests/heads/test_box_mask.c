/* Masks of boxes against the definition, pixel by pixel. */
#include "heads/box_mask.h"

#include <math.h>

#include "base/memory.h"
#include "heads/rle.h"
#include "tests/base/expect.h"

enum { WIDTH = 61, HEIGHT = 47, PIXELS = WIDTH * HEIGHT, SIDE = 28, CELLS = SIDE * SIDE };

static double cell(const struct r2_box_mask *mask, int y, int x)
{
    const int side = (int)mask->side;
    return x < 0 || y < 0 || x >= side || y >= side ? 0 : (double)mask->cells[y * side + x];
}

/* Bilinear between the cells, as grid_sample without align_corners, with zeros around. */
static bool is_in(const struct r2_box_mask *mask, uint32_t y, uint32_t x)
{
    const struct r2_box box = mask->box;
    const double width = (double)box.x2 - (double)box.x1, height = (double)box.y2 - (double)box.y1;
    if (!(width > 0 && height > 0)) return false;
    const double u = (x + 0.5 - (double)box.x1) / width * mask->side - 0.5;
    const double v = (y + 0.5 - (double)box.y1) / height * mask->side - 0.5;
    if (fabs(u) > 1e6 || fabs(v) > 1e6) return false;
    const int left = (int)floor(u), top = (int)floor(v);
    const double right_part = u - left, low_part = v - top;
    return (cell(mask, top, left) * (1 - right_part) + cell(mask, top, left + 1) * right_part) *
                   (1 - low_part) +
               (cell(mask, top + 1, left) * (1 - right_part) +
                cell(mask, top + 1, left + 1) * right_part) *
                   low_part >=
           0.5;
}

/* Returns the number of its pixels. */
static size_t expect_mask(const struct r2_box_mask *mask, const char *what)
{
    static uint8_t naive[PIXELS], filled[PIXELS];
    struct r2_text texts[2] = {{0}}, text = {0};
    struct r2_error err = {0};
    size_t count = 0;
    for (uint32_t i = 0; i < PIXELS; i++) count += naive[i] = is_in(mask, i / WIDTH, i % WIDTH);
    memset(filled, 0, sizeof filled);
    r2_box_mask_fill(mask, 1, (struct r2_mask_window){0, 0, WIDTH, HEIGHT}, filled);
    cr_expect_arr_eq(filled, naive, PIXELS, "%s", what);
    if (!count) naive[0] = 0;
    ASSERT_OK(r2_rle_encode(naive, WIDTH, HEIGHT, 2, texts, &err), err);
    r2_box_mask_encode(mask, &text);
    /* without a pixel: all of them in one run, as the background's mask behind its 0 */
    cr_expect_str_eq(r2_text_view(&text), r2_text_view(&texts[count > 0]) + (count == 0), "%s",
                     what);
    r2_text_finish(&texts[0]);
    r2_text_finish(&texts[1]);
    r2_text_finish(&text);
    return count;
}

static void fill_blob(float *cells, uint32_t side)
{
    const double middle = (side - 1) / 2.0;
    for (uint32_t i = 0; i < side * side; i++) {
        const double y = i / side - middle, x = i % side - middle;
        cells[i] = (float)exp(-(x * x + 2 * y * y) / (side * side / 6.0 + 1));
    }
}

static void fill_noise(float *cells, uint32_t side)
{
    uint32_t state = side;
    for (uint32_t i = 0; i < side * side; i++) {
        state = state * 1664525 + 1013904223;
        cells[i] = (float)(state >> 8) / (1 << 24);
    }
}

static void fill_one(float *cells, uint32_t side)
{
    for (uint32_t i = 0; i < side * side; i++) cells[i] = 1;
}

Test(box_mask, pixels_are_those_of_the_definition)
{
    static const struct r2_box boxes[] = {
        {10.3f, 8.2f, 40.9f, 33.7f},   {0, 0, WIDTH, HEIGHT},      {-20.5f, -7.25f, 30.1f, 20.8f},
        {40.4f, 30.3f, 90.6f, 80.9f},  {-500, -400, 700, 600},     {12.1f, 3.3f, 13.9f, 44.2f},
        {20.45f, 20.2f, 21.6f, 21.7f}, {0.25f, 20, 60.75f, 20.75f}};
    static void (*const fill[])(float *, uint32_t) = {fill_blob, fill_noise, fill_one};
    static const uint32_t sides[] = {1, 2, SIDE};
    size_t pixels = 0;
    for (size_t f = 0; f < R2_COUNT(fill); f++)
        for (size_t s = 0; s < R2_COUNT(sides); s++)
            for (size_t i = 0; i < R2_COUNT(boxes); i++) {
                float cells[CELLS];
                char what[64];
                fill[f](cells, sides[s]);
                snprintf(what, sizeof what, "fill %zu, side %u, box %zu", f, sides[s], i);
                const struct r2_box_mask mask = {cells, sides[s], boxes[i], WIDTH, HEIGHT};
                pixels += expect_mask(&mask, what);
            }
    cr_expect_gt(pixels, 8 * PIXELS);
}

Test(box_mask, what_is_empty_or_outside_has_no_pixels)
{
    static const struct r2_box boxes[] = {
        {10, 10, 10, 20},     {10, 20, 30, 10}, {WIDTH, 5, WIDTH, 9},
        {-30, -30, -10, -10}, {70, 60, 90, 80}, {20.6f, 20.6f, 21.4f, 21.4f}}; /* between centres */
    float cells[CELLS];
    fill_one(cells, SIDE);
    for (size_t i = 0; i < R2_COUNT(boxes); i++)
        cr_expect_eq(
            expect_mask(&(struct r2_box_mask){cells, SIDE, boxes[i], WIDTH, HEIGHT}, "none"), 0,
            "box %zu", i);
}

Test(box_mask, a_window_holds_all_of_it)
{
    float cells[CELLS];
    uint8_t map[PIXELS] = {0};
    fill_noise(cells, SIDE);
    const struct r2_box_mask mask = {cells, SIDE, {20.3f, -5, 50.8f, 30.2f}, WIDTH, HEIGHT};
    const struct r2_mask_window window = r2_box_mask_window(&mask);
    cr_assert(window.x >= 18 && window.x + window.width <= 53 && window.y == 0 &&
              window.height <= 32);
    r2_box_mask_fill(&mask, 7, window, map);
    for (uint32_t y = 0; y < HEIGHT; y++)
        for (uint32_t x = 0; x < WIDTH; x++) {
            const bool inside = x >= window.x && x < window.x + window.width && y < window.height;
            const uint8_t got = inside ? map[y * window.width + x - window.x] : 0;
            cr_expect_eq(got, is_in(&mask, y, x) ? 7 : 0, "%u, %u", x, y);
        }
}

/* Two gigapixels, of which none is looked at. */
Test(box_mask, pictures_of_any_size_take_neither_memory_nor_time, .timeout = 5)
{
    enum { LARGE = 45000 };
    float cells[CELLS];
    struct r2_text text = {0};
    fill_noise(cells, SIDE);
    const struct r2_box_mask mask = {cells, SIDE, {0, 0, LARGE, LARGE}, LARGE, LARGE};
    r2_box_mask_encode(&mask, &text);
    cr_expect_gt(text.size, LARGE);
    cr_expect_lt(text.size, (size_t)LARGE * (SIDE + 2) * 4);
    r2_text_finish(&text);
}
