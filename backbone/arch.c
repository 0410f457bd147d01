#include "backbone/arch.h"

#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* clang-format off */
#define VARIANT(name_, a, b, c, d, width_, scale_, groups_, ...)                                   \
    {name_, {.layers = {a, b, c, d}, .planes = {64, 128, 256, 512}, .base_width = width_,          \
             .scale = scale_, .groups = groups_, .stem_channels = 64, .output_stride = 32,         \
             __VA_ARGS__}}
#define V1 .stem = R2_STEM_7X7, .downsample = R2_DOWNSAMPLE_CONV
#define V1B .stem = R2_STEM_DEEP, .downsample = R2_DOWNSAMPLE_AVG
#define CIFAR(name_, width_, scale_, groups_, se_)                                                 \
    {name_, {.layers = {3, 3, 3}, .planes = {64, 128, 256}, .base_width = width_,                  \
             .scale = scale_, .groups = groups_, .stem_channels = 64, .output_stride = 32,         \
             .stem = R2_STEM_3X3, .se = se_}}
/* The blocks of DLA expand by 2, not by 4: its base width of 28 is 56 here. */
#define DLA60(name_, width_, groups_)                                                              \
    {name_, {.layers = {1, 2, 3, 1}, .planes = {32, 64, 128, 256}, .base_width = 2 * (width_),     \
             .scale = 4, .groups = groups_, .stem_channels = 32, .output_stride = 32, .dla = true}}
/* clang-format on */

static const struct {
    const char *name;
    struct r2_arch arch;
} variants[] = {
    /* of names for one network the fullest first */
    VARIANT("res2net50_48w_2s", 3, 4, 6, 3, 48, 2, 1, V1),
    VARIANT("res2net50_26w_4s", 3, 4, 6, 3, 26, 4, 1, V1),
    VARIANT("res2net50", 3, 4, 6, 3, 26, 4, 1, V1),
    VARIANT("res2net50_14w_8s", 3, 4, 6, 3, 14, 8, 1, V1),
    VARIANT("res2net50_26w_6s", 3, 4, 6, 3, 26, 6, 1, V1),
    VARIANT("res2net50_26w_8s", 3, 4, 6, 3, 26, 8, 1, V1),
    VARIANT("res2net101_26w_4s", 3, 4, 23, 3, 26, 4, 1, V1),
    VARIANT("res2net101", 3, 4, 23, 3, 26, 4, 1, V1),
    VARIANT("res2next50", 3, 4, 6, 3, 4, 4, 8, V1),
    VARIANT("res2next50_4s", 3, 4, 6, 3, 4, 4, 8, V1),
    VARIANT("res2net50_v1b_26w_4s", 3, 4, 6, 3, 26, 4, 1, V1B),
    VARIANT("res2net50_v1b", 3, 4, 6, 3, 26, 4, 1, V1B),
    VARIANT("res2net50d", 3, 4, 6, 3, 26, 4, 1, V1B),
    VARIANT("res2net101_v1b_26w_4s", 3, 4, 23, 3, 26, 4, 1, V1B),
    VARIANT("res2net101_v1b", 3, 4, 23, 3, 26, 4, 1, V1B),
    VARIANT("res2net101d", 3, 4, 23, 3, 26, 4, 1, V1B),
    VARIANT("res2net152_v1b_26w_4s", 3, 8, 36, 3, 26, 4, 1, V1B),
    VARIANT("res2net152_v1b", 3, 8, 36, 3, 26, 4, 1, V1B),
    VARIANT("res2net50_26w_4s_se", 3, 4, 6, 3, 26, 4, 1, V1, .se = true),
    VARIANT("res2net50_se", 3, 4, 6, 3, 26, 4, 1, V1, .se = true),
    VARIANT("res2next50_4s_se", 3, 4, 6, 3, 4, 4, 8, V1, .se = true),
    VARIANT("res2next50_se", 3, 4, 6, 3, 4, 4, 8, V1, .se = true),
    CIFAR("res2next29_6cx24wx4s", 24, 4, 6, false),
    CIFAR("res2next29_8cx25wx4s", 25, 4, 8, false),
    CIFAR("res2next29_6cx24wx6s", 24, 6, 6, false),
    CIFAR("res2next29_6cx24wx4s_se", 24, 4, 6, true),
    CIFAR("res2next29_8cx25wx4s_se", 25, 4, 8, true),
    CIFAR("res2next29_6cx24wx6s_se", 24, 6, 6, true),
    DLA60("res2net_dla60", 28, 1),
    DLA60("dla60_res2net", 28, 1),
    DLA60("res2next_dla60", 4, 8),
    DLA60("dla60_res2next", 4, 8),
};

uint32_t r2_arch_width(const struct r2_arch *arch, unsigned stage)
{
    return (uint32_t)((uint64_t)arch->planes[stage] * arch->base_width / 64 * arch->groups);
}

unsigned r2_arch_stages(const struct r2_arch *arch)
{
    return arch->layers[R2_STAGES - 1] ? R2_STAGES : R2_STAGES - 1;
}

bool r2_arch_is_pyramid(const struct r2_arch *arch)
{
    return arch->output_stride == 32 && arch->stem != R2_STEM_3X3 &&
           r2_arch_stages(arch) == R2_STAGES;
}

const char *r2_arch_name(size_t i)
{
    return i < R2_COUNT(variants) ? variants[i].name : NULL;
}

static const char *name_at(const void *from, size_t i)
{
    (void)from;
    return i == R2_COUNT(variants) ? "custom" : r2_arch_name(i);
}

enum r2_status r2_arch_find(const char *name, struct r2_arch *ret, struct r2_error *err)
{
    for (size_t i = 0; i < R2_COUNT(variants); i++) {
        if (strcmp(variants[i].name, name) != 0) continue;
        *ret = variants[i].arch;
        return R2_OK;
    }
    const char *nearest = r2_text_nearest(name, name_at, NULL);
    return r2_fail(err, R2_NOT_FOUND, "arch '%.64s' is unknown%s%s%s", name,
                   nearest ? "; did you mean '"
                           : "; known are res2net50_26w_4s and its kin, custom",
                   nearest ? nearest : "", nearest ? "'?" : "");
}

static const char *const precisions[] = {"f32", "bf16", "int8", NULL};
static const char *const stems[] = {"7x7", "deep", "3x3", NULL};
static const char *const downsamples[] = {"conv", "avg", NULL};

const char *r2_precision_name(enum r2_precision precision)
{
    return precisions[precision];
}

static const char *const first_dilations[] = {"half", "full", NULL};

#define FIELD(kind, member) R2_FIELD(kind, struct r2_backbone_options, member)

/* clang-format off */
static const struct r2_option options[] = {
    {.name = "arch", FIELD(TEXT, arch_name), .help = "variant, or custom"},
    {.name = "weights", FIELD(TEXTS, weights), .min_count = 1, .max_count = R2_LIST_MAX,
     .help = "safetensors file or shards, in the model's directory"},
    {.name = "precision", FIELD(CHOICE, precision), .choices = precisions, .fallback = "f32",
     .help = "arithmetic of the trunk"},
    {.name = "dialect", FIELD(CHOICE, dialect), .choices = r2_dialect_names,
     .fallback = "auto",
     .help = "what the code that trained the trunk computes; auto: by the tensor names"},
    {.name = "bn_eps", FIELD(FLOAT, bn_eps), .flags = R2_OPTION_AUTO, .max = 1, .fallback = "auto",
     .help = "epsilon of the batch norms; auto: 1e-5, but 0 of maskrcnn-benchmark"},
    {.name = "output_stride", FIELD(INT, output_stride), .min = 8, .max = 32, .fallback = "32",
     .help = "of the last stage, 32, 16 or 8: the later stages dilate instead of shrinking"},
    {.name = "first_dilation", FIELD(CHOICE, first_dilation), .choices = first_dilations,
     .fallback = "half", .help = "of the first block of such a stage"},
    {.name = "ceil_pool", FIELD(BOOL, ceil_pool), .fallback = "false",
     .help = "the max pool behind the stem rounds its size up, as PoolNet's does"},
    {.name = "layers", FIELD(INTS, layers), .flags = R2_OPTION_OPTIONAL, .min = 1,
     .max = R2_ARCH_MAX_LAYERS,
     .min_count = R2_STAGES - 1, .max_count = R2_STAGES, .help = "custom: blocks of each stage"},
    {.name = "planes", FIELD(INTS, planes), .flags = R2_OPTION_OPTIONAL, .min = 1, .max = 4096,
     .min_count = R2_STAGES - 1, .max_count = R2_STAGES,
     .help = "custom: a quarter of each stage's features"},
    {.name = "base_width", FIELD(INT, base_width), .min = 0, .max = 1024, .fallback = "0",
     .help = "custom: channels of a slice at 64 planes"},
    {.name = "scale", FIELD(INT, scale), .min = 0, .max = R2_ARCH_MAX_SCALE, .fallback = "0",
     .help = "custom: slices of a block, from 2"},
    {.name = "groups", FIELD(INT, groups), .min = 0, .max = 1024, .fallback = "0",
     .help = "custom: groups of the 3x3 convolutions"},
    {.name = "stem", FIELD(CHOICE, stem), .choices = stems, .fallback = "7x7",
     .help = "custom: stem"},
    {.name = "downsample", FIELD(CHOICE, downsample), .choices = downsamples, .fallback = "conv",
     .help = "custom: shortcut where the stride is 2"},
    {.name = "stem_channels", FIELD(INT, stem_channels), .min = 0, .max = 1024, .fallback = "0",
     .help = "custom: channels after the stem; 0: 64"},
    {.name = "se", FIELD(BOOL, se), .fallback = "false",
     .help = "custom: squeeze and excitation at the end of each block"},
};
/* clang-format on */

const struct r2_option_table r2_backbone_table = R2_OPTION_TABLE(options, "key");

/* Keys that only `custom` has. */
static const char *const custom_keys[] = {"layers",     "planes",        "base_width",
                                          "scale",      "groups",        "stem",
                                          "downsample", "stem_channels", "se"};

enum r2_status r2_arch_check(const struct r2_arch *arch, struct r2_error *err)
{
    if (arch->scale < 2 || arch->scale > R2_ARCH_MAX_SCALE)
        return r2_fail(err, R2_INVALID, "scale is %u, arch custom needs 2..%d", arch->scale,
                       R2_ARCH_MAX_SCALE);
    for (unsigned i = 0; i < r2_arch_stages(arch); i++) {
        const uint32_t width = r2_arch_width(arch, i);
        if (!arch->layers[i] || arch->layers[i] > R2_ARCH_MAX_LAYERS)
            return r2_fail(err, R2_INVALID, "stage %u has %u blocks, allowed are 1..%d", i + 1,
                           arch->layers[i], R2_ARCH_MAX_LAYERS);
        if (!width || width > 8192)
            return r2_fail(err, R2_INVALID,
                           "stage %u has slices of %u channels, allowed are 1..8192", i + 1, width);
    }
    if (arch->stem == R2_STEM_DEEP && arch->stem_channels < 2)
        return r2_fail(err, R2_INVALID, "stem_channels is 1, a deep stem needs 2 or more");
    return R2_OK;
}

static enum r2_status read_custom(struct r2_backbone_options *read, struct r2_error *err)
{
    struct r2_arch *arch = &read->arch;
    const size_t stages = read->layers.count;
    if (!stages)
        return r2_fail(err, R2_INVALID, "arch custom needs layers, a list of %d or %d",
                       R2_STAGES - 1, R2_STAGES);
    if (read->planes.count && read->planes.count != stages)
        return r2_fail(err, R2_INVALID, "planes has %zu items, layers has %zu", read->planes.count,
                       stages);
    if (read->base_width < 1) return r2_fail(err, R2_INVALID, "arch custom needs base_width");
    for (size_t i = 0; i < stages; i++) {
        arch->layers[i] = (uint32_t)read->layers.items[i];
        arch->planes[i] = read->planes.count ? (uint32_t)read->planes.items[i] : 64u << i;
    }
    arch->base_width = (uint32_t)read->base_width;
    arch->scale = (uint32_t)read->scale;
    arch->groups = read->groups ? (uint32_t)read->groups : 1;
    arch->stem_channels = read->stem_channels ? (uint32_t)read->stem_channels : 64;
    arch->stem = (enum r2_stem)read->stem;
    arch->downsample = (enum r2_downsample)read->downsample;
    arch->se = read->se;
    return r2_arch_check(arch, err);
}

static enum r2_status read_arch(json_t *object, struct r2_backbone_options *read,
                                struct r2_error *err)
{
    if (strcmp(read->arch_name, "custom") == 0) return read_custom(read, err);
    for (size_t i = 0; i < R2_COUNT(custom_keys); i++)
        if (json_object_get(object, custom_keys[i]))
            return r2_fail(err, R2_INVALID, "key '%s' goes with arch custom only, arch is '%s'",
                           custom_keys[i], read->arch_name);
    return r2_arch_find(read->arch_name, &read->arch, err);
}

/* What every variant can be told. */
static enum r2_status read_dilation(struct r2_backbone_options *read, struct r2_error *err)
{
    const int64_t stride = read->output_stride;
    if (stride != 8 && stride != 16 && stride != 32)
        return r2_fail(err, R2_INVALID, "output_stride is %d, must be 8, 16 or 32", (int)stride);
    if (stride != 32 && (read->arch.dla || read->arch.stem == R2_STEM_3X3))
        return r2_fail(err, R2_INVALID, "output_stride is %d, arch '%s' cannot dilate its stages",
                       (int)stride, read->arch_name);
    read->arch.output_stride = (uint32_t)stride;
    read->arch.first_dilation = (enum r2_first_dilation)read->first_dilation;
    read->arch.ceil_pool = read->ceil_pool;
    return R2_OK;
}

enum r2_status r2_backbone_options_read(json_t *object, struct r2_backbone_options *ret,
                                        struct r2_error *err)
{
    static const char where[] = "model.json: backbone";
    struct r2_backbone_options read = {0};
    enum r2_status status = r2_options_defaults(&r2_backbone_table, &read, err);
    if (status == R2_OK) status = r2_options_read(&r2_backbone_table, object, where, &read, err);
    if (status == R2_OK &&
        (read_arch(object, &read, err) != R2_OK || read_dilation(&read, err) != R2_OK))
        status = r2_fail_in(err, where);
    if (status == R2_OK)
        *ret = read;
    else
        r2_options_finish(&r2_backbone_table, &read);
    return status;
}
