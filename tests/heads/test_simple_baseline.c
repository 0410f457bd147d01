/*
 * Poses from crops of the picture: against PyTorch (training/make_simple_baseline_golden.py), what a
 * model with a trunk over crops does besides, and what is refused.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "heads/model_inside.h"
#include "heads/poses.h"
#include "tests/base/expect.h"
#include "tests/support/golden_picture.h"
#include "tests/support/model_dir.h"

#include <math.h>

enum { WIDTH = 150, HEIGHT = 130, JOINTS = 17, BOXES = 4 };

#define INPUT(height, width)                                                                       \
    "\"input\": {\"resize\": {\"mode\": \"exact\", \"size\": [" #height ", " #width "]}, "         \
    "\"color\": \"bgr\"}"
#define HEAD "\"type\": \"simple_baseline\", \"whole_image\": true, \"deconv_channels\": 24"

struct fixture {
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_model *model;
    struct r2_runner *runner;
    struct r2_image picture;
};

static void write_weights(const char *dir)
{
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    struct r2_graph graph;
    struct r2_taps taps;
    r2_graph_init(&graph);
    r2_res2net_build(&graph, &model_dir_arch, R2_DIALECT_OFFICIAL, &taps);
    r2_value x = taps.stage[R2_STAGES - 1];
    for (unsigned i = 0; i < 3; i++) {
        char name[32], norm[32];
        snprintf(name, sizeof name, "deconv_layers.%u", 3 * i);
        snprintf(norm, sizeof norm, "deconv_layers.%u", 3 * i + 1);
        x = r2_graph_deconv(
            &graph, x,
            &(struct r2_deconv){
                .name = name, .norm = norm, .out = 24, .kernel = 4, .stride = 2, .pad = 1});
    }
    r2_graph_conv(
        &graph, x,
        &(struct r2_conv){.name = "final_layer", .out = JOINTS, .kernel = 1, .stride = 1});
    snprintf(path, sizeof path, "%s/pose.safetensors", dir);
    ASSERT_OK(r2_graph_check(&graph, &err), err);
    ASSERT_OK(test_weights_write(path, &graph, NULL, NULL, &err), err);
    r2_graph_finish(&graph);
}

static enum r2_status load(const char *dir, const char *keys, struct r2_model **ret,
                           struct r2_error *err)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    char text[1024];
    snprintf(text, sizeof text,
             "{\"name\": \"tiny\", \"version\": \"1\", \"backbone\": {" MODEL_DIR_ARCH
             ", \"weights\": \"pose.safetensors\"}, \"heads\": {\"keypoints\": {" HEAD "%s}}}",
             keys);
    R2_TRY(model_dir_write(dir, "model.json", text, err));
    return r2_model_load(dir, &options, ret, err);
}

static struct fixture fixture_open(const char *keys)
{
    struct fixture self = {.picture = golden_picture(WIDTH, HEIGHT)};
    struct r2_error err = {0};
    ASSERT_OK(model_dir_create(self.dir, &err), err);
    write_weights(self.dir);
    ASSERT_OK(load(self.dir, keys, &self.model, &err), err);
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

/* Asks about boxes (NULL: none), and the embedding too when `embed`. */
static struct r2_answer ask(struct fixture *self, const char *boxes, bool embed)
{
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    struct r2_work work;
    ASSERT_OK(r2_work_init(&work, self->model, &err), err);
    r2_work_select_all(&work);
    work.embed = embed;
    if (boxes) ASSERT_OK(r2_work_set(&work, "boxes", boxes, NULL, &err), err);
    ASSERT_OK(r2_model_run(&work, self->runner, &self->picture, &answer, &err), err);
    cr_assert_eq(answer.results[0].kind, &r2_poses_kind);
    r2_work_finish(&work);
    return answer;
}

/* A row of the golden. */
struct row {
    float box[4], flipped[JOINTS][3], plain[JOINTS][3];
};

static void read_golden(struct row rows[BOXES], struct r2_text *ret_boxes)
{
    struct r2_error err = {0};
    struct r2_buffer file = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/pose/simple_baseline.f32", getenv("R2_TEST_DATA"));
    ASSERT_OK(r2_file_read(path, 1 << 20, &file, &err), err);
    cr_assert_eq(file.size, BOXES * sizeof *rows);
    memcpy(rows, file.data, file.size);
    r2_buffer_finish(&file);
    for (size_t i = 0; i < BOXES; i++)
        for (size_t k = 0; k < 4; k++)
            r2_text_add(ret_boxes, "%s%.9g", k ? "," : i ? ";" : "", (double)rows[i].box[k]);
}

static void expect_points(const struct r2_point *got, float wanted[JOINTS][3], size_t box)
{
    for (int k = 0; k < JOINTS; k++)
        cr_expect(fabsf(got[k].x - wanted[k][0]) < 1e-3f &&
                      fabsf(got[k].y - wanted[k][1]) < 1e-3f &&
                      fabsf(got[k].score - wanted[k][2]) < 1e-5f,
                  "box %zu, joint %d: (%g, %g) %g, not (%g, %g) %g", box, k, (double)got[k].x,
                  (double)got[k].y, (double)got[k].score, (double)wanted[k][0],
                  (double)wanted[k][1], (double)wanted[k][2]);
}

Test(simple_baseline, like_pytorch)
{
    R2_CLEANUP(r2_text_finish) struct r2_text boxes = {0};
    struct row rows[BOXES];
    read_golden(rows, &boxes);
    for (int flips = 0; flips < 2; flips++) {
        struct fixture self =
            fixture_open(flips ? ", " INPUT(128, 96) : ", \"flip_test\": false, " INPUT(128, 96));
        struct r2_answer answer = ask(&self, r2_text_view(&boxes), false);
        const struct r2_poses *poses = answer.results[0].data;
        cr_assert_eq(poses->count, BOXES);
        for (size_t i = 0; i < BOXES; i++)
            expect_points(poses->items[i].points, flips ? rows[i].flipped : rows[i].plain, i);
        cr_expect_eq(answer.trunk_passes, flips ? 2 * BOXES : BOXES);
        r2_answer_finish(&answer);
        fixture_close(&self);
    }
}

/* The whole picture is a crop, too; an embedding is of the picture; a warm model compiles nothing. */
Test(simple_baseline, beside_the_picture)
{
    struct fixture self = fixture_open(", " INPUT(64, 64));
    struct r2_error err = {0};
    ASSERT_OK(r2_model_warm(self.model, self.runner, 1, NULL, &err), err);
    struct r2_answer answer = ask(&self, NULL, true);
    const struct r2_poses *poses = answer.results[0].data;
    cr_expect(poses->count == 1 && poses->items[0].box.x2 == WIDTH);
    cr_expect_eq(answer.embedding_size, 64);
    cr_expect_eq(answer.trunk_passes, 3);
    cr_expect_eq(answer.plan_misses, 0);
    r2_answer_finish(&answer);
    json_t *report = NULL;
    ASSERT_OK(r2_model_report(self.model, 1, &report, &err), err);
    cr_expect_eq(json_array_size(json_object_get(report, "passes")), 1, "that of the embedding");
    const json_t *crops = json_array_get(json_object_get(report, "regions"), 0);
    cr_expect_eq(json_integer_value(json_object_get(crops, "batch")), 1);
    json_decref(report);
    fixture_close(&self);
}

Test(simple_baseline, refused)
{
    static const char *const cases[][2] = {
        {", " INPUT(100, 64), "key 'input': 100 x 64 pixels; both must be multiples of 32"},
        {", \"input\": {\"resize\": {\"mode\": \"shorter\", \"size\": 64}}",
         "a person is resized to an exact size"},
        {", \"deconv_layers\": 2", "unknown key"},
        {", \"sigmas\": [0.1]", "key 'sigmas' has 1 numbers, the weights have 17 joints"},
    };
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_error err = {0};
    ASSERT_OK(model_dir_create(dir, &err), err);
    write_weights(dir);
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_model *model = NULL;
        cr_expect_eq(load(dir, cases[i][0], &model, &err), R2_INVALID, "%s", cases[i][0]);
        cr_expect(strstr(err.message, cases[i][1]), "%s", err.message);
        r2_model_unref(model);
    }
    model_dir_remove(dir);
}
