/* RoIAlign against torchvision (tests/golden/roi_align.f32), its edges, and the level of a RoI. */
#include "heads/roi_align.h"

#include <math.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "tests/base/expect.h"

/* The map of training/make_roi_golden.py, in a pitch with something else behind each pixel. */
enum { HEIGHT = 200, WIDTH = 334, CHANNELS = 5, PITCH = 7, BINS = 3, POOLED = 45, ROW = 49 };

static struct r2_output_view make_map(void)
{
    float *data = malloc(sizeof *data * HEIGHT * WIDTH * PITCH);
    cr_assert(data);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < PITCH; c++)
                data[(y * WIDTH + x) * PITCH + c] =
                    c < CHANNELS ? (float)((y * 31 + x * 17 + c * 7 + x * y % 13) % 64) / 32 - 1
                                 : NAN;
    return (struct r2_output_view){data, 1, HEIGHT, WIDTH, CHANNELS, PITCH};
}

static float *make_work(const struct r2_output_view *map, uint32_t bins)
{
    const size_t count = r2_roi_align_work(map, bins);
    float *work = malloc(count * sizeof *work);
    cr_assert(work);
    for (size_t i = 0; i < count; i++) work[i] = NAN; /* what is in it must not matter */
    return work;
}

Test(roi_align, like_torchvision)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    char path[1024];
    struct r2_output_view map = make_map();
    R2_AUTOFREE float *work = make_work(&map, BINS);
    snprintf(path, sizeof path, "%s/golden/roi_align.f32", getenv("R2_TEST_DATA"));
    ASSERT_OK(r2_file_read(path, 1 << 20, &file, &err), err);
    const size_t rows = file.size / (ROW * sizeof(float));
    cr_assert(rows >= 60 && file.size == rows * ROW * sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        float row[ROW], got[POOLED];
        memcpy(row, file.data + r * sizeof row, sizeof row);
        for (int i = 0; i < POOLED; i++) got[i] = NAN;
        r2_roi_align(&map, 0.25f, (struct r2_box){row[0], row[1], row[2], row[3]}, BINS, work, got);
        for (int i = 0; i < POOLED; i++)
            cr_expect(fabsf(got[i] - row[4 + i]) < 1e-5f, "roi %zu, value %d: %g, not %g", r, i,
                      (double)got[i], (double)row[4 + i]);
    }
    r2_buffer_finish(&file);
    free((void *)(uintptr_t)map.data);
}

static void expect_pooled(struct r2_box roi, float least, float most)
{
    struct r2_output_view map = make_map();
    R2_AUTOFREE float *work = make_work(&map, 7);
    float got[7 * 7 * CHANNELS];
    r2_roi_align(&map, 0.25f, roi, 7, work, got);
    for (size_t i = 0; i < R2_COUNT(got); i++)
        cr_expect(got[i] >= least && got[i] <= most, "(%g %g %g %g), value %zu: %g", (double)roi.x1,
                  (double)roi.y1, (double)roi.x2, (double)roi.y2, i, (double)got[i]);
    free((void *)(uintptr_t)map.data);
}

Test(roi_align, nothing_to_pool)
{
    static const struct r2_box rois[] = {
        {60, 60, 20, 90},    {60, 90, 80, 60},     {60, 60, 20, 20},        {10, 10, 10, 50},
        {NAN, 0, 9, 9},      {0, -INFINITY, 9, 9}, {0, 0, INFINITY, 9},     {0, 0, 9, NAN},
        {1400, 0, 1500, 50}, {0, -90, 50, -40},    {-1e30f, 9, -1e29f, 50},
    };
    for (size_t i = 0; i < R2_COUNT(rois); i++) expect_pooled(rois[i], 0, 0);
}

/* Far beyond what a picture can hold the answer is coarse, but it comes, and it is a mean. */
Test(roi_align, huge, .timeout = 20)
{
    static const struct r2_box rois[] = {
        {-1e7f, -1e7f, 1e7f, 1e7f}, {-1e30f, 0, 1e30f, 800}, {-3e38f, -3e38f, 3e38f, 3e38f}};
    for (size_t i = 0; i < R2_COUNT(rois); i++) expect_pooled(rois[i], -1, 1);
}

Test(roi_align, smallest_map)
{
    static const float cell[] = {3, -5};
    const struct r2_output_view map = {cell, 1, 1, 1, 2, 2};
    R2_AUTOFREE float *work = make_work(&map, 2);
    float got[8];
    r2_roi_align(&map, 1, (struct r2_box){0, 0, 1, 1}, 2, work, got);
    for (int i = 0; i < 8; i++) cr_expect_eq(got[i], cell[i % 2]);
}

Test(roi_align, level)
{
    static const struct {
        float width, height;
        uint32_t level;
    } cases[] = {
        {0, 50, 0},     {1, 1, 0},         {56, 56, 0},     {111.99f, 111.99f, 0}, {112, 112, 1},
        {56, 224, 1},   {223, 223, 1},     {224, 224, 2},   {448, 448, 3},         {896, 896, 3},
        {1333, 800, 3}, {1e30f, 1e30f, 3}, {-112, -112, 0}, {NAN, 300, 0},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        const struct r2_box roi = {3, 5, 3 + cases[i].width, 5 + cases[i].height};
        cr_expect_eq(r2_roi_level(roi, 56, 4), cases[i].level, "case %zu: %u", i,
                     r2_roi_level(roi, 56, 4));
    }
}
