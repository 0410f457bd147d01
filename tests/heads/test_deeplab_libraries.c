/*
 * DeepLabs of segmentation_models.pytorch and torchvision (training/make_deeplab_goldens.py): logits
 * and labels of the libraries themselves, from their tensors' names; and what is refused.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/segmentation.h"
#include "tests/base/expect.h"
#include "tests/support/network_golden.h"

static struct network_golden open_golden(const char *name)
{
    return network_golden_open(name, "segment", "deeplabv3plus");
}

static void expect_labels(const struct network_golden *golden, const struct r2_output_view *logits,
                          bool align_corners)
{
    struct r2_error err = {0};
    const uint32_t height = golden->size.height, width = golden->size.width;
    const struct r2_geometry geometry = {1, 1, 0, 0, width, height, width, height};
    const struct r2_label_rule rule = {.align_corners = align_corners, .corners_to_input = true};
    size_t count;
    const float *expected = golden_file_data(&golden->file, "labels", &count);
    R2_AUTOFREE uint8_t *map = malloc(count);
    cr_assert_eq(count, (size_t)width * height);
    ASSERT_OK(r2_label_map_make(logits, &geometry, &rule, map, &err), err);
    for (size_t i = 0; i < count; i++)
        cr_assert(expected[i] < 0 || (float)map[i] == expected[i], "pixel %zu: %u, not %g", i,
                  map[i], (double)expected[i]);
}

static void expect_aligned(const struct network_golden *golden, const struct r2_output_view *logits)
{
    expect_labels(golden, logits, true);
}

static void expect_centred(const struct network_golden *golden, const struct r2_output_view *logits)
{
    expect_labels(golden, logits, false);
}

static void check(const char *name, void (*expect)(const struct network_golden *golden,
                                                   const struct r2_output_view *logits))
{
    struct network_golden golden = open_golden(name);
    const double error = network_golden_error(&golden, NULL, NULL, expect);
    cr_expect_lt(error, 1e-4, "%s: error %g", name, error);
    network_golden_close(&golden);
}

Test(deeplab_libraries, smp_plus)
{
    check("segment/smp_plus.safetensors", expect_aligned);
}

Test(deeplab_libraries, smp_plus_of_output_stride_8_without_separable_branches)
{
    check("segment/smp_plain.safetensors", expect_aligned);
}

Test(deeplab_libraries, smp_plus_of_a_single_class)
{
    check("segment/smp_single.safetensors", expect_aligned);
}

Test(deeplab_libraries, smp_v3)
{
    check("segment/smp_v3.safetensors", expect_aligned);
}

Test(deeplab_libraries, torchvision)
{
    check("segment/torchvision.safetensors", expect_centred);
}

/* What the names' presets and the trunk's defaults decide: each otherwise is another network. */
Test(deeplab_libraries, another_rule_is_another_network)
{
    struct network_golden golden = open_golden("segment/smp_plus.safetensors");
    cr_expect_gt(network_golden_error(&golden, NULL, "{\"align_corners\": false}", NULL), 1e-3);
    cr_expect_gt(network_golden_error(&golden, NULL, "{\"image_pool\": \"first\"}", NULL), 1e-3);
    cr_expect_gt(network_golden_error(&golden, "{\"first_dilation\": \"full\"}", NULL, NULL), 1e-3);
    cr_expect_gt(network_golden_error(&golden, "{\"dialect\": \"mmdet\"}", NULL, NULL), 1e-3);
    network_golden_close(&golden);
}

/* The background that its weights do not have is one of the labels. */
Test(deeplab_libraries, a_single_class_has_two_labels)
{
    struct network_golden golden = open_golden("segment/smp_single.safetensors");
    struct r2_error err = {0};
    ASSERT_OK(model_dir_labels(golden.dir, "labels.txt", 2, &err), err);
    struct r2_model *model =
        network_golden_load(&golden, NULL, "{\"labels\": \"labels.txt\"}", &err);
    cr_assert_not_null(model, "%s", err.message);
    r2_model_unref(model);
    ASSERT_OK(model_dir_labels(golden.dir, "labels.txt", 1, &err), err);
    network_golden_refused(&golden, NULL, "{\"labels\": \"labels.txt\"}", "2");
    network_golden_refused(&golden, NULL, "{\"threshold\": 1}", "threshold");
    network_golden_close(&golden);
}

Test(deeplab_libraries, refuse_what_they_are_not)
{
    struct network_golden golden = open_golden("segment/torchvision.safetensors");
    network_golden_refused(&golden, "{\"output_stride\": 32}", NULL,
                           "torchvision's DeepLabV3, whose trunk has an output_stride of 16 or 8");
    network_golden_refused(&golden, NULL, "{\"low_channels\": 48}", "key 'low_channels'");
    network_golden_refused(&golden, NULL, "{\"decoder_convs\": 2}", "key 'decoder_convs'");
    network_golden_refused(&golden, NULL, "{\"separable\": true}",
                           "classifier.0.convs.1.0.0.weight");
    network_golden_close(&golden);
}
