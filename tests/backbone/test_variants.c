/*
 * Multiply-accumulates, parameters and tensors of the published variants, against what was measured on
 * the official code (model zoo sheet, section 2: convolutions and fc at 224 x 224; of DLA what its
 * outputs depend on), and for what has none, with SE or for CIFAR, on training/res2net.py and timm
 * (training/test_res2net.py).
 */
#include <criterion/criterion.h>

#include "backbone/res2net.h"
#include "base/memory.h"
#include "tests/base/expect.h"

static const struct {
    const char *name;
    unsigned macs;       /* M */
    unsigned parameters; /* thousands */
    unsigned keys;       /* of the state dict; DLA's has three dead projections more */
    unsigned tensors;    /* the same without num_batches_tracked */
} variants[] = {
    {"res2net50_48w_2s", 4160, 25287, 320, 267},
    {"res2net50", 4255, 25699, 512, 427},
    {"res2net50_26w_4s", 4255, 25699, 512, 427},
    {"res2net50_14w_8s", 4179, 25060, 896, 747},
    {"res2net50_26w_6s", 6296, 37051, 704, 587},
    {"res2net50_26w_8s", 8336, 48404, 896, 747},
    {"res2net101", 8067, 45207, 1022, 852},
    {"res2net101_26w_4s", 8067, 45207, 1022, 852},
    {"res2next50", 4173, 24671, 512, 427},
    {"res2next50_4s", 4173, 24671, 512, 427},
    {"res2net50_v1b", 4495, 25718, 524, 437},
    {"res2net50_v1b_26w_4s", 4495, 25718, 524, 437},
    {"res2net50d", 4495, 25718, 524, 437},
    {"res2net101_v1b", 8307, 45226, 1034, 862},
    {"res2net101_v1b_26w_4s", 8307, 45226, 1034, 862},
    {"res2net101d", 8307, 45226, 1034, 862},
    {"res2net152_v1b", 12118, 61294, 1544, 1287},
    {"res2net152_v1b_26w_4s", 12118, 61294, 1544, 1287},
    {"res2net50_26w_4s_se", 4258, 28230, 576, 491},
    {"res2net50_se", 4258, 28230, 576, 491},
    {"res2next50_4s_se", 4175, 27202, 576, 491},
    {"res2next50_se", 4175, 27202, 576, 491},
    {"res2next29_6cx24wx4s", 3852, 23706, 296, 247},
    {"res2next29_8cx25wx4s", 5367, 32957, 296, 247},
    {"res2next29_6cx24wx6s", 5879, 36146, 404, 337},
    {"res2next29_6cx24wx4s_se", 3853, 24228, 332, 283},
    {"res2next29_8cx25wx4s_se", 5367, 33479, 332, 283},
    {"res2next29_6cx24wx6s_se", 5880, 36668, 440, 373},
    {"res2net_dla60", 4123, 20848, 590 - 3 * 6, 492 - 3 * 5},
    {"dla60_res2net", 4123, 20848, 590 - 3 * 6, 492 - 3 * 5},
    {"res2next_dla60", 3459, 17033, 590 - 3 * 6, 492 - 3 * 5},
    {"dla60_res2next", 3459, 17033, 590 - 3 * 6, 492 - 3 * 5},
};

static void build(struct r2_graph *graph, const char *name, struct r2_taps *ret)
{
    struct r2_error err = {0};
    struct r2_arch arch;
    ASSERT_OK(r2_arch_find(name, &arch, &err), err);
    r2_graph_init(graph);
    r2_res2net_build(graph, &arch, R2_DIALECT_OFFICIAL, ret);
    const uint32_t classes = arch.stem == R2_STEM_3X3 ? 100 : 1000;
    r2_graph_linear(graph, ret->pooled, &(struct r2_linear){.name = "fc", .out = classes});
    ASSERT_OK(r2_graph_check(graph, &err), err);
}

static unsigned tensors_of(const struct r2_node *node)
{
    if (!r2_op_has_weights(node->op)) return 0;
    return node->norm[0] ? 5 : 2;
}

static struct r2_extent picture_of(const char *name)
{
    struct r2_error err = {0};
    struct r2_arch arch;
    ASSERT_OK(r2_arch_find(name, &arch, &err), err);
    return arch.stem == R2_STEM_3X3 ? (struct r2_extent){32, 32} : (struct r2_extent){224, 224};
}

Test(variants, counts)
{
    for (size_t i = 0; i < R2_COUNT(variants); i++) {
        struct r2_error err = {0};
        struct r2_graph graph;
        struct r2_taps taps;
        uint64_t macs = 0, parameters = 0;
        unsigned keys = 0, tensors = 0;
        build(&graph, variants[i].name, &taps);
        R2_AUTOFREE struct r2_extent *extents = calloc(graph.value_count, sizeof *extents);
        ASSERT_OK(r2_graph_extents(&graph, picture_of(variants[i].name), extents, &err), err);
        for (size_t n = 0; n < graph.node_count; n++) {
            macs += r2_graph_macs(&graph, &graph.nodes[n], extents);
            parameters += r2_graph_parameters(&graph, &graph.nodes[n]);
            tensors += tensors_of(&graph.nodes[n]);
            keys += tensors_of(&graph.nodes[n]) + (graph.nodes[n].norm[0] != 0);
        }
        cr_expect_eq((macs + 500000) / 1000000, variants[i].macs, "%s: %llu MACs", variants[i].name,
                     (unsigned long long)macs);
        cr_expect_eq((parameters + 500) / 1000, variants[i].parameters, "%s: %llu parameters",
                     variants[i].name, (unsigned long long)parameters);
        cr_expect_eq(tensors, variants[i].tensors, "%s: %u tensors", variants[i].name, tensors);
        cr_expect_eq(keys, variants[i].keys, "%s: %u keys", variants[i].name, keys);
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

/* Pools, sums between branches, and strides of 1x1 convolutions that are no shortcuts: what the
   dialects of one network differ in. */
Test(variants, dialects)
{
    static const struct {
        const char *name;
        size_t pools, excluding, sums, strided;
    } expected[] = {
        [R2_DIALECT_OFFICIAL] = {"official", 8, 3, 24, 0}, /* max, 4 slices, 3 shortcuts */
        [R2_DIALECT_MMDET] = {"mmdet", 7, 3, 24, 0},
        [R2_DIALECT_DLA] = {"dla", 7, 3, 26, 0},
        [R2_DIALECT_PADDLE] = {"paddle", 7, 6, 26, 0},
        [R2_DIALECT_MASKRCNN] = {"maskrcnn", 8, 3, 24, 3},
        [R2_DIALECT_DETECTRON2] = {"detectron2", 4, 3, 24, 3},
    };
    struct r2_error err = {0};
    for (unsigned dialect = 0; dialect < R2_COUNT(expected); dialect++) {
        size_t pools = 0, excluding = 0, sums = 0, strided = 0;
        struct r2_arch arch;
        struct r2_graph graph;
        struct r2_taps taps;
        ASSERT_OK(r2_arch_find("res2net50_v1b", &arch, &err), err);
        r2_graph_init(&graph);
        r2_res2net_build(&graph, &arch, (enum r2_dialect)dialect, &taps);
        for (size_t n = 0; n < graph.node_count; n++) {
            const struct r2_node *node = &graph.nodes[n];
            pools += node->op == R2_OP_POOL;
            excluding += node->op == R2_OP_POOL && node->pool.kind == R2_POOL_AVG_EXCLUDE;
            sums += node->op == R2_OP_ADD && !node->relu;
            strided += node->op == R2_OP_CONV && node->conv.kernel == 1 && node->conv.stride == 2;
        }
        r2_graph_finish(&graph);
        cr_expect_str_eq(r2_dialect_name((enum r2_dialect)dialect), expected[dialect].name);
        cr_expect(pools == expected[dialect].pools && excluding == expected[dialect].excluding &&
                      sums == expected[dialect].sums && strided == expected[dialect].strided,
                  "%s: %zu pools, %zu of them excluding, %zu sums, %zu strides",
                  expected[dialect].name, pools, excluding, sums, strided);
    }
}
