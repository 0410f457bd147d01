/*
 * Keypoints of regions: against PyTorch (training/make_roi_keypoints_golden.py), where their boxes
 * come from, and what is refused.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "heads/detections.h"
#include "heads/model_inside.h"
#include "heads/poses.h"
#include "tests/base/expect.h"
#include "tests/support/detector.h"
#include "tests/support/golden_picture.h"
#include "tests/support/keypoints.h"
#include "tests/support/model_dir.h"

#include <math.h>

enum { WIDTH = 150, HEIGHT = 90, JOINTS = 5, BOXES = 5 };

#define PLAIN                                                                                      \
    "\"type\": \"roi_keypoints\", \"weights\": \"keypoints.safetensors\", \"labels\": "            \
    "\"joints.txt\", \"channels\": 24, \"bins\": 12"
#define KEYPOINTS PLAIN ", \"taps\": [\"c2\", \"c3\"], \"convs\": 2"
#define INPUT "\"input\": {\"resize\": {\"mode\": \"none\"}, \"pad_multiple\": 32}"
#define WHOLE "\"keypoints\": {" KEYPOINTS ", \"whole_image\": true, " INPUT "}"
#define DETECT                                                                                     \
    "\"detect\": {\"type\": \"faster_rcnn\", \"fpn_channels\": 16, \"rpn_channels\": 16, "         \
    "\"fc_channels\": 16, \"mask_channels\": 8, \"mask_convs\": 1, "                               \
    "\"labels\": \"labels.txt\", " INPUT "}"
#define NEEDING "\"keypoints\": {" KEYPOINTS ", \"label\": \"class1\", \"score_threshold\": 0"

struct fixture {
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_model *model;
    struct r2_runner *runner;
    struct r2_image picture;
};

static void write_weights(const char *dir, bool with_detector)
{
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    const struct model_dir_weights trunk = {.arch = &model_dir_arch};
    const struct keypoints keypoints = {(const uint32_t[]){64, 64}, 2, 24, 2, JOINTS};
    const struct test_factor factors[] = {{"roi_head.bbox_head.fc_cls.weight", 8}, {0}};
    const struct detector detector = {.arch = &model_dir_arch,
                                      .tap_count = R2_STAGES,
                                      .fpn_channels = 16,
                                      .rpn_channels = 16,
                                      .fc_channels = 16,
                                      .anchors = 3,
                                      .classes = 2,
                                      .masks = true,
                                      .mask_convs = 1,
                                      .mask_channels = 8,
                                      .factors = factors};
    snprintf(path, sizeof path, "%s/trunk.safetensors", dir);
    if (with_detector)
        ASSERT_OK(detector_weights(path, &detector, &err), err);
    else
        ASSERT_OK(model_dir_weights(dir, "trunk.safetensors", &trunk, &err), err);
    snprintf(path, sizeof path, "%s/keypoints.safetensors", dir);
    ASSERT_OK(keypoints_weights(path, &keypoints, &err), err);
    ASSERT_OK(model_dir_labels(dir, "joints.txt", JOINTS, &err), err);
    ASSERT_OK(model_dir_labels(dir, "labels.txt", 2, &err), err);
}

static enum r2_status load(const char *dir, const char *heads, struct r2_model **ret,
                           struct r2_error *err)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    char text[2048];
    const int size =
        snprintf(text, sizeof text,
                 "{\"name\": \"tiny\", \"version\": \"1\", \"backbone\": {" MODEL_DIR_ARCH
                 ", \"dialect\": \"official\", \"weights\": \"trunk.safetensors\"}, "
                 "\"heads\": {%s}}",
                 heads);
    cr_assert(size > 0 && (size_t)size < sizeof text);
    R2_TRY(model_dir_write(dir, "model.json", text, err));
    return r2_model_load(dir, &options, ret, err);
}

static struct fixture fixture_open(bool with_detector, const char *heads)
{
    struct fixture self = {.picture = golden_picture(WIDTH, HEIGHT)};
    struct r2_error err = {0};
    ASSERT_OK(model_dir_create(self.dir, &err), err);
    write_weights(self.dir, with_detector);
    ASSERT_OK(load(self.dir, heads, &self.model, &err), err);
    ASSERT_OK(r2_runner_create(&self.runner, &err), err);
    return self;
}

static void fixture_close(struct fixture *self)
{
    r2_runner_destroy(self->runner);
    r2_model_unref(self->model);
    r2_image_finish(&self->picture);
    model_dir_remove(self->dir);
}

/* Asks a task with parameters "name=value" (NULL ends them). */
static enum r2_status ask(struct fixture *self, const char *task, const char *const *params,
                          struct r2_answer *ret, struct r2_error *err)
{
    struct r2_work work;
    ASSERT_OK(r2_work_init(&work, self->model, err), *err);
    ASSERT_OK(r2_work_select(&work, task, err), *err);
    enum r2_status status = R2_OK;
    for (; status == R2_OK && params && *params; params++) {
        char name[32] = {0};
        memcpy(name, *params, strcspn(*params, "="));
        status = r2_work_set(&work, name, strchr(*params, '=') + 1, NULL, err);
    }
    if (status == R2_OK) status = r2_model_run(&work, self->runner, &self->picture, ret, err);
    r2_work_finish(&work);
    return status;
}

static const struct r2_poses *poses_of(const struct fixture *self, const struct r2_answer *answer)
{
    const struct r2_result *result = &answer->results[r2_model_find_task(self->model, "keypoints")];
    cr_assert_eq(result->kind, &r2_poses_kind);
    return result->data;
}

static void expect_pose(const struct r2_pose *pose, const float *row, size_t i)
{
    const float *wanted = row + 4;
    double sum = 0, seen = 0;
    cr_expect(pose->box.x1 == row[0] && pose->box.y2 == row[3], "box %zu", i);
    for (int k = 0; k < JOINTS; k++, wanted += 3) {
        const struct r2_point *got = &pose->points[k];
        cr_expect(fabsf(got->x - wanted[0]) < 1e-3f && fabsf(got->y - wanted[1]) < 1e-3f &&
                      fabsf(got->score - wanted[2]) < 2e-4f,
                  "box %zu, joint %d: (%g, %g) %g, not (%g, %g) %g", i, k, (double)got->x,
                  (double)got->y, (double)got->score, (double)wanted[0], (double)wanted[1],
                  (double)wanted[2]);
        if (wanted[2] > 0.2f) sum += (double)wanted[2];
        seen += wanted[2] > 0.2f;
    }
    cr_expect(fabs((double)pose->score - sum / seen) < 1e-3, "box %zu: %g", i, (double)pose->score);
}

static void read_golden(float rows[2 * BOXES][4 + 3 * JOINTS])
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/pose/roi_keypoints.f32", getenv("R2_TEST_DATA"));
    ASSERT_OK(r2_file_read(path, 1 << 20, &file, &err), err);
    cr_assert_eq(file.size, 2 * BOXES * sizeof *rows);
    memcpy(rows, file.data, file.size);
    r2_buffer_finish(&file);
}

/* Asks for the golden boxes. */
static void expect_golden(struct fixture *self, float rows[BOXES][4 + 3 * JOINTS])
{
    static const char *const boxes[] = {
        "boxes=0,0,150,90;20,10,60,80;70.5,20.25,130,60;100,50,149,89;-10,-20,45,40", NULL};
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    ASSERT_OK(ask(self, "keypoints", boxes, &answer, &err), err);
    const struct r2_poses *poses = poses_of(self, &answer);
    cr_assert_eq(poses->count, BOXES, "one for each box, in their order");
    for (size_t i = 0; i < BOXES; i++) expect_pose(&poses->items[i], rows[i], i);
    r2_answer_finish(&answer);
}

Test(roi_keypoints, like_pytorch)
{
    struct fixture self = fixture_open(false, WHOLE);
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    float rows[2 * BOXES][4 + 3 * JOINTS];
    read_golden(rows);
    expect_golden(&self, rows);

    /* without boxes the model looks at the whole picture, which is the first of them */
    ASSERT_OK(ask(&self, "keypoints", NULL, &answer, &err), err);
    const struct r2_poses *poses = poses_of(&self, &answer);
    cr_assert_eq(poses->count, 1);
    expect_pose(&poses->items[0], rows[0], 0);
    r2_answer_finish(&answer);
    fixture_close(&self);
}

Test(roi_keypoints, smooth_like_pytorch)
{
    struct fixture self = fixture_open(false, "\"keypoints\": {" KEYPOINTS ", \"smooth\": 0.08, "
                                              "\"whole_image\": true, " INPUT "}");
    struct r2_answer answer = {0};
    struct r2_error err = {0};
    float rows[2 * BOXES][4 + 3 * JOINTS];
    read_golden(rows);
    expect_golden(&self, rows + BOXES);

    /* a thin box has its points in it, or as near to it as a region reaches */
    static const char *const thin[] = {"boxes=20,10,20.001,80", NULL};
    ASSERT_OK(ask(&self, "keypoints", thin, &answer, &err), err);
    for (int k = 0; k < JOINTS; k++) {
        const struct r2_point *point = &poses_of(&self, &answer)->items[0].points[k];
        cr_expect(fabsf(point->x - 20) < 0.01f && isfinite(point->y), "joint %d: (%g, %g)", k,
                  (double)point->x, (double)point->y);
    }
    r2_answer_finish(&answer);
    fixture_close(&self);
}

/* The boxes are the detections of that label that score enough; the detector ran, in the same pass,
   and does not answer. */
Test(roi_keypoints, boxes_are_detected)
{
    struct fixture self = fixture_open(true, NEEDING "}, " DETECT);
    struct r2_error err = {0};
    struct r2_answer detected = {0}, answer = {0};
    ASSERT_OK(ask(&self, "detect", NULL, &detected, &err), err);
    const struct r2_detections *detections = detected.results[1].data;
    static const char *const some[] = {"max=3", "min_score=0.1", NULL};
    ASSERT_OK(ask(&self, "keypoints", some, &answer, &err), err);
    const struct r2_poses *poses = poses_of(&self, &answer);
    cr_expect_eq(answer.trunk_passes, 1);
    cr_expect_null(answer.results[1].kind);
    cr_assert(poses->count > 0 && poses->count <= 3, "%zu", poses->count);
    size_t wanted = 0;
    for (size_t i = 0; i < detections->count && wanted < 3; i++)
        wanted += detections->items[i].index == 1 && detections->items[i].score > 0.1f;
    cr_expect_eq(wanted, 3, "the picture has enough of them");
    for (size_t i = 0; i < poses->count; i++) {
        bool found = false;
        size_t seen = 0;
        for (size_t k = 0; k < detections->count && seen < 3; k++) {
            if (detections->items[k].index != 1) continue;
            seen++;
            found |= memcmp(&detections->items[k].box, &poses->items[i].box,
                            sizeof poses->items[i].box) == 0;
        }
        cr_expect(found, "pose %zu has the box of one of the best detections", i);
        cr_expect(i == 0 || poses->items[i - 1].score >= poses->items[i].score);
    }
    r2_answer_finish(&answer);
    r2_answer_finish(&detected);
    fixture_close(&self);
}

/* A request with boxes needs no detector; asked together, both answer. */
Test(roi_keypoints, what_is_computed)
{
    struct fixture self = fixture_open(true, NEEDING "}, " DETECT);
    struct r2_error err = {0};
    struct r2_work work;
    ASSERT_OK(r2_work_init(&work, self.model, &err), err);
    ASSERT_OK(r2_work_select(&work, "keypoints", &err), err);
    cr_expect_eq(r2_needs_close(&work), 3);
    ASSERT_OK(r2_work_set(&work, "boxes", "1,2,30,40", NULL, &err), err);
    cr_expect_eq(r2_needs_close(&work), 1);
    r2_work_finish(&work);

    struct r2_answer answer = {0};
    ASSERT_OK(r2_work_init(&work, self.model, &err), err);
    r2_work_select_all(&work);
    ASSERT_OK(r2_model_run(&work, self.runner, &self.picture, &answer, &err), err);
    cr_expect(answer.results[0].kind == &r2_poses_kind);
    cr_expect(answer.results[1].kind == &r2_detections_kind);
    cr_expect_eq(answer.trunk_passes, 1, "the input is the detector's");
    r2_answer_finish(&answer);
    r2_work_finish(&work);
    fixture_close(&self);
}

/* Each is a network by itself, for which a plan is fetched. */
Test(roi_keypoints, masks_of_the_detector_are_spared)
{
    struct fixture self = fixture_open(true, NEEDING "}, " DETECT);
    struct r2_error err = {0};
    struct r2_answer alone = {0}, both = {0};
    struct r2_work work;
    ASSERT_OK(ask(&self, "keypoints", NULL, &alone, &err), err);
    ASSERT_OK(r2_work_init(&work, self.model, &err), err);
    r2_work_select_all(&work);
    ASSERT_OK(r2_model_run(&work, self.runner, &self.picture, &both, &err), err);
    const struct r2_detections *detections = both.results[1].data;
    cr_assert_not_null(detections->cells);
    cr_assert_gt(detections->count, 0);
    cr_expect_eq(both.plan_hits + both.plan_misses,
                 alone.plan_hits + alone.plan_misses + detections->count);
    r2_answer_finish(&alone);
    r2_answer_finish(&both);
    r2_work_finish(&work);
    fixture_close(&self);
}

/* With an input of its own it comes in a pass after the detector's, though it stands before it. */
Test(roi_keypoints, another_input)
{
    struct fixture self = fixture_open(
        true, NEEDING ", \"input\": {\"resize\": {\"mode\": \"shorter\", \"size\": 64}}}, " DETECT);
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    ASSERT_OK(ask(&self, "keypoints", NULL, &answer, &err), err);
    cr_expect_eq(answer.trunk_passes, 2);
    cr_expect_gt(poses_of(&self, &answer)->count, 0);
    r2_answer_finish(&answer);
    fixture_close(&self);
}

/* Whether a request brings boxes or not. */
Test(roi_keypoints, warm_models_compile_nothing)
{
    struct fixture self = fixture_open(
        true,
        NEEDING ", \"input\": {\"resize\": {\"mode\": \"exact\", \"size\": [64, 96]}}}, " DETECT);
    struct r2_error err = {0};
    const char *const given[] = {"boxes=0,0,9,9;5,5,50,60", NULL};
    ASSERT_OK(r2_model_warm(self.model, self.runner, 1, NULL, &err), err);
    struct r2_answer answer = {0};
    ASSERT_OK(ask(&self, "keypoints", given, &answer, &err), err);
    cr_expect_eq(answer.trunk_passes, 1);
    cr_expect(answer.plan_misses == 0 && answer.plan_hits == 3);
    r2_answer_finish(&answer);
    fixture_close(&self);
}

static void expect_asking_fails(struct fixture *self, const char *param, const char *message)
{
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    const char *const params[] = {param, NULL};
    cr_expect_eq(ask(self, "keypoints", params, &answer, &err), R2_INVALID, "%s", param);
    cr_expect(strstr(err.message, message), "%s: %s", param, err.message);
}

Test(roi_keypoints, boxes_that_are_refused)
{
    struct fixture self = fixture_open(false, WHOLE);
    static const char *const broken[] = {
        "boxes=1,2,3",         "boxes=1,2,3,4;",      "boxes=;1,2,3,4",  "boxes=1,2,3,4,5",
        "boxes=1,2,3,x",       "boxes=1, 2,3,4",      "boxes=nan,2,3,4", "boxes=0x1,2,3,4",
        "boxes=1,2,3,1000001", "boxes=1,2,3,4;1,2,3", "boxes=-inf,2,3,4"};
    for (size_t i = 0; i < R2_COUNT(broken); i++)
        expect_asking_fails(&self, broken[i], "is not four numbers x1,y1,x2,y2 within 1000000");
    expect_asking_fails(&self, "boxes=1,2,3,4;5,6,5,8", "box 2 is empty: x1 < x2");
    expect_asking_fails(&self, "boxes=1,2,3,4;150,6,160,8",
                        "box 2 lies outside the picture of 150 x 90 pixels");
    char many[8 + 8 * 65] = "boxes=0,0,1,1";
    for (int i = 1; i < 65; i++) strcat(many, ";0,0,1,1");
    expect_asking_fails(&self, many, "more than 64 boxes");
    fixture_close(&self);
}

static void expect_load_fails(const char *dir, const char *heads, const char *message)
{
    struct r2_error err = {0};
    struct r2_model *model = NULL;
    cr_expect_neq(load(dir, heads, &model, &err), R2_OK, "%s", message);
    cr_expect(strstr(err.message, message), "%s", err.message);
    r2_model_unref(model);
}

Test(roi_keypoints, models_that_are_refused)
{
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    ASSERT_OK(model_dir_create(dir, &err), err);
    write_weights(dir, true);
    expect_load_fails(dir, "\"keypoints\": {" KEYPOINTS "}",
                      "heads.keypoints: it needs the head 'detect', which the model has not");
    expect_load_fails(dir, NEEDING ", \"needs\": \"keypoints\"}, " DETECT,
                      "it needs detections; the head 'keypoints' (roi_keypoints) gives none");
    expect_load_fails(dir, "\"keypoints\": {" PLAIN ", \"taps\": [\"c2\", \"c4\"]}, " DETECT,
                      "'c4' is not in its place");
    expect_load_fails(
        dir, "\"keypoints\": {" PLAIN ", \"taps\": [\"c2\", \"c3\"], \"convs\": 3}, " DETECT,
        "keypoints.convs.2.weight");
    model_dir_remove(dir);
}

/* A label that the detector does not have is found when the model is warmed up. */
Test(roi_keypoints, unknown_label)
{
    struct fixture self = fixture_open(true, "\"keypoints\": {" KEYPOINTS "}, " DETECT);
    struct r2_error err = {0};
    EXPECT_FAIL(r2_model_warm(self.model, self.runner, 1, NULL, &err), err, R2_INVALID,
                "warm-up: head 'keypoints': key 'label': the needed head has no class 'person'");
    fixture_close(&self);
}
