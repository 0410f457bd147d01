/*
 * What heads ask of plans beyond the trunk: maps resized on the way to a sum, tensors that several
 * layers share, batches of regions and fully connected layers over them. Compared with naive runs.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/base/expect.h"
#include "tests/support/plan_case.h"

static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, uint32_t out)
{
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name, .out = out, .kernel = 1, .stride = 1});
}

static r2_value conv3(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                      uint32_t stride, bool relu)
{
    return r2_graph_conv(
        graph, x,
        &(struct r2_conv){
            .name = name, .out = out, .kernel = 3, .stride = stride, .pad = 1, .relu = relu});
}

static r2_value nearest(struct r2_graph *graph, r2_value x, r2_value like)
{
    return r2_graph_resize(graph, x, like, R2_SAMPLE_NEAREST);
}

static void out(struct r2_graph *graph, r2_value value)
{
    char name[24];
    snprintf(name, sizeof name, "out%zu", graph->output_count);
    r2_graph_output(graph, value, name);
}

/* Three levels of a feature pyramid, the last one subsampled, and one head on all of them. */
static void pyramid(struct r2_graph *graph, r2_value x)
{
    r2_value taps[3], levels[4], coarser = 0;
    taps[0] = conv3(graph, x, "c2", 10, 1, true);
    taps[1] = conv3(graph, taps[0], "c3", 14, 2, true);
    taps[2] = conv3(graph, taps[1], "c4", 18, 2, true);
    for (int i = 2; i >= 0; i--) {
        char lateral[16], smooth[16];
        snprintf(lateral, sizeof lateral, "lateral%d", i);
        snprintf(smooth, sizeof smooth, "smooth%d", i);
        r2_value level = conv(graph, taps[i], lateral, 20);
        if (coarser) level = r2_graph_add(graph, level, nearest(graph, coarser, level), false);
        coarser = level;
        levels[i] = conv3(graph, level, smooth, 20, 1, false);
    }
    levels[3] = r2_graph_pool(graph, levels[2],
                              &(struct r2_pool){.kind = R2_POOL_MAX, .kernel = 1, .stride = 2});
    for (int i = 0; i < 4; i++) {
        r2_value shared = conv3(graph, levels[i], "shared", 20, 1, true);
        out(graph, levels[i]);
        out(graph, conv(graph, shared, "class", 3));
        out(graph, conv(graph, shared, "box", 12));
    }
}

/* Two fully connected layers over regions of 4 x 3 cells, and two on the second. */
static void box_head(struct r2_graph *graph, r2_value x)
{
    static const struct r2_extent window = {4, 3};
    r2_value flat = r2_graph_linear(
        graph, x, &(struct r2_linear){.name = "fc1", .out = 40, .window = window, .relu = true});
    flat =
        r2_graph_linear(graph, flat, &(struct r2_linear){.name = "fc2", .out = 24, .relu = true});
    out(graph, r2_graph_linear(graph, flat, &(struct r2_linear){.name = "class", .out = 5}));
    out(graph, r2_graph_linear(graph, flat, &(struct r2_linear){.name = "box", .out = 16}));
}

/* What is resized may not be overwritten before the sum has read it. */
static void resized_is_a_shortcut(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8), other = conv(graph, x, "b", 8);
    r2_value resized = nearest(graph, shortcut, x);
    r2_value y = conv(graph, x, "c", 8);
    r2_value sum = r2_graph_add(graph, other, resized, false);
    out(graph, r2_graph_add(graph, y, shortcut, true));
    out(graph, sum);
}

static void expect_agreement(void (*build)(struct r2_graph *graph, r2_value x), uint32_t channels,
                             struct r2_plan_shape shape, unsigned threads)
{
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    double worst = 1;
    r2_graph_init(&graph);
    build(&graph, r2_graph_input(&graph, channels));
    ASSERT_OK(r2_graph_check(&graph, &err), err);
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    ASSERT_OK(plan_case_worst(&self, shape, threads, &worst, &err), err);
    cr_expect(worst < 1e-5, "%u x %u, batch %u, %u threads: error %g", shape.picture.height,
              shape.picture.width, shape.batch, threads, worst);
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

Test(heads, a_pyramid_of_every_size)
{
    static const struct r2_extent extents[] = {{1, 1}, {13, 17}, {32, 32}, {48, 20}, {50, 7}};
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++)
        for (unsigned threads = 1; threads <= 2; threads++)
            expect_agreement(pyramid, 3, (struct r2_plan_shape){extents[i], 1}, threads);
    expect_agreement(pyramid, 3, (struct r2_plan_shape){{13, 17}, 3}, 1);
}

Test(heads, a_sum_reads_what_is_resized_before_it_is_overwritten)
{
    expect_agreement(resized_is_a_shortcut, 6, (struct r2_plan_shape){{9, 5}, 1}, 1);
    expect_agreement(resized_is_a_shortcut, 6, (struct r2_plan_shape){{9, 5}, 2}, 1);
}

Test(heads, fully_connected_layers_over_regions)
{
    static const uint32_t batches[] = {1, 2, PLAN_CASE_BATCH};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        for (unsigned threads = 1; threads <= 2; threads++)
            expect_agreement(box_head, 7, (struct r2_plan_shape){{4, 3}, batches[i]}, threads);
}

Test(heads, regions_of_another_size_are_refused)
{
    struct r2_graph graph;
    struct r2_error err = {0};
    struct r2_extent extents[8];
    r2_graph_init(&graph);
    box_head(&graph, r2_graph_input(&graph, 7));
    ASSERT_OK(r2_graph_check(&graph, &err), err);
    cr_assert_leq(graph.value_count, 8);
    cr_expect_eq(r2_graph_extents(&graph, (struct r2_extent){4, 4}, extents, &err), R2_INVALID);
    cr_expect(strstr(err.message, "fc1"), "%s", err.message);
    r2_graph_finish(&graph);
}
