/* Graphs: shapes, errors that stay, and what the published variants count. */
#include "backbone/graph.h"

#include <math.h>

#include "backbone/res2net.h"
#include "base/memory.h"
#include "tests/base/expect.h"

enum { CHANNELS = 6 };

static struct r2_graph start(r2_value *ret_input)
{
    struct r2_graph graph;
    r2_graph_init(&graph);
    *ret_input = r2_graph_input(&graph, CHANNELS);
    return graph;
}

/* The extent of the last value. */
static struct r2_extent extent_of(const struct r2_graph *graph, uint32_t height, uint32_t width)
{
    struct r2_error err = {0};
    struct r2_extent extents[64];
    cr_assert_leq(graph->value_count, 64);
    ASSERT_OK(r2_graph_check(graph, &err), err);
    ASSERT_OK(r2_graph_extents(graph, (struct r2_extent){height, width}, extents, &err), err);
    return extents[graph->value_count - 1];
}

#define EXPECT_EXTENT(graph, h, w, wanted_h, wanted_w)                                             \
    do {                                                                                           \
        struct r2_extent got_ = extent_of(graph, h, w);                                            \
        cr_expect(got_.height == (wanted_h) && got_.width == (wanted_w), "%u x %u, not %d x %d",   \
                  got_.height, got_.width, (int)(wanted_h), (int)(wanted_w));                      \
    } while (0)

/* --- shapes -------------------------------------------------------------------------------------
 */

Test(graph, convolution_shapes)
{
    static const struct {
        uint32_t kernel, stride, pad, dilation, size, wanted;
    } cases[] = {
        {1, 1, 0, 1, 7, 7}, {3, 1, 1, 0, 7, 7},     {3, 1, 0, 1, 7, 5},     {3, 2, 1, 1, 7, 4},
        {3, 2, 1, 1, 8, 4}, {7, 2, 3, 1, 224, 112}, {7, 2, 3, 1, 225, 113}, {3, 1, 2, 2, 9, 9},
        {3, 2, 2, 2, 9, 5}, {3, 1, 0, 2, 9, 5},     {3, 1, 4, 4, 3, 3},     {1, 2, 0, 1, 7, 4},
        {2, 1, 1, 1, 7, 8}, {1, 3, 0, 1, 1, 1},     {5, 1, 0, 1, 5, 1},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        r2_value x;
        struct r2_graph graph = start(&x);
        r2_value y = r2_graph_conv(&graph, x,
                                   &(struct r2_conv){.name = "c",
                                                     .out = 9,
                                                     .kernel = cases[i].kernel,
                                                     .stride = cases[i].stride,
                                                     .pad = cases[i].pad,
                                                     .dilation = cases[i].dilation});
        cr_expect_eq(r2_graph_channels(&graph, y), 9);
        EXPECT_EXTENT(&graph, cases[i].size, cases[i].size, cases[i].wanted, cases[i].wanted);
        r2_graph_finish(&graph);
    }
}

/* As torch.nn.MaxPool2d and AvgPool2d count (measured). */
/* As torch.nn.ConvTranspose2d; 0 is a picture that is refused. */
Test(graph, transposed_convolution_shapes)
{
    static const struct {
        uint32_t kernel, stride, pad, size, wanted;
    } cases[] = {{4, 2, 1, 8, 16}, {2, 2, 0, 7, 14}, {3, 2, 1, 7, 13}, {1, 3, 0, 4, 10},
                 {3, 1, 1, 5, 5},  {4, 2, 1, 1, 2},  {3, 1, 2, 3, 1},  {3, 1, 2, 2, 0}};
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        r2_value x;
        struct r2_graph graph = start(&x);
        struct r2_error err = {0};
        struct r2_extent got[2 + 1];
        const struct r2_deconv deconv = {.name = "d",
                                         .out = 9,
                                         .kernel = cases[i].kernel,
                                         .stride = cases[i].stride,
                                         .pad = cases[i].pad};
        cr_expect_eq(r2_graph_channels(&graph, r2_graph_deconv(&graph, x, &deconv)), 9);
        if (cases[i].wanted)
            EXPECT_EXTENT(&graph, cases[i].size, cases[i].size, cases[i].wanted, cases[i].wanted);
        else
            cr_expect_eq(r2_graph_extents(&graph, (struct r2_extent){cases[i].size, cases[i].size},
                                          got, &err),
                         R2_INVALID);
        r2_graph_finish(&graph);
    }
}

Test(graph, pool_shapes)
{
    static const struct {
        uint32_t kernel, stride, pad;
        bool ceil;
        uint32_t size, wanted;
    } cases[] = {
        {3, 2, 1, false, 112, 56}, {3, 2, 1, true, 112, 57}, {3, 2, 1, false, 113, 57},
        {3, 2, 1, true, 113, 57},  {2, 2, 0, false, 7, 3},   {2, 2, 0, true, 7, 4},
        {2, 2, 0, true, 8, 4},     {3, 1, 1, false, 5, 5},   {3, 1, 1, true, 5, 5},
        {2, 3, 1, true, 5, 2},     {2, 3, 1, true, 4, 2},    {2, 3, 1, false, 5, 2},
        {1, 2, 0, true, 5, 3},     {1, 2, 0, true, 6, 3},    {1, 2, 0, false, 6, 3},
        {2, 2, 1, true, 3, 2},     {2, 2, 1, true, 4, 3},    {3, 3, 0, true, 4, 2},
        {3, 3, 1, true, 3, 2},     {2, 2, 0, true, 3, 2},    {2, 4, 0, true, 5, 2},
        {2, 5, 0, true, 5, 1},     {2, 2, 0, true, 1, 1},    {3, 3, 0, true, 1, 1},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        r2_value x;
        struct r2_graph graph = start(&x);
        r2_value y = r2_graph_pool(&graph, x,
                                   &(struct r2_pool){R2_POOL_MAX, cases[i].kernel, cases[i].stride,
                                                     cases[i].pad, 0, cases[i].ceil});
        cr_expect_eq(r2_graph_channels(&graph, y), CHANNELS);
        struct r2_extent got = extent_of(&graph, cases[i].size, 17);
        cr_expect_eq(got.height, cases[i].wanted, "case %zu: %u, not %u", i, got.height,
                     cases[i].wanted);
        r2_graph_finish(&graph);
    }
}

Test(graph, other_shapes)
{
    r2_value x;
    struct r2_graph graph = start(&x);
    r2_value slice = r2_graph_slice(&graph, x, 2, 4);
    EXPECT_EXTENT(&graph, 5, 8, 5, 8);
    r2_value both = r2_graph_concat(&graph, (r2_value[]){slice, x, slice}, 3);
    EXPECT_EXTENT(&graph, 5, 8, 5, 8);
    r2_graph_add(&graph, slice, slice, true);
    EXPECT_EXTENT(&graph, 5, 8, 5, 8);
    const struct r2_pool halve = {.kernel = 2, .stride = 2, .ceil = true};
    r2_value half = r2_graph_pool(&graph, both, &halve);
    cr_expect_eq(r2_graph_channels(&graph, r2_graph_resize(&graph, x, half, R2_SAMPLE_NEAREST)),
                 CHANNELS);
    EXPECT_EXTENT(&graph, 5, 8, 3, 4);
    r2_graph_linear(&graph, half, &(struct r2_linear){.name = "flat", .out = 2, .window = {3, 4}});
    EXPECT_EXTENT(&graph, 5, 8, 1, 1);
    r2_value pooled = r2_graph_global_pool(&graph, both);
    EXPECT_EXTENT(&graph, 5, 8, 1, 1);
    r2_value logits = r2_graph_linear(&graph, pooled, &(struct r2_linear){.name = "fc", .out = 10});
    EXPECT_EXTENT(&graph, 5, 8, 1, 1);
    cr_expect(r2_graph_channels(&graph, slice) == 4 && r2_graph_channels(&graph, both) == 14 &&
              r2_graph_channels(&graph, pooled) == 14 && r2_graph_channels(&graph, logits) == 10);
    cr_expect_eq(r2_graph_channels(&graph, 0), 0);
    cr_expect_eq(r2_graph_channels(&graph, 99), 0);
    r2_graph_output(&graph, logits, "logits");
    r2_graph_output(&graph, x, "x");
    cr_expect_eq(r2_graph_find_output(&graph, "x"), 1);
    cr_expect_eq(r2_graph_find_output(&graph, "y"), -1);
    r2_graph_finish(&graph);
    r2_graph_finish(NULL);
}

Test(graph, nodes_keep_their_part_and_name)
{
    r2_value x;
    struct r2_graph graph = start(&x);
    char name[] = "first";
    x = r2_graph_conv(
        &graph, x,
        &(struct r2_conv){.name = name, .norm = name, .out = 1, .kernel = 1, .stride = 1});
    name[0] = 'F';
    r2_graph_set_part(&graph, 3);
    for (unsigned i = 0; i < 200; i++) x = r2_graph_add(&graph, x, x, true); /* it grows */
    cr_assert_eq(graph.node_count, 202);
    const struct r2_node *conv = &graph.nodes[1];
    cr_expect(conv->op == R2_OP_CONV && conv->part == 0 && !conv->conv.name && !conv->conv.norm);
    cr_expect_str_eq(conv->name, "first");
    cr_expect_str_eq(conv->norm, "first");
    cr_expect(conv->conv.groups == 1 && conv->conv.dilation == 1, "0 is read as 1");
    cr_expect(graph.nodes[201].part == 3 && graph.nodes[201].output == x);
    r2_graph_finish(&graph);
}

/* --- errors -------------------------------------------------------------------------------------
 */

static void expect_extents_fail(const struct r2_graph *graph, uint32_t height, uint32_t width,
                                const char *message)
{
    struct r2_error err = {0};
    struct r2_extent extents[64];
    EXPECT_FAIL(r2_graph_extents(graph, (struct r2_extent){height, width}, extents, &err), err,
                R2_INVALID, message);
}

Test(graph, pictures_that_do_not_fit)
{
    r2_value x;
    struct r2_graph graph = start(&x);
    x = r2_graph_conv(
        &graph, x,
        &(struct r2_conv){
            .name = "layer1.0.conv1", .out = 64, .kernel = 5, .stride = 2, .dilation = 2});
    EXPECT_EXTENT(&graph, 9, 11, 1, 2);
    expect_extents_fail(&graph, 8, 11,
                        "a picture of 11 x 8 is too small for layer 1 'layer1.0.conv1'");
    expect_extents_fail(&graph, 0, 11, "a picture of 11 x 0 is too small for layer 0 'input'");
    expect_extents_fail(&graph, 65536, 65536,
                        "a picture of 65536 x 65536 is too large for layer 0 'input'");
    expect_extents_fail(&graph, UINT32_MAX, UINT32_MAX,
                        "a picture of 4294967295 x 4294967295 is too large for layer 0 'input'");
    expect_extents_fail(&graph, 16384, 16384,
                        "a picture of 16384 x 16384 is too large for layer 1 'layer1.0.conv1'");
    r2_graph_pool(&graph, x, &(struct r2_pool){R2_POOL_AVG, 4, 2, 0, 0, true});
    EXPECT_EXTENT(&graph, 13, 30, 1, 5);
    expect_extents_fail(&graph, 12, 30, "a picture of 30 x 12 is too small for layer 2 ''");
    r2_graph_finish(&graph);
}

Test(graph, values_of_different_sizes)
{
    static const struct r2_pool half = {R2_POOL_MAX, 2, 2, 0, 0, true};
    r2_value x;
    struct r2_graph graph = start(&x);
    r2_value y = r2_graph_pool(&graph, x, &half);
    r2_graph_add(&graph, x, y, false);
    expect_extents_fail(
        &graph, 6, 5,
        "a picture of 5 x 6 does not suit the network: layer 2 joins 5 x 6 and 3 x 3 cells");
    EXPECT_EXTENT(&graph, 1, 1, 1, 1);
    r2_graph_finish(&graph);
    graph = start(&x);
    y = r2_graph_pool(&graph, x, &half);
    r2_graph_concat(&graph, (r2_value[]){y, x}, 2);
    expect_extents_fail(
        &graph, 6, 5,
        "a picture of 5 x 6 does not suit the network: layer 2 joins 3 x 3 and 5 x 6 cells");
    r2_graph_finish(&graph);
    graph = start(&x);
    r2_graph_gate(&graph, x, x, x, false);
    expect_extents_fail(
        &graph, 6, 5,
        "a picture of 5 x 6 does not suit the network: layer 1 joins 1 x 1 and 5 x 6 cells");
    EXPECT_EXTENT(&graph, 1, 1, 1, 1);
    r2_graph_finish(&graph);
}

/* A linear layer reads one cell unless it says how many. */
Test(graph, linear_of_a_map)
{
    r2_value x;
    struct r2_graph graph = start(&x);
    r2_graph_linear(&graph, x, &(struct r2_linear){.name = "fc", .out = 4});
    expect_extents_fail(&graph, 2, 1, "layer 1 'fc' reads 1 x 2 cells, its weights are for 1 x 1");
    EXPECT_EXTENT(&graph, 1, 1, 1, 1);
    r2_graph_finish(&graph);
}

enum mistake {
    NO_KERNEL,
    NO_STRIDE,
    GROUPS_IN,
    GROUPS_OUT,
    NO_OUT,
    LARGE_OUT,
    POOL_KERNEL,
    POOL_PAD,
    POOL_PAD_END,
    DECONV_PAD,
    SLICE_PAST,
    SLICE_EMPTY,
    SLICE_WRAPS,
    CONCAT_NONE,
    CONCAT_MANY,
    ADD_CHANNELS,
    GATE_CHANNELS,
    SECOND_INPUT,
    FUTURE_VALUE,
    FUTURE_LIKE,
    HALF_WINDOW,
    LARGE_WINDOW,
    LONG_NAME,
    LONG_OUTPUT,
    MISTAKES
};

static r2_value make_mistake(struct r2_graph *graph, r2_value x, enum mistake mistake)
{
    static char far[R2_GRAPH_NAME_SIZE + 1];
    r2_value many[R2_GRAPH_MAX_INPUTS + 1];
    struct r2_conv conv = {.name = "c", .out = 6, .kernel = 3, .stride = 1};
    for (size_t i = 0; i < R2_COUNT(many); i++) many[i] = x;
    memset(far, 'x', R2_GRAPH_NAME_SIZE);
    switch (mistake) {
    case NO_KERNEL: conv.kernel = 0; break;
    case NO_STRIDE: conv.stride = 0; break;
    case GROUPS_IN:
        conv.groups = 4;
        conv.out = 8;
        break;
    case GROUPS_OUT:
        conv.groups = 3;
        conv.out = 8;
        break;
    case NO_OUT: conv.out = 0; break;
    case LARGE_OUT: conv.out = (1u << 20) + 1; break;
    case LONG_NAME: conv.norm = far; break;
    case POOL_KERNEL:
        return r2_graph_pool(graph, x, &(struct r2_pool){R2_POOL_MAX, 0, 1, 0, 0, false});
    case POOL_PAD:
        return r2_graph_pool(graph, x, &(struct r2_pool){R2_POOL_MAX, 3, 1, 2, 0, false});
    case POOL_PAD_END:
        return r2_graph_pool(graph, x, &(struct r2_pool){R2_POOL_AVG, 2, 1, 0, 2, false});
    case DECONV_PAD:
        return r2_graph_deconv(graph, x, &(struct r2_deconv){"d", NULL, 5, 3, 2, 3, false});
    case SLICE_PAST: return r2_graph_slice(graph, x, 4, 3);
    case SLICE_EMPTY: return r2_graph_slice(graph, x, 4, 0);
    case SLICE_WRAPS: return r2_graph_slice(graph, x, UINT32_MAX, 2);
    case CONCAT_NONE: return r2_graph_concat(graph, many, 0);
    case CONCAT_MANY: return r2_graph_concat(graph, many, R2_GRAPH_MAX_INPUTS + 1);
    case ADD_CHANNELS: return r2_graph_add(graph, x, r2_graph_slice(graph, x, 0, 1), false);
    case GATE_CHANNELS: return r2_graph_gate(graph, x, r2_graph_slice(graph, x, 0, 1), x, false);
    case SECOND_INPUT: return r2_graph_input(graph, 3);
    case FUTURE_VALUE: return r2_graph_global_pool(graph, 17);
    case FUTURE_LIKE: return r2_graph_resize(graph, x, 17, R2_SAMPLE_NEAREST);
    case HALF_WINDOW: return r2_graph_linear(graph, x, &(struct r2_linear){"fc", 5, {0, 7}, false});
    case LARGE_WINDOW:
        return r2_graph_linear(graph, x,
                               &(struct r2_linear){"fc", 5, {UINT32_MAX, UINT32_MAX}, false});
    case LONG_OUTPUT: r2_graph_output(graph, x, far); return 0;
    case MISTAKES: break;
    }
    return r2_graph_conv(graph, x, &conv);
}

Test(graph, mistakes_stay)
{
    static const char *const messages[MISTAKES] = {
        [NO_KERNEL] = "node 1 'c' has a kernel or stride of 0",
        [NO_STRIDE] = "node 1 'c' has a kernel or stride of 0",
        [GROUPS_IN] = "node 1 'c' has channels that its groups do not divide",
        [GROUPS_OUT] = "node 1 'c' has channels that its groups do not divide",
        [NO_OUT] = "node 1 'c' has no channels, or over 2^20 of them",
        [LARGE_OUT] = "node 1 'c' has no channels, or over 2^20 of them",
        [POOL_KERNEL] = "node 1 '' has a kernel or stride of 0",
        [POOL_PAD] = "node 1 '' pads over half its kernel",
        [POOL_PAD_END] = "node 1 '' pads its whole kernel at the end",
        [DECONV_PAD] = "node 1 'd' pads its whole kernel",
        [SLICE_PAST] = "node 1 '' slices past its channels",
        [SLICE_EMPTY] = "node 1 '' has no channels, or over 2^20 of them",
        [SLICE_WRAPS] = "node 1 '' slices past its channels",
        [CONCAT_NONE] = "node 1 '' joins no values, or too many",
        [CONCAT_MANY] = "node 1 '' joins no values, or too many",
        [ADD_CHANNELS] = "node 2 '' adds values of different channels",
        [GATE_CHANNELS] = "node 2 '' gates values of different channels",
        [SECOND_INPUT] = "node 1 'input' is not the first one",
        [FUTURE_VALUE] = "node 1 '' reads a value that does not exist",
        [FUTURE_LIKE] = "node 1 '' takes the size of a value that does not exist",
        [HALF_WINDOW] = "node 1 'fc' reads no elements, or over 2^24 of them",
        [LARGE_WINDOW] = "node 1 'fc' reads no elements, or over 2^24 of them",
        [LONG_NAME] = "node 1 'c' has too long a name",
        [LONG_OUTPUT] = NULL, /* the name is in the message */
    };
    for (unsigned i = 0; i < MISTAKES; i++) {
        r2_value x;
        struct r2_error err = {0};
        struct r2_graph graph = start(&x);
        char wanted[R2_ERROR_SIZE];
        cr_expect_eq(make_mistake(&graph, x, (enum mistake)i), 0, "mistake %u", i);
        /* what comes after it neither helps nor replaces the message */
        cr_expect_eq(r2_graph_global_pool(&graph, x), 0, "mistake %u", i);
        cr_expect_eq(r2_graph_slice(&graph, x, 9, 9), 0, "mistake %u", i);
        r2_graph_output(&graph, 0, "nothing");
        cr_expect_eq(graph.output_count, 0, "mistake %u", i);
        snprintf(wanted, sizeof wanted, "graph: %s", messages[i] ? messages[i] : "");
        if (messages[i]) EXPECT_FAIL(r2_graph_check(&graph, &err), err, R2_INTERNAL, wanted);
        cr_expect_eq(r2_graph_check(&graph, &err), R2_INTERNAL, "mistake %u", i);
        r2_graph_finish(&graph);
    }
}

Test(graph, calls_on_no_value_do_nothing)
{
    struct r2_error err = {0};
    r2_value x;
    struct r2_graph graph = start(&x);
    cr_expect_eq(r2_graph_conv(&graph, 0, &(struct r2_conv){.name = "c"}), 0);
    cr_expect_eq(r2_graph_pool(&graph, 0, &(struct r2_pool){0}), 0);
    cr_expect_eq(r2_graph_global_pool(&graph, 0), 0);
    cr_expect_eq(r2_graph_slice(&graph, 0, 0, 1), 0);
    cr_expect_eq(r2_graph_concat(&graph, (r2_value[]){x, 0}, 2), 0);
    cr_expect_eq(r2_graph_add(&graph, x, 0, false), 0);
    cr_expect_eq(r2_graph_gate(&graph, x, 0, x, false), 0);
    cr_expect_eq(r2_graph_resize(&graph, x, 0, R2_SAMPLE_NEAREST), 0);
    cr_expect_eq(r2_graph_resize(&graph, 0, x, R2_SAMPLE_NEAREST), 0);
    cr_expect_eq(r2_graph_linear(&graph, 0, &(struct r2_linear){.name = "fc", .out = 1}), 0);
    ASSERT_OK(r2_graph_check(&graph, &err), err);
    cr_expect_eq(graph.node_count, 1);
    r2_graph_finish(&graph);
}
