/*
 * SimpleBaseline (Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", 2018), with
 * the tensors and the arithmetic of its published code and of Res2Net-Pose-Estimation.
 *
 * A crop of the picture for each person -> trunk -> three transposed convolutions -> a heat map for
 * each joint, with a quarter of the crop's pixels along a side.
 *
 * Published weights know pictures as OpenCV reads them, so the default input is BGR, normalised by
 * the numbers of RGB in that order. `input` sets another colour, mean, std, or size (resize exact).
 * Half of what is computed is the flip test: the mirrored crop, whose maps are averaged with the
 * plain one's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/detections.h"
#include "heads/labels.h"
#include "heads/persons.h"
#include "image/warp.h"

enum { DECONVS = 3 };

struct simple_baseline {
    struct r2_head head;
    struct r2_person_options persons;
    int64_t deconv_channels;
    bool flip_test;

    struct r2_skeleton skeleton;
    struct r2_input_spec input; /* of a crop */
};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct simple_baseline),
    R2_PERSON_OPTIONS(struct simple_baseline, persons),
    {.name = "deconv_channels", R2_FIELD(INT, struct simple_baseline, deconv_channels), .min = 1,
     .max = 4096, .fallback = "256", .help = "channels of the transposed convolutions"},
    {.name = "flip_test", R2_FIELD(BOOL, struct simple_baseline, flip_test), .fallback = "1",
     .help = "looks at the mirrored crop too: twice the time, 1 AP more"},
};
/* clang-format on */

static const struct r2_input_spec default_input = {
    .mode = R2_RESIZE_EXACT,
    .size = {256, 192},
    .filter = R2_FILTER_BILINEAR,
    .bgr = true,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
};

/* --- load --- */

static enum r2_status check_input(const struct r2_input_spec *input, struct r2_error *err)
{
    enum { STRIDE = 32 };
    if (input->mode != R2_RESIZE_EXACT || input->filter != R2_FILTER_BILINEAR || input->crop[0] ||
        input->letterbox || input->pad_multiple > 1)
        return r2_fail(err, R2_INVALID,
                       "key 'input': a person is resized to an exact size, bilinear, and neither "
                       "cropped nor padded");
    if (input->size[0] % STRIDE || input->size[1] % STRIDE)
        return r2_fail(err, R2_INVALID, "key 'input': %u x %u pixels; both must be multiples of %d",
                       input->size[0], input->size[1], STRIDE);
    return R2_OK;
}

static enum r2_status simple_baseline_init(void *self, const struct r2_head_setup *setup,
                                           struct r2_error *err)
{
    struct simple_baseline *head = self;
    const struct r2_tensor_entry *weight = NULL;
    R2_TRY(check_input(setup->input, err));
    head->input = *setup->input;
    R2_TRY(r2_head_find_rows(setup, "final_layer.weight", &weight, err));
    return r2_skeleton_init(&head->skeleton, &head->persons.skeleton, setup,
                            (uint32_t)weight->dims[0], err);
}

static void simple_baseline_finish(void *self)
{
    struct simple_baseline *head = self;
    r2_skeleton_finish(&head->skeleton);
}

static void simple_baseline_default_params(const void *self, void *request)
{
    const struct simple_baseline *head = self;
    r2_person_default_params(&head->persons, request);
}

static const char *simple_baseline_needs(const void *self, const void *request)
{
    const struct simple_baseline *head = self;
    return r2_person_needs(&head->persons, request);
}

/* --- the network --- */

static void simple_baseline_build(const void *self, struct r2_graph *graph,
                                  const struct r2_taps *taps, const char *prefix)
{
    const struct simple_baseline *head = self;
    r2_value x = taps->last;
    for (unsigned i = 0; i < DECONVS; i++) {
        char name[32], norm[32];
        snprintf(name, sizeof name, "deconv_layers.%u", 3 * i); /* then its norm, then a ReLU */
        snprintf(norm, sizeof norm, "deconv_layers.%u", 3 * i + 1);
        x = r2_graph_deconv(graph, x,
                            &(struct r2_deconv){.name = name,
                                                .norm = norm,
                                                .out = (uint32_t)head->deconv_channels,
                                                .kernel = 4,
                                                .stride = 2,
                                                .pad = 1,
                                                .relu = true});
    }
    x = r2_graph_conv(graph, x,
                      &(struct r2_conv){.name = "final_layer",
                                        .out = (uint32_t)head->skeleton.names.count,
                                        .kernel = 1,
                                        .stride = 1});
    r2_head_add_output(graph, prefix, "maps", x);
}

static struct r2_extent window(const void *self)
{
    const struct simple_baseline *head = self;
    return (struct r2_extent){head->input.size[0], head->input.size[1]};
}

/* --- one picture --- */

struct state {
    struct r2_persons persons;
    float *maps; /* of the person whose mirror image comes next; made with the first maps */
};

static void finish_state(void *data)
{
    struct state *state = data;
    if (!state) return;
    r2_persons_finish(&state->persons);
    free(state->maps);
    free(state);
}

/* What is looked at for a person: the box, made wider or higher to the crop's ratio, and padded. */
static void find_crop(const struct simple_baseline *head, struct r2_box box, double *ret_width,
                      double *ret_height)
{
    const double aspect = (double)head->input.size[1] / head->input.size[0];
    const double width = (double)box.x2 - (double)box.x1, height = (double)box.y2 - (double)box.y1;
    *ret_width = (width > aspect * height ? width : aspect * height) * head->persons.padding;
    *ret_height = *ret_width / aspect;
}

/* From a grid of cells over the crop of a person to the original. Whole numbers are cells and pixels
   alike, and the middle of the grid is at half its size: so the published code has it, and so
   networks learned it. */
static struct r2_affine from_crop(const struct simple_baseline *head, struct r2_box box,
                                  uint32_t width, uint32_t height)
{
    double crop_width, crop_height;
    find_crop(head, box, &crop_width, &crop_height);
    const double scale = crop_width / width;
    const double x = ((double)box.x1 + (double)box.x2) / 2;
    const double y = ((double)box.y1 + (double)box.y2) / 2;
    return (struct r2_affine){
        .xx = scale, .x0 = x - scale * width / 2, .yy = scale, .y0 = y - scale * height / 2};
}

static size_t crops_of_person(const struct simple_baseline *head)
{
    return head->flip_test ? 2 : 1;
}

static enum r2_status gather(const void *self, const struct r2_head_run *run, void **ret_state,
                             size_t *ret_count, struct r2_error *err)
{
    const struct simple_baseline *head = self;
    struct r2_persons persons = {0};
    struct state *state;
    R2_TRY(r2_persons_find(&head->persons, run, head->skeleton.names.count, &persons, err));
    if (r2_alloc(1, sizeof *state, "state of keypoints", &state, err) != R2_OK) {
        r2_persons_finish(&persons);
        return err->status;
    }
    for (size_t i = 0; i < persons.count; i++) {
        double width, height;
        find_crop(head, persons.boxes[i], &width, &height);
        persons.areas[i] = width * height;
    }
    state->persons = persons;
    *ret_state = state;
    *ret_count = persons.count * crops_of_person(head);
    return R2_OK;
}

static void mirror(float *crop, struct r2_input_shape shape)
{
    for (uint32_t y = 0; y < shape.height; y++, crop += (size_t)shape.width * 3)
        for (size_t a = 0, b = shape.width - 1; a < b; a++, b--) {
            float pixel[3];
            memcpy(pixel, crop + 3 * a, sizeof pixel);
            memcpy(crop + 3 * a, crop + 3 * b, sizeof pixel);
            memcpy(crop + 3 * b, pixel, sizeof pixel);
        }
}

/* Crops of a person come one after the other, the mirrored one last. */
static enum r2_status fill(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, float *dst, struct r2_error *err)
{
    const struct simple_baseline *head = self;
    const struct state *state = run->state;
    const struct r2_input_shape shape = {head->input.size[0], head->input.size[1]};
    for (size_t i = first; i < first + count; i++) {
        const struct r2_box box = state->persons.boxes[i / crops_of_person(head)];
        const struct r2_affine to_picture = from_crop(head, box, shape.width, shape.height);
        R2_TRY(r2_warp(run->picture, &to_picture, &head->input, shape, dst, err));
        if (i % crops_of_person(head)) mirror(dst, shape);
        dst += (size_t)shape.height * shape.width * 3;
    }
    return R2_OK;
}

static void find_points(const struct simple_baseline *head, struct state *state, size_t person,
                        const struct r2_output_view *maps, uint32_t item)
{
    struct r2_point *points = state->persons.points + person * state->persons.joints;
    const struct r2_affine to_picture =
        from_crop(head, state->persons.boxes[person], maps->width, maps->height);
    r2_heatmap_points(maps, item, points);
    for (size_t i = 0; i < state->persons.joints; i++) {
        double x, y;
        r2_affine_apply(&to_picture, (double)points[i].x, (double)points[i].y, &x, &y);
        points[i].x = (float)x;
        points[i].y = (float)y;
    }
}

/* The maps of a person, when both crops have come. */
static void merge(const struct simple_baseline *head, struct state *state, size_t crop,
                  const struct r2_output_view *maps, uint32_t item)
{
    struct r2_output_view merged = {state->maps,   1, maps->height, maps->width, maps->channels,
                                    maps->channels};
    if (crop % 2 == 0) {
        r2_heatmap_copy(maps, item, state->maps);
        return;
    }
    r2_heatmap_merge(maps, item, head->skeleton.partner, state->maps);
    find_points(head, state, crop / 2, &merged, 0);
}

static enum r2_status take(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, const struct r2_head_outputs *outputs,
                           struct r2_error *err)
{
    const struct simple_baseline *head = self;
    struct state *state = run->state;
    struct r2_output_view maps = {0};
    R2_TRY(r2_head_output(outputs, "maps", &maps, err));
    if (!state->maps)
        R2_TRY(r2_alloc((size_t)maps.height * maps.width, maps.channels * sizeof *state->maps,
                        "heat maps", &state->maps, err));
    for (uint32_t i = 0; i < count; i++) {
        if (head->flip_test)
            merge(head, state, first + i, &maps, i);
        else
            find_points(head, state, first + i, &maps, i);
    }
    return R2_OK;
}

static enum r2_status simple_baseline_decode(const void *self, const struct r2_head_run *run,
                                             struct r2_result *ret, struct r2_error *err)
{
    const struct simple_baseline *head = self;
    const struct state *state = run->state;
    return r2_persons_decide(&head->persons, &head->skeleton, &state->persons, ret, err);
}

static bool simple_baseline_is_drawn(const void *request)
{
    (void)request;
    return true;
}

static enum r2_status simple_baseline_describe(const void *self, json_t *object,
                                               struct r2_error *err)
{
    const struct simple_baseline *head = self;
    return r2_skeleton_describe(&head->skeleton, object, err);
}

static const struct r2_head_regions regions = {
    .window = window,
    .singly = true,
    .gather = gather,
    .fill = fill,
    .take = take,
    .finish = finish_state,
};

extern const struct r2_head_type r2_simple_baseline_head;
const struct r2_head_type r2_simple_baseline_head = {
    .name = "simple_baseline",
    .help = "poses, from crops of the picture",
    .size = sizeof(struct simple_baseline),
    .options = R2_OPTION_TABLE(options, "key"),
    .params_size = sizeof(struct r2_person_params),
    .params = R2_PERSON_PARAMS,
    .input = &default_input,
    .init = simple_baseline_init,
    .finish = simple_baseline_finish,
    .default_params = simple_baseline_default_params,
    .needs = simple_baseline_needs,
    .takes = &r2_detections_kind,
    .gives = &r2_poses_kind,
    .build = simple_baseline_build,
    .regions = &regions,
    .is_drawn = simple_baseline_is_drawn,
    .decode = simple_baseline_decode,
    .describe = simple_baseline_describe,
};
