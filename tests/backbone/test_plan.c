/*
 * The lowering of graphs that are easy to get wrong: each is written out, run, and compared with
 * the naive run of it. Random ones are in test_plan_random.c.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/plan_case.h"

/* The larger one lets the engine use its fastest convolutions. */
static const struct r2_extent small = {6, 5}, larger = {13, 12};

static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, uint32_t out)
{
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name, .out = out, .kernel = 1, .stride = 1});
}

static r2_value conv3(struct r2_graph *graph, r2_value x, const char *name, uint32_t out)
{
    char norm[R2_GRAPH_NAME_SIZE];
    snprintf(norm, sizeof norm, "%s_norm", name);
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name,
                                           .norm = norm,
                                           .out = out,
                                           .kernel = 3,
                                           .stride = 1,
                                           .pad = 1,
                                           .relu = true});
}

static r2_value pool3(struct r2_graph *graph, r2_value x, enum r2_pool_kind kind)
{
    return r2_graph_pool(graph, x,
                         &(struct r2_pool){.kind = kind, .kernel = 3, .stride = 1, .pad = 1});
}

static r2_value join(struct r2_graph *graph, r2_value a, r2_value b)
{
    return r2_graph_concat(graph, (r2_value[]){a, b}, 2);
}

static void out(struct r2_graph *graph, r2_value value)
{
    char name[24];
    snprintf(name, sizeof name, "out%zu", graph->output_count);
    r2_graph_output(graph, value, name);
}

/* --- residual sums ------------------------------------------------------------------------------
 */

static void residual(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8);
    r2_value y = conv3(graph, shortcut, "b", 6);
    out(graph, r2_graph_add(graph, conv(graph, y, "c", 8), shortcut, true));
}

static void shortcut_is_an_output(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8);
    out(graph, shortcut);
    out(graph, r2_graph_add(graph, conv(graph, x, "b", 8), shortcut, true));
}

static void shortcut_is_read_later(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8);
    r2_value sum = r2_graph_add(graph, shortcut, conv(graph, x, "b", 8), true);
    out(graph, r2_graph_add(graph, sum, shortcut, false));
}

static void slice_of_the_shortcut_is_read_later(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8);
    r2_value slice = r2_graph_slice(graph, shortcut, 2, 3);
    out(graph, r2_graph_add(graph, conv(graph, x, "b", 8), shortcut, true));
    out(graph, pool3(graph, slice, R2_POOL_MAX));
}

static void slice_of_the_shortcut_is_an_output(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8);
    out(graph, r2_graph_slice(graph, r2_graph_slice(graph, shortcut, 2, 5), 1, 2));
    out(graph, r2_graph_add(graph, conv(graph, x, "b", 8), shortcut, true));
}

static void convolution_reads_all_of_the_shortcut_as_a_slice(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8);
    r2_value slice = r2_graph_slice(graph, shortcut, 0, 8);
    const struct r2_conv reads_around = {.name = "b", .out = 8, .kernel = 3, .stride = 1, .pad = 1};
    out(graph, r2_graph_add(graph, r2_graph_conv(graph, slice, &reads_around), shortcut, false));
}

static void convolution_is_added_and_an_output(struct r2_graph *graph, r2_value x)
{
    r2_value shortcut = conv(graph, x, "a", 8), y = conv(graph, x, "b", 8);
    out(graph, y);
    out(graph, r2_graph_add(graph, y, shortcut, true));
}

static void twice_the_same(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 8);
    out(graph, r2_graph_add(graph, y, y, false));
}

static void shortcut_is_the_input(struct r2_graph *graph, r2_value x)
{
    out(graph, r2_graph_add(graph, conv3(graph, x, "a", 6), x, true));
    out(graph, r2_graph_add(graph, conv(graph, x, "b", 6), x, false));
}

static void shortcut_waits_for_a_concat(struct r2_graph *graph, r2_value x)
{
    r2_value a = conv(graph, x, "a", 4), b = conv(graph, x, "b", 4);
    r2_value sum = r2_graph_add(graph, conv(graph, x, "c", 4), a, false);
    out(graph, join(graph, join(graph, a, b), sum));
}

/* --- slices and concats --------------------------------------------------------------------------
 */

static void res2net_block(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv3(graph, x, "a", 12), s[3], parts[4];
    for (uint32_t i = 0; i < 3; i++) s[i] = r2_graph_slice(graph, y, 3 * i, 3);
    parts[0] = conv3(graph, s[0], "b", 3);
    parts[1] = conv3(graph, r2_graph_add(graph, s[1], parts[0], false), "c", 3);
    parts[2] = conv3(graph, r2_graph_add(graph, s[2], parts[1], false), "d", 3);
    parts[3] = r2_graph_slice(graph, y, 9, 3);
    out(graph, conv(graph, r2_graph_concat(graph, parts, 4), "e", 8));
}

static void sum_of_two_slices(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 9);
    out(graph,
        r2_graph_add(graph, r2_graph_slice(graph, y, 0, 4), r2_graph_slice(graph, y, 3, 4), true));
}

static void another_order(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 8);
    out(graph, join(graph, r2_graph_slice(graph, y, 4, 4), r2_graph_slice(graph, y, 0, 4)));
}

static void slice_is_read_after_the_concat(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 8);
    r2_value first = r2_graph_slice(graph, y, 0, 4), second = r2_graph_slice(graph, y, 4, 4);
    out(graph, join(graph, conv3(graph, first, "b", 4), second));
    out(graph, pool3(graph, first, R2_POOL_AVG));
}

static void slice_of_a_slice_is_read_after_the_concat(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 8);
    r2_value first = r2_graph_slice(graph, y, 0, 4), second = r2_graph_slice(graph, y, 4, 4);
    r2_value part = r2_graph_slice(graph, first, 1, 2);
    out(graph, join(graph, r2_graph_add(graph, first, second, true), second));
    out(graph, pool3(graph, part, R2_POOL_AVG));
}

static void slices_of_a_slice(struct r2_graph *graph, r2_value x)
{
    r2_value all = conv(graph, x, "a", 12), y = r2_graph_slice(graph, all, 3, 8);
    r2_value first = r2_graph_slice(graph, y, 0, 4), second = r2_graph_slice(graph, y, 4, 4);
    out(graph, join(graph, pool3(graph, first, R2_POOL_MAX), second));
    out(graph, all);
}

static void pool_of_a_slice_takes_its_place(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 8);
    r2_value first = r2_graph_slice(graph, y, 0, 4), second = r2_graph_slice(graph, y, 4, 4);
    out(graph, join(graph, pool3(graph, first, R2_POOL_AVG), second));
}

static void sum_is_shifted_against_its_slice(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 12), z = conv(graph, x, "b", 8);
    r2_value first = r2_graph_slice(graph, y, 0, 3), second = r2_graph_slice(graph, y, 3, 8);
    r2_value shifted = r2_graph_add(graph, second, z, false);
    out(graph, r2_graph_concat(graph, (r2_value[]){first, conv(graph, x, "c", 1), shifted}, 3));
}

static void twice_in_one_concat(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 8), first = r2_graph_slice(graph, y, 0, 4);
    r2_value pooled = pool3(graph, y, R2_POOL_MAX);
    out(graph, join(graph, first, first));
    out(graph, join(graph, pooled, pooled));
}

static void in_two_concats(struct r2_graph *graph, r2_value x)
{
    r2_value a = conv(graph, x, "a", 3), b = pool3(graph, x, R2_POOL_AVG_EXCLUDE);
    r2_value c = r2_graph_add(graph, a, conv(graph, x, "c", 3), true);
    out(graph, join(graph, a, b));
    out(graph, r2_graph_concat(graph, (r2_value[]){b, c, a}, 3));
}

static void concat_into_concat(struct r2_graph *graph, r2_value x)
{
    r2_value a = pool3(graph, x, R2_POOL_AVG), b = conv(graph, x, "b", 3);
    r2_value inner = join(graph, a, b);
    out(graph, conv(graph, r2_graph_concat(graph, (r2_value[]){b, inner, inner}, 3), "d", 5));
}

static void concat_is_overwritten_by_a_sum(struct r2_graph *graph, r2_value x)
{
    r2_value a = conv(graph, x, "a", 4), b = conv(graph, x, "b", 4);
    r2_value both = join(graph, a, b);
    out(graph, r2_graph_add(graph, both, conv(graph, x, "c", 8), true));
    out(graph, r2_graph_add(graph, a, b, false)); /* must not copy b into that sum */
}

static void concat_of_outputs(struct r2_graph *graph, r2_value x)
{
    r2_value a = pool3(graph, x, R2_POOL_MAX), b = r2_graph_add(graph, a, x, true);
    out(graph, a);
    out(graph, b);
    out(graph, join(graph, b, a));
    out(graph, x);
}

static void sum_goes_to_its_place_and_its_operand_is_read_later(struct r2_graph *graph, r2_value x)
{
    r2_value a = conv(graph, x, "a", 4), b = conv(graph, x, "b", 4);
    out(graph, join(graph, r2_graph_add(graph, a, b, true), b));
    out(graph, pool3(graph, a, R2_POOL_MAX));
}

/* --- layers --------------------------------------------------------------------------------------
 */

static void convolutions(struct r2_graph *graph, r2_value x)
{
    static const struct r2_conv kinds[] = {
        {.name = "dense", .out = 7, .kernel = 3, .stride = 1, .pad = 1, .relu = true},
        {.name = "normed", .norm = "norm", .out = 7, .kernel = 3, .stride = 1},
        {.name = "stride", .norm = "stride_norm", .out = 5, .kernel = 3, .stride = 2, .pad = 1},
        {.name = "dilated", .out = 5, .kernel = 3, .stride = 1, .pad = 2, .dilation = 2},
        {.name = "both", .out = 5, .kernel = 3, .stride = 2, .pad = 2, .dilation = 2},
        {.name = "groups", .out = 4, .kernel = 3, .stride = 1, .pad = 1, .groups = 2, .relu = true},
        {.name = "depthwise", .out = 6, .kernel = 3, .stride = 2, .pad = 1, .groups = 6},
        {.name = "wide", .norm = "wide_bn3", .out = 16, .kernel = 7, .stride = 2, .pad = 3},
        {.name = "point", .out = 3, .kernel = 1, .stride = 2},
        {.name = "even", .out = 3, .kernel = 2, .stride = 1, .pad = 1},
    };
    r2_value slice = r2_graph_slice(graph, x, 1, 4);
    for (size_t i = 0; i < R2_COUNT(kinds); i++) out(graph, r2_graph_conv(graph, x, &kinds[i]));
    out(graph, conv3(graph, slice, "slice", 4));
    out(graph, conv(graph, slice, "slice_again", 4));
}

static void pools(struct r2_graph *graph, r2_value x)
{
    static const struct r2_pool shapes[] = {
        {.kernel = 3, .stride = 1, .pad = 1},
        {.kernel = 3, .stride = 2, .pad = 1},
        {.kernel = 2, .stride = 2},
        {.kernel = 2, .stride = 2, .ceil = true},
        {.kernel = 3, .stride = 2, .pad = 1, .ceil = true},
        {.kernel = 2, .stride = 3, .pad = 1, .ceil = true},
        {.kernel = 5, .stride = 1},
        {.kernel = 1, .stride = 2},
    };
    r2_value slice = r2_graph_slice(graph, x, 2, 3);
    for (size_t i = 0; i < R2_COUNT(shapes); i++) {
        struct r2_pool pool = shapes[i];
        for (int kind = R2_POOL_MAX; kind <= R2_POOL_AVG_EXCLUDE; kind++) {
            pool.kind = (enum r2_pool_kind)kind;
            r2_value all = r2_graph_pool(graph, x, &pool),
                     part = r2_graph_pool(graph, slice, &pool);
            out(graph, all);
            out(graph, join(graph, part, r2_graph_pool(graph, slice, &pool)));
        }
    }
}

static void classifier(struct r2_graph *graph, r2_value x)
{
    r2_value pooled = r2_graph_global_pool(graph, x);
    out(graph, r2_graph_linear(graph, pooled, &(struct r2_linear){.name = "fc", .out = 10}));
    out(graph, r2_graph_linear(graph, r2_graph_slice(graph, pooled, 1, 3),
                               &(struct r2_linear){.name = "part", .out = 2}));
    out(graph, r2_graph_global_pool(graph, r2_graph_slice(graph, x, 3, 2)));
    out(graph, pooled);
}

/* Enough channels for the engine's fastest convolutions, whose maps have another layout. */
static void wide_block(struct r2_graph *graph, r2_value x)
{
    r2_value y = conv(graph, x, "a", 52), s[3], parts[4];
    for (uint32_t i = 0; i < 3; i++) s[i] = r2_graph_slice(graph, y, 13 * i, 13);
    parts[0] = conv3(graph, s[0], "b", 13);
    parts[1] = conv3(graph, r2_graph_add(graph, s[1], parts[0], false), "c", 13);
    parts[2] = conv3(graph, r2_graph_add(graph, s[2], parts[1], false), "d", 13);
    parts[3] = r2_graph_slice(graph, y, 39, 13);
    r2_value sum = r2_graph_add(graph, conv(graph, r2_graph_concat(graph, parts, 4), "e", 40),
                                conv(graph, x, "f", 40), true);
    out(graph, sum);
    out(graph, pool3(graph, conv3(graph, sum, "g", 16), R2_POOL_MAX));
}

static void wide_values_are_read_in_every_way(struct r2_graph *graph, r2_value x)
{
    r2_value a = conv3(graph, conv3(graph, x, "a", 21), "b", 21), b = conv3(graph, a, "c", 21);
    r2_value part = r2_graph_slice(graph, b, 3, 17);
    out(graph, r2_graph_global_pool(graph, b));
    out(graph, r2_graph_global_pool(graph, part));
    out(graph, r2_graph_add(graph, a, b, true));
    out(graph, r2_graph_add(graph, conv(graph, x, "d", 21), b, true));
    out(graph, join(graph, b, r2_graph_add(graph, b, a, false)));
    out(graph, conv3(graph, part, "e", 12));
    out(graph, conv(graph, b, "f", 5));
    out(graph, b);
    out(graph, part);
    out(graph, conv3(graph, r2_graph_add(graph, part, part, true), "g", 30));
}

static void nothing_but_views(struct r2_graph *graph, r2_value x)
{
    out(graph, x);
    out(graph, r2_graph_slice(graph, x, 1, 3));
    out(graph, r2_graph_concat(graph, &x, 1));
}

#define GRAPH(name)                                                                                \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct {
    const char *name;
    void (*build)(struct r2_graph *graph, r2_value x);
} graphs[] = {
    GRAPH(residual),
    GRAPH(shortcut_is_an_output),
    GRAPH(shortcut_is_read_later),
    GRAPH(slice_of_the_shortcut_is_read_later),
    GRAPH(slice_of_the_shortcut_is_an_output),
    GRAPH(convolution_reads_all_of_the_shortcut_as_a_slice),
    GRAPH(convolution_is_added_and_an_output),
    GRAPH(twice_the_same),
    GRAPH(shortcut_is_the_input),
    GRAPH(shortcut_waits_for_a_concat),
    GRAPH(res2net_block),
    GRAPH(sum_of_two_slices),
    GRAPH(another_order),
    GRAPH(slice_is_read_after_the_concat),
    GRAPH(slice_of_a_slice_is_read_after_the_concat),
    GRAPH(slices_of_a_slice),
    GRAPH(pool_of_a_slice_takes_its_place),
    GRAPH(sum_is_shifted_against_its_slice),
    GRAPH(twice_in_one_concat),
    GRAPH(in_two_concats),
    GRAPH(concat_into_concat),
    GRAPH(concat_is_overwritten_by_a_sum),
    GRAPH(concat_of_outputs),
    GRAPH(sum_goes_to_its_place_and_its_operand_is_read_later),
    GRAPH(convolutions),
    GRAPH(pools),
    GRAPH(classifier),
    GRAPH(wide_block),
    GRAPH(wide_values_are_read_in_every_way),
    GRAPH(nothing_but_views),
};

ParameterizedTestParameters(plan, agrees)
{
    static size_t indices[R2_COUNT(graphs)];
    for (size_t i = 0; i < R2_COUNT(graphs); i++) indices[i] = i;
    return cr_make_param_array(size_t, indices, R2_COUNT(graphs), NULL);
}

/* Also of a batch, and with every value an output, which forbids nearly all sharing. */
ParameterizedTest(size_t *index, plan, agrees)
{
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    r2_graph_init(&graph);
    graphs[*index].build(&graph, r2_graph_input(&graph, 6));
    ASSERT_OK(r2_graph_check(&graph, &err), err);
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    for (unsigned round = 0; round < 5; round++) {
        double worst = 0;
        const unsigned threads = round == 2 ? 2 : 1;
        const struct r2_plan_shape shape = {round ? larger : small, round == 3 ? 3 : 1};
        for (r2_value v = 1; round == 4 && v < graph.value_count; v++) out(&graph, v);
        ASSERT_OK(plan_case_worst(&self, shape, threads, &worst, &err), err);
        cr_expect(worst < 1e-5, "%s, round %u: error %g", graphs[*index].name, round, worst);
        if (worst >= 1e-5) naive_print(&graph);
    }
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

/* --- what a plan tells ---------------------------------------------------------------------------
 */

static size_t count_steps(const struct r2_plan *plan, const char *kind)
{
    size_t count = 0;
    for (size_t i = 0; i < r2_plan_step_count(plan); i++)
        count += strcmp(r2_plan_step(plan, i).kind, kind) == 0;
    return count;
}

/* Fusion and sharing where they are allowed: the sums of residuals and the copies of the last slice
 * go. */
static void expect_steps(void (*build)(struct r2_graph *, r2_value), size_t convs, size_t adds,
                         size_t copies)
{
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    struct r2_plan *plan;
    r2_graph_init(&graph);
    build(&graph, r2_graph_input(&graph, 6));
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    ASSERT_OK(r2_plan_create(&graph, self.params, (struct r2_plan_shape){small, 1}, 1, &plan, &err),
              err);
    cr_expect_eq(count_steps(plan, "conv"), convs, "%zu", count_steps(plan, "conv"));
    cr_expect_eq(count_steps(plan, "add"), adds, "%zu", count_steps(plan, "add"));
    cr_expect_eq(count_steps(plan, "copy"), copies, "%zu", count_steps(plan, "copy"));
    cr_expect_eq(r2_plan_threads(plan), 1);
    cr_expect_gt(r2_plan_arena(plan), 0);
    cr_expect_gt(r2_plan_size(plan), 0);
    r2_plan_unref(r2_plan_ref(plan));
    r2_plan_unref(plan);
    r2_plan_unref(NULL);
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

Test(plan, shares_what_it_may)
{
    expect_steps(residual, 3, 0, 0);
    expect_steps(shortcut_is_an_output, 2, 1, 0);
    expect_steps(res2net_block, 5, 2, 2); /* slice 0 made dense, the last branch copied */
    expect_steps(another_order, 1, 0, 2);
}

Test(plan, failures_say_where)
{
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    struct r2_plan *plan = NULL;
    r2_graph_init(&graph);
    r2_value x = conv3(&graph, r2_graph_input(&graph, 3), "first", 4);
    out(&graph,
        r2_graph_conv(&graph, x,
                      &(struct r2_conv){.name = "deep", .out = 2, .kernel = 5, .stride = 1}));
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    EXPECT_FAIL(
        r2_plan_create(&graph, self.params, (struct r2_plan_shape){{4, 9}, 1}, 1, &plan, &err), err,
        R2_INVALID, "a picture of 9 x 4 is too small for layer 2 'deep'");
    r2_graph_conv(
        &graph, x,
        &(struct r2_conv){.name = "odd", .out = 3, .kernel = 1, .stride = 1, .groups = 2});
    EXPECT_FAIL(
        r2_plan_create(&graph, self.params, (struct r2_plan_shape){small, 1}, 1, &plan, &err), err,
        R2_INTERNAL, "graph: node 3 'odd' has channels that its groups do not divide");
    cr_expect_null(plan);
    cr_expect_eq(r2_params_size(self.params), 0, "a plan that failed keeps no weights");
    plan_case_close(&self);
    r2_graph_finish(&graph);
}
