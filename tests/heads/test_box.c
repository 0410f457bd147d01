/* Areas, IoU, clipping and deltas of boxes, and anchors. */
#include "heads/box.h"

#include <math.h>

#include "base/memory.h"
#include "heads/anchors.h"
#include "tests/base/expect.h"

static void expect_box(struct r2_box got, struct r2_box wanted, float most)
{
    cr_expect(fabsf(got.x1 - wanted.x1) <= most && fabsf(got.y1 - wanted.y1) <= most &&
                  fabsf(got.x2 - wanted.x2) <= most && fabsf(got.y2 - wanted.y2) <= most,
              "(%g %g %g %g), not (%g %g %g %g)", (double)got.x1, (double)got.y1, (double)got.x2,
              (double)got.y2, (double)wanted.x1, (double)wanted.y1, (double)wanted.x2,
              (double)wanted.y2);
}

Test(box, area)
{
    cr_expect_eq(r2_box_area((struct r2_box){1, 2, 4, 7}), 15);
    cr_expect_eq(r2_box_area((struct r2_box){4, 2, 1, 7}), 0, "inverted");
    cr_expect_eq(r2_box_area((struct r2_box){4, 7, 1, 2}), 0, "inverted twice");
    cr_expect_eq(r2_box_area((struct r2_box){1, 2, 1, 7}), 0, "a line");
    cr_expect_eq(r2_box_area((struct r2_box){1, 2, NAN, 7}), 0);
    cr_expect(isfinite(r2_box_area((struct r2_box){-3e38f, -3e38f, 3e38f, 3e38f})));
    cr_expect(r2_box_area((struct r2_box){0, 0, 1e-40f, 1e-40f}) > 0);
}

Test(box, iou)
{
    static const struct {
        struct r2_box a, b;
        float iou;
    } cases[] = {
        {{0, 0, 2, 2}, {0, 0, 2, 2}, 1},
        {{0, 0, 2, 2}, {1, 1, 3, 3}, 1.0f / 7},
        {{0, 0, 4, 4}, {1, 1, 3, 3}, 0.25f}, /* nested */
        {{0, 0, 10, 1}, {0, 0, 7, 1}, 0.7f}, /* exactly what a threshold says */
        {{0, 0, 2, 2}, {2, 0, 4, 2}, 0},     /* touching */
        {{0, 0, 2, 2}, {5, 5, 6, 6}, 0},
        {{0, 0, 2, 2}, {1, 1, 1, 2}, 0}, /* a line inside */
        {{1, 1, 1, 1}, {1, 1, 1, 1}, 0}, /* two points */
        {{3, 3, 1, 1}, {0, 0, 4, 4}, 0}, /* inverted */
        {{0, 0, 2, 2}, {0, NAN, 2, 2}, 0},
        {{-3e38f, -3e38f, 3e38f, 3e38f}, {-3e38f, -3e38f, 3e38f, 3e38f}, 1},
        {{0, 0, 1e-40f, 1e-40f}, {0, 0, 1e-40f, 1e-40f}, 1},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        cr_expect_eq(r2_box_iou(cases[i].a, cases[i].b), cases[i].iou, "case %zu", i);
        cr_expect_eq(r2_box_iou(cases[i].b, cases[i].a), cases[i].iou, "case %zu, swapped", i);
    }
}

Test(box, clip)
{
    expect_box(r2_box_clip((struct r2_box){-3, 5, 700, 480.5f}, 640, 480),
               (struct r2_box){0, 5, 640, 480}, 0);
    expect_box(r2_box_clip((struct r2_box){700, -9, 800, -1}, 640, 480),
               (struct r2_box){640, 0, 640, 0}, 0);
    expect_box(r2_box_clip((struct r2_box){-INFINITY, -INFINITY, INFINITY, INFINITY}, 640, 480),
               (struct r2_box){0, 0, 640, 480}, 0);
    cr_expect(isnan(r2_box_clip((struct r2_box){0, 0, NAN, 5}, 640, 480).x2));
}

/* Figures by hand: 16 wide and 8 high around (18, 24). */
Test(box, decode)
{
    const struct r2_box from = {10, 20, 26, 28};
    const struct r2_box_coder rpn = {.stds = {1, 1, 1, 1}};
    const struct r2_box_coder box = {.stds = {0.1f, 0.1f, 0.2f, 0.2f}};
    const struct r2_box_coder mean = {.means = {0.5f, 0, 0, 0}, .stds = {1, 1, 1, 1}};
    static const float none[] = {0, 0, 0, 0}, some[] = {0.25f, -0.5f, 0.6931472f, -0.6931472f};
    static const float over[] = {0, 0, 9, -9}, below_after_std[] = {0, 0, 20, 20};
    static const float broken[] = {0, 0, NAN, 0}, infinite[] = {0, 0, INFINITY, -INFINITY};
    expect_box(r2_box_decode(&rpn, from, none), from, 0);
    expect_box(r2_box_decode(&rpn, from, some), (struct r2_box){6, 18, 38, 22}, 1e-4f);
    expect_box(r2_box_decode(&box, from, some),
               (struct r2_box){9.2103f, 20.1178f, 27.5897f, 27.0822f}, 1e-3f);
    expect_box(r2_box_decode(&mean, from, none), (struct r2_box){18, 20, 34, 28}, 0);
    expect_box(r2_box_decode(&rpn, from, over),
               (struct r2_box){18 - 500, 24 - 0.064f, 18 + 500, 24 + 0.064f}, 1e-3f);
    expect_box(r2_box_decode(&rpn, from, infinite),
               (struct r2_box){18 - 500, 24 - 0.064f, 18 + 500, 24 + 0.064f}, 1e-3f);
    /* 20 * 0.2 = 4 is within the limit: the limit comes after the deviations */
    expect_box(r2_box_decode(&box, from, below_after_std),
               (struct r2_box){-418.785f, -194.393f, 454.785f, 242.393f}, 1e-2f);
    cr_expect(isnan(r2_box_decode(&rpn, from, broken).x1));
}

Test(anchors, base)
{
    static const float ratios[] = {0.5f, 1, 2}, scales[] = {8}, two[] = {1, 3};
    struct r2_box base[6];
    r2_anchors_base(4, ratios, 3, scales, 1, base);
    expect_box(base[0], (struct r2_box){-22.627417f, -11.313708f, 22.627417f, 11.313708f}, 1e-5f);
    expect_box(base[1], (struct r2_box){-16, -16, 16, 16}, 0);
    expect_box(base[2], (struct r2_box){-11.313708f, -22.627417f, 11.313708f, 22.627417f}, 1e-5f);
    r2_anchors_base(2, ratios, 3, two, 2, base);
    expect_box(base[2], (struct r2_box){-1, -1, 1, 1}, 0);
    expect_box(base[3], (struct r2_box){-3, -3, 3, 3}, 0);
}

Test(anchors, flat_order)
{
    static const struct r2_box base[] = {{-2, -1, 2, 1}, {-1, -2, 1, 2}};
    const struct r2_anchor_level level = {base, 2, 5, 16};
    for (uint32_t y = 0; y < 3; y++)
        for (uint32_t x = 0; x < 5; x++)
            for (uint32_t a = 0; a < 2; a++) {
                const float cx = 16.0f * (float)x, cy = 16.0f * (float)y;
                expect_box(r2_anchor_at(&level, (y * 5 + x) * 2 + a),
                           (struct r2_box){cx + base[a].x1, cy + base[a].y1, cx + base[a].x2,
                                           cy + base[a].y2},
                           0);
            }
}
