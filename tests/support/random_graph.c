#include "tests/support/random_graph.h"

#include <stdio.h>

enum { MOST_VALUES = 96 };

struct maker {
    struct r2_graph *graph;
    uint64_t state;
    struct r2_extent input;
    r2_value values[MOST_VALUES];
    struct r2_extent extents[MOST_VALUES]; /* of values[i] */
    uint32_t count;
    uint32_t names;
    bool wide; /* channels in the tens, and convolutions as Res2Net's branches have them */
};

/* Below `limit`; SplitMix64. */
static uint32_t random_below(struct maker *maker, uint32_t limit)
{
    uint64_t z = maker->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) >> 33) % limit;
}

static bool one_in(struct maker *maker, uint32_t count)
{
    return random_below(maker, count) == 0;
}

/* Index of a value, the newer ones more often. */
static uint32_t pick(struct maker *maker)
{
    uint32_t window = one_in(maker, 3) ? maker->count : (maker->count < 5 ? maker->count : 5);
    return maker->count - 1 - random_below(maker, window);
}

/* Index of another value of the same height and width, and channels unless 0; or `fallback`. */
static uint32_t pick_like(struct maker *maker, struct r2_extent extent, uint32_t channels,
                          uint32_t fallback)
{
    uint32_t start = random_below(maker, maker->count);
    for (uint32_t k = 0; k < maker->count; k++) {
        uint32_t i = (start + k) % maker->count;
        if (maker->extents[i].height == extent.height && maker->extents[i].width == extent.width &&
            (!channels || r2_graph_channels(maker->graph, maker->values[i]) == channels))
            return i;
    }
    return fallback;
}

static uint32_t keep(struct maker *maker, r2_value value)
{
    struct r2_extent extents[4 * MOST_VALUES];
    struct r2_error err;
    if (!value || r2_graph_extents(maker->graph, maker->input, extents, &err) != R2_OK ||
        maker->count == MOST_VALUES) {
        fprintf(stderr, "random graph: %s\n", value ? err.message : maker->graph->error.message);
        return 0;
    }
    maker->values[maker->count] = value;
    maker->extents[maker->count] = extents[value];
    return maker->count++;
}

static uint32_t channels_of(const struct maker *maker, uint32_t i)
{
    return r2_graph_channels(maker->graph, maker->values[i]);
}

static uint32_t smaller_side(const struct maker *maker, uint32_t i)
{
    struct r2_extent extent = maker->extents[i];
    return extent.height < extent.width ? extent.height : extent.width;
}

/* `out` 0: any number of channels. */
static uint32_t add_conv(struct maker *maker, uint32_t from, uint32_t out, bool same_size,
                         bool relu)
{
    char name[24], norm[24];
    struct r2_conv conv = {.name = name, .out = out, .kernel = 1, .stride = 1, .relu = relu};
    uint32_t in = channels_of(maker, from);
    const bool branch = maker->wide && one_in(maker, 2);
    snprintf(name, sizeof name, "c%u", maker->names);
    snprintf(norm, sizeof norm, "n%u%s", maker->names++, one_in(maker, 4) ? "/bn3" : "");
    if (!one_in(maker, 3)) conv.norm = norm;
    conv.plain = !conv.norm && one_in(maker, 2);
    if (!out) conv.out = maker->wide ? 8 + random_below(maker, 32) : 1 + random_below(maker, 12);
    if (branch) {
        conv.kernel = 3;
        conv.pad = 1;
        conv.relu = true;
        return keep(maker, r2_graph_conv(maker->graph, maker->values[from], &conv));
    }
    if (one_in(maker, 2)) {
        conv.kernel = 3;
        conv.dilation = one_in(maker, 3) ? 2 + random_below(maker, smaller_side(maker, from)) : 1;
        conv.pad = conv.dilation;
    }
    if (!same_size && one_in(maker, 3)) conv.stride = 2;
    if (!same_size && one_in(maker, 4) && smaller_side(maker, from) > 2 * conv.dilation)
        conv.pad = 0;
    if ((!out || out == in) && one_in(maker, 4)) conv.groups = conv.out = in;
    for (uint32_t groups = 4; groups > 1 && !conv.groups; groups--)
        if (in % groups == 0 && conv.out % groups == 0 && one_in(maker, 2)) conv.groups = groups;
    return keep(maker, r2_graph_conv(maker->graph, maker->values[from], &conv));
}

static uint32_t add_pool(struct maker *maker, uint32_t from, bool same_size)
{
    struct r2_pool pool = {
        .kind = (enum r2_pool_kind)random_below(maker, 3), .kernel = 3, .stride = 1, .pad = 1};
    if (!same_size && one_in(maker, 6)) {
        pool = (struct r2_pool){
            .kind = R2_POOL_AVG_ADAPTIVE, .kernel = 1 + random_below(maker, 5), .stride = 1};
    } else if (!same_size) {
        pool.kernel = 1 + random_below(maker, 3);
        pool.pad = random_below(maker, pool.kernel / 2 + 1);
        pool.stride = 1 + random_below(maker, 2);
        pool.ceil = one_in(maker, 2);
        if (pool.kernel > smaller_side(maker, from) + 2 * pool.pad + pool.ceil * (pool.stride - 1))
            pool.kernel = 1, pool.pad = 0;
        if (!pool.ceil && pool.pad + 1 < pool.kernel && one_in(maker, 3)) pool.pad_end = 1;
    }
    return keep(maker, r2_graph_pool(maker->graph, maker->values[from], &pool));
}

static uint32_t add_slice(struct maker *maker, uint32_t from)
{
    uint32_t channels = channels_of(maker, from), first = random_below(maker, channels);
    uint32_t count = 1 + random_below(maker, channels - first);
    if (one_in(maker, 6)) {
        first = 0;
        count = channels;
    }
    return keep(maker, r2_graph_slice(maker->graph, maker->values[from], first, count));
}

static void add_anything(struct maker *maker);

/* Squeeze and excitation: a value times what a layer says of its mean, and another value. */
static uint32_t add_gate(struct maker *maker, uint32_t from)
{
    char name[24];
    const uint32_t channels = channels_of(maker, from);
    const uint32_t other = pick_like(maker, maker->extents[from], channels, from);
    const struct r2_conv conv = {.name = name,
                                 .out = channels,
                                 .kernel = 1,
                                 .stride = 1,
                                 .relu = one_in(maker, 4),
                                 .sigmoid = !one_in(maker, 4)};
    snprintf(name, sizeof name, "c%u", maker->names++);
    uint32_t gate = keep(maker, r2_graph_global_pool(maker->graph, maker->values[from]));
    gate = keep(maker, r2_graph_conv(maker->graph, maker->values[gate], &conv));
    return keep(maker, r2_graph_gate(maker->graph, maker->values[from], maker->values[gate],
                                     maker->values[other], one_in(maker, 2)));
}

static uint32_t add_sum(struct maker *maker, uint32_t a, uint32_t b)
{
    if (one_in(maker, 2))
        return keep(maker, r2_graph_add(maker->graph, maker->values[a], maker->values[b],
                                        one_in(maker, 2)));
    return keep(maker,
                r2_graph_add(maker->graph, maker->values[b], maker->values[a], one_in(maker, 2)));
}

static uint32_t add_concat(struct maker *maker)
{
    r2_value parts[R2_GRAPH_MAX_INPUTS];
    uint32_t count = 1 + random_below(maker, 4), first = pick(maker);
    for (uint32_t i = 0; i < count; i++)
        parts[i] = maker->values[i ? pick_like(maker, maker->extents[first], 0, first) : first];
    return keep(maker, r2_graph_concat(maker->graph, parts, count));
}

/* A residual: a convolution of the size of an older value, and their sum. */
static uint32_t add_residual(struct maker *maker)
{
    uint32_t shortcut = pick(maker);
    uint32_t from = pick_like(maker, maker->extents[shortcut], 0, shortcut);
    uint32_t conv = add_conv(maker, from, channels_of(maker, shortcut), true, one_in(maker, 5));
    if (one_in(maker, 4)) add_slice(maker, shortcut);
    return add_sum(maker, conv, shortcut);
}

/* What a Res2Net block does, with every liberty: slices, each changed or not, joined in some order.
 */
static uint32_t add_block(struct maker *maker)
{
    r2_value parts[8];
    uint32_t base = pick(maker), scale = 2 + random_below(maker, 3), width, last = 0;
    if (channels_of(maker, base) < scale || one_in(maker, 2))
        base = add_conv(maker, base, scale * ((maker->wide ? 12 : 1) + random_below(maker, 5)),
                        true, one_in(maker, 2));
    width = channels_of(maker, base) / scale;
    for (uint32_t i = 0; i < scale; i++) {
        uint32_t slice =
            keep(maker, r2_graph_slice(maker->graph, maker->values[base], i * width, width));
        if (i && one_in(maker, 2)) slice = add_sum(maker, slice, last);
        if (one_in(maker, 5)) slice = add_pool(maker, slice, true);
        if (one_in(maker, 2)) slice = add_conv(maker, slice, width, true, one_in(maker, 2));
        last = slice;
        parts[i] = maker->values[slice];
    }
    if (one_in(maker, 3)) { /* another order */
        uint32_t a = random_below(maker, scale), b = random_below(maker, scale);
        r2_value swapped = parts[a];
        parts[a] = parts[b];
        parts[b] = swapped;
    }
    if (one_in(maker, 6)) parts[random_below(maker, scale)] = parts[0]; /* twice the same */
    if (one_in(maker, 6)) parts[scale++] = maker->values[base];
    return keep(maker, r2_graph_concat(maker->graph, parts, scale));
}

/* The size of another value, and often a sum with one of that size. */
static uint32_t add_resize(struct maker *maker, uint32_t from)
{
    uint32_t like = random_below(maker, maker->count);
    uint32_t resized =
        keep(maker, r2_graph_resize(maker->graph, maker->values[from], maker->values[like],
                                    (enum r2_sampling)random_below(maker, 3)));
    if (one_in(maker, 4)) return resized;
    uint32_t other = add_conv(maker, like, channels_of(maker, from), true, one_in(maker, 2));
    if (one_in(maker, 4)) add_anything(maker);
    return add_sum(maker, resized, one_in(maker, 8) ? resized : other);
}

static void add_anything(struct maker *maker)
{
    uint32_t from = pick(maker);
    switch (random_below(maker, 15)) {
    case 0:
    case 1: add_block(maker); break;
    case 2:
    case 3: add_residual(maker); break;
    case 4: add_pool(maker, from, false); break;
    case 5:
    case 6: add_slice(maker, from); break;
    case 7:
        add_sum(maker, from,
                pick_like(maker, maker->extents[from], channels_of(maker, from), from));
        break;
    case 8:
    case 9: add_concat(maker); break;
    case 10:
    case 11: add_resize(maker, from); break;
    case 12: add_gate(maker, from); break;
    default: add_conv(maker, from, 0, false, one_in(maker, 2)); break;
    }
}

void random_graph(struct r2_graph *graph, unsigned seed, struct r2_extent *ret)
{
    struct maker maker = {.graph = graph, .state = seed * UINT64_C(1000003)};
    uint32_t steps = 3 + random_below(&maker, 8);
    maker.input = (struct r2_extent){1 + random_below(&maker, 9), 1 + random_below(&maker, 9)};
    maker.wide = one_in(&maker, 3);
    if (maker.wide) /* as large as the engine's rules want for its fastest convolutions */
        maker.input =
            (struct r2_extent){12 + random_below(&maker, 3), 12 + random_below(&maker, 3)};
    keep(&maker, r2_graph_input(graph, 1 + random_below(&maker, maker.wide ? 24 : 8)));
    while (steps--) add_anything(&maker);
    if (one_in(&maker, 3)) {
        uint32_t from = pick(&maker);
        if (one_in(&maker, 2)) from = keep(&maker, r2_graph_global_pool(graph, maker.values[from]));
        if (one_in(&maker, 3)) from = add_slice(&maker, from);
        const struct r2_linear linear = {.name = "linear",
                                         .out = 1 + random_below(&maker, 20),
                                         .window = maker.extents[from],
                                         .relu = one_in(&maker, 2)};
        keep(&maker, r2_graph_linear(graph, maker.values[from], &linear));
    }
    *ret = maker.input;
}

void random_graph_outputs(struct r2_graph *graph, enum random_outputs which)
{
    graph->output_count = 0;
    for (r2_value value = 1; value < graph->value_count; value++) {
        char name[16];
        bool wanted = which == RANDOM_ALL || value + 1 == graph->value_count ||
                      (which == RANDOM_SOME && value * UINT32_C(2654435761) >> 30 == 0);
        bool read = false;
        for (size_t n = 0; n < graph->node_count; n++)
            for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
                read |= graph->nodes[n].inputs[i] == value;
        if (!wanted && !(which == RANDOM_ENDS && !read)) continue;
        snprintf(name, sizeof name, "v%u", value);
        r2_graph_output(graph, value, name);
    }
}
