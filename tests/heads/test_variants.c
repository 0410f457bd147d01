/*
 * Trunks as other code bases publish them: what `info` says of their files, and that a model loads
 * them without a word about dialects.
 */
#include "backbone/family.h"
#include "base/memory.h"
#include "heads/inspect.h"
#include "heads/model_inside.h"
#include "tests/heads/fixture.h"

static enum r2_family family;
static const char *prefix;

static void rename_tensor(const char *official, char *ret, size_t size)
{
    struct r2_text text = {0};
    if (r2_family_is_trunk(official)) {
        r2_text_add(&text, "%s", prefix);
        r2_family_rename(family, official, &text);
    } else {
        r2_text_add(&text, "%s", official);
    }
    snprintf(ret, size, "%s", r2_text_view(&text));
    r2_text_finish(&text);
}

static json_t *read_info(const struct fixture *fixture)
{
    struct r2_error err = {0};
    char path[128];
    json_t *info = NULL;
    snprintf(path, sizeof path, "%s/trunk.safetensors", fixture->dir);
    ASSERT_OK(r2_weights_info(path, &info, &err), err);
    json_t *trunk = json_incref(json_object_get(info, "trunk"));
    cr_assert_not_null(trunk);
    json_decref(info);
    return trunk;
}

static void expect_text(const json_t *object, const char *key, const char *wanted)
{
    cr_expect_str_eq(json_string_value(json_object_get(object, key)), wanted);
}

static json_int_t sum_of(const json_t *trunk, const char *key)
{
    json_int_t sum = 0;
    const json_t *stages = json_object_get(trunk, "stages");
    for (size_t i = 0; i < json_array_size(stages); i++)
        sum += json_integer_value(json_object_get(json_array_get(stages, i), key));
    return sum;
}

/* The small trunk of all tests, named as each code base would. */
Test(variants, families)
{
    static const struct {
        enum r2_family family;
        enum r2_dialect dialect;
        enum r2_stem stem;
        enum r2_downsample downsample;
        const char *prefix, *keys, *evidence;
    } cases[] = {
        {R2_FAMILY_OFFICIAL, R2_DIALECT_OFFICIAL, R2_STEM_7X7, R2_DOWNSAMPLE_CONV, "module.", "",
         "tensor names are the official code's, which many share "
         "('module.layer1.0.conv1.weight')"},
        {R2_FAMILY_MMDET, R2_DIALECT_MMDET, R2_STEM_DEEP, R2_DOWNSAMPLE_AVG, "backbone.",
         ", \"stem\": \"deep\", \"downsample\": \"avg\"",
         "tensor names are mmdetection's ('backbone.stem.0.weight')"},
        {R2_FAMILY_MASKRCNN, R2_DIALECT_MASKRCNN, R2_STEM_7X7, R2_DOWNSAMPLE_CONV, "backbone.body.",
         "", "tensor names are maskrcnn-benchmark's ('backbone.body.stem.bn1.weight')"},
        {R2_FAMILY_DETECTRON2, R2_DIALECT_DETECTRON2, R2_STEM_DEEP, R2_DOWNSAMPLE_AVG, "",
         ", \"stem\": \"deep\", \"downsample\": \"avg\"",
         "tensor names are detectron2's ('res2.0.conv1.weight')"},
        {R2_FAMILY_PADDLE, R2_DIALECT_PADDLE, R2_STEM_7X7, R2_DOWNSAMPLE_CONV, "backbone.", "",
         "tensor names are PaddleDetection's ('backbone.res1.conv1.conv.weight')"},
        {R2_FAMILY_PADDLE_DEEP, R2_DIALECT_PADDLE, R2_STEM_DEEP, R2_DOWNSAMPLE_CONV, "",
         ", \"stem\": \"deep\"", "tensor names are PaddleDetection's ('res1.conv1_1.conv.weight')"},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_arch arch = model_dir_arch;
        struct fixture fixture = fixture_open();
        struct r2_model *model = NULL;
        char backbone[512];
        family = cases[i].family;
        prefix = cases[i].prefix;
        arch.stem = cases[i].stem;
        arch.downsample = cases[i].downsample;
        fixture.weights.arch = &arch;
        fixture.weights.dialect = cases[i].dialect;
        fixture.weights.rename = rename_tensor;
        ASSERT_OK(model_dir_weights(fixture.dir, "trunk.safetensors", &fixture.weights, &err), err);

        json_t *trunk = read_info(&fixture);
        expect_text(trunk, "arch", "custom");
        expect_text(trunk, "prefix", cases[i].prefix);
        expect_text(trunk, "dialect", r2_dialect_name(cases[i].dialect));
        expect_text(trunk, "dialect_evidence", cases[i].evidence);
        expect_text(trunk, "stem", cases[i].stem == R2_STEM_DEEP ? "deep" : "7x7");
        cr_expect_eq(json_array_size(json_object_get(trunk, "stages")), 6, "conv1 to fc");
        json_decref(trunk);

        snprintf(backbone, sizeof backbone,
                 "\"backbone\": {" MODEL_DIR_ARCH ", \"weights\": \"trunk.safetensors\"%s}",
                 cases[i].keys);
        ASSERT_OK(fixture_load(&fixture, backbone, "\"classify\": {" CLASSIFIER "}", &model, &err),
                  err);
        cr_expect_eq(model->trunks[0].dialect, cases[i].dialect);
        cr_expect_str_eq(model->trunks[0].evidence, cases[i].evidence);
        r2_model_unref(model);
        fixture_close(&fixture);
    }
}

/* What the code whose names these are cannot have computed. */
Test(variants, impossible_dialect)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    family = R2_FAMILY_PADDLE;
    prefix = "";
    fixture.weights.rename = rename_tensor;
    ASSERT_OK(model_dir_weights(fixture.dir, "trunk.safetensors", &fixture.weights, &err), err);
    fixture_refused(&fixture,
                    "\"backbone\": {" MODEL_DIR_ARCH
                    ", \"weights\": \"trunk.safetensors\", \"dialect\": \"official\"}",
                    "\"classify\": {" CLASSIFIER "}", R2_INVALID,
                    "model.json: backbone: dialect 'official' cannot be: the tensor names are "
                    "PaddleDetection's ('res1.conv1.conv.weight'), which computes 'paddle'");
    fixture_close(&fixture);
}

/* Writes the published variant with 7 classes, and expects `info` to know it by shapes; parameters in
   thousands. */
static void write_published(struct fixture *fixture, const char *name, json_int_t parameters)
{
    struct r2_error err = {0};
    struct r2_arch arch;
    ASSERT_OK(r2_arch_find(name, &arch, &err), err);
    fixture->weights.arch = &arch;
    fixture->weights.dialect = arch.dla ? R2_DIALECT_DLA : R2_DIALECT_OFFICIAL;
    fixture->weights.classes = CLASSES;
    ASSERT_OK(model_dir_weights(fixture->dir, "trunk.safetensors", &fixture->weights, &err), err);
    json_t *trunk = read_info(fixture);
    expect_text(trunk, "arch", name);
    expect_text(trunk, "dialect", r2_dialect_name(fixture->weights.dialect));
    cr_expect_eq((sum_of(trunk, "parameters") + 500) / 1000, parameters,
                 "%s: %" JSON_INTEGER_FORMAT, name, sum_of(trunk, "parameters"));
    json_decref(trunk);
}

/* DLA: its classifier is a convolution, and its sides are multiples of 32. */
Test(variants, dla)
{
    static const char heads[] = "\"classify\": {\"type\": \"classifier\", \"input\": {\"resize\": "
                                "{\"mode\": \"shorter\", \"size\": 64}, \"crop\": 64}},"
                                " \"odd\": {\"type\": \"classifier\", \"input\": {\"resize\": "
                                "{\"mode\": \"shorter\", \"size\": 65}, \"crop\": 65}}";
    static const char backbone[] =
        "\"backbone\": {\"arch\": \"dla60_res2net\", \"weights\": \"trunk.safetensors\"}";
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = NULL;
    write_published(&fixture, "res2net_dla60", 19830);
    ASSERT_OK(fixture_load(&fixture, backbone, heads, &model, &err), err);
    struct r2_work work;
    struct r2_runner *runner = NULL;
    struct r2_image picture = {0};
    struct r2_answer answer = {0};
    ASSERT_OK(r2_image_create(90, 70, &picture, &err), err);
    memset(picture.pixels, 77, 70 * r2_image_stride(&picture));
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(r2_work_init(&work, model, &err), err);
    ASSERT_OK(r2_work_select(&work, "classify", &err), err);
    ASSERT_OK(r2_model_run(&work, runner, &picture, &answer, &err), err);
    r2_answer_finish(&answer);
    ASSERT_OK(r2_work_select(&work, "odd", &err), err);
    cr_expect_eq(r2_model_run(&work, runner, &picture, &answer, &err), R2_INVALID);
    cr_expect_not_null(strstr(err.message, "a picture of 65 x 65 does not suit the network"), "%s",
                       err.message);
    r2_work_finish(&work);
    r2_runner_destroy(runner);
    r2_image_finish(&picture);
    r2_model_unref(model);
    fixture_refused(&fixture, BACKBONE, "\"classify\": {" CLASSIFIER "}", R2_INVALID,
                    "arch 'custom' is no DLA, the trunk in trunk.safetensors is one "
                    "('base_layer.0.weight')");
    fixture_close(&fixture);
}

Test(variants, dla_of_other_tensors)
{
    struct fixture fixture = fixture_open();
    fixture_refused(
        &fixture, "\"backbone\": {\"arch\": \"res2net_dla60\", \"weights\": \"trunk.safetensors\"}",
        "\"classify\": {" CLASSIFIER "}", R2_INVALID,
        "arch 'res2net_dla60' is a DLA, the trunk in trunk.safetensors is none "
        "('layer1.0.conv1.weight')");
    fixture_close(&fixture);
}

/* Three stages, with SE: heads that want a pyramid are refused. */
Test(variants, cifar)
{
    static const char backbone[] = "\"backbone\": {\"arch\": \"res2next29_6cx24wx4s_se\", "
                                   "\"weights\": \"trunk.safetensors\"}";
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = NULL;
    write_published(&fixture, "res2next29_6cx24wx4s_se", 24132);
    ASSERT_OK(fixture_load(&fixture, backbone, "\"classify\": {" CLASSIFIER "}", &model, &err),
              err);
    r2_model_unref(model);
    fixture_refused(
        &fixture, backbone, "\"keypoints\": {\"type\": \"roi_keypoints\", \"whole_image\": true}",
        R2_INVALID,
        "heads.keypoints: the head needs a trunk whose stages have strides 4, 8, 16 and 32");
    fixture_close(&fixture);
}
