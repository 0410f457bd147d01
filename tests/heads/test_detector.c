/*
 * A model whose head has a second network over regions: what it refuses, reports and runs.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "heads/detections.h"
#include "heads/model.h"
#include "tests/base/expect.h"
#include "tests/support/detector.h"
#include "tests/support/model_dir.h"

enum { CLASSES = 3 };

#define CHANNELS "\"fpn_channels\": 16, \"rpn_channels\": 16, \"fc_channels\": 16"
#define MASK_LAYERS ", \"mask_channels\": 8, \"mask_convs\": 2"

enum kind { PLAIN, CASCADE = 1, MASKS = 2 }; /* bits */

static void make_dir_of(unsigned kind, char *ret)
{
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    const struct detector detector = {.arch = &model_dir_arch,
                                      .tap_count = R2_STAGES,
                                      .fpn_channels = 16,
                                      .rpn_channels = 16,
                                      .fc_channels = 16,
                                      .anchors = 3,
                                      .classes = CLASSES,
                                      .cascade = kind & CASCADE,
                                      .masks = kind & MASKS,
                                      .mask_convs = 2,
                                      .mask_channels = 8};
    ASSERT_OK(model_dir_create(ret, &err), err);
    snprintf(path, sizeof path, "%s/trunk.safetensors", ret);
    ASSERT_OK(detector_weights(path, &detector, &err), err);
    ASSERT_OK(model_dir_labels(ret, "labels.txt", CLASSES, &err), err);
    ASSERT_OK(model_dir_labels(ret, "few.txt", CLASSES - 1, &err), err);
}

static void make_dir(char *ret)
{
    make_dir_of(PLAIN, ret);
}

static enum r2_status load(const char *dir, const char *keys, struct r2_model **ret,
                           struct r2_error *err)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    char text[1024];
    snprintf(text, sizeof text,
             "{\"name\": \"tiny\", \"version\": \"1\", \"backbone\": {" MODEL_DIR_ARCH
             ", \"weights\": \"trunk.safetensors\"}, \"heads\": {\"detect\": {\"type\": "
             "\"faster_rcnn\", \"input\": {\"resize\": {\"mode\": \"fit\", \"size\": [64, 96]}, "
             "\"pad_multiple\": 32}, %s}}}",
             keys);
    R2_TRY(model_dir_write(dir, "model.json", text, err));
    return r2_model_load(dir, &options, ret, err);
}

static struct r2_model *load_good(const char *dir)
{
    struct r2_error err = {0};
    struct r2_model *model = NULL;
    ASSERT_OK(load(dir, CHANNELS MASK_LAYERS, &model, &err), err);
    return model;
}

/* A picture with something in it. */
static struct r2_image make_picture(void)
{
    struct r2_image picture = {0};
    struct r2_error err = {0};
    ASSERT_OK(r2_image_create(80, 60, &picture, &err), err);
    for (size_t i = 0; i < 60 * r2_image_stride(&picture); i++)
        picture.pixels[i] = (uint8_t)(i * i / 977);
    return picture;
}

static enum r2_status run(struct r2_model *model, struct r2_runner *runner,
                          enum r2_status (*check)(void *context, struct r2_error *err),
                          void *context, struct r2_answer *ret, struct r2_error *err)
{
    struct r2_image picture = make_picture();
    struct r2_work work;
    ASSERT_OK(r2_work_init(&work, model, err), *err);
    r2_work_select_all(&work);
    work.check = check;
    work.check_context = context;
    const enum r2_status status = r2_model_run(&work, runner, &picture, ret, err);
    r2_work_finish(&work);
    r2_image_finish(&picture);
    return status;
}

Test(detector, a_runner_goes_from_model_to_model)
{
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    struct r2_runner *runner = NULL;
    struct r2_answer first = {0}, second = {0};
    make_dir(dir);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    struct r2_model *model = load_good(dir);
    ASSERT_OK(run(model, runner, NULL, NULL, &first, &err), err);
    r2_model_unref(model); /* the runner has the last reference */
    model = load_good(dir);
    ASSERT_OK(run(model, runner, NULL, NULL, &second, &err), err);
    const struct r2_detections *a = first.results[0].data, *b = second.results[0].data;
    cr_assert_gt(a->count, 0);
    cr_assert_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct r2_detection *x = &a->items[i], *y = &b->items[i];
        cr_expect(x->index == y->index && x->score == y->score, "%zu", i);
        cr_expect_eq(memcmp(&x->box, &y->box, sizeof x->box), 0, "%zu", i);
    }
    r2_answer_finish(&first);
    r2_answer_finish(&second);
    r2_model_unref(model);
    r2_runner_destroy(runner);
    model_dir_remove(dir);
}

/* Counts down; at 0 the client has left. */
static enum r2_status leave(void *context, struct r2_error *err)
{
    int *left = context;
    return (*left)-- ? R2_OK : r2_fail(err, R2_CANCELLED, "gone");
}

Test(detector, is_asked_whether_to_go_on_before_each_batch)
{
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    struct r2_runner *runner = NULL;
    struct r2_answer answer = {0};
    int asked = 1000, left = 3; /* twice by the trunk, once by the first batch */
    make_dir(dir);
    struct r2_model *model = load_good(dir);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(run(model, runner, leave, &asked, &answer, &err), err);
    cr_expect_lt(asked, 1000 - 3, "the picture has one batch of regions");
    r2_answer_finish(&answer);
    EXPECT_FAIL(run(model, runner, leave, &left, &answer, &err), err, R2_CANCELLED,
                "head 'detect': gone");
    cr_expect_eq(left, -1);
    r2_runner_destroy(runner);
    r2_model_unref(model);
    model_dir_remove(dir);
}

Test(detector, warm_models_compile_nothing)
{
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    struct r2_runner *runner = NULL;
    struct r2_answer answer = {0};
    make_dir(dir);
    struct r2_model *model = load_good(dir);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(r2_model_warm(model, runner, 1, NULL, &err), err);
    ASSERT_OK(run(model, runner, NULL, NULL, &answer, &err), err); /* 64 x 96, as warmed */
    cr_expect_eq(answer.plan_misses, 0);
    cr_expect_gt(answer.plan_hits, 1);
    r2_answer_finish(&answer);
    r2_runner_destroy(runner);
    r2_model_unref(model);
    model_dir_remove(dir);
}

static json_int_t arena_of(const json_t *report, const char *list)
{
    const json_t *first = json_array_get(json_object_get(report, list), 0);
    return json_integer_value(json_object_get(first, "arena_bytes"));
}

Test(detector, the_report_counts_both_sessions)
{
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    json_t *report = NULL;
    make_dir(dir);
    struct r2_model *model = load_good(dir);
    ASSERT_OK(r2_model_report(model, 1, &report, &err), err);
    const json_t *memory = json_object_get(report, "memory");
    cr_expect_gt(arena_of(report, "regions"), 0);
    cr_expect_eq(json_integer_value(json_object_get(memory, "arena_bytes_per_worker")),
                 arena_of(report, "passes") + arena_of(report, "regions"));
    json_decref(report);
    r2_model_unref(model);
    model_dir_remove(dir);
}

static enum r2_status run_with(struct r2_model *model, const char *name, const char *value,
                               struct r2_answer *ret, struct r2_error *err)
{
    struct r2_image picture = make_picture();
    struct r2_runner *runner = NULL;
    struct r2_work work;
    ASSERT_OK(r2_runner_create(&runner, err), *err);
    ASSERT_OK(r2_work_init(&work, model, err), *err);
    r2_work_select_all(&work);
    ASSERT_OK(r2_work_set(&work, name, value, NULL, err), *err);
    const enum r2_status status = r2_model_run(&work, runner, &picture, ret, err);
    r2_work_finish(&work);
    r2_runner_destroy(runner);
    r2_image_finish(&picture);
    return status;
}

/* As many masks as detections, and none where none are wanted. */
Test(detector, masks_are_made_when_they_are_wanted)
{
    static const unsigned kinds[] = {MASKS, MASKS | CASCADE};
    for (size_t k = 0; k < R2_COUNT(kinds); k++) {
        char dir[R2_MODEL_DIR_SIZE];
        struct r2_error err = {0};
        struct r2_answer with = {0}, without = {0}, three = {0};
        make_dir_of(kinds[k], dir);
        struct r2_model *model = load_good(dir);
        ASSERT_OK(run_with(model, "masks", "polygons", &with, &err), err);
        ASSERT_OK(run_with(model, "masks", "none", &without, &err), err);
        ASSERT_OK(run_with(model, "max", "3", &three, &err), err);
        const struct r2_detections *a = with.results[0].data, *b = without.results[0].data,
                                   *c = three.results[0].data;
        cr_assert(a->cells && !b->cells && c->cells);
        cr_expect_eq(a->count, b->count);
        cr_expect_eq(c->count, 3);
        cr_expect(a->format == R2_MASK_POLYGONS && c->format == R2_MASK_RLE);
        cr_expect(a->width == 80 && a->height == 60);
        for (size_t i = 0; i < 3 * (size_t)c->side * c->side; i++) {
            cr_expect(c->cells[i] > 0 && c->cells[i] < 1);
            cr_expect_eq(c->cells[i], a->cells[i], "%zu", i);
        }
        r2_answer_finish(&with);
        r2_answer_finish(&without);
        r2_answer_finish(&three);
        r2_model_unref(model);
        model_dir_remove(dir);
    }
}

Test(detector, masks_that_the_weights_do_not_have_are_refused)
{
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    make_dir(dir);
    struct r2_model *model = load_good(dir);
    EXPECT_FAIL(run_with(model, "masks", "rle", &answer, &err), err, R2_INVALID,
                "head 'detect': parameter masks: the model's weights have no mask head");
    ASSERT_OK(run_with(model, "masks", "none", &answer, &err), err);
    r2_answer_finish(&answer);
    r2_model_unref(model);
    model_dir_remove(dir);
}

Test(detector, the_report_has_every_network_over_regions)
{
    static const size_t networks[] = {
        [PLAIN] = 1, [CASCADE] = 3, [MASKS] = 2, [CASCADE | MASKS] = 6};
    for (unsigned kind = 0; kind < R2_COUNT(networks); kind++) {
        char dir[R2_MODEL_DIR_SIZE];
        struct r2_error err = {0};
        json_t *report = NULL;
        make_dir_of(kind, dir);
        struct r2_model *model = load_good(dir);
        ASSERT_OK(r2_model_report(model, 1, &report, &err), err);
        cr_expect_eq(json_array_size(json_object_get(report, "regions")), networks[kind]);
        json_decref(report);
        r2_model_unref(model);
        model_dir_remove(dir);
    }
}

/* The first in order of these heads is looked at by its tensors; what is missing has a name. */
Test(detector, heads_that_do_not_fit_are_refused)
{
    static const struct {
        unsigned kind;
        const char *keys, *says;
    } cases[] = {
        {MASKS, CHANNELS ", \"mask_channels\": 8, \"mask_convs\": 1", "unexpected tensors"},
        {MASKS, CHANNELS ", \"mask_channels\": 8, \"mask_convs\": 3",
         "roi_head.mask_head.convs.2.conv.weight"},
        {MASKS | CASCADE, CHANNELS ", \"mask_convs\": 2",
         "roi_head.mask_head.0.convs.0.conv.weight' has shape"},
        {CASCADE, "\"fpn_channels\": 16, \"rpn_channels\": 16",
         "roi_head.bbox_head.0.shared_fcs.0.weight' has shape"},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        char dir[R2_MODEL_DIR_SIZE];
        struct r2_error err = {0};
        struct r2_model *model = NULL;
        make_dir_of(cases[i].kind, dir);
        cr_expect_neq(load(dir, cases[i].keys, &model, &err), R2_OK, "%zu", i);
        cr_expect(strstr(err.message, cases[i].says), "%s", err.message);
        r2_model_unref(model);
        model_dir_remove(dir);
    }
}

Test(detector, what_does_not_fit_is_refused)
{
    static const struct {
        const char *keys, *says;
    } cases[] = {
        {CHANNELS ", \"taps\": [\"c2\", \"c4\"]", "'c4' is not in its place"},
        {CHANNELS ", \"taps\": [\"c4\", \"c5\", \"c6\"]", "'c6' is not in its place"},
        {CHANNELS ", \"taps\": [\"c3\", \"c4\", \"c5\"]", "unexpected tensors that no part"},
        {CHANNELS ", \"labels\": \"few.txt\"", "'few.txt' has 2 names, the weights have 3"},
        {CHANNELS ", \"anchor_ratios\": [1]", "rpn_head.rpn_cls.weight"},
        {"\"fpn_channels\": 16, \"rpn_channels\": 16",
         "roi_head.bbox_head.shared_fcs.0.weight' has shape"},
    };
    char dir[R2_MODEL_DIR_SIZE];
    make_dir(dir);
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_model *model = NULL;
        cr_expect_eq(load(dir, cases[i].keys, &model, &err), R2_INVALID, "%s", cases[i].keys);
        cr_expect(strstr(err.message, cases[i].says), "%s", err.message);
        r2_model_unref(model);
    }
    model_dir_remove(dir);
}
