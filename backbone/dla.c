#include "backbone/dla.h"

#include <stdio.h>

#include "backbone/block.h"

enum { MAX_CHILDREN = 4, NAME_SIZE = 64 };

/* A tree of blocks, and what its root joins besides its own two branches. */
struct tree {
    char name[NAME_SIZE]; /* "level3.tree1" */
    uint32_t depth;       /* 1: its branches are blocks */
    uint32_t stride;
    struct r2_block block; /* what all blocks have in common */
    r2_value children[MAX_CHILDREN];
    uint32_t child_count;
};

static r2_value build_leaf(struct r2_graph *graph, const struct tree *tree, const char *branch,
                           uint32_t stride, r2_value x, r2_value shortcut)
{
    char name[R2_GRAPH_NAME_SIZE];
    struct r2_block block = tree->block;
    snprintf(name, sizeof name, "%s.%s", tree->name, branch);
    block.name = name;
    block.stride = stride;
    x = r2_block_build(graph, x, shortcut, &block);
    r2_graph_trace(graph, x, name);
    return x;
}

/* Two blocks and the root that joins them with all that was handed down. `bottom` is x at the tree's
   stride. */
static r2_value build_leaves(struct r2_graph *graph, const struct tree *tree, r2_value x,
                             r2_value bottom)
{
    const struct r2_conv project = {.out = tree->block.out, .kernel = 1, .stride = 1};
    const struct r2_conv root = {.out = tree->block.out, .kernel = 1, .stride = 1, .relu = true};
    r2_value joined[2 + MAX_CHILDREN], shortcut = bottom;
    if (r2_graph_channels(graph, bottom) != tree->block.out)
        shortcut = r2_block_conv(graph, bottom, tree->name, "project.0", "project.1", project);
    joined[1] = build_leaf(graph, tree, "tree1", tree->stride, x, shortcut);
    joined[0] = build_leaf(graph, tree, "tree2", 1, joined[1], joined[1]);
    for (uint32_t i = 0; i < tree->child_count; i++) joined[2 + i] = tree->children[i];
    x = r2_graph_concat(graph, joined, 2 + tree->child_count);
    x = r2_block_conv(graph, x, tree->name, "root.conv", "root.bn", root);
    r2_graph_trace(graph, x, tree->name);
    return x;
}

/* The first branch is a tree of its own; the second one's root also joins what the first became. */
static r2_value build_tree(struct r2_graph *graph, const struct tree *tree, r2_value x,
                           r2_value bottom)
{
    if (tree->depth == 1) return build_leaves(graph, tree, x, bottom);
    struct tree first = *tree, second = *tree;
    const int size = snprintf(first.name, sizeof first.name, "%s.tree1", tree->name);
    if (size < 0 || size >= NAME_SIZE) return 0;
    snprintf(second.name, sizeof second.name, "%.*s2", size - 1, first.name);
    first.depth = second.depth = tree->depth - 1;
    first.child_count = 0;
    second.stride = 1;
    const r2_value x1 = build_tree(graph, &first, x, bottom);
    second.children[second.child_count++] = x1;
    return build_tree(graph, &second, x1, x1);
}

/* Level `level`, a plain convolution. */
static r2_value build_level(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                            uint32_t kernel, uint32_t stride)
{
    return r2_block_conv(
        graph, x, name, "0", "1",
        (struct r2_conv){
            .out = out, .kernel = kernel, .stride = stride, .pad = kernel / 2, .relu = true});
}

void r2_dla_build(struct r2_graph *graph, const struct r2_arch *arch, r2_value input,
                  struct r2_taps *ret)
{
    const struct r2_pool halve = {.kind = R2_POOL_MAX, .kernel = 2, .stride = 2};
    const uint32_t half = arch->stem_channels / 2;
    r2_value x = build_level(graph, input, "base_layer", half, 7, 1);
    x = build_level(graph, x, "level0", half, 3, 1);
    x = build_level(graph, x, "level1", arch->stem_channels, 3, 2);
    ret->stem = x;
    r2_graph_trace(graph, x, "stem");
    for (unsigned stage = 0; stage < R2_STAGES; stage++) {
        struct tree tree = {.depth = arch->layers[stage],
                            .stride = 2,
                            .block = {.out = arch->planes[stage] * R2_EXPANSION,
                                      .width = r2_arch_width(arch, stage),
                                      .scale = arch->scale,
                                      .groups = arch->groups,
                                      .dilation = 1,
                                      .first = true,
                                      .rules = r2_dialect_rules(R2_DIALECT_DLA)}};
        const r2_value bottom = r2_graph_pool(graph, x, &halve);
        snprintf(tree.name, sizeof tree.name, "level%u", 2 + stage);
        if (stage > 0) tree.children[tree.child_count++] = bottom;
        x = build_tree(graph, &tree, x, bottom);
        ret->stage[stage] = x;
    }
}
