#include "heads/deeplab_names.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* clang-format off */
#define CONV_BN(at) {at ".conv", at ".bn"}
#define SEPARABLE_CONV_BN(at)                                                                      \
    {.whole = CONV_BN(at), .depthwise = CONV_BN(at ".depthwise_conv"),                             \
     .pointwise = CONV_BN(at ".pointwise_conv")}
#define PAIR(at, conv, norm) {at "." conv, at "." norm}
/* torchvision's ASPP, which segmentation_models.pytorch has, too; there a convolution can be a pair of
   them without anything in between. */
#define ASPP(at)                                                                                   \
    .sign = at ".project.0.weight",                                                                \
    .branch = {.whole = PAIR(at ".convs.#", "0", "1"), .depthwise = {at ".convs.#.0.0", NULL},     \
               .pointwise = PAIR(at ".convs.#", "0.1", "1")},                                      \
    .pool = PAIR(at ".convs.#", "1", "2"), .fuse = PAIR(at ".project", "0", "1")
/* In all of them the first branch is a 1x1, and the mean comes last. */
#define ASPP_PRESETS                                                                               \
    {"rates", "1,12,24,36"}, {"image_pool", "last"}, {"channels", "256"}, {"fuse_kernel", "1"},    \
    {"threshold", "0.5"}

static const struct r2_deeplab_form forms[] = {
    {
        .name = "mmsegmentation",
        .sign = "decode_head.bottleneck.conv.weight",
        .branch = SEPARABLE_CONV_BN("decode_head.aspp_modules.#"),
        .pool = CONV_BN("decode_head.image_pool.1"),
        .fuse = CONV_BN("decode_head.bottleneck"),
        .low = CONV_BN("decode_head.c1_bottleneck"),
        .decoder = SEPARABLE_CONV_BN("decode_head.sep_bottleneck.#"),
        .last = "decode_head.conv_seg",
    },
    {
        .name = "segmentation_models.pytorch's DeepLabV3Plus",
        ASPP("decoder.aspp.0"),
        .refine = {.depthwise = {"decoder.aspp.1.0", NULL},
                   .pointwise = {"decoder.aspp.1.1", "decoder.aspp.2"}},
        .low = PAIR("decoder.block1", "0", "1"),
        .decoder = {.depthwise = {"decoder.block2.0.0", NULL},
                    .pointwise = PAIR("decoder.block2", "0.1", "1")},
        .last = "segmentation_head.0",
        .dilated = true,
        .corners_to_input = true,
        .presets = {ASPP_PRESETS, {"separable", "1"}, {"low_channels", "48"},
                    {"decoder_convs", "1"}, {"align_corners", "1"}},
    },
    {
        .name = "segmentation_models.pytorch's DeepLabV3",
        ASPP("decoder.aspp"),
        .decoder = {.whole = {"decoder.conv", "decoder.bn"}},
        .last = "segmentation_head.0",
        .dilated = true,
        .corners_to_input = true,
        .presets = {ASPP_PRESETS, {"separable", "0"}, {"low_channels", "0"},
                    {"decoder_convs", "1"}, {"align_corners", "1"}},
    },
    {
        .name = "torchvision's DeepLabV3",
        ASPP("classifier.0"),
        .decoder = {.whole = PAIR("classifier", "1", "2")},
        .last = "classifier.4",
        .dilated = true,
        .presets = {ASPP_PRESETS, {"separable", "0"}, {"low_channels", "0"},
                    {"decoder_convs", "1"}},
    },
};
/* clang-format on */

const struct r2_deeplab_form *r2_deeplab_form_find(const struct r2_weights *weights,
                                                   const struct r2_naming *naming)
{
    char name[R2_NAME_SIZE];
    struct r2_error ignored;
    for (size_t i = 0; i < R2_COUNT(forms); i++)
        if (r2_naming_apply(naming, forms[i].sign, name, &ignored) == R2_OK &&
            r2_weights_find(weights, name))
            return &forms[i];
    return &forms[0];
}

void r2_deeplab_name(const char *pattern, uint32_t number, char *ret)
{
    const size_t before = strcspn(pattern, "#");
    if (pattern[before])
        snprintf(ret, R2_GRAPH_NAME_SIZE, "%.*s%u%s", (int)before, pattern, number,
                 pattern + before + 1);
    else
        snprintf(ret, R2_GRAPH_NAME_SIZE, "%s", pattern);
}
