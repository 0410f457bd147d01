/*
 * The segmenter against PyTorch (training/make_segmentation_goldens.py): logits, labels of the
 * original picture; and what a model with it refuses and says.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/label_map.h"
#include "heads/model_inside.h"
#include "heads/segmentation.h"
#include "tests/base/expect.h"
#include "tests/support/golden_file.h"
#include "tests/support/model_dir.h"
#include "tests/support/segmenter.h"

enum { NAME_SIZE = 128 };

static struct r2_model *load(const char *dir, struct r2_error *err)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    struct r2_model *model = NULL;
    return r2_model_load(dir, &options, &model, err) == R2_OK ? model : NULL;
}

/* --- goldens --- */

/* The metadata hold objects as text. */
static json_t *parsed(const struct golden_file *golden, const char *key)
{
    json_t *value = json_loads(golden_file_meta(golden, key), 0, NULL);
    cr_assert_not_null(value, "%s", key);
    return value;
}

static uint32_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s", key);
    return (uint32_t)json_integer_value(value);
}

static uint32_t item(const json_t *array, size_t i)
{
    cr_assert(json_is_integer(json_array_get(array, i)));
    return (uint32_t)json_integer_value(json_array_get(array, i));
}

static void write_weights(const struct golden_file *golden, json_t *backbone, const char *dir)
{
    static const char scaled[] = "decode_head.conv_seg.weight";
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    struct r2_backbone_options read;
    json_t *scales = parsed(golden, "scales"), *options = parsed(golden, "options");
    const json_t *rates = json_object_get(options, "rates");
    const struct test_factor factors[] = {{scaled, (float)number(scales, scaled)}, {0}};
    ASSERT_OK(r2_backbone_options_read(backbone, &read, &err), err);
    struct segmenter segmenter = {.arch = &read.arch,
                                  .dialect = R2_DIALECT_OFFICIAL,
                                  .rate_count = (uint32_t)json_array_size(rates),
                                  .separable = json_is_true(json_object_get(options, "separable")),
                                  .channels = number(options, "channels"),
                                  .fuse_kernel = number(options, "fuse_kernel"),
                                  .low_tap = number(options, "low_tap"),
                                  .low_channels = number(options, "low_channels"),
                                  .decoder_convs = number(options, "decoder_convs"),
                                  .classes = number(options, "classes"),
                                  .factors = factors};
    cr_assert_leq(segmenter.rate_count, SEGMENTER_MAX_RATES);
    for (size_t i = 0; i < segmenter.rate_count; i++) segmenter.rates[i] = item(rates, i);
    snprintf(path, sizeof path, "%s/weights.safetensors", dir);
    ASSERT_OK(segmenter_weights(path, &segmenter, &err), err);
    r2_options_finish(&r2_backbone_table, &read);
    json_decref(scales);
    json_decref(options);
}

/* A model directory of the golden's network; options of the reference are keys of the head. */
static struct r2_model *load_golden(const struct golden_file *golden, const char *dir)
{
    struct r2_error err = {0};
    json_t *backbone = parsed(golden, "backbone"), *head = parsed(golden, "options");
    json_object_set_new(backbone, "weights", json_string("weights.safetensors"));
    json_object_set_new(backbone, "dialect", json_string(golden_file_meta(golden, "dialect")));
    json_object_set_new(head, "type", json_string("deeplabv3plus"));
    json_object_del(head, "classes");
    write_weights(golden, backbone, dir);
    json_t *file = json_pack("{s:s, s:s, s:o, s:{s:o}}", "name", "golden", "version", "1",
                             "backbone", backbone, "heads", "segment", head);
    char *text = json_dumps(file, 0);
    ASSERT_OK(model_dir_write(dir, "model.json", text, &err), err);
    free(text);
    json_decref(file);
    struct r2_model *model = load(dir, &err);
    cr_assert_not_null(model, "%s", err.message);
    return model;
}

static void run(struct r2_model *model, struct r2_session *session, struct r2_extent size)
{
    struct r2_error err = {0};
    struct r2_plan *plan = NULL;
    struct r2_session_times times;
    bool hit;
    const size_t pixels = (size_t)size.height * size.width;
    R2_AUTOFREE float *planes = malloc(3 * pixels * sizeof *planes);
    ASSERT_OK(r2_model_plan(model, 0, 1, (struct r2_input_shape){size.height, size.width}, 1, &plan,
                            &hit, &err),
              err);
    ASSERT_OK(r2_session_prepare(session, plan, &err), err);
    r2_plan_unref(plan);
    test_uniform("input", 3 * pixels, planes);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            r2_session_input(session)[3 * i + c] = 2 * planes[c * pixels + i];
    ASSERT_OK(r2_session_run(session, &times, &err), err);
}

static void expect_labels(const struct golden_file *golden, const struct r2_output_view *logits,
                          struct r2_extent size)
{
    struct r2_error err = {0};
    json_t *frame = parsed(golden, "frame"), *options = parsed(golden, "options");
    const struct r2_geometry geometry = {(double)item(frame, 1) / item(frame, 3),
                                         (double)item(frame, 0) / item(frame, 2),
                                         0,
                                         0,
                                         item(frame, 3),
                                         item(frame, 2),
                                         size.width,
                                         size.height};
    const struct r2_label_rule rule = {.align_corners =
                                           json_is_true(json_object_get(options, "align_corners"))};
    size_t count;
    const float *expected = golden_file_data(golden, "labels", &count);
    R2_AUTOFREE uint8_t *map = malloc(count);
    cr_assert_eq(count, (size_t)geometry.picture_width * geometry.picture_height);
    ASSERT_OK(r2_label_map_make(logits, &geometry, &rule, map, &err), err);
    for (size_t i = 0; i < count; i++)
        cr_assert(expected[i] < 0 || (float)map[i] == expected[i], "pixel %zu: %u, not %g", i,
                  map[i], (double)expected[i]);
    json_decref(frame);
    json_decref(options);
}

static void check_golden(const char *name)
{
    char dir[R2_MODEL_DIR_SIZE], path[NAME_SIZE];
    struct r2_error err = {0};
    struct r2_session *session = NULL;
    struct r2_output_view logits = {0};
    snprintf(path, sizeof path, "segment/%s.safetensors", name);
    struct golden_file golden = golden_file_open(path);
    json_t *sides = parsed(&golden, "size");
    const struct r2_extent size = {item(sides, 0), item(sides, 1)};
    json_decref(sides);
    ASSERT_OK(model_dir_create(dir, &err), err);
    struct r2_model *model = load_golden(&golden, dir);
    ASSERT_OK(r2_session_create(&session, &err), err);
    run(model, session, size);
    ASSERT_OK(r2_session_output(session, "segment.logits", &logits, &err), err);
    const double error = golden_file_map_error(&golden, "logits", &logits);
    cr_expect_lt(error, 1e-4, "%s: error %g", name, error);
    expect_labels(&golden, &logits, size);
    r2_session_destroy(session);
    r2_model_unref(model);
    model_dir_remove(dir);
    golden_file_close(&golden);
}

Test(deeplabv3plus, is_that_of_mmsegmentation)
{
    check_golden("separable");
}

Test(deeplabv3plus, can_be_put_together_otherwise)
{
    check_golden("plain");
}

Test(deeplabv3plus, without_detail_is_deeplabv3)
{
    check_golden("coarse");
}

/* --- models --- */

enum { CLASSES = 5 };

static void make_dir(char *ret)
{
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    const struct segmenter segmenter = {.arch = &model_dir_arch,
                                        .dialect = R2_DIALECT_OFFICIAL,
                                        .rates = {1, 2},
                                        .rate_count = 2,
                                        .separable = true,
                                        .channels = 16,
                                        .fuse_kernel = 3,
                                        .low_tap = 2,
                                        .low_channels = 8,
                                        .decoder_convs = 1,
                                        .classes = CLASSES};
    ASSERT_OK(model_dir_create(ret, &err), err);
    snprintf(path, sizeof path, "%s/trunk.safetensors", ret);
    ASSERT_OK(segmenter_weights(path, &segmenter, &err), err);
    ASSERT_OK(model_dir_labels(ret, "labels.txt", CLASSES, &err), err);
}

static struct r2_model *load_with(const char *dir, const char *keys, struct r2_error *err)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"name\": \"tiny\", \"version\": \"1\", \"backbone\": {" MODEL_DIR_ARCH
             ", \"weights\": \"trunk.safetensors\"}, \"heads\": {\"segment\": {\"type\": "
             "\"deeplabv3plus\", \"labels\": \"labels.txt\", \"channels\": 16, \"rates\": [1, 2], "
             "\"low_channels\": 8, \"decoder_convs\": 1, \"input\": {\"resize\": {\"mode\": "
             "\"longer\", \"size\": 96}, \"letterbox\": true}%s}}}",
             keys);
    ASSERT_OK(model_dir_write(dir, "model.json", text, err), *err);
    return load(dir, err);
}

Test(deeplabv3plus, answers_at_the_size_of_the_picture)
{
    char dir[R2_MODEL_DIR_SIZE];
    uint8_t pixels[70 * 50 * 3];
    struct r2_error err = {0};
    struct r2_runner *runner = NULL;
    struct r2_answer answer = {0};
    struct r2_work work = {0};
    make_dir(dir);
    struct r2_model *model = load_with(dir, ", \"background\": false", &err);
    cr_assert_not_null(model, "%s", err.message);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * i / 70);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(r2_work_init(&work, model, &err), err);
    ASSERT_OK(r2_work_select(&work, "segment", &err), err);
    ASSERT_OK(r2_work_set(&work, "format", "polygons", NULL, &err), err);
    ASSERT_OK(r2_model_run(&work, runner,
                           &(struct r2_image){.width = 70, .height = 50, .pixels = pixels}, &answer,
                           &err),
              err);
    const struct r2_segmentation *found = answer.results[0].data;
    cr_assert_eq(answer.results[0].kind, &r2_segmentation_kind);
    cr_expect(found->width == 70 && found->height == 50 && found->classes == CLASSES);
    cr_expect_eq(found->format, R2_SEGMENTATION_POLYGONS);
    cr_expect_str_eq(found->labels->names[4], "class4");
    for (size_t i = 0; i < 70 * 50; i++)
        cr_assert(found->map[i] >= 1 && found->map[i] <= CLASSES, "pixel %zu: %u", i,
                  found->map[i]);
    r2_answer_finish(&answer);
    r2_work_finish(&work);
    r2_runner_destroy(runner);
    r2_model_unref(model);
    model_dir_remove(dir);
}

static void expect_refused(const char *dir, const char *keys, const char *part)
{
    struct r2_error err = {0};
    cr_expect_null(load_with(dir, keys, &err));
    cr_expect(strstr(err.message, part), "%s", err.message);
}

Test(deeplabv3plus, refuses_what_does_not_fit)
{
    char dir[R2_MODEL_DIR_SIZE];
    make_dir(dir);
    expect_refused(dir, ", \"fuse_kernel\": 2", "key 'fuse_kernel': 2 is neither 1 nor 3");
    expect_refused(dir, ", \"image_pool\": \"middle\"", "image_pool");
    expect_refused(dir, ", \"separable\": false", "decode_head.");
    expect_refused(dir, ", \"low_tap\": 5", "low_tap");
    model_dir_remove(dir);
}

Test(deeplabv3plus, has_no_more_classes_than_a_byte_has_labels)
{
    struct r2_error err = {0};
    ASSERT_OK(r2_segmentation_check(true, 256, &err), err);
    ASSERT_OK(r2_segmentation_check(false, 255, &err), err);
    EXPECT_FAIL(r2_segmentation_check(false, 256, &err), err, R2_INVALID,
                "the weights have 256 classes, a mask has room for 255");
}
