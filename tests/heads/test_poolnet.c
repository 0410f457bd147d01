/*
 * PoolNet against PyTorch (training/make_poolnet_golden.py, whose definition agrees with the published
 * source): logits, the map of the picture; and what a model with it refuses and answers.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/saliency.h"
#include "tests/base/expect.h"
#include "tests/support/network_golden.h"

static struct network_golden open_golden(void)
{
    return network_golden_open("saliency/poolnet.safetensors", "saliency", "poolnet");
}

static void expect_map(const struct network_golden *golden, const struct r2_output_view *logits)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    const uint32_t height = golden->size.height, width = golden->size.width;
    const struct r2_geometry geometry = {1, 1, 0, 0, width, height, width, height};
    size_t count;
    const float *expected = golden_file_data(&golden->file, "map", &count);
    ASSERT_OK(r2_saliency_decode(&(struct r2_saliency){0}, logits, &geometry, &result, &err), err);
    const struct r2_saliency *saliency = result.data;
    cr_assert_eq(count, (size_t)saliency->width * saliency->height);
    for (size_t i = 0; i < count; i++) {
        const double off = (double)saliency->map[i] - (double)expected[i];
        cr_assert(off > -0.51 && off < 0.51, "pixel %zu: %d, not %g", i, saliency->map[i],
                  (double)expected[i]);
    }
    r2_result_finish(&result);
}

Test(poolnet, is_the_published_one)
{
    struct network_golden golden = open_golden();
    const double error = network_golden_error(&golden, NULL, NULL, expect_map);
    cr_expect_lt(error, 1e-4, "error %g", error);
    network_golden_close(&golden);
}

Test(poolnet, refuses_what_does_not_fit)
{
    struct network_golden golden = open_golden();
    network_golden_refused(&golden, "{\"output_stride\": 32}", NULL, "has 32, full and true");
    network_golden_refused(&golden, "{\"first_dilation\": \"half\"}", NULL,
                           "has 16, half and true");
    network_golden_refused(&golden, "{\"ceil_pool\": false}", NULL, "has 16, full and false");
    network_golden_refused(&golden, NULL, "{\"input\": {}}", "a bound for the longer side");
    network_golden_refused(&golden, NULL,
                           "{\"input\": {\"resize\": {\"mode\": \"shorter\", \"size\": 256}}}",
                           "a bound for the longer side");
    network_golden_refused(&golden, NULL, "{\"threshold\": 1.5}", "threshold");
    network_golden_close(&golden);
}

/* --- pictures --- */

static enum r2_status ask(struct r2_model *model, uint32_t width, uint32_t height,
                          struct r2_answer *ret, struct r2_error *err)
{
    struct r2_runner *runner = NULL;
    struct r2_work work = {0};
    struct r2_image picture = {0};
    ASSERT_OK(r2_image_create(width, height, &picture, err), *err);
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        picture.pixels[i] = (uint8_t)(i * i / 70);
    ASSERT_OK(r2_runner_create(&runner, err), *err);
    ASSERT_OK(r2_work_init(&work, model, err), *err);
    ASSERT_OK(r2_work_select(&work, "saliency", err), *err);
    const enum r2_status status = r2_model_run(&work, runner, &picture, ret, err);
    r2_work_finish(&work);
    r2_runner_destroy(runner);
    r2_image_finish(&picture);
    return status;
}

/* Larger than its limits, smaller, and so thin that no size within them will do. */
Test(poolnet, takes_pictures_of_any_size_but_the_thinnest)
{
    struct network_golden golden = open_golden();
    struct r2_error err = {0};
    struct r2_model *model = network_golden_load(&golden, NULL, "{\"threshold\": 0.25}", &err);
    static const uint32_t sizes[][2] = {{900, 700}, {40, 30}, {150, 140}};
    cr_assert_not_null(model, "%s", err.message);
    for (size_t i = 0; i < R2_COUNT(sizes); i++) {
        struct r2_answer answer = {0};
        ASSERT_OK(ask(model, sizes[i][0], sizes[i][1], &answer, &err), err);
        const struct r2_saliency *found = answer.results[0].data;
        cr_assert_eq(answer.results[0].kind, &r2_saliency_kind);
        cr_expect(found->width == sizes[i][0] && found->height == sizes[i][1]);
        cr_expect(found->threshold > 0.24 && found->threshold < 0.26); /* the model's */
        r2_answer_finish(&answer);
    }
    struct r2_answer answer = {0};
    cr_expect_eq(ask(model, 900, 90, &answer, &err), R2_INVALID);
    cr_expect(strstr(err.message, "too small"), "%s", err.message);
    r2_model_unref(model);
    network_golden_close(&golden);
}

/* The report is made for the largest input, and says what it takes. */
Test(poolnet, the_report_counts_the_largest_input)
{
    struct network_golden golden = open_golden();
    struct r2_error err = {0};
    json_t *report = NULL;
    struct r2_model *model = network_golden_load(&golden, NULL, NULL, &err);
    cr_assert_not_null(model, "%s", err.message);
    ASSERT_OK(r2_model_report(model, 1, &report, &err), err);
    const json_t *pass = json_array_get(json_object_get(report, "passes"), 0);
    const json_t *size = json_object_get(pass, "network_size");
    cr_expect_eq(json_integer_value(json_array_get(size, 0)), 512);
    cr_expect_eq(json_integer_value(json_array_get(size, 1)), 512);
    json_decref(report);
    r2_model_unref(model);
    network_golden_close(&golden);
}
