/*
 * The detector against PyTorch (training/make_detection_goldens.py): the levels of the pyramid, the
 * proposals in their order, the detections and their masks.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/box_mask.h"
#include "heads/detections.h"
#include "heads/model_inside.h"
#include "heads/proposals.h"
#include "tests/base/expect.h"
#include "tests/support/detector.h"
#include "tests/support/golden_file.h"
#include "tests/support/model_dir.h"

enum { NAME_SIZE = 128, MAX_FACTORS = 16 };

static const double pixels = 1e-2, scores = 1e-4;

struct fixture {
    struct golden_file golden;
    json_t *options; /* of the reference */
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_model *model;
    struct r2_work work;
    struct r2_session *trunk, *regions;
};

/* The metadata hold objects as text. */
static json_t *parsed(const struct golden_file *golden, const char *key)
{
    json_t *value = json_loads(golden_file_meta(golden, key), 0, NULL);
    cr_assert_not_null(value, "%s", key);
    return value;
}

static json_int_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s", key);
    return json_integer_value(value);
}

/* Goldens of Faster R-CNN know of no more. */
static uint32_t number_or_0(const json_t *object, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(object, key));
}

static json_t *backbone_of(const struct golden_file *golden)
{
    json_t *backbone = parsed(golden, "backbone");
    json_object_set_new(backbone, "arch", json_string(golden_file_meta(golden, "arch")));
    json_object_set_new(backbone, "weights", json_string("weights.safetensors"));
    json_object_set_new(backbone, "dialect", json_string(golden_file_meta(golden, "dialect")));
    return backbone;
}

/* Options of the reference are keys of the head, save what the head knows by itself. */
static json_t *head_of(const json_t *options)
{
    static const char *const known[] = {"classes", "anchor_strides", "roi_size", "finest_scale",
                                        "cascade", "masks",          "mask_size"};
    json_t *head = json_copy((json_t *)(uintptr_t)options);
    const size_t levels = json_array_size(json_object_get(head, "anchor_strides"));
    const size_t taps = json_array_size(json_object_get(head, "taps"));
    for (size_t i = 0; i < R2_COUNT(known); i++) json_object_del(head, known[i]);
    json_object_set_new(head, "extra_levels", json_integer((json_int_t)(levels - taps)));
    json_object_set_new(head, "type", json_string("faster_rcnn"));
    return head;
}

static void write_weights(const struct fixture *self, json_t *backbone)
{
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    struct r2_backbone_options read;
    struct test_factor factors[MAX_FACTORS] = {0};
    json_t *scales = parsed(&self->golden, "scales"), *value;
    const char *name;
    size_t count = 0;
    json_object_foreach(scales, name, value)
    {
        cr_assert_lt(count, MAX_FACTORS - 1);
        factors[count++] = (struct test_factor){name, (float)json_number_value(value)};
    }
    ASSERT_OK(r2_backbone_options_read(backbone, &read, &err), err);
    const json_t *taps = json_object_get(self->options, "taps");
    const struct detector detector = {
        .arch = &read.arch,
        .first_tap = (uint32_t)(json_string_value(json_array_get(taps, 0))[1] - '2'),
        .tap_count = (uint32_t)json_array_size(taps),
        .fpn_channels = (uint32_t)number(self->options, "fpn_channels"),
        .rpn_channels = (uint32_t)number(self->options, "rpn_channels"),
        .fc_channels = (uint32_t)number(self->options, "fc_channels"),
        .anchors = (uint32_t)(json_array_size(json_object_get(self->options, "anchor_scales")) *
                              json_array_size(json_object_get(self->options, "anchor_ratios"))),
        .classes = (uint32_t)number(self->options, "classes"),
        .cascade = json_is_true(json_object_get(self->options, "cascade")),
        .masks = json_is_true(json_object_get(self->options, "masks")),
        .mask_convs = number_or_0(self->options, "mask_convs"),
        .mask_channels = number_or_0(self->options, "mask_channels"),
        .factors = factors,
    };
    snprintf(path, sizeof path, "%s/weights.safetensors", self->dir);
    ASSERT_OK(detector_weights(path, &detector, &err), err);
    r2_options_finish(&r2_backbone_table, &read);
    json_decref(scales);
}

static struct fixture fixture_open(const char *name)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    char path[NAME_SIZE];
    struct r2_error err = {0};
    struct fixture self = {0};
    snprintf(path, sizeof path, "detect/%s.safetensors", name);
    self.golden = golden_file_open(path);
    self.options = parsed(&self.golden, "options");
    ASSERT_OK(model_dir_create(self.dir, &err), err);
    json_t *backbone = backbone_of(&self.golden);
    write_weights(&self, backbone);
    json_t *file = json_pack("{s:s, s:s, s:o, s:{s:o}}", "name", name, "version", "1", "backbone",
                             backbone, "heads", "detect", head_of(self.options));
    char *text = json_dumps(file, 0);
    ASSERT_OK(model_dir_write(self.dir, "model.json", text, &err), err);
    free(text);
    json_decref(file);
    ASSERT_OK(r2_model_load(self.dir, &options, &self.model, &err), err);
    ASSERT_OK(r2_work_init(&self.work, self.model, &err), err);
    ASSERT_OK(r2_session_create(&self.trunk, &err), err);
    ASSERT_OK(r2_session_create(&self.regions, &err), err);
    return self;
}

static void fixture_close(struct fixture *self)
{
    r2_session_destroy(self->regions);
    r2_session_destroy(self->trunk);
    r2_work_finish(&self->work);
    r2_model_unref(self->model);
    model_dir_remove(self->dir);
    json_decref(self->options);
    golden_file_close(&self->golden);
}

/* Where the picture is in the network's input: size there, original size. */
struct frame {
    uint32_t height, width, original_height, original_width;
};

/* Adds blocks of `side` pixels to the planes of a frame, one number each. */
static void add_blocks(const char *picture, uint32_t side, struct frame frame, float *planes)
{
    char name[NAME_SIZE];
    const uint32_t rows = (frame.height + side - 1) / side,
                   columns = (frame.width + side - 1) / side;
    float *blocks = malloc(3 * (size_t)rows * columns * sizeof *blocks);
    snprintf(name, sizeof name, "%s.%u", picture, side);
    test_uniform(name, 3 * (size_t)rows * columns, blocks);
    for (size_t c = 0; c < 3; c++)
        for (uint32_t y = 0; y < frame.height; y++)
            for (uint32_t x = 0; x < frame.width; x++)
                *planes++ += blocks[(c * rows + y / side) * columns + x / side];
    free(blocks);
}

static void write_picture(const char *picture, struct frame frame, struct r2_extent size,
                          float *dst)
{
    enum { GAIN = 64 };
    char name[NAME_SIZE];
    const size_t all = (size_t)frame.height * frame.width;
    const uint32_t columns = (frame.width + GAIN - 1) / GAIN;
    const size_t gains = (size_t)((frame.height + GAIN - 1) / GAIN) * columns;
    float *planes = calloc(3 * all, sizeof *planes), *gain = malloc(gains * sizeof *gain);
    snprintf(name, sizeof name, "%s.gain", picture);
    test_uniform(name, gains, gain);
    for (uint32_t side = 64; side; side /= 4) add_blocks(picture, side, frame, planes);
    memset(dst, 0, 3 * (size_t)size.height * size.width * sizeof *dst);
    for (uint32_t y = 0; y < frame.height; y++)
        for (uint32_t x = 0; x < frame.width; x++)
            for (size_t c = 0; c < 3; c++)
                dst[3 * ((size_t)y * size.width + x) + c] =
                    4 * fmaxf(gain[y / GAIN * columns + x / GAIN], 0.125f) *
                    planes[c * all + (size_t)y * frame.width + x];
    free(gain);
    free(planes);
}

static void run_trunk(struct fixture *self, const char *size_name, struct frame frame,
                      struct r2_extent size)
{
    struct r2_error err = {0};
    struct r2_plan *plan = NULL;
    struct r2_session_times times;
    bool hit;
    json_t *pictures = parsed(&self->golden, "pictures");
    ASSERT_OK(r2_model_plan(self->model, 0, 1, (struct r2_input_shape){size.height, size.width}, 1,
                            &plan, &hit, &err),
              err);
    ASSERT_OK(r2_session_prepare(self->trunk, plan, &err), err);
    r2_plan_unref(plan);
    write_picture(json_string_value(json_object_get(pictures, size_name)), frame, size,
                  r2_session_input(self->trunk));
    ASSERT_OK(r2_session_run(self->trunk, &times, &err), err);
    json_decref(pictures);
}

static void expect_pyramid(const struct fixture *self, const char *size_name)
{
    const json_t *taps = json_object_get(self->options, "taps");
    for (size_t i = 0; i < json_array_size(taps); i++) {
        char output[NAME_SIZE], name[NAME_SIZE];
        struct r2_error err = {0};
        struct r2_output_view view = {0};
        snprintf(output, sizeof output, "detect.map%zu", i);
        snprintf(name, sizeof name, "%s/p%s", size_name,
                 json_string_value(json_array_get(taps, i)) + 1);
        ASSERT_OK(r2_session_output(self->trunk, output, &view, &err), err);
        const double error = golden_file_map_error(&self->golden, name, &view);
        cr_expect_lt(error, 1e-4, "%s: error %g", name, error);
    }
}

/* The largest distance of a coordinate. */
static double distance(struct r2_box box, const float *expected)
{
    return fmax(fmax(fabs((double)box.x1 - (double)expected[0]),
                     fabs((double)box.y1 - (double)expected[1])),
                fmax(fabs((double)box.x2 - (double)expected[2]),
                     fabs((double)box.y2 - (double)expected[3])));
}

static void expect_box(const char *what, size_t i, struct r2_box box, float score,
                       const float *expected)
{
    cr_expect_lt(distance(box, expected), pixels, "%s %zu: (%g %g %g %g), expected (%g %g %g %g)",
                 what, i, (double)box.x1, (double)box.y1, (double)box.x2, (double)box.y2,
                 (double)expected[0], (double)expected[1], (double)expected[2],
                 (double)expected[3]);
    cr_expect_lt(fabs((double)score - (double)expected[4]), scores, "%s %zu: score %g, expected %g",
                 what, i, (double)score, (double)expected[4]);
}

static void expect_proposals(const struct fixture *self, const char *size_name,
                             const struct r2_proposals *proposals)
{
    char name[NAME_SIZE];
    size_t count;
    snprintf(name, sizeof name, "%s/proposals", size_name);
    const float *expected = golden_file_data(&self->golden, name, &count);
    cr_assert_eq(5 * proposals->count, count, "%s: %zu proposals", size_name, proposals->count);
    for (size_t i = 0; i < proposals->count; i++)
        expect_box(name, i, proposals->boxes[i], proposals->scores[i], expected + 5 * i);
}

static void expect_detections(const struct fixture *self, const char *size_name,
                              const struct r2_detections *detections)
{
    char name[NAME_SIZE];
    size_t count;
    snprintf(name, sizeof name, "%s/detections", size_name);
    const float *expected = golden_file_data(&self->golden, name, &count);
    cr_assert_eq(6 * detections->count, count, "%s: %zu detections", size_name, detections->count);
    for (size_t i = 0; i < detections->count; i++, expected += 6) {
        const struct r2_detection *item = &detections->items[i];
        expect_box(name, i, item->box, item->score, expected);
        cr_expect_eq((float)item->index, expected[5], "%s %zu: class %zu", name, i, item->index);
    }
}

/* The cells of each mask, and the pixels that the reference's boxes and cells stand for. */
static void expect_masks(const struct fixture *self, const char *size_name,
                         const struct r2_detections *found)
{
    char name[NAME_SIZE];
    size_t count, box_count;
    json_t *runs = parsed(&self->golden, "runs"), *texts = json_object_get(runs, size_name);
    snprintf(name, sizeof name, "%s/detections", size_name);
    const float *boxes = golden_file_data(&self->golden, name, &box_count);
    snprintf(name, sizeof name, "%s/masks", size_name);
    const float *cells = golden_file_data(&self->golden, name, &count);
    const size_t each = (size_t)found->side * found->side;
    cr_assert_not_null(found->cells);
    cr_assert_eq(count, found->count * each);
    cr_assert_eq(json_array_size(texts), found->count);
    for (size_t i = 0; i < count; i++)
        cr_assert_lt(fabs((double)found->cells[i] - (double)cells[i]), 5e-4, "%s %zu: %g, not %g",
                     name, i, (double)found->cells[i], (double)cells[i]);
    for (size_t i = 0; i < found->count; i++) {
        const float *box = boxes + 6 * i;
        const struct r2_box_mask mask = {cells + i * each,
                                         found->side,
                                         {box[0], box[1], box[2], box[3]},
                                         found->width,
                                         found->height};
        struct r2_text text = {0};
        r2_box_mask_encode(&mask, &text);
        cr_expect_str_eq(r2_text_view(&text), json_string_value(json_array_get(texts, i)), "%s %zu",
                         name, i);
        r2_text_finish(&text);
    }
    json_decref(runs);
}

static struct r2_geometry geometry_of(struct frame frame, struct r2_extent size)
{
    return (struct r2_geometry){.scale_x = (double)frame.width / frame.original_width,
                                .scale_y = (double)frame.height / frame.original_height,
                                .picture_width = frame.original_width,
                                .picture_height = frame.original_height,
                                .network_width = size.width,
                                .network_height = size.height};
}

static void expect_size(struct fixture *self, const char *size_name, struct frame frame)
{
    struct r2_error err = {0};
    struct r2_extent size = {0};
    struct r2_answer answer = {0};
    struct r2_result result = {0};
    const struct r2_model_part *part = &self->model->heads[0];
    cr_assert_eq(sscanf(size_name, "%ux%u", &size.height, &size.width), 2);
    const struct r2_geometry geometry = geometry_of(frame, size);
    struct r2_head_run run = {.outputs = {self->trunk, part->prefix},
                              .geometry = &geometry,
                              .params = self->work.params[0],
                              .asked = true};
    run_trunk(self, size_name, frame, size);
    expect_pyramid(self, size_name);
    ASSERT_OK(r2_regions_run(&self->work, 0, self->regions, &run, &answer, &err), err);
    expect_proposals(self, size_name, run.state);
    expect_pyramid(self, size_name); /* the regions have run elsewhere */
    ASSERT_OK(part->type->decode(part->self, &run, &result, &err), err);
    cr_assert_eq(result.kind, &r2_detections_kind);
    expect_detections(self, size_name, result.data);
    if (json_is_true(json_object_get(self->options, "masks")))
        expect_masks(self, size_name, result.data);
    r2_result_finish(&result);
    part->type->regions->finish(run.state);
}

static void expect_golden(const char *name)
{
    struct fixture self = fixture_open(name);
    json_t *frames = parsed(&self.golden, "frames"), *value;
    const char *size_name;
    json_object_foreach(frames, size_name, value)
    {
        uint32_t numbers[4];
        for (size_t i = 0; i < 4; i++)
            numbers[i] = (uint32_t)json_integer_value(json_array_get(value, i));
        expect_size(&self, size_name,
                    (struct frame){numbers[0], numbers[1], numbers[2], numbers[3]});
    }
    json_decref(frames);
    fixture_close(&self);
}

Test(faster_rcnn, agrees_on_pictures_of_every_shape)
{
    expect_golden("narrow");
}

Test(faster_rcnn, agrees_with_other_taps_and_anchors)
{
    expect_golden("taps");
}

Test(faster_rcnn, agrees_at_full_width)
{
    expect_golden("full");
}

Test(faster_rcnn, agrees_with_masks)
{
    expect_golden("mask");
}

Test(faster_rcnn, agrees_as_a_cascade)
{
    expect_golden("cascade");
}

Test(faster_rcnn, agrees_as_a_cascade_with_masks)
{
    expect_golden("cascade_mask");
}

/* What the published weights were trained with. */
Test(faster_rcnn, default_input)
{
    struct fixture self = fixture_open("narrow");
    const struct r2_input_spec *input = r2_model_input(self.model, 0);
    cr_expect(input->mode == R2_RESIZE_FIT && input->size[0] == 800 && input->size[1] == 1333);
    cr_expect(input->filter == R2_FILTER_BILINEAR && input->like == R2_LIKE_OPENCV);
    cr_expect(input->pad_multiple == 32 && !input->bgr);
    fixture_close(&self);
}
