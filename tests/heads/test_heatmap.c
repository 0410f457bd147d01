/* Heat maps to points against NumPy (tests/golden/pose/points.f32), and its edges. */
#include "heads/heatmap.h"

#include <math.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "tests/base/expect.h"

/* The maps of training/make_pose_goldens.py, in a pitch with something else behind each cell. */
enum { CASES = 24, HEIGHT = 16, WIDTH = 12, JOINTS = 5, PITCH = 8, CELLS = HEIGHT * WIDTH };

static const uint32_t partner[JOINTS] = {0, 2, 1, 4, 3};

static void make_maps(int at, int mirrored, float *ret)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++, ret += PITCH)
            for (int j = 0; j < PITCH; j++) {
                const int value =
                    (y * 31 + x * 17 + j * 7 + at * 13 + mirrored * 29 + x * y * (j + 1) % 11) % 64;
                const double cold = at % 6 == j ? 2 : 0;
                ret[j] = j < JOINTS ? (float)(value / 32.0 - 0.9 - cold) : NAN;
            }
}

static void expect_points(const struct r2_output_view *maps, const float *wanted, int at)
{
    struct r2_point got[JOINTS];
    r2_heatmap_points(maps, 0, got);
    for (int j = 0; j < JOINTS; j++, wanted += 3)
        cr_expect(fabsf(got[j].x - wanted[0]) < 1e-6f && fabsf(got[j].y - wanted[1]) < 1e-6f &&
                      fabsf(got[j].score - wanted[2]) < 1e-6f,
                  "case %d, joint %d: (%g, %g) %g, not (%g, %g) %g", at, j, (double)got[j].x,
                  (double)got[j].y, (double)got[j].score, (double)wanted[0], (double)wanted[1],
                  (double)wanted[2]);
}

Test(heatmap, like_numpy)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    float wanted[CASES][2][JOINTS * 3], maps[2 * CELLS * PITCH], merged[CELLS * JOINTS];
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/pose/points.f32", getenv("R2_TEST_DATA"));
    ASSERT_OK(r2_file_read(path, 1 << 20, &file, &err), err);
    cr_assert_eq(file.size, sizeof wanted);
    memcpy(wanted, file.data, sizeof wanted);
    r2_buffer_finish(&file);
    for (int at = 0; at < CASES; at++) {
        const struct r2_output_view view = {maps, 2, HEIGHT, WIDTH, JOINTS, PITCH};
        const struct r2_output_view dense = {merged, 1, HEIGHT, WIDTH, JOINTS, JOINTS};
        make_maps(at, 0, maps);
        make_maps(at, 1, maps + CELLS * PITCH);
        expect_points(&view, wanted[at][0], at);
        r2_heatmap_copy(&view, 0, merged);
        r2_heatmap_merge(&view, 1, partner, merged);
        expect_points(&dense, wanted[at][1], at);
    }
}

/* One map of 4 x 4 whose cells are as given. */
static struct r2_point point_of(const float *cells)
{
    struct r2_point point;
    r2_heatmap_points(&(struct r2_output_view){cells, 1, 4, 4, 1, 1}, 0, &point);
    return point;
}

static void expect_point(const float *cells, float x, float y, float score)
{
    const struct r2_point got = point_of(cells);
    cr_expect(fabsf(got.x - x) < 1e-6f && fabsf(got.y - y) < 1e-6f &&
                  fabsf(got.score - score) < 1e-6f,
              "(%g, %g) %g, not (%g, %g) %g", (double)got.x, (double)got.y, (double)got.score,
              (double)x, (double)y, (double)score);
}

Test(heatmap, edges)
{
    expect_point((float[16]){[5] = 1, [10] = 1}, 1, 1, 1); /* the first of equal ones */
    expect_point((float[16]){[10] = 1, [11] = 0.5f, [6] = 0.25f}, 2.25f, 1.75f, 1);
    expect_point((float[16]){[10] = 1, [11] = 0.5f, [9] = 0.5f}, 2, 2, 1);  /* neither is hotter */
    expect_point((float[16]){[6] = 1, [7] = 0.5f, [10] = 0.5f}, 2, 1, 1);   /* at y 1 both stay */
    expect_point((float[16]){[11] = 1, [10] = 0.5f, [7] = 0.5f}, 3, 2, 1);  /* the last column */
    expect_point((float[16]){[14] = 1, [13] = 0.5f, [10] = 0.5f}, 2, 3, 1); /* the last row */
}

/* Nothing above 0 is no point, wherever the maximum is. */
Test(heatmap, nothing_hot)
{
    float cells[16];
    for (int i = 0; i < 16; i++) cells[i] = i == 10 ? -1 : -2;
    expect_point(cells, 0, 0, -1);
    cells[10] = 0;
    expect_point(cells, 0, 0, 0);
}

/* A NaN anywhere shows, before and after the maximum. */
Test(heatmap, nan_shows)
{
    for (int at = 0; at < 16; at++) {
        float cells[16] = {[7] = 9};
        cells[at] = NAN;
        cr_expect(isnan(point_of(cells).score), "cell %d", at);
    }
}

Test(heatmap, one_cell)
{
    const float cell = 2;
    struct r2_point point;
    r2_heatmap_points(&(struct r2_output_view){&cell, 1, 1, 1, 1, 1}, 0, &point);
    cr_expect(point.x <= 0 && point.y <= 0 && point.score > 1);
}
