/* The k best of n scores against a plain sort. */
#include "heads/top_k.h"

#include <math.h>

#include "base/memory.h"
#include "tests/base/expect.h"

static const float *sorted; /* the scores that before() compares */

static int before(const void *a, const void *b)
{
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const float x = sorted[i], y = sorted[j];
    if (isnan(x) != isnan(y)) return isnan(x) ? 1 : -1;
    if (x > y || x < y) return x > y ? -1 : 1;
    return (i > j) - (i < j);
}

static void expect_best(const float *scores, size_t count, size_t k)
{
    uint32_t *wanted = malloc((count + 1) * sizeof *wanted);
    uint32_t *work = malloc((k < count ? k : count) * sizeof *work + 1);
    uint32_t *got = malloc((k < count ? k : count) * sizeof *got + 1);
    cr_assert(wanted && work && got);
    for (size_t i = 0; i < count; i++) wanted[i] = (uint32_t)i;
    sorted = scores;
    qsort(wanted, count, sizeof *wanted, before);
    const size_t found = r2_top_k(scores, count, k, work, got);
    cr_assert_eq(found, k < count ? k : count);
    for (size_t i = 0; i < found; i++)
        cr_assert_eq(got[i], wanted[i], "%zu of %zu, place %zu: %u, not %u", k, count, i, got[i],
                     wanted[i]);
    free(wanted);
    free(work);
    free(got);
}

Test(top_k, edges)
{
    static const float scores[] = {1,   -INFINITY, NAN,  3,  -0.0f, 0, 1e-45f, -1e-45f,
                                   NAN, INFINITY,  -NAN, -2, 3,     1, 3e38f,  -3e38f};
    for (size_t count = 0; count <= R2_COUNT(scores); count++)
        for (size_t k = 0; k <= count + 2; k++) expect_best(scores, count, k);
    expect_best(scores, R2_COUNT(scores), SIZE_MAX);
}

Test(top_k, ties_and_orders)
{
    enum { COUNT = 5000 };
    static float scores[COUNT];
    static const size_t ks[] = {1, 2, 100, 1000, COUNT - 1, COUNT, COUNT + 1};
    for (int kind = 0; kind < 6; kind++) {
        for (int i = 0; i < COUNT; i++) {
            const float place = (float)i / COUNT;
            const float kinds[] = {place,
                                   -place,
                                   0.5f,
                                   (float)(i % 3),
                                   (float)(rand() % 50) - 25,
                                   (float)rand() / (float)RAND_MAX};
            scores[i] = kinds[kind];
        }
        for (size_t k = 0; k < R2_COUNT(ks); k++) expect_best(scores, COUNT, ks[k]);
    }
}

/* All anchors of a picture of 800 x 1333 pixels. */
Test(top_k, many, .timeout = 20)
{
    enum { COUNT = 268569 };
    R2_AUTOFREE float *scores = malloc(COUNT * sizeof *scores);
    cr_assert(scores);
    for (int i = 0; i < COUNT; i++) scores[i] = 1 / (1 + expf((float)(rand() % 100000) / 5000));
    expect_best(scores, COUNT, 1000);
}
