/* Model directories that must not load, and what is said. */
#include "base/memory.h"
#include "tests/heads/fixture.h"
#include "tests/support/tensor_file.h"

#define HEAD(keys) "\"classify\": {" keys "}"

Test(model_errors, backbone)
{
    static const char with[] = "\"backbone\": {" MODEL_DIR_ARCH ", %s}";
    static const struct {
        const char *keys, *message;
    } cases[] = {
        {"\"weights\": \"../trunk.safetensors\"",
         "\"../trunk.safetensors\": a path in a model must not contain \"..\""},
        {"\"weights\": \"/etc/passwd\"",
         "\"/etc/passwd\": a path in a model is relative to its directory"},
        {"\"weights\": [\"trunk.safetensors\", \"trunk.safetensors\"]",
         "@/trunk.safetensors: is named twice"},
        {"\"weights\": \"trunk.safetensors\", \"dialct\": \"mmdet\"",
         "model.json: backbone: unknown key \"dialct\", did you mean \"dialect\"?"},
    };
    struct fixture fixture = fixture_open();
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        char backbone[512];
        snprintf(backbone, sizeof backbone, with, cases[i].keys);
        fixture_refused(&fixture, backbone, HEAD(CLASSIFIER), R2_INVALID, cases[i].message);
    }
    fixture_close(&fixture);
}

Test(model_errors, missing_files)
{
    struct r2_error err = {0};
    struct r2_model *model = NULL;
    const struct r2_model_options options = {0};
    struct fixture fixture = fixture_open();
    EXPECT_FAIL(r2_model_load("/tmp/r2-no-such-dir", &options, &model, &err), err, R2_NOT_FOUND,
                "model '/tmp/r2-no-such-dir': model directory \"/tmp/r2-no-such-dir\": "
                "No such file or directory");
    cr_expect_eq(r2_model_load(fixture.dir, &options, &model, &err), R2_NOT_FOUND, "no model.json");
    cr_expect_eq(fixture_load(&fixture, "\"backbone\": {" MODEL_DIR_ARCH ", \"weights\": \"no\"}",
                              "", &model, &err),
                 R2_NOT_FOUND);
    cr_expect_not_null(strstr(err.message, "/no"), "%s", err.message);
    cr_expect_eq(fixture_load(&fixture, BACKBONE,
                              HEAD("\"type\": \"classifier\", \"labels\": \"no\""), &model, &err),
                 R2_NOT_FOUND);
    cr_expect_not_null(strstr(err.message, "/no"), "%s", err.message);
    cr_expect_null(model);
    fixture_close(&fixture);
}

Test(model_errors, heads)
{
    static const struct {
        const char *head, *message;
    } cases[] = {
        {HEAD("\"type\": \"clasifier\""),
         "heads.classify: head type 'clasifier' is unknown; did you mean classifier"},
        {HEAD("\"type\": \"oracle\""),
         "heads.classify: head type 'oracle' is unknown; known are classifier, "
         "deeplabv3plus, faster_rcnn, poolnet, roi_keypoints, simple_baseline"},
        {HEAD("\"type\": \"classifier\", \"topk\": 3"),
         "heads.classify: model.json: unknown key \"topk\", did you mean \"top_k\"?"},
        {HEAD("\"type\": \"classifier\", \"top_k\": -1"),
         "heads.classify: model.json: top_k: -1 is not in 0..65536"},
        {HEAD("\"type\": \"classifier\", \"labels\": \"../labels.txt\""),
         "heads.classify: \"../labels.txt\": a path in a model must not contain \"..\""},
        {HEAD("\"type\": \"classifier\", \"weights\": \"a/../../x\""),
         "heads.classify: \"a/../../x\": a path in a model must not contain \"..\""},
        {HEAD("\"type\": \"classifier\", \"input\": {\"crop\": 0}"),
         "heads.classify: input: crop: 0 is not in 1..8192"},
        {HEAD("\"type\": \"classifier\", \"weights\": [\"trunk.safetensors\", "
              "\"trunk.safetensors\"]"),
         "heads.classify: @/trunk.safetensors: is named twice"},
        {"\"a_task_whose_name_is_far_too_long\": {\"type\": \"classifier\"}",
         "heads.a_task_whose_name_is_far_too_long: the name is over 30 bytes"},
    };
    struct fixture fixture = fixture_open();
    for (size_t i = 0; i < R2_COUNT(cases); i++)
        fixture_refused(&fixture, BACKBONE, cases[i].head, R2_INVALID, cases[i].message);
    fixture_close(&fixture);
}

Test(model_errors, labels)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    ASSERT_OK(model_dir_labels(fixture.dir, "labels.txt", CLASSES - 1, &err), err);
    fixture_refused(&fixture, BACKBONE, HEAD(CLASSIFIER), R2_INVALID,
                    "heads.classify: labels 'labels.txt' has 6 names, the weights have 7 classes");
    ASSERT_OK(model_dir_write(fixture.dir, "labels.txt", "a\n\nb\n", &err), err);
    fixture_refused(&fixture, BACKBONE, HEAD(CLASSIFIER), R2_INVALID,
                    "heads.classify: @/labels.txt: line 2 is empty");
    fixture_close(&fixture);
}

/* --- tensors ------------------------------------------------------------------------------------
 */

/* Renames of official names; only a test process has one at a time. */
static const char *renamed_from, *renamed_to;

static void rename_one(const char *official, char *ret, size_t size)
{
    snprintf(ret, size, "%s", strcmp(official, renamed_from) == 0 ? renamed_to : official);
}

static void write_renamed(struct fixture *fixture, const char *from, const char *to)
{
    struct r2_error err = {0};
    renamed_from = from;
    renamed_to = to;
    fixture->weights.rename = rename_one;
    ASSERT_OK(model_dir_weights(fixture->dir, "trunk.safetensors", &fixture->weights, &err), err);
}

Test(model_errors, missing_tensor)
{
    struct fixture fixture = fixture_open();
    write_renamed(&fixture, "layer2.0.bns.0.running_var", "layer2.0.bns.0.running_vart");
    fixture_refused(
        &fixture, BACKBONE, HEAD(CLASSIFIER), R2_NOT_FOUND,
        "@/trunk.safetensors: tensor 'layer2.0.bns.0.running_var' is missing; the nearest "
        "names are: layer1.0.bns.0.running_var, layer2.0.bns.0.running_vart, "
        "layer3.0.bns.0.running_var, layer4.0.bns.0.running_var");
    write_renamed(&fixture, "layer1.0.conv1.weight", "layer1.0.conv0.weight");
    fixture_refused(&fixture, BACKBONE, HEAD(CLASSIFIER), R2_NOT_FOUND,
                    "@/trunk.safetensors: no tensor's name ends in 'layer1.0.conv1.weight': not a "
                    "Res2Net trunk");
    write_renamed(&fixture, "fc.weight", "fd.weight");
    fixture_refused(
        &fixture, BACKBONE, HEAD(CLASSIFIER), R2_NOT_FOUND,
        "heads.classify: @/trunk.safetensors: tensor 'fc.weight' is missing; the nearest "
        "names are: fd.weight, bn1.weight, conv1.weight, fc.bias");
    fixture_close(&fixture);
}

/* A trunk that is one block deeper than its model says, and one of other widths. */
Test(model_errors, other_trunk)
{
    static const struct r2_arch deeper = {.layers = {1, 1, 1, 2},
                                          .planes = {16, 16, 16, 16},
                                          .base_width = 64,
                                          .scale = 2,
                                          .groups = 1,
                                          .stem_channels = 16,
                                          .output_stride = 32};
    static const struct r2_arch wider = {.layers = {1, 1, 1, 1},
                                         .planes = {16, 16, 16, 16},
                                         .base_width = 96,
                                         .scale = 2,
                                         .groups = 1,
                                         .stem_channels = 16,
                                         .output_stride = 32};
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    fixture.weights.arch = &deeper;
    ASSERT_OK(model_dir_weights(fixture.dir, "trunk.safetensors", &fixture.weights, &err), err);
    fixture_refused(&fixture, BACKBONE, HEAD(CLASSIFIER), R2_INVALID,
                    "@/trunk.safetensors: 15 unexpected tensors that no part of the model uses: "
                    "'layer4.1.bn1.bias', 'layer4.1.bn1.running_mean', 'layer4.1.bn1.running_var', "
                    "'layer4.1.bn1.weight', ...");
    fixture.weights.arch = &wider;
    ASSERT_OK(model_dir_weights(fixture.dir, "trunk.safetensors", &fixture.weights, &err), err);
    fixture_refused(&fixture, BACKBONE, HEAD(CLASSIFIER), R2_INVALID,
                    "@/trunk.safetensors: tensor 'layer1.0.conv1.weight' has shape 48x16x1x1, the "
                    "network needs 32x16x1x1");
    fixture_close(&fixture);
}

/* A file that is named for the head alone, but holds a trunk. */
Test(model_errors, trunk_that_nobody_reads)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    ASSERT_OK(model_dir_weights(fixture.dir, "other.safetensors", &fixture.weights, &err), err);
    fixture_refused(&fixture, BACKBONE,
                    HEAD("\"type\": \"classifier\", \"weights\": \"other.safetensors\""),
                    R2_INVALID,
                    "@/other.safetensors: 85 unexpected tensors that no part of the model uses: "
                    "'bn1.bias', 'bn1.running_mean', 'bn1.running_var', 'bn1.weight', ...");
    fixture_close(&fixture);
}

/* More files of single tensors beside the trunk. */
static void expect_extra(struct fixture *fixture, const char *name, unsigned rank,
                         const uint64_t *dims, const char *message)
{
    static const char backbone[] = "\"backbone\": {" MODEL_DIR_ARCH
                                   ", \"weights\": [\"trunk.safetensors\", \"more.safetensors\"]}";
    struct r2_error err = {0};
    struct r2_model *model = NULL;
    struct tensor_file made = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/more.safetensors", fixture->dir);
    tensor_file_add_f32(&made, name, rank, dims);
    ASSERT_OK(tensor_file_write(&made, path, &err), err);
    tensor_file_finish(&made);
    if (message) {
        fixture_refused(fixture, backbone, HEAD(CLASSIFIER), R2_INVALID, message);
        return;
    }
    ASSERT_OK(fixture_load(fixture, backbone, HEAD(CLASSIFIER), &model, &err), err);
    r2_model_unref(model);
}

Test(model_errors, tensors_beside)
{
    static const uint64_t dims[] = {2, 1};
    struct fixture fixture = fixture_open();
    expect_extra(&fixture, "decode_head.conv.weight", 2, dims,
                 "@/more.safetensors: 1 unexpected tensor that no part of the model uses: "
                 "'decode_head.conv.weight'");
    expect_extra(&fixture, "fc.bias", 2, dims,
                 "@/more.safetensors: tensor 'fc.bias' stands in another file too");
    expect_extra(&fixture, "x.layer1.0.conv1.weight", 2, dims,
                 "@/more.safetensors: has two trunks, 'layer1.0.conv1.weight' and "
                 "'x.layer1.0.conv1.weight'");
    expect_extra(&fixture, "bn1.num_batches_tracked", 0, dims, NULL);
    expect_extra(&fixture, "auxiliary_head.conv.weight", 2, dims, NULL);
    fixture_close(&fixture);
}

Test(model_errors, classifier_of_another_shape)
{
    static const uint64_t weight[] = {CLASSES, 63}, conv[] = {CLASSES, 64, 3, 3},
                          bias[] = {CLASSES};
    static const char head[] = HEAD("\"type\": \"classifier\", \"weights\": \"head.safetensors\"");
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    for (unsigned i = 0; i < 2; i++) {
        struct tensor_file made = {0};
        char path[128];
        snprintf(path, sizeof path, "%s/head.safetensors", fixture.dir);
        tensor_file_add_f32(&made, "head.fc.weight", i ? 4 : 2, i ? conv : weight);
        tensor_file_add_f32(&made, "head.fc.bias", 1, bias);
        ASSERT_OK(tensor_file_write(&made, path, &err), err);
        tensor_file_finish(&made);
        fixture_refused(
            &fixture, BACKBONE, head, R2_INVALID,
            i ? "heads.classify: tensor 'head.fc.weight' is not [classes 1..65536, features]"
              : "@/head.safetensors: tensor 'head.fc.weight' has shape 7x63, the network "
                "needs 7x64");
    }
    fixture_close(&fixture);
}

/* A batch norm that divides by nothing, and a bias that is no number. */
Test(model_errors, numbers_that_are_none)
{
    static const uint32_t not_a_number[CLASSES] = {0, 0, 0x7FC00000};
    static const uint64_t dims[] = {CLASSES, 64};
    static const char head[] = HEAD("\"type\": \"classifier\", \"weights\": \"head.safetensors\"");
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct tensor_file made = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/head.safetensors", fixture.dir);
    tensor_file_add_f32(&made, "fc.weight", 2, dims);
    tensor_file_add(&made, "fc.bias", "F32", "[7]", not_a_number, sizeof not_a_number);
    ASSERT_OK(tensor_file_write(&made, path, &err), err);
    tensor_file_finish(&made);
    fixture_refused(&fixture, BACKBONE, head, R2_INVALID,
                    "tensor 'fc.weight' or its batch norm: channel 2 is not finite");
    fixture_close(&fixture);
}
