/*
 * DeepLabs of segmentation_models.pytorch and torchvision (training/make_deeplab_goldens.py): logits
 * and labels of the libraries themselves, from their tensors' names; and what is refused.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/segmentation.h"
#include "tests/base/expect.h"
#include "tests/support/network_golden.h"

static struct r2_model *load(const struct network_golden *golden, const char *backbone,
                             const char *head, struct r2_error *err)
{
    return network_golden_load(golden, "segment", "deeplabv3plus", backbone, head, err);
}

static void expect_labels(const struct network_golden *golden, const struct r2_output_view *logits,
                          bool align_corners)
{
    struct r2_error err = {0};
    const uint32_t height = golden->size.height, width = golden->size.width;
    const struct r2_geometry geometry = {1, 1, 0, 0, width, height, width, height};
    const struct r2_label_rule rule = {align_corners, 0, true};
    size_t count;
    const float *expected = golden_file_data(&golden->file, "labels", &count);
    R2_AUTOFREE uint8_t *map = malloc(count);
    cr_assert_eq(count, (size_t)width * height);
    ASSERT_OK(r2_label_map_make(logits, &geometry, &rule, map, &err), err);
    for (size_t i = 0; i < count; i++)
        cr_assert(expected[i] < 0 || (float)map[i] == expected[i], "pixel %zu: %u, not %g", i,
                  map[i], (double)expected[i]);
}

/* The error of the logits with these keys over the golden's. */
static double error_with(const struct network_golden *golden, const char *backbone,
                         const char *head, int align_corners)
{
    struct r2_error err = {0};
    struct r2_session *session = NULL;
    struct r2_output_view logits = {0};
    struct r2_model *model = load(golden, backbone, head, &err);
    cr_assert_not_null(model, "%s", err.message);
    ASSERT_OK(r2_session_create(&session, &err), err);
    network_golden_run(golden, model, session);
    ASSERT_OK(r2_session_output(session, "segment.logits", &logits, &err), err);
    const double error = golden_file_map_error(&golden->file, "logits", &logits);
    if (align_corners >= 0) expect_labels(golden, &logits, align_corners);
    r2_session_destroy(session);
    r2_model_unref(model);
    return error;
}

static void check(const char *name, bool align_corners)
{
    struct network_golden golden = network_golden_open(name);
    const double error = error_with(&golden, NULL, NULL, align_corners);
    cr_expect_lt(error, 1e-4, "%s: error %g", name, error);
    network_golden_close(&golden);
}

Test(deeplab_libraries, smp_plus)
{
    check("segment/smp_plus.safetensors", true);
}

Test(deeplab_libraries, smp_plus_of_output_stride_8_without_separable_branches)
{
    check("segment/smp_plain.safetensors", true);
}

Test(deeplab_libraries, smp_v3)
{
    check("segment/smp_v3.safetensors", true);
}

Test(deeplab_libraries, torchvision)
{
    check("segment/torchvision.safetensors", false);
}

/* What the names' presets and the trunk's defaults decide: each otherwise is another network. */
Test(deeplab_libraries, another_rule_is_another_network)
{
    struct network_golden golden = network_golden_open("segment/smp_plus.safetensors");
    cr_expect_gt(error_with(&golden, NULL, "{\"align_corners\": false}", -1), 1e-3);
    cr_expect_gt(error_with(&golden, NULL, "{\"image_pool\": \"first\"}", -1), 1e-3);
    cr_expect_gt(error_with(&golden, "{\"first_dilation\": \"full\"}", NULL, -1), 1e-3);
    cr_expect_gt(error_with(&golden, "{\"dialect\": \"mmdet\"}", NULL, -1), 1e-3);
    network_golden_close(&golden);
}

static void expect_refused(const struct network_golden *golden, const char *backbone,
                           const char *head, const char *part)
{
    struct r2_error err = {0};
    cr_expect_null(load(golden, backbone, head, &err));
    cr_expect(strstr(err.message, part), "%s", err.message);
}

Test(deeplab_libraries, refuse_what_they_are_not)
{
    struct network_golden golden = network_golden_open("segment/torchvision.safetensors");
    expect_refused(&golden, "{\"output_stride\": 32}", NULL,
                   "torchvision's DeepLabV3, whose trunk has an output_stride of 16 or 8");
    expect_refused(&golden, NULL, "{\"low_channels\": 48}", "key 'low_channels'");
    expect_refused(&golden, NULL, "{\"decoder_convs\": 2}", "key 'decoder_convs'");
    expect_refused(&golden, NULL, "{\"separable\": true}", "classifier.0.convs.1.0.0.weight");
    network_golden_close(&golden);
}
