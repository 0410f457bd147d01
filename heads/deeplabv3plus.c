/*
 * DeepLabv3+ (Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
 * Segmentation", 2018), with the tensors and the arithmetic of mmsegmentation's
 * DepthwiseSeparableASPPHead; its ASPPHead, which is DeepLabv3, is `separable` false, `low_channels`
 * 0 and `decoder_convs` 0. Other libraries' heads are known by their tensors' names
 * (deeplab_names.c), and the keys then default to what those libraries compute.
 *
 * c5 -> convolutions at several rates, and its mean -> one map; resized to a finer tap, joined with
 * that, convolved -> logits -> the class of every pixel.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "heads/deeplab_names.h"
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
    double threshold;

    struct r2_labels labels;
    uint32_t logits, classes; /* a single logit is of a class over a background: two */
    const struct r2_deeplab_form *form;
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
    {.name = "threshold", R2_FIELD(FLOAT, struct deeplab, threshold), .min = 0.01, .max = 0.99,
     .fallback = "0.3", .help = "probability from which a pixel is the one class that there is"},
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

/* The form's defaults, for the keys that model.json does not have. */
static enum r2_status apply_presets(struct deeplab *deeplab, const json_t *keys,
                                    struct r2_error *err)
{
    static const struct r2_option_table table = R2_OPTION_TABLE(options, "key");
    const struct r2_preset *presets = deeplab->form->presets;
    for (size_t i = 0; i < R2_DEEPLAB_PRESETS && presets[i].key; i++)
        if (!json_object_get(keys, presets[i].key))
            R2_TRY(r2_options_set(&table, presets[i].key, presets[i].value, deeplab, err));
    return R2_OK;
}

/* What the keys ask for and the form has no layers for. */
static enum r2_status check_form(const struct deeplab *deeplab, const struct r2_arch *arch,
                                 struct r2_error *err)
{
    const struct r2_deeplab_form *form = deeplab->form;
    const char *decoder =
        form->decoder.whole.conv ? form->decoder.whole.conv : form->decoder.depthwise.conv;
    if (form->dilated && arch->output_stride == 32)
        return r2_fail(err, R2_INVALID,
                       "the tensors are named as %s, whose trunk has an output_stride of 16 or 8; "
                       "that of the backbone is 32",
                       form->name);
    if (deeplab->low_channels && !form->low.conv)
        return r2_fail(err, R2_INVALID, "key 'low_channels': %s brings in no detail", form->name);
    if (deeplab->decoder_convs > 1 && !strchr(decoder, '#'))
        return r2_fail(err, R2_INVALID, "key 'decoder_convs': %s has no more than 1", form->name);
    return R2_OK;
}

static enum r2_status deeplab_init(void *self, const struct r2_head_setup *setup,
                                   struct r2_error *err)
{
    struct deeplab *deeplab = self;
    const struct r2_tensor_entry *weight = NULL;
    char name[R2_GRAPH_NAME_SIZE];
    if (deeplab->fuse_kernel == 2)
        return r2_fail(err, R2_INVALID, "key 'fuse_kernel': 2 is neither 1 nor 3");
    deeplab->form = r2_deeplab_form_find(setup->weights, setup->naming);
    R2_TRY(apply_presets(deeplab, setup->keys, err));
    R2_TRY(check_form(deeplab, setup->arch, err));
    snprintf(name, sizeof name, "%s.weight", deeplab->form->last);
    R2_TRY(r2_head_find_rows(setup, name, &weight, err));
    deeplab->logits = (uint32_t)weight->dims[0];
    deeplab->classes = deeplab->logits == 1 && deeplab->background ? 2 : deeplab->logits;
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

/* A convolution of stride 1 that keeps the size, and what its names say is behind it. */
static r2_value conv(struct r2_graph *graph, r2_value x, const struct r2_layer_names *names,
                     uint32_t number, const struct r2_conv *shape)
{
    char name[R2_GRAPH_NAME_SIZE], norm[R2_GRAPH_NAME_SIZE];
    struct r2_conv made = *shape;
    r2_deeplab_name(names->conv, number, name);
    if (names->norm) r2_deeplab_name(names->norm, number, norm);
    if (!made.dilation) made.dilation = 1;
    made.name = name;
    made.norm = names->norm ? norm : NULL;
    made.plain = !names->norm;
    made.relu = names->norm != NULL;
    made.stride = 1;
    made.pad = made.kernel / 2 * made.dilation;
    return r2_graph_conv(graph, x, &made);
}

/* A 3x3 one, in two steps where the head is separable or the form knows no other. */
static r2_value conv3x3(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x,
                        const struct r2_step_names *names, uint32_t number, uint32_t dilation)
{
    const uint32_t in = r2_graph_channels(graph, x), out = (uint32_t)deeplab->channels;
    if (names->whole.conv && !(deeplab->separable && names->depthwise.conv))
        return conv(graph, x, &names->whole, number,
                    &(struct r2_conv){.out = out, .kernel = 3, .dilation = dilation});
    x = conv(graph, x, &names->depthwise, number,
             &(struct r2_conv){.out = in, .kernel = 3, .dilation = dilation, .groups = in});
    return conv(graph, x, &names->pointwise, number, &(struct r2_conv){.out = out, .kernel = 1});
}

static r2_value conv1x1(struct r2_graph *graph, r2_value x, const struct r2_layer_names *names,
                        uint32_t number, int64_t channels)
{
    return conv(graph, x, names, number, &(struct r2_conv){.out = (uint32_t)channels, .kernel = 1});
}

static enum r2_sampling sampling_of(const struct deeplab *deeplab)
{
    return deeplab->align_corners ? R2_SAMPLE_BILINEAR_CORNERS : R2_SAMPLE_BILINEAR;
}

/* One cell, which every way of resizing repeats. */
static r2_value build_image_pool(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x)
{
    const r2_value mean = conv1x1(graph, r2_graph_global_pool(graph, x), &deeplab->form->pool,
                                  (uint32_t)deeplab->rates.count, deeplab->channels);
    return r2_graph_resize(graph, mean, x, sampling_of(deeplab));
}

/* Atrous spatial pyramid pooling. */
static r2_value build_aspp(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x)
{
    const struct r2_deeplab_form *form = deeplab->form;
    r2_value parts[R2_GRAPH_MAX_INPUTS];
    uint32_t count = 0;
    if (deeplab->image_pool == POOL_FIRST) parts[count++] = build_image_pool(deeplab, graph, x);
    for (uint32_t i = 0; i < deeplab->rates.count; i++) {
        const uint32_t rate = (uint32_t)deeplab->rates.items[i];
        parts[count++] = rate == 1 ? conv1x1(graph, x, &form->branch.whole, i, deeplab->channels)
                                   : conv3x3(deeplab, graph, x, &form->branch, i, rate);
    }
    if (deeplab->image_pool == POOL_LAST) parts[count++] = build_image_pool(deeplab, graph, x);
    x = conv(graph, r2_graph_concat(graph, parts, count), &form->fuse, 0,
             &(struct r2_conv){.out = (uint32_t)deeplab->channels,
                               .kernel = (uint32_t)deeplab->fuse_kernel});
    return form->refine.depthwise.conv ? conv3x3(deeplab, graph, x, &form->refine, 0, 1) : x;
}

static r2_value build_decoder(const struct deeplab *deeplab, struct r2_graph *graph, r2_value x,
                              r2_value low)
{
    if (deeplab->low_channels) {
        low = conv1x1(graph, low, &deeplab->form->low, 0, deeplab->low_channels);
        x = r2_graph_resize(graph, x, low, sampling_of(deeplab));
        x = r2_graph_concat(graph, deeplab->low_first ? (r2_value[]){low, x} : (r2_value[]){x, low},
                            2);
    }
    for (uint32_t i = 0; i < deeplab->decoder_convs; i++)
        x = conv3x3(deeplab, graph, x, &deeplab->form->decoder, i, 1);
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
            .name = deeplab->form->last, .out = deeplab->logits, .kernel = 1, .stride = 1});
    r2_head_add_output(graph, prefix, "logits", x);
}

/* --- one picture --- */

static enum r2_status deeplab_decode(const void *self, const struct r2_head_run *run,
                                     struct r2_result *ret, struct r2_error *err)
{
    const struct deeplab *deeplab = self;
    const struct deeplab_params *request = run->params;
    const struct r2_label_rule rule = {
        deeplab->align_corners, r2_segmentation_first(deeplab->background),
        deeplab->form->corners_to_input, (float)log(deeplab->threshold / (1 - deeplab->threshold))};
    struct r2_output_view logits = {0};
    R2_TRY(r2_head_output(&run->outputs, "logits", &logits, err));
    return r2_segmentation_decode(
        &(struct r2_segmentation){.labels = deeplab->labels.count ? &deeplab->labels : NULL,
                                  .background = deeplab->background,
                                  .classes = deeplab->classes,
                                  .format = request->format},
        &logits, run->geometry, &rule, ret, err);
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
