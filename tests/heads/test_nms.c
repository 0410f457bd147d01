/* Suppression against the plain algorithm on random sets, and on sets that would be slow. */
#include "heads/nms.h"

#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "tests/base/expect.h"

enum { FEW = 200, MANY = 100000 };

struct set {
    struct r2_box *boxes;
    float *scores;
    uint32_t *groups, *kept;
    size_t count, kept_count;
};

static struct set make_set(size_t count)
{
    struct set set = {.count = count};
    struct r2_error err = {0};
    ASSERT_OK(r2_alloc(count, sizeof *set.boxes, "boxes", &set.boxes, &err), err);
    ASSERT_OK(r2_alloc(count, sizeof *set.scores, "scores", &set.scores, &err), err);
    ASSERT_OK(r2_alloc(count, sizeof *set.groups, "groups", &set.groups, &err), err);
    ASSERT_OK(r2_alloc(count, sizeof *set.kept, "kept", &set.kept, &err), err);
    return set;
}

static void drop_set(struct set *set)
{
    free(set->boxes);
    free(set->scores);
    free(set->groups);
    free(set->kept);
}

static void run(struct set *set, bool grouped, float threshold, size_t limit)
{
    struct r2_error err = {0};
    const struct r2_nms_input input = {set->boxes, set->scores, grouped ? set->groups : NULL,
                                       set->count};
    ASSERT_OK(r2_nms_keep(&input, threshold, limit, set->kept, &set->kept_count, &err), err);
}

static bool plain_finite(struct r2_box b)
{
    return isfinite(b.x1) && isfinite(b.x2) && isfinite(b.y1) && isfinite(b.y2);
}

/* The plain algorithm: the best that is left, again and again. */
static size_t plain(const struct set *set, bool grouped, float threshold, size_t limit,
                    uint32_t *ret)
{
    bool gone[FEW] = {false};
    size_t kept = 0;
    while (kept < limit) {
        size_t best = set->count;
        for (size_t i = 0; i < set->count; i++)
            if (!gone[i] && !isnan(set->scores[i]) && plain_finite(set->boxes[i]) &&
                (best == set->count || set->scores[i] > set->scores[best]))
                best = i;
        if (best == set->count) break;
        ret[kept++] = (uint32_t)best;
        for (size_t i = 0; i < set->count; i++)
            if (i == best || ((!grouped || set->groups[i] == set->groups[best]) &&
                              r2_box_iou(set->boxes[i], set->boxes[best]) > threshold))
                gone[i] = true;
    }
    return kept;
}

static float draw(float most)
{
    return (float)rand() / (float)RAND_MAX * most;
}

/* Boxes of one of several kinds: on a coarse grid (equal, nested, touching, empty and inverted ones
   abound), of any size, jittered around a few, or tiny to huge. */
static struct r2_box draw_box(int kind)
{
    const float x = draw(100), y = draw(100);
    switch (kind) {
    case 0:
        return (struct r2_box){floorf(x / 12), floorf(y / 12), floorf(draw(100) / 12),
                               floorf(draw(100) / 12)};
    case 1: return (struct r2_box){x, y, x + draw(60), y + draw(60)};
    case 2: {
        const float at = 50 * floorf(x / 50);
        return (struct r2_box){at + draw(6), at + draw(6), at + 30 + draw(8), at + 40 + draw(8)};
    }
    case 3: {
        const float size = exp2f(draw(60) - 40);
        return (struct r2_box){x * size, y * size, (x + draw(50)) * size, (y + draw(50)) * size};
    }
    default: return (struct r2_box){-x, -y, draw(2) - 1, draw(2) - 1};
    }
}

static void draw_set(struct set *set, int kind, bool broken)
{
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < set->count; i++) {
        set->boxes[i] = draw_box(kind);
        set->scores[i] = kind % 2 ? draw(1) : floorf(draw(5));
        set->groups[i] = (uint32_t)(rand() % 3) * 1000000007u;
        if (!broken || rand() % 8) continue;
        float *at[] = {&set->boxes[i].x1, &set->boxes[i].y1, &set->boxes[i].x2, &set->boxes[i].y2,
                       &set->scores[i]};
        *at[rand() % 5] = values[rand() % 3];
    }
}

Test(nms, like_the_plain_algorithm)
{
    static const float thresholds[] = {0, 0.05f, 0.1f, 0.3f, 0.5f, 0.7f, 0.95f, 1};
    static const size_t limits[] = {SIZE_MAX, 7, 1, 0};
    size_t suppressed = 0;
    for (int round = 0; round < 6000; round++) {
        struct set set = make_set((size_t)rand() % (round % 10 ? 40 : FEW));
        uint32_t wanted[FEW];
        const float threshold = thresholds[rand() % 8];
        const size_t limit = limits[rand() % 4];
        const bool grouped = round % 3;
        draw_set(&set, round % 5, round % 7 == 0);
        const size_t count = plain(&set, grouped, threshold, limit, wanted);
        run(&set, grouped, threshold, limit);
        cr_assert_eq(set.kept_count, count, "round %d: %zu of %zu kept, not %zu", round,
                     set.kept_count, set.count, count);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(set.kept[i], wanted[i], "round %d, place %zu: %u, not %u", round, i,
                         set.kept[i], wanted[i]);
        suppressed += set.count - count;
        drop_set(&set);
    }
    cr_expect(suppressed > 10000, "the sets are of no use: %zu", suppressed);
}

Test(nms, an_equal_iou_does_not_suppress)
{
    struct set set = make_set(2);
    set.boxes[0] = (struct r2_box){0, 0, 10, 1};
    set.boxes[1] = (struct r2_box){0, 0, 7, 1};
    run(&set, false, 0.7f, SIZE_MAX);
    cr_expect_eq(set.kept_count, 2);
    run(&set, false, nextafterf(0.7f, 0), SIZE_MAX);
    cr_expect_eq(set.kept_count, 1);
    drop_set(&set);
}

Test(nms, too_many)
{
    struct r2_error err = {0};
    const struct r2_nms_input input = {.count = 1 << 30};
    size_t kept = 5;
    EXPECT_FAIL(r2_nms_keep(&input, 0.5f, 1, NULL, &kept, &err), err, R2_TOO_LARGE,
                "suppression: 1073741824 boxes, at most 1073741823");
    cr_expect_eq(kept, 5);
}

/* One group. The plain algorithm needs 5 * 10^9 comparisons for each, more than the time limit of the
   tests permits; R2_TEST_TIMES tells what it takes. */
static void expect_kept(struct set *set, float threshold, size_t kept, const char *what)
{
    for (size_t i = 0; i < set->count; i++) set->scores[i] = draw(1);
    const uint64_t begin = r2_clock_ns();
    run(set, false, threshold, SIZE_MAX);
    const double ms = r2_ns_to_ms(r2_clock_ns() - begin);
    if (getenv("R2_TEST_TIMES")) fprintf(stderr, "nms, %s: %.1f ms\n", what, ms);
    cr_expect_eq(set->kept_count, kept, "%s: %zu kept", what, set->kept_count);
}

Test(nms, many_that_do_not_overlap)
{
    struct set set = make_set(MANY);
    for (int i = 0; i < MANY; i++) {
        const float x = (float)(i % 400) * 3, y = (float)(i / 400) * 3;
        set.boxes[i] = (struct r2_box){x, y, x + 3, y + 3};
    }
    expect_kept(&set, 0.5f, MANY, "a grid");
    expect_kept(&set, 0.1f, MANY, "a grid, least threshold");
    for (int i = 0; i < MANY; i++)
        set.boxes[i] = (struct r2_box){0, (float)i, 1333, (float)(i + 1)};
    expect_kept(&set, 0.7f, MANY, "stripes");
    for (int i = 0; i < MANY; i++) set.boxes[i] = (struct r2_box){7, 7, 7, 7};
    expect_kept(&set, 0.7f, MANY, "points");
    for (int i = 0; i < MANY; i++) set.boxes[i] = (struct r2_box){7, 7, 8, 9};
    expect_kept(&set, 0.7f, 1, "all equal");
    drop_set(&set);
}
