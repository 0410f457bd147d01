/* Scores of poses and which are the same person's, against NumPy (tests/golden/pose/oks.f32). */
#include "heads/oks.h"

#include <math.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "heads/skeleton.h"
#include "tests/base/expect.h"

enum { POSES = 60, JOINTS = 17 };

/* A row of the golden. */
struct row {
    float box_score, area;
    struct r2_point points[JOINTS];
    float score, place[2]; /* among those kept at 0.9 and 0.5; -1: not kept */
};

static struct row rows[POSES];
static struct r2_skeleton coco;

static void setup(void)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/pose/oks.f32", getenv("R2_TEST_DATA"));
    ASSERT_OK(r2_file_read(path, 1 << 20, &file, &err), err);
    cr_assert_eq(file.size, sizeof rows);
    memcpy(rows, file.data, sizeof rows);
    r2_buffer_finish(&file);
    ASSERT_OK(r2_skeleton_init(&coco, &(struct r2_skeleton_options){0}, NULL, JOINTS, &err), err);
}

static void teardown(void)
{
    r2_skeleton_finish(&coco);
}

TestSuite(oks, .init = setup, .fini = teardown);

Test(oks, scores)
{
    size_t nothing = 0;
    for (size_t i = 0; i < POSES; i++) {
        const float got = r2_oks_score(rows[i].box_score, rows[i].points, JOINTS, 0.2f);
        cr_expect(fabsf(got - rows[i].score) < 1e-6f, "pose %zu: %g, not %g", i, (double)got,
                  (double)rows[i].score);
        nothing += rows[i].score <= 0;
    }
    cr_expect(nothing > 0, "one pose has no point above the threshold");
}

static void expect_kept(double threshold, int column)
{
    struct r2_error err = {0};
    struct r2_point points[POSES][JOINTS];
    float scores[POSES];
    double areas[POSES];
    uint32_t kept[POSES];
    size_t count = 0, wanted = 0;
    for (size_t i = 0; i < POSES; i++) {
        memcpy(points[i], rows[i].points, sizeof points[i]);
        scores[i] = rows[i].score;
        areas[i] = (double)rows[i].area;
        wanted += rows[i].place[column] >= 0;
    }
    const struct r2_oks_input input = {points[0], scores, areas, POSES, JOINTS, coco.sigmas};
    ASSERT_OK(r2_oks_keep(&input, threshold, kept, &count, &err), err);
    cr_assert_eq(count, wanted, "%zu kept, not %zu", count, wanted);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq((size_t)rows[kept[i]].place[column], i, "pose %u is number %zu", kept[i], i);
}

Test(oks, like_numpy)
{
    expect_kept(0.9, 0);
    expect_kept(0.5, 1);
}

/* Twins are alike, equal likeness is not above; without area only equal places are alike. */
Test(oks, edges)
{
    struct r2_error err = {0};
    struct r2_point points[2 * JOINTS];
    const float scores[2] = {0.5f, 0.5f};
    const double areas[2] = {0, 0};
    uint32_t kept[2];
    size_t count = 9;
    memcpy(points, rows[0].points, sizeof rows[0].points);
    memcpy(points + JOINTS, rows[0].points, sizeof rows[0].points);
    struct r2_oks_input input = {points, scores, areas, 2, JOINTS, coco.sigmas};
    cr_expect(fabs(r2_oks_similarity(points, 0, points + JOINTS, 0, coco.sigmas, JOINTS) - 1) <
              1e-12);
    ASSERT_OK(r2_oks_keep(&input, 0.999, kept, &count, &err), err);
    cr_expect(count == 1 && kept[0] == 0, "the first of two with equal scores");
    ASSERT_OK(r2_oks_keep(&input, 1, kept, &count, &err), err);
    cr_expect_eq(count, 2);
    points[3].x += 1;
    cr_expect(fabs(r2_oks_similarity(points, 0, points + JOINTS, 0, coco.sigmas, JOINTS) -
                   16.0 / 17) < 1e-12);
    input.count = 0;
    ASSERT_OK(r2_oks_keep(&input, 0.9, kept, &count, &err), err);
    cr_expect_eq(count, 0);
}
