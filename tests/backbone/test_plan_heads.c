/*
 * What heads ask of plans beyond the trunk: maps resized on the way to a sum, tensors that several
 * layers share, batches of regions and fully connected layers over them. Compared with naive runs.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "base/memory.h"
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

/* Another order, both operands resized, one read twice, one an output, one of a slice. */
static void resized_in_every_way(struct r2_graph *graph, r2_value x)
{
    r2_value half = conv3(graph, x, "half", 6, 2, true), slice = r2_graph_slice(graph, half, 1, 4);
    r2_value a = nearest(graph, half, x), b = nearest(graph, half, x),
             part = conv(graph, x, "p", 4);
    out(graph, r2_graph_add(graph, nearest(graph, half, x), x, true));
    out(graph, r2_graph_add(graph, a, b, true));
    out(graph, r2_graph_add(graph, a, a, false));
    out(graph, r2_graph_add(graph, nearest(graph, slice, x), part, false));
    out(graph, nearest(graph, x, half));
    for (int i = R2_SAMPLE_BILINEAR; i <= R2_SAMPLE_BILINEAR_CORNERS; i++) {
        out(graph, r2_graph_resize(graph, half, x, (enum r2_sampling)i));
        out(graph, r2_graph_resize(graph, x, half, (enum r2_sampling)i));
        out(graph, r2_graph_resize(graph, r2_graph_global_pool(graph, x), half,
                                   (enum r2_sampling)i)); /* a mean spread over a map */
        out(graph,
            r2_graph_add(graph, x, r2_graph_resize(graph, half, x, (enum r2_sampling)i), true));
    }
    r2_value parts[] = {nearest(graph, slice, x), part};
    out(graph, r2_graph_concat(graph, parts, 2));
}

static r2_value depthwise(struct r2_graph *graph, r2_value x, uint32_t stride, uint32_t dilation,
                          uint32_t pad, bool relu)
{
    char name[24];
    const uint32_t channels = r2_graph_channels(graph, x);
    snprintf(name, sizeof name, "depthwise%zu", graph->node_count);
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name,
                                           .out = channels,
                                           .kernel = 3,
                                           .stride = stride,
                                           .pad = pad,
                                           .dilation = dilation,
                                           .groups = channels,
                                           .relu = relu});
}

/* Rates beyond the side of the smaller maps, where the outer taps read only padding; channels of
   every remainder; slices; a sum behind, and a map read twice. */
static void spatial_pyramid(struct r2_graph *graph, r2_value x)
{
    static const uint32_t rates[] = {1, 2, 6, 24};
    r2_value map = conv(graph, x, "map", 64 + 16 + 3), parts[2 * R2_COUNT(rates)];
    for (size_t i = 0; i < R2_COUNT(rates); i++) {
        char point[24], full[24];
        snprintf(point, sizeof point, "point%zu", i);
        snprintf(full, sizeof full, "full%zu", i);
        r2_value y = depthwise(graph, map, 1, rates[i], rates[i], i % 2);
        out(graph, r2_graph_add(graph, y, map, true));
        parts[2 * i] = conv(graph, y, point, 5);
        parts[2 * i + 1] = r2_graph_conv(graph, map,
                                         &(struct r2_conv){.name = full,
                                                           .out = 7,
                                                           .kernel = 3,
                                                           .stride = 1,
                                                           .pad = rates[i],
                                                           .dilation = rates[i],
                                                           .relu = true});
    }
    r2_value slice = r2_graph_slice(graph, map, 2, 17);
    out(graph, r2_graph_concat(graph, parts, R2_COUNT(parts)));
    out(graph, depthwise(graph, slice, 2, 2, 3, true));
    out(graph, depthwise(graph, slice, 1, 2, 0, false));
}

static void (*const graphs[])(struct r2_graph *graph, r2_value x) = {
    pyramid,
    resized_is_a_shortcut,
    resized_in_every_way,
    spatial_pyramid,
};

ParameterizedTestParameters(plan_heads, agrees)
{
    static size_t indices[R2_COUNT(graphs)];
    for (size_t i = 0; i < R2_COUNT(graphs); i++) indices[i] = i;
    return cr_make_param_array(size_t, indices, R2_COUNT(graphs), NULL);
}

ParameterizedTest(size_t *index, plan_heads, agrees)
{
    static const struct r2_plan_shape shapes[] = {{{6, 5}, 1}, {{25, 27}, 1}, {{9, 7}, 3}};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    r2_graph_init(&graph);
    graphs[*index](&graph, r2_graph_input(&graph, 6));
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    for (size_t i = 0; i < R2_COUNT(shapes); i++) {
        for (unsigned threads = 1; threads <= 2; threads++) {
            double worst = 0;
            ASSERT_OK(plan_case_worst(&self, shapes[i], threads, &worst, &err), err);
            cr_expect(worst < 1e-5, "graph %zu, shape %zu: error %g", *index, i, worst);
        }
    }
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

/* Every picture of a batch is as it is alone, and its weights are those of the others. */
Test(plan_heads, regions)
{
    static const uint32_t batches[] = {1, 3, PLAN_CASE_BATCH};
    const struct r2_linear flat = {.name = "flat", .out = 33, .window = {4, 3}, .relu = true};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    r2_graph_init(&graph);
    r2_value x = r2_graph_input(&graph, 6);
    r2_value y = conv3(&graph, x, "c", 10, 1, true);
    r2_value slice = r2_graph_slice(&graph, y, 3, 7);
    out(&graph, r2_graph_linear(&graph, r2_graph_linear(&graph, slice, &flat),
                                &(struct r2_linear){.name = "last", .out = 5}));
    out(&graph, r2_graph_global_pool(&graph, y));
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    for (size_t i = 0; i < R2_COUNT(batches); i++) {
        const struct r2_plan_shape shape = {flat.window, batches[i]};
        double worst = 0;
        ASSERT_OK(plan_case_worst(&self, shape, 1, &worst, &err), err);
        cr_expect(worst < 1e-5, "batch %u: error %g", batches[i], worst);
    }
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

Test(plan_heads, shares_and_joins)
{
    const struct r2_plan_shape shape = {{24, 24}, 1};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    struct r2_plan *plan;
    size_t resizes = 0, adds = 0;
    r2_graph_init(&graph);
    pyramid(&graph, r2_graph_input(&graph, 6));
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    ASSERT_OK(r2_plan_create(&graph, self.params, shape, 1, &plan, &err), err);
    for (size_t i = 0; i < r2_plan_step_count(plan); i++) {
        resizes += strcmp(r2_plan_step(plan, i).kind, "resize") == 0;
        adds += strcmp(r2_plan_step(plan, i).kind, "add") == 0;
    }
    cr_expect(resizes == 2 && adds == 0, "%zu resizes, %zu sums", resizes, adds);
    r2_plan_unref(plan);
    EXPECT_FAIL(r2_plan_create(&graph, self.params, (struct r2_plan_shape){{24, 24}, 1u << 20}, 1,
                               &plan, &err),
                err, R2_INVALID, "a batch of 1048576 pictures of 24 x 24 is too large");
    EXPECT_FAIL(
        r2_plan_create(&graph, self.params, (struct r2_plan_shape){{24, 24}, 0}, 1, &plan, &err),
        err, R2_INTERNAL, "plan: a batch of no pictures");
    plan_case_close(&self);
    r2_graph_finish(&graph);
}
