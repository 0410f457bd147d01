#include "server/histogram.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/pool.h"

static double value_of(const char *text, const char *series)
{
    const char *line = strstr(text, series);
    cr_assert(line, "no %s in %s", series, text);
    return strtod(line + strlen(series), NULL);
}

Test(histogram, bounds_ascend)
{
    for (int i = 1; i < R2_HISTOGRAM_BUCKETS - 1; i++)
        cr_expect_gt(r2_histogram_bounds[i], r2_histogram_bounds[i - 1]);
}

Test(histogram, an_observation_on_the_bound_is_below_it)
{
    struct r2_histogram histogram = {0};
    struct r2_text text = {0};
    r2_histogram_observe(&histogram, 0);
    r2_histogram_observe(&histogram, 1000000); /* 0.001 s: le="0.001" counts it */
    r2_histogram_observe(&histogram, 1000001);
    r2_histogram_observe(&histogram, 60000000000); /* a minute: +Inf only */
    r2_histogram_render(&histogram, "x", "l=\"v\"", &(struct r2_exposition){&text, false});
    cr_expect_eq(value_of(text.data, "x_bucket{l=\"v\",le=\"0.0005\"} "), 1);
    cr_expect_eq(value_of(text.data, "x_bucket{l=\"v\",le=\"0.001\"} "), 2);
    cr_expect_eq(value_of(text.data, "x_bucket{l=\"v\",le=\"0.0025\"} "), 3);
    cr_expect_eq(value_of(text.data, "x_bucket{l=\"v\",le=\"10\"} "), 3);
    cr_expect_eq(value_of(text.data, "x_bucket{l=\"v\",le=\"+Inf\"} "), 4);
    cr_expect_eq(value_of(text.data, "x_count{l=\"v\"} "), 4);
    cr_expect(fabs(value_of(text.data, "x_sum{l=\"v\"} ") - 60.002000001) < 1e-9);
    r2_text_finish(&text);
}

enum { THREADS = 4, TIMES = 20000 };

static void observe(void *context, unsigned index)
{
    for (int i = 0; i < TIMES; i++) r2_histogram_observe(context, index * 1000000);
}

Test(histogram, threads_lose_nothing)
{
    struct r2_histogram histogram = {0};
    struct r2_text text = {0};
    struct r2_pool *pool;
    struct r2_error err;
    cr_assert_eq(r2_pool_start("observe", THREADS, observe, NULL, &histogram, &pool, &err), R2_OK);
    r2_pool_join(pool);
    r2_histogram_render(&histogram, "x", "", &(struct r2_exposition){&text, false});
    cr_expect_eq(value_of(text.data, "x_count{} "), THREADS * TIMES);
    cr_expect_eq(value_of(text.data, "x_sum{} "), (0 + 1 + 2 + 3) * 0.001 * TIMES);
    r2_text_finish(&text);
}
