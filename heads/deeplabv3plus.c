/*
 * DeepLabv3+ (Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
 * Segmentation", 2018), with the tensors and the arithmetic of mmsegmentation's
 * DepthwiseSeparableASPPHead; its ASPPHead, which is DeepLabv3, is `separable` false, `low_channels`
 * 0 and `decoder_convs` 0.
 *
 * c5 -> convolutions at several rates, and its mean -> one map; resized to a finer tap, joined with
 * that, convolved -> logits -> the class of every pixel.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/label_map.h"
#include "heads/labels.h"
#include "heads/segmentation.h"

enum { MAX_RATES = R2_GRAPH_MAX_INPUTS - 1 };

enum image_pool { POOL_FIRST, POOL_LAST, POOL_NONE };

struct deeplab {
    struct r2_head head;
    char *labels_path;
    bool background, separable, align_corners, low_first;
    struct r2_ints rates;
    enum image_pool image_pool;
    int64_t channels, fuse_kernel, low_tap, low_channels, decoder_convs;

    struct r2_labels labels;
    uint32_t classes;
};

struct deeplab_params {
    enum r2_segmentation_format format;
};

static const char *const image_pools[] = {"first", "last", "none", NULL};
static const char *const formats[] = {"rle", "png", "polygons", NULL};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct deeplab),
    {.name = "labels", R2_FIELD(TEXT, struct deeplab, labels_path), .flags = R2_OPTION_OPTIONAL,
     .help = "text file, one class name a line"},
    {.name = "background", R2_FIELD(BOOL, struct deeplab, background), .fallback = "1",
     .help = "class 0 is the background; off: every class is something"},
    {.name = "rates", R2_FIELD(INTS, struct deeplab, rates), .min = 1, .max = 256, .min_count = 1,
     .max_count = MAX_RATES, .fallback = "1,12,24,36",
     .help = "dilations of the parallel convolutions; 1 is a 1x1"},
    {.name = "separable", R2_FIELD(BOOL, struct deeplab, separable), .fallback = "1",
     .help = "3x3 convolutions are a depthwise and a 1x1 one"},
    {.name = "image_pool", R2_FIELD(CHOICE, struct deeplab, image_pool), .choices = image_pools,
     .fallback = "first", .help = "place of the picture's mean beside the parallel convolutions"},
    {.name = "channels", R2_FIELD(INT, struct deeplab, channels), .min = 1, .max = 4096,
     .fallback = "512", .help = "channels of each convolution"},
    {.name = "fuse_kernel", R2_FIELD(INT, struct deeplab, fuse_kernel), .min = 1, .max = 3,
     .fallback = "3", .help = "side of the convolution that joins the parallel ones, 1 or 3"},
    {.name = "low_tap", R2_FIELD(INT, struct deeplab, low_tap), .min = 2, .max = 4, .fallback = "2",
     .help = "stage of the trunk that brings detail, 2 for c2"},
    {.name = "low_channels", R2_FIELD(INT, struct deeplab, low_channels), .min = 0, .max = 4096,
     .fallback = "48", .help = "channels that detail is brought in; 0 = no detail"},
    {.name = "low_first", R2_FIELD(BOOL, struct deeplab, low_first), .fallback = "0",
     .help = "detail stands before the rest"},
    {.name = "decoder_convs", R2_FIELD(INT, struct deeplab, decoder_convs), .min = 0, .max = 8,
     .fallback = "2", .help = "3x3 convolutions behind it"},
    {.name = "align_corners", R2_FIELD(BOOL, struct deeplab, align_corners), .fallback = "0",
     .help = "how maps are resized"},
};

static const struct r2_option params[] = {
    {.name = "format", R2_FIELD(CHOICE, struct deeplab_params, format), .choices = formats,
     .fallback = "rle", .help = "how regions are given"},
};
/* clang-format on */

/* As mmsegmentation tests: as large as 512 and 2048 allow. */
static const struct r2_input_spec input = {
    .mode = R2_RESIZE_FIT,
    .size = {512, 2048},
    .filter = R2_FILTER_BILINEAR,
    .like = R2_LIKE_OPENCV,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
};

/* --- load --- */

static enum r2_status deeplab_init(void *self, const struct r2_head_setup *setup,
                                   struct r2_error *err)
{
    struct deeplab *deeplab = self;
    const struct r2_tensor_entry *weight = NULL;
    if (deeplab->fuse_kernel == 2)
        return r2_fail(err, R2_INVALID, "key 'fuse_kernel': 2 is neither 1 nor 3");
    R2_TRY(r2_head_find_rows(setup, "decode_head.conv_seg.weight", &weight, err));
    deeplab->classes = (uint32_t)weight->dims[0];
    R2_TRY(r2_segmentation_check(deeplab->background, deeplab->classes, err));
    return r2_head_read_labels(setup, deeplab->labels_path, deeplab->classes, &deeplab->labels,
                               err);
}

static void deeplab_finish(void *self)
{
    struct deeplab *deeplab = self;
    r2_labels_finish(&deeplab->labels);
}

/* --- the network --- */

/* A convolution of stride 1 that keeps the size, its norm and ReLU: NAME.conv, NAME.bn. */
static r2_value conv(struct r2_graph *graph, r2_value x, const char *name,
                     const struct r2_conv *shape)
{
    char conv_name[R2_GRAPH_NAME_SIZE], norm[R2_GRAPH_NAME_SIZE];
    struct r2_conv made = *shape;
    snprintf(conv_name, sizeof conv_name, "decode_head.%s.conv", name);
    snprintf(norm, sizeof norm, "decode_head.%s.bn", name);
    if (!made.dilation) made.dilation = 1;
    made.name = conv_name;
    made.norm = norm;
    made.stride = 1;
    made.pad = made.kernel / 2 * made.dilation;
    made.relu = true;
    return r2_graph_conv(graph, x, &made);
}

/* A 3x3 one, in two steps where the head is separable. */
static r2_value conv3x3(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x,
                        const char *name, uint32_t dilation)
{
    const uint32_t in = r2_graph_channels(graph, x), out = (uint32_t)deeplab->channels;
    char depthwise[64], pointwise[64];
    if (!deeplab->separable)
        return conv(graph, x, name,
                    &(struct r2_conv){.out = out, .kernel = 3, .dilation = dilation});
    snprintf(depthwise, sizeof depthwise, "%s.depthwise_conv", name);
    snprintf(pointwise, sizeof pointwise, "%s.pointwise_conv", name);
    x = conv(graph, x, depthwise,
             &(struct r2_conv){.out = in, .kernel = 3, .dilation = dilation, .groups = in});
    return conv(graph, x, pointwise, &(struct r2_conv){.out = out, .kernel = 1});
}

static enum r2_sampling sampling_of(const struct deeplab *deeplab)
{
    return deeplab->align_corners ? R2_SAMPLE_BILINEAR_CORNERS : R2_SAMPLE_BILINEAR;
}

static r2_value build_image_pool(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x)
{
    r2_value mean = conv(graph, r2_graph_global_pool(graph, x), "image_pool.1",
                         &(struct r2_conv){.out = (uint32_t)deeplab->channels, .kernel = 1});
    return r2_graph_resize(graph, mean, x, sampling_of(deeplab));
}

/* Atrous spatial pyramid pooling. */
static r2_value build_aspp(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x)
{
    const uint32_t out = (uint32_t)deeplab->channels;
    r2_value parts[R2_GRAPH_MAX_INPUTS];
    uint32_t count = 0;
    if (deeplab->image_pool == POOL_FIRST) parts[count++] = build_image_pool(deeplab, graph, x);
    for (uint32_t i = 0; i < deeplab->rates.count; i++) {
        const uint32_t rate = (uint32_t)deeplab->rates.items[i];
        char name[32];
        snprintf(name, sizeof name, "aspp_modules.%u", i);
        parts[count++] = rate == 1
                             ? conv(graph, x, name, &(struct r2_conv){.out = out, .kernel = 1})
                             : conv3x3(deeplab, graph, x, name, rate);
    }
    if (deeplab->image_pool == POOL_LAST) parts[count++] = build_image_pool(deeplab, graph, x);
    return conv(graph, r2_graph_concat(graph, parts, count), "bottleneck",
                &(struct r2_conv){.out = out, .kernel = (uint32_t)deeplab->fuse_kernel});
}

static r2_value build_decoder(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x,
                              r2_value low)
{
    if (deeplab->low_channels) {
        low = conv(graph, low, "c1_bottleneck",
                   &(struct r2_conv){.out = (uint32_t)deeplab->low_channels, .kernel = 1});
        x = r2_graph_resize(graph, x, low, sampling_of(deeplab));
        x = r2_graph_concat(graph, deeplab->low_first ? (r2_value[]){low, x} : (r2_value[]){x, low},
                            2);
    }
    for (uint32_t i = 0; i < deeplab->decoder_convs; i++) {
        char name[32];
        snprintf(name, sizeof name, "sep_bottleneck.%u", i);
        x = conv3x3(deeplab, graph, x, name, 1);
    }
    return x;
}

static void deeplab_build(const void *self, struct r2_graph *graph, const struct r2_taps *taps,
                          const char *prefix)
{
    const struct deeplab *deeplab = self;
    r2_value x = build_aspp(deeplab, graph, taps->last);
    x = build_decoder(deeplab, graph, x, taps->stage[deeplab->low_tap - 2]);
    x = r2_graph_conv(
        graph, x,
        &(struct r2_conv){
            .name = "decode_head.conv_seg", .out = deeplab->classes, .kernel = 1, .stride = 1});
    r2_head_add_output(graph, prefix, "logits", x);
}

/* --- one picture --- */

static enum r2_status deeplab_decode(const void *self, const struct r2_head_run *run,
                                     struct r2_result *ret, struct r2_error *err)
{
    const struct deeplab *deeplab = self;
    const struct deeplab_params *request = run->params;
    struct r2_output_view logits = {0};
    R2_TRY(r2_head_output(&run->outputs, "logits", &logits, err));
    return r2_segmentation_decode(
        &(struct r2_segmentation){.labels = deeplab->labels.count ? &deeplab->labels : NULL,
                                  .background = deeplab->background,
                                  .classes = deeplab->classes,
                                  .format = request->format},
        &logits, run->geometry, deeplab->align_corners, ret, err);
}

static bool deeplab_is_drawn(const void *request)
{
    (void)request;
    return true;
}

static enum r2_status deeplab_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct deeplab *deeplab = self;
    if (json_object_set_new(object, "background", json_boolean(deeplab->background)) != 0)
        return r2_fail(err, R2_NO_MEMORY, "no memory for the head's JSON");
    return r2_head_describe_labels(&deeplab->labels, deeplab->classes, object, err);
}

extern const struct r2_head_type r2_deeplabv3plus_head;
const struct r2_head_type r2_deeplabv3plus_head = {
    .name = "deeplabv3plus",
    .help = "the class of every pixel",
    .size = sizeof(struct deeplab),
    .options = R2_OPTION_TABLE(options, "key"),
    .params_size = sizeof(struct deeplab_params),
    .params = R2_OPTION_TABLE(params, "parameter"),
    .input = &input,
    .init = deeplab_init,
    .finish = deeplab_finish,
    .build = deeplab_build,
    .is_drawn = deeplab_is_drawn,
    .decode = deeplab_decode,
    .describe = deeplab_describe,
};
