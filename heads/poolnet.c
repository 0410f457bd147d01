/*
 * Salient objects: PoolNet (Liu et al., "A Simple Pooling-Based Design for Real-Time Salient Object
 * Detection", 2019), as its authors' code draws it for ResNet-50 and Res2Net's authors for theirs, with
 * those tensor names.
 *
 * The deepest map, pooled to 1, 3 and 5 cells and joined with itself, tells each finer level where to
 * look. From the deepest level on: pooled by 2, 4 and 8 and summed, resized to the next finer level,
 * joined with that and with what it was told -> one logit a cell of the stem.
 *
 * Their trunk: output_stride 16, first_dilation full, ceil_pool.
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "heads/head.h"
#include "heads/labels.h"
#include "heads/saliency.h"

enum { LEVELS = 1 + R2_STAGES };

struct poolnet {
    struct r2_head head;
    double threshold;
    uint32_t guide;          /* channels of the map that guides all levels */
    uint32_t widths[LEVELS]; /* of the levels, the stem's first */
};

struct poolnet_params {
    double threshold;
    enum r2_saliency_format format;
};

static const char *const formats[] = {"rle", "png", NULL};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct poolnet),
    {.name = "threshold", R2_FIELD(FLOAT, struct poolnet, threshold), .min = 0, .max = 1,
     .fallback = "0.5", .help = "probability from which on a pixel is salient"},
};

static const struct r2_option params[] = {
    {.name = "threshold", R2_FIELD(FLOAT, struct poolnet_params, threshold), .min = 0, .max = 1,
     .fallback = "0.5", .help = "probability from which on a pixel is salient"},
    {.name = "format", R2_FIELD(CHOICE, struct poolnet_params, format), .choices = formats,
     .fallback = "rle", .help = "how map and region are given"},
};
/* clang-format on */

/* The authors take pictures as they are; theirs have sides of 500 pixels at most. Pools of 8 cells of
   the deepest map need 128. */
static const struct r2_input_spec input = {
    .mode = R2_RESIZE_WITHIN,
    .size = {128, 512},
    .filter = R2_FILTER_BILINEAR,
    .like = R2_LIKE_PIL,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
};

/* --- load --- */

static enum r2_status find_width(const struct r2_head_setup *setup, const char *name, uint32_t *ret,
                                 struct r2_error *err)
{
    const struct r2_tensor_entry *weight = NULL;
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    R2_TRY(r2_head_find_rows(setup, full, &weight, err));
    *ret = (uint32_t)weight->dims[0];
    return R2_OK;
}

/* Maps are as large as the picture, with hundreds of channels. */
static enum r2_status check_input(const struct r2_input_spec *spec, struct r2_error *err)
{
    const bool open = spec->mode == R2_RESIZE_NONE || spec->mode == R2_RESIZE_SHORTER;
    if (!open || spec->crop[0]) return R2_OK;
    return r2_fail(err, R2_INVALID,
                   "key 'input': the head needs a bound for the longer side: a resize of mode "
                   "within, longer, fit or exact, or a crop");
}

/* Published names are of the published trunk, which no tensor tells. */
static enum r2_status check_trunk(const struct r2_head_setup *setup, struct r2_error *err)
{
    const struct r2_arch *arch = setup->arch;
    if (!strstr(setup->naming->prefix, "base.resnet.")) return R2_OK;
    if (arch->output_stride == 16 && arch->first_dilation == R2_FIRST_FULL && arch->ceil_pool)
        return R2_OK;
    return r2_fail(err, R2_INVALID,
                   "tensors 'base.resnet.*' are of a trunk with output_stride 16, first_dilation "
                   "full and ceil_pool true; that of the backbone has %u, %s and %s",
                   arch->output_stride, arch->first_dilation == R2_FIRST_FULL ? "full" : "half",
                   arch->ceil_pool ? "true" : "false");
}

static enum r2_status poolnet_init(void *self, const struct r2_head_setup *setup,
                                   struct r2_error *err)
{
    struct poolnet *poolnet = self;
    char name[32];
    R2_TRY(check_input(setup->input, err));
    R2_TRY(check_trunk(setup, err));
    R2_TRY(find_width(setup, "base.ppms_pre", &poolnet->guide, err));
    for (uint32_t i = 0; i < LEVELS; i++) {
        snprintf(name, sizeof name, "convert.convert0.%u.0", i);
        R2_TRY(find_width(setup, name, &poolnet->widths[i], err));
    }
    return R2_OK;
}

static void poolnet_finish(void *self)
{
    (void)self;
}

static void poolnet_default_params(const void *self, void *data)
{
    const struct poolnet *poolnet = self;
    struct poolnet_params *request = data;
    request->threshold = poolnet->threshold;
}

/* --- the network --- */

/* Without norm and bias. */
static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                     uint32_t kernel, bool relu)
{
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = name,
                                           .out = out,
                                           .kernel = kernel,
                                           .stride = 1,
                                           .pad = kernel / 2,
                                           .relu = relu,
                                           .plain = true});
}

static r2_value resize(struct r2_graph *graph, r2_value x, r2_value like)
{
    return r2_graph_resize(graph, x, like, R2_SAMPLE_BILINEAR_CORNERS);
}

/* The pyramid pooling module. */
static r2_value build_guide(const struct poolnet *poolnet, struct r2_graph *graph, r2_value x)
{
    static const uint32_t sides[] = {1, 3, 5};
    r2_value parts[1 + R2_COUNT(sides)];
    char name[R2_GRAPH_NAME_SIZE];
    parts[0] = x = conv(graph, x, "base.ppms_pre", poolnet->guide, 1, false);
    for (uint32_t i = 0; i < R2_COUNT(sides); i++) {
        const struct r2_pool pool = {.kind = R2_POOL_AVG_ADAPTIVE, .kernel = sides[i], .stride = 1};
        snprintf(name, sizeof name, "base.ppms.%u.1", i);
        const r2_value part =
            conv(graph, r2_graph_pool(graph, x, &pool), name, poolnet->guide, 1, true);
        parts[1 + i] = resize(graph, part, x);
    }
    return conv(graph, r2_graph_concat(graph, parts, R2_COUNT(parts)), "base.ppm_cat.0",
                poolnet->guide, 3, true);
}

/* A feature aggregation module, number i: what is around each cell, near and far. */
static r2_value build_aggregation(struct r2_graph *graph, r2_value x, uint32_t i)
{
    static const uint32_t sides[] = {2, 4, 8};
    const uint32_t channels = r2_graph_channels(graph, x);
    r2_value sum = x;
    char name[R2_GRAPH_NAME_SIZE];
    for (uint32_t k = 0; k < R2_COUNT(sides); k++) {
        const struct r2_pool pool = {.kind = R2_POOL_AVG, .kernel = sides[k], .stride = sides[k]};
        snprintf(name, sizeof name, "deep_pool.%u.convs.%u", i, k);
        const r2_value part = conv(graph, r2_graph_pool(graph, x, &pool), name, channels, 3, false);
        sum = r2_graph_add(graph, sum, resize(graph, part, x), k + 1 == R2_COUNT(sides));
    }
    return sum;
}

/* Step i to a finer level, whose own map is `skip`. */
static r2_value build_step(struct r2_graph *graph, r2_value x, uint32_t i, r2_value skip,
                           r2_value guide)
{
    const uint32_t out = r2_graph_channels(graph, skip);
    char name[R2_GRAPH_NAME_SIZE];
    snprintf(name, sizeof name, "base.infos.%u.0", i);
    const r2_value told = conv(graph, resize(graph, guide, skip), name, out, 3, true);
    snprintf(name, sizeof name, "deep_pool.%u.conv_sum", i);
    x = resize(graph, build_aggregation(graph, x, i), skip);
    x = r2_graph_add(graph, conv(graph, x, name, out, 3, false), skip, false);
    snprintf(name, sizeof name, "deep_pool.%u.conv_sum_c", i);
    return conv(graph, r2_graph_add(graph, x, told, false), name, out, 3, false);
}

static void poolnet_build(const void *self, struct r2_graph *graph, const struct r2_taps *taps,
                          const char *prefix)
{
    const struct poolnet *poolnet = self;
    const r2_value guide = build_guide(poolnet, graph, taps->stage[R2_STAGES - 1]);
    r2_value levels[LEVELS];
    char name[R2_GRAPH_NAME_SIZE];
    for (uint32_t i = 0; i < LEVELS; i++) {
        snprintf(name, sizeof name, "convert.convert0.%u.0", i);
        levels[i] =
            conv(graph, i ? taps->stage[i - 1] : taps->stem, name, poolnet->widths[i], 1, true);
    }
    r2_value x = levels[LEVELS - 1];
    for (uint32_t i = 0; i + 1 < LEVELS; i++)
        x = build_step(graph, x, i, levels[LEVELS - 2 - i], guide);
    x = build_aggregation(graph, x, LEVELS - 1);
    snprintf(name, sizeof name, "deep_pool.%d.conv_sum", LEVELS - 1);
    x = conv(graph, x, name, poolnet->widths[0], 3, false);
    const struct r2_conv score = {.name = "score.score", .out = 1, .kernel = 1, .stride = 1};
    r2_head_add_output(graph, prefix, "logits", r2_graph_conv(graph, x, &score));
}

/* --- one picture --- */

static enum r2_status poolnet_decode(const void *self, const struct r2_head_run *run,
                                     struct r2_result *ret, struct r2_error *err)
{
    const struct poolnet_params *request = run->params;
    struct r2_output_view logits = {0};
    (void)self;
    R2_TRY(r2_head_output(&run->outputs, "logits", &logits, err));
    return r2_saliency_decode(
        &(struct r2_saliency){.threshold = request->threshold, .format = request->format}, &logits,
        run->geometry, ret, err);
}

static bool poolnet_is_drawn(const void *request)
{
    (void)request;
    return true;
}

static enum r2_status poolnet_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct poolnet *poolnet = self;
    if (json_object_set_new(object, "threshold", json_real(poolnet->threshold)) != 0)
        return r2_fail(err, R2_NO_MEMORY, "no memory for the head's JSON");
    return R2_OK;
}

extern const struct r2_head_type r2_poolnet_head;
const struct r2_head_type r2_poolnet_head = {
    .name = "poolnet",
    .help = "what one looks at first",
    .size = sizeof(struct poolnet),
    .options = R2_OPTION_TABLE(options, "key"),
    .params_size = sizeof(struct poolnet_params),
    .params = R2_OPTION_TABLE(params, "parameter"),
    .input = &input,
    .init = poolnet_init,
    .finish = poolnet_finish,
    .default_params = poolnet_default_params,
    .build = poolnet_build,
    .is_drawn = poolnet_is_drawn,
    .decode = poolnet_decode,
    .describe = poolnet_describe,
};
