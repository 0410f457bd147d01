/*
 * Multiply-accumulates and parameters of the published variants, against what was measured on the
 * official code (model zoo sheet, section 2: convolutions and fc at 224 x 224).
 */
#include <criterion/criterion.h>

#include "backbone/res2net.h"
#include "base/memory.h"
#include "tests/base/expect.h"

static const struct {
    const char *name;
    unsigned macs;       /* M */
    unsigned parameters; /* thousands */
} variants[] = {
    {"res2net50_48w_2s", 4160, 25287},
    {"res2net50", 4255, 25699},
    {"res2net50_26w_4s", 4255, 25699},
    {"res2net50_14w_8s", 4179, 25060},
    {"res2net50_26w_6s", 6296, 37051},
    {"res2net50_26w_8s", 8336, 48404},
    {"res2net101", 8067, 45207},
    {"res2net101_26w_4s", 8067, 45207},
    {"res2next50", 4173, 24671},
    {"res2next50_4s", 4173, 24671},
    {"res2net50_v1b", 4495, 25718},
    {"res2net50_v1b_26w_4s", 4495, 25718},
    {"res2net50d", 4495, 25718},
    {"res2net101_v1b", 8307, 45226},
    {"res2net101_v1b_26w_4s", 8307, 45226},
    {"res2net101d", 8307, 45226},
    {"res2net152_v1b", 12118, 61294},
    {"res2net152_v1b_26w_4s", 12118, 61294},
};

static void build(struct r2_graph *graph, const char *name, struct r2_taps *ret)
{
    struct r2_error err = {0};
    struct r2_arch arch;
    ASSERT_OK(r2_arch_find(name, &arch, &err), err);
    r2_graph_init(graph);
    r2_res2net_build(graph, &arch, R2_DIALECT_OFFICIAL, ret);
    r2_graph_linear(graph, ret->pooled, &(struct r2_linear){.name = "fc", .out = 1000});
    ASSERT_OK(r2_graph_check(graph, &err), err);
}

static uint64_t parameters_of(const struct r2_graph *graph, const struct r2_node *node)
{
    uint64_t out = r2_graph_channels(graph, node->output);
    uint64_t in = r2_graph_channels(graph, node->inputs[0]);
    if (node->op == R2_OP_LINEAR) return out * in + out;
    if (node->op != R2_OP_CONV) return 0;
    return out * (in / node->conv.groups) * node->conv.kernel * node->conv.kernel +
           (node->norm[0] ? 2 : 1) * out;
}

Test(variants, counts)
{
    for (size_t i = 0; i < R2_COUNT(variants); i++) {
        struct r2_error err = {0};
        struct r2_graph graph;
        struct r2_taps taps;
        uint64_t macs = 0, parameters = 0;
        build(&graph, variants[i].name, &taps);
        R2_AUTOFREE struct r2_extent *extents = calloc(graph.value_count, sizeof *extents);
        ASSERT_OK(r2_graph_extents(&graph, (struct r2_extent){224, 224}, extents, &err), err);
        for (size_t n = 0; n < graph.node_count; n++) {
            macs += r2_graph_macs(&graph, &graph.nodes[n], extents);
            parameters += parameters_of(&graph, &graph.nodes[n]);
        }
        cr_expect_eq((macs + 500000) / 1000000, variants[i].macs, "%s: %llu MACs", variants[i].name,
                     (unsigned long long)macs);
        cr_expect_eq((parameters + 500) / 1000, variants[i].parameters, "%s: %llu parameters",
                     variants[i].name, (unsigned long long)parameters);
        r2_graph_finish(&graph);
    }
}

/* Every name that r2_arch_name gives is in the table above. */
Test(variants, all_of_them)
{
    size_t count = 0;
    while (r2_arch_name(count)) count++;
    cr_expect_eq(count, R2_COUNT(variants));
}

static void expect_taps(const char *name, struct r2_extent picture, const struct r2_extent *wanted)
{
    static const uint32_t channels[] = {64, 256, 512, 1024, 2048, 2048};
    struct r2_error err = {0};
    struct r2_graph graph;
    struct r2_taps taps;
    build(&graph, name, &taps);
    R2_AUTOFREE struct r2_extent *extents = calloc(graph.value_count, sizeof *extents);
    ASSERT_OK(r2_graph_extents(&graph, picture, extents, &err), err);
    const r2_value values[] = {taps.stem,     taps.stage[0], taps.stage[1],
                               taps.stage[2], taps.stage[3], taps.pooled};
    for (size_t i = 0; i < R2_COUNT(values); i++) {
        struct r2_extent got = extents[values[i]];
        cr_expect(got.height == wanted[i].height && got.width == wanted[i].width,
                  "%s, tap %zu: %u x %u", name, i, got.height, got.width);
        cr_expect_eq(r2_graph_channels(&graph, values[i]), channels[i], "%s, tap %zu", name, i);
    }
    r2_graph_finish(&graph);
}

/* Odd sizes are rounded up in all paths (measured on the official code). */
Test(variants, taps)
{
    static const struct r2_extent usual[] = {{112, 112}, {56, 56}, {28, 28},
                                             {14, 14},   {7, 7},   {1, 1}};
    static const struct r2_extent odd[] = {{113, 166}, {57, 83}, {29, 42},
                                           {15, 21},   {8, 11},  {1, 1}};
    static const struct r2_extent tiny[] = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
    for (const char *const *name =
             (const char *const[]){"res2net50_26w_4s", "res2net50_v1b", "res2next50", NULL};
         *name; name++) {
        expect_taps(*name, (struct r2_extent){224, 224}, usual);
        expect_taps(*name, (struct r2_extent){225, 331}, odd);
        expect_taps(*name, (struct r2_extent){1, 1}, tiny);
    }
}

/* The dialects differ in one pool: that of the stage whose first block has stride 1. */
Test(variants, dialects)
{
    struct r2_error err = {0};
    size_t pools[2] = {0};
    for (unsigned dialect = 0; dialect < 2; dialect++) {
        struct r2_arch arch;
        struct r2_graph graph;
        struct r2_taps taps;
        ASSERT_OK(r2_arch_find("res2net50_v1b", &arch, &err), err);
        r2_graph_init(&graph);
        r2_res2net_build(&graph, &arch, (enum r2_dialect)dialect, &taps);
        for (size_t n = 0; n < graph.node_count; n++)
            pools[dialect] += graph.nodes[n].op == R2_OP_POOL;
        r2_graph_finish(&graph);
    }
    cr_expect_eq(pools[R2_DIALECT_OFFICIAL], 8); /* max, 4 slices, 3 shortcuts */
    cr_expect_eq(pools[R2_DIALECT_MMDET], 7);
    cr_expect_str_eq(r2_dialect_name(R2_DIALECT_OFFICIAL), "official");
    cr_expect_str_eq(r2_dialect_name(R2_DIALECT_MMDET), "mmdet");
}
