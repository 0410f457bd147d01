/*
 * make_model DIR [--arch NAME] [--classes N] [--detector | --masks | --poses | --segmenter]: a
 * complete model directory with test weights, for the HTTP tests; with a classifier, or else with a
 * detector, one that is a cascade and has masks, a detector and a head that finds the poses of its
 * class0, or a segmenter.
 *
 * Without --arch a small custom Res2Net that takes pictures of 64 x 64. The classifier is scaled so
 * that its logits spread (standard deviation 2 on a fixed picture): on flat outputs every program
 * looks right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/detector.h"
#include "tests/support/keypoints.h"
#include "tests/support/model_dir.h"
#include "tests/support/segmenter.h"

enum { MOST_CLASSES = 65536 };

struct command {
    const char *dir, *arch;
    uint32_t classes;
    bool detector, masks, poses, segmenter;
};

static bool read_command(int count, char **arguments, struct command *ret)
{
    struct command command = {.classes = 10};
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (strcmp(arguments[i], "--arch") == 0 && value) {
            command.arch = arguments[++i];
        } else if (strcmp(arguments[i], "--classes") == 0 && value) {
            char *end;
            long classes = strtol(arguments[++i], &end, 10);
            if (*end || classes < 1 || classes > MOST_CLASSES) return false;
            command.classes = (uint32_t)classes;
        } else if (strcmp(arguments[i], "--detector") == 0) {
            command.detector = true;
        } else if (strcmp(arguments[i], "--masks") == 0) {
            command.detector = command.masks = true;
        } else if (strcmp(arguments[i], "--poses") == 0) {
            command.detector = command.poses = true;
        } else if (strcmp(arguments[i], "--segmenter") == 0) {
            command.segmenter = true;
        } else if (!command.dir && arguments[i][0] != '-') {
            command.dir = arguments[i];
        } else {
            return false;
        }
    }
    *ret = command;
    return command.dir != NULL;
}

/* What model.json says of a head; the input only for the small trunk. */
struct head {
    const char *task, *keys, *input;
};

static const struct head classifier = {
    "classify", "\"type\": \"classifier\"",
    "\"resize\": {\"mode\": \"shorter\", \"size\": 72}, \"crop\": 64"};
static const struct head detector = {
    "detect",
    "\"type\": \"faster_rcnn\", \"fpn_channels\": 32, \"rpn_channels\": 32, \"fc_channels\": 32,"
    " \"mask_channels\": 16, \"mask_convs\": 1",
    "\"resize\": {\"mode\": \"fit\", \"size\": [64, 96]}, \"pad_multiple\": 32"};
static const struct head segmenter = {
    "segment",
    "\"type\": \"deeplabv3plus\", \"rates\": [1, 2, 3], \"channels\": 24, \"low_channels\": 8",
    "\"resize\": {\"mode\": \"fit\", \"size\": [64, 96]}"};
static const char poses_head[] =
    ",\n    \"keypoints\": {\"type\": \"roi_keypoints\", \"weights\": \"keypoints.safetensors\","
    "\n      \"label\": \"class0\", \"taps\": [\"c2\", \"c3\"], \"channels\": 16, \"bins\": 8,"
    " \"convs\": 1}";

static enum r2_status write_description(const struct command *command, struct r2_error *err)
{
    const struct head *head = command->detector    ? &detector
                              : command->segmenter ? &segmenter
                                                   : &classifier;
    char arch[128], input[256], text[2048];
    snprintf(arch, sizeof arch, "\"arch\": \"%s\"", command->arch ? command->arch : "");
    snprintf(input, sizeof input, ",\n      \"input\": {%s}", head->input);
    snprintf(text, sizeof text,
             "{\n  \"name\": \"test\",\n  \"version\": \"1\",\n"
             "  \"backbone\": {%s, \"weights\": \"trunk.safetensors\"},\n"
             "  \"heads\": {\n    \"%s\": {\"labels\": \"labels.txt\", %s%s}%s\n  }\n}\n",
             command->arch ? arch : MODEL_DIR_ARCH, head->task, head->keys,
             command->arch ? "" : input, command->poses ? poses_head : "");
    return model_dir_write(command->dir, "model.json", text, err);
}

static enum r2_status write_classifier(const struct command *command, const struct r2_arch *arch,
                                       struct r2_error *err)
{
    const uint32_t side = command->arch ? 224 : 64;
    struct model_dir_weights weights = {.arch = arch, .classes = command->classes, .scale = 1};
    R2_TRY(model_dir_scale(&weights, (struct r2_extent){side, side}, &weights.scale, err));
    return model_dir_weights(command->dir, "trunk.safetensors", &weights, err);
}

static enum r2_status write_detector(const struct command *command, const struct r2_arch *arch,
                                     struct r2_error *err)
{
    char path[4096];
    /* scores from near 0 to near 1, as a trained one has */
    const struct test_factor factors[] = {
        {"roi_head.bbox_head.fc_cls.weight", 8},         {"roi_head.bbox_head.0.fc_cls.weight", 8},
        {"roi_head.bbox_head.1.fc_cls.weight", 8},       {"roi_head.bbox_head.2.fc_cls.weight", 8},
        {"roi_head.mask_head.0.conv_logits.weight", 30}, {0}};
    const struct detector made = {.arch = arch,
                                  .tap_count = R2_STAGES,
                                  .fpn_channels = 32,
                                  .rpn_channels = 32,
                                  .fc_channels = 32,
                                  .anchors = 3,
                                  .classes = command->classes,
                                  .cascade = command->masks,
                                  .masks = command->masks,
                                  .mask_convs = 1,
                                  .mask_channels = 16,
                                  .factors = factors};
    if (snprintf(path, sizeof path, "%s/trunk.safetensors", command->dir) >= (int)sizeof path)
        return r2_fail(err, R2_INVALID, "the directory's name is too long");
    return detector_weights(path, &made, err);
}

static enum r2_status write_segmenter(const struct command *command, const struct r2_arch *arch,
                                      struct r2_error *err)
{
    char path[4096];
    const struct segmenter made = {.arch = arch,
                                   .dialect = R2_DIALECT_OFFICIAL,
                                   .rates = {1, 2, 3},
                                   .rate_count = 3,
                                   .separable = true,
                                   .channels = 24,
                                   .fuse_kernel = 3,
                                   .low_tap = 2,
                                   .low_channels = 8,
                                   .decoder_convs = 2,
                                   .classes = command->classes};
    if (snprintf(path, sizeof path, "%s/trunk.safetensors", command->dir) >= (int)sizeof path)
        return r2_fail(err, R2_INVALID, "the directory's name is too long");
    return segmenter_weights(path, &made, err);
}

static enum r2_status write_poses(const struct command *command, const struct r2_arch *arch,
                                  struct r2_error *err)
{
    char path[4096];
    const uint32_t taps[] = {arch->planes[0] * R2_EXPANSION, arch->planes[1] * R2_EXPANSION};
    const struct keypoints keypoints = {taps, 2, 16, 1, 17};
    if (snprintf(path, sizeof path, "%s/keypoints.safetensors", command->dir) >= (int)sizeof path)
        return r2_fail(err, R2_INVALID, "the directory's name is too long");
    return keypoints_weights(path, &keypoints, err);
}

static enum r2_status make_model(const struct command *command, struct r2_error *err)
{
    struct r2_arch arch = model_dir_arch;
    if (command->arch) R2_TRY(r2_arch_find(command->arch, &arch, err));
    if (mkdir(command->dir, 0755) != 0 && errno != EEXIST)
        return r2_fail(err, R2_IO, "%s: %s", command->dir, strerror(errno));
    R2_TRY(command->detector    ? write_detector(command, &arch, err)
           : command->segmenter ? write_segmenter(command, &arch, err)
                                : write_classifier(command, &arch, err));
    if (command->poses) R2_TRY(write_poses(command, &arch, err));
    R2_TRY(model_dir_labels(command->dir, "labels.txt", command->classes, err));
    return write_description(command, err);
}

int main(int count, char **arguments)
{
    struct command command;
    struct r2_error err = {0};
    if (!read_command(count, arguments, &command)) {
        fprintf(stderr,
                "usage: make_model DIR [--arch NAME] [--classes 1..%d] "
                "[--detector | --masks | --poses | --segmenter]\n",
                MOST_CLASSES);
        return 2;
    }
    if (make_model(&command, &err) == R2_OK) return 0;
    fprintf(stderr, "make_model: %s\n", err.message);
    return 1;
}
