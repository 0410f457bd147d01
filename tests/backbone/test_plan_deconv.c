/* Transposed convolutions, which run as dense ones: each kind against the naive run. */
#include <criterion/criterion.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/plan_case.h"

enum { CHANNELS = 6 };

static void out(struct r2_graph *graph, r2_value value)
{
    char name[24];
    snprintf(name, sizeof name, "out%zu", graph->output_count);
    r2_graph_output(graph, value, name);
}

/* On one cell, on maps, on a batch, by two threads. */
static void expect_agrees(const struct r2_graph *graph)
{
    static const struct r2_plan_shape shapes[] = {
        {{1, 1}, 1}, {{6, 5}, 1}, {{13, 12}, 1}, {{7, 4}, 3}};
    struct r2_error err = {0};
    struct plan_case self;
    ASSERT_OK(r2_graph_check(graph, &err), err);
    ASSERT_OK(plan_case_open(&self, graph, &err), err);
    for (size_t i = 0; i < R2_COUNT(shapes); i++) {
        double worst = 0;
        ASSERT_OK(plan_case_worst(&self, shapes[i], i == 2 ? 2 : 1, &worst, &err), err);
        cr_expect(worst < 1e-5, "shape %zu: error %g", i, worst);
        if (worst >= 1e-5) naive_print(graph);
    }
    plan_case_close(&self);
}

Test(plan_deconv, kernels_strides_pads)
{
    static const struct r2_deconv kinds[] = {
        {"double", "double_norm", 7, 4, 2, 1, true},
        {"twofold", NULL, 16, 2, 2, 0, false},
        {"odd", NULL, 5, 3, 2, 1, true},
        {"same", "same_norm", 3, 3, 1, 1, false},
        {"gaps", NULL, 4, 2, 3, 0, false}, /* cells that no kernel reaches have the bias */
        {"point", NULL, 6, 1, 1, 0, true},
        {"five", "five_norm", 3, 5, 2, 2, false},
    };
    struct r2_graph graph;
    r2_graph_init(&graph);
    const r2_value x = r2_graph_input(&graph, CHANNELS);
    for (size_t i = 0; i < R2_COUNT(kinds); i++) out(&graph, r2_graph_deconv(&graph, x, &kinds[i]));
    expect_agrees(&graph);
    r2_graph_finish(&graph);
}

/* Reads a slice; is read by a convolution, added to it, and joined with its own pool. */
Test(plan_deconv, among_others)
{
    struct r2_graph graph;
    r2_graph_init(&graph);
    const r2_value x = r2_graph_input(&graph, CHANNELS);
    const r2_value y = r2_graph_deconv(&graph, r2_graph_slice(&graph, x, 1, 4),
                                       &(struct r2_deconv){"part", NULL, 7, 4, 2, 1, false});
    const struct r2_conv conv = {.name = "c", .out = 7, .kernel = 3, .stride = 1, .pad = 1};
    out(&graph, r2_graph_add(&graph, r2_graph_conv(&graph, y, &conv), y, true));
    const struct r2_pool pool = {.kind = R2_POOL_MAX, .kernel = 3, .stride = 1, .pad = 1};
    const r2_value pooled = r2_graph_pool(&graph, y, &pool);
    const struct r2_deconv same = {"same", NULL, 5, 3, 1, 1, true};
    const r2_value joined[] = {y, pooled, r2_graph_deconv(&graph, pooled, &same)};
    out(&graph, r2_graph_concat(&graph, joined, 3));
    expect_agrees(&graph);
    r2_graph_finish(&graph);
}
