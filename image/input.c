#include "image/input.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "image/normalise.h"

/* One axis on its way from the picture to the network, in pixels. The network's pixels pad ..
   pad + count - 1 show the resized pixels first .. first + count - 1; the others are padding. */
struct axis_plan {
    uint32_t picture, resized, network;
    uint32_t first, count, pad;
};

struct plan {
    struct axis_plan x, y;
};

struct r2_input_spec r2_input_spec_default(void)
{
    return (struct r2_input_spec){
        .mode = R2_RESIZE_SHORTER,
        .size = {256, 0},
        .filter = R2_FILTER_BILINEAR,
        .like = R2_LIKE_PIL,
        .crop = {224, 224},
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
    };
}

static unsigned sizes_used(enum r2_resize_mode mode)
{
    switch (mode) {
    case R2_RESIZE_EXACT:
    case R2_RESIZE_WITHIN:
    case R2_RESIZE_FIT: return 2;
    case R2_RESIZE_SHORTER:
    case R2_RESIZE_LONGER: return 1;
    default: return 0;
    }
}

static uint32_t multiple_of(const struct r2_input_spec *spec)
{
    return spec->pad_multiple ? spec->pad_multiple : 1;
}

bool r2_input_spec_equal(const struct r2_input_spec *a, const struct r2_input_spec *b)
{
    if (a->mode != b->mode || a->letterbox != b->letterbox || a->bgr != b->bgr) return false;
    if (a->crop[0] != b->crop[0] || a->crop[1] != b->crop[1]) return false;
    if (multiple_of(a) != multiple_of(b)) return false;
    for (unsigned i = 0; i < sizes_used(a->mode); i++)
        if (a->size[i] != b->size[i]) return false;
    if (a->mode != R2_RESIZE_NONE && (a->filter != b->filter || a->like != b->like)) return false;
    for (int c = 0; c < 3; c++) {
        if (a->mean[c] < b->mean[c] || a->mean[c] > b->mean[c]) return false;
        if (a->std[c] < b->std[c] || a->std[c] > b->std[c]) return false;
    }
    return true;
}

static enum r2_status check_numbers(const struct r2_input_spec *spec, struct r2_error *err)
{
    for (int c = 0; c < 3; c++) {
        if (!isfinite(spec->mean[c]))
            return r2_fail(err, R2_INVALID, "input mean[%d] is %g: must be finite", c,
                           (double)spec->mean[c]);
        if (!isfinite(spec->std[c]) || spec->std[c] <= 0.0f)
            return r2_fail(err, R2_INVALID, "input std[%d] is %g: must be positive and finite", c,
                           (double)spec->std[c]);
        /* The darkest and the lightest sample: a tiny std must not make infinities. */
        float dark = (0.0f - spec->mean[c]) / spec->std[c];
        float light = (1.0f - spec->mean[c]) / spec->std[c];
        if (!isfinite(dark) || !isfinite(light))
            return r2_fail(err, R2_INVALID,
                           "input std[%d] is %g: too small for a finite normalised value", c,
                           (double)spec->std[c]);
    }
    return R2_OK;
}

enum r2_status r2_input_spec_check(const struct r2_input_spec *spec, struct r2_error *err)
{
    if ((unsigned)spec->mode >= R2_RESIZE_MODE_COUNT)
        return r2_fail(err, R2_INVALID, "input resize mode is %u: there is no such mode",
                       (unsigned)spec->mode);
    if ((unsigned)spec->filter >= R2_FILTER_COUNT)
        return r2_fail(err, R2_INVALID, "input filter is %u: there is no such filter",
                       (unsigned)spec->filter);
    if ((unsigned)spec->like >= R2_LIKE_COUNT)
        return r2_fail(err, R2_INVALID, "input like is %u: must be pil or opencv",
                       (unsigned)spec->like);
    if (spec->like == R2_LIKE_OPENCV && spec->filter == R2_FILTER_BICUBIC)
        return r2_fail(err, R2_UNSUPPORTED,
                       "input filter bicubic is not supported like opencv; supported: nearest, "
                       "bilinear, or like pil");
    for (unsigned i = 0; i < sizes_used(spec->mode); i++)
        if (spec->size[i] < 1 || spec->size[i] > R2_INPUT_MAX_SIZE)
            return r2_fail(err, R2_INVALID, "input resize size[%u] is %u: must be from 1 to %d", i,
                           spec->size[i], R2_INPUT_MAX_SIZE);
    if ((spec->mode == R2_RESIZE_FIT || spec->mode == R2_RESIZE_WITHIN) &&
        spec->size[0] > spec->size[1])
        return r2_fail(
            err, R2_INVALID, "input resize %s is [%u, %u]: the short side must come first",
            spec->mode == R2_RESIZE_FIT ? "fit" : "within", spec->size[0], spec->size[1]);
    if (!spec->crop[0] != !spec->crop[1] || spec->crop[0] > R2_INPUT_MAX_SIZE ||
        spec->crop[1] > R2_INPUT_MAX_SIZE)
        return r2_fail(err, R2_INVALID,
                       "input crop is [%u, %u]: both must be 0 or both from 1 to %d", spec->crop[0],
                       spec->crop[1], R2_INPUT_MAX_SIZE);
    if (spec->crop[0] && spec->letterbox)
        return r2_fail(err, R2_INVALID, "input has crop and letterbox: only one can be used");
    if (spec->pad_multiple > R2_INPUT_MAX_MULTIPLE)
        return r2_fail(err, R2_INVALID, "input pad_multiple is %u: must be from 0 to %d",
                       spec->pad_multiple, R2_INPUT_MAX_MULTIPLE);
    return check_numbers(spec, err);
}

/* The resized sides; 64 bits because a thin picture can become very long. */
static void resized_size(const struct r2_input_spec *spec, uint64_t width, uint64_t height,
                         uint64_t *ret_width, uint64_t *ret_height)
{
    bool tall = width <= height;
    uint64_t near = tall ? width : height, far = tall ? height : width; /* short and long side */
    switch (spec->mode) {
    case R2_RESIZE_EXACT:
        *ret_height = spec->size[0];
        *ret_width = spec->size[1];
        return;
    case R2_RESIZE_SHORTER: /* as torchvision: int(size * long / short) */
        far = spec->size[0] * far / near;
        near = spec->size[0];
        break;
    case R2_RESIZE_LONGER:
        near = (2 * spec->size[0] * near + far) / (2 * far);
        far = spec->size[0];
        break;
    case R2_RESIZE_FIT: { /* as mmcv: int(side * scale + 0.5) */
        double by_near = (double)spec->size[0] / (double)near;
        double by_far = (double)spec->size[1] / (double)far;
        double scale = by_near < by_far ? by_near : by_far;
        near = (uint64_t)((double)near * scale + 0.5);
        far = (uint64_t)((double)far * scale + 0.5);
        break;
    }
    case R2_RESIZE_WITHIN: {
        double scale = near < spec->size[0] ? (double)spec->size[0] / (double)near : 1;
        if ((double)far * scale > spec->size[1]) scale = (double)spec->size[1] / (double)far;
        near = (uint64_t)((double)near * scale + 0.5);
        far = (uint64_t)((double)far * scale + 0.5);
        break;
    }
    default: break;
    }
    if (near < 1) near = 1;
    *ret_width = tall ? near : far;
    *ret_height = tall ? far : near;
}

/* Python's int(round(twice / 2)): halves go to the even neighbour. */
static uint32_t round_half(uint32_t twice)
{
    uint32_t half = twice / 2;
    return half + (twice % 2 && half % 2 ? 1 : 0);
}

static void crop_axis(struct axis_plan *axis, uint32_t crop)
{
    if (crop <= axis->resized) {
        axis->first = round_half(axis->resized - crop);
        axis->count = crop;
    } else {
        axis->pad = (crop - axis->resized) / 2;
    }
    axis->network = crop;
}

static enum r2_status make_plan(const struct r2_input_spec *spec, uint32_t picture_width,
                                uint32_t picture_height, struct plan *ret, struct r2_error *err)
{
    uint64_t width, height;
    R2_TRY(r2_input_spec_check(spec, err));
    if (!picture_width || !picture_height)
        return r2_fail(err, R2_INVALID, "the picture has %u x %u pixels: no side may be 0",
                       picture_width, picture_height);
    resized_size(spec, picture_width, picture_height, &width, &height);
    if (width > R2_RESIZE_MAX_SIDE || height > R2_RESIZE_MAX_SIDE)
        return r2_fail(err, R2_INVALID,
                       "the picture of %u x %u pixels is too thin: resized it would have %llu x "
                       "%llu, the limit of a side is %d",
                       picture_width, picture_height, (unsigned long long)width,
                       (unsigned long long)height, R2_RESIZE_MAX_SIDE);
    struct plan plan = {
        .x = {picture_width, (uint32_t)width, (uint32_t)width, 0, (uint32_t)width, 0},
        .y = {picture_height, (uint32_t)height, (uint32_t)height, 0, (uint32_t)height, 0},
    };
    if (spec->letterbox)
        plan.x.network = plan.y.network = (uint32_t)(width > height ? width : height);
    if (spec->crop[0]) {
        crop_axis(&plan.y, spec->crop[0]);
        crop_axis(&plan.x, spec->crop[1]);
    }
    uint32_t multiple = multiple_of(spec);
    plan.x.network += (multiple - plan.x.network % multiple) % multiple;
    plan.y.network += (multiple - plan.y.network % multiple) % multiple;
    if (plan.x.network > R2_INPUT_MAX_SIDE || plan.y.network > R2_INPUT_MAX_SIDE ||
        (uint64_t)plan.x.network * plan.y.network > R2_INPUT_MAX_PIXELS)
        return r2_fail(err, R2_INVALID,
                       "the picture of %u x %u pixels would make a network input of %u x %u, the "
                       "limit is %d a side and %d pixels",
                       picture_width, picture_height, plan.x.network, plan.y.network,
                       R2_INPUT_MAX_SIDE, R2_INPUT_MAX_PIXELS);
    *ret = plan;
    return R2_OK;
}

enum r2_status r2_input_shape(const struct r2_input_spec *spec, uint32_t picture_width,
                              uint32_t picture_height, struct r2_input_shape *ret,
                              struct r2_error *err)
{
    struct plan plan;
    R2_TRY(make_plan(spec, picture_width, picture_height, &plan, err));
    *ret = (struct r2_input_shape){plan.y.network, plan.x.network};
    return R2_OK;
}

void r2_geometry_to_network(const struct r2_geometry *geometry, double x, double y, double *ret_x,
                            double *ret_y)
{
    *ret_x = x * geometry->scale_x + geometry->offset_x;
    *ret_y = y * geometry->scale_y + geometry->offset_y;
}

void r2_geometry_to_picture(const struct r2_geometry *geometry, double x, double y, double *ret_x,
                            double *ret_y)
{
    *ret_x = (x - geometry->offset_x) / geometry->scale_x;
    *ret_y = (y - geometry->offset_y) / geometry->scale_y;
}

static struct r2_geometry geometry_of(const struct plan *plan)
{
    return (struct r2_geometry){
        .scale_x = (double)plan->x.resized / plan->x.picture,
        .scale_y = (double)plan->y.resized / plan->y.picture,
        .offset_x = (double)plan->x.pad - plan->x.first,
        .offset_y = (double)plan->y.pad - plan->y.first,
        .picture_width = plan->x.picture,
        .picture_height = plan->y.picture,
        .network_width = plan->x.network,
        .network_height = plan->y.network,
    };
}

static void clear(float *dst, size_t pixels)
{
    memset(dst, 0, pixels * 3 * sizeof *dst); /* all bits 0 is 0.0f */
}

enum r2_status r2_input_prepare(const struct r2_input_spec *spec, const struct r2_image *picture,
                                float *dst, struct r2_geometry *ret, struct r2_error *err)
{
    struct plan plan;
    struct r2_resampler *resampler;
    struct r2_normaliser normaliser;
    R2_TRY(make_plan(spec, picture->width, picture->height, &plan, err));
    const struct axis_plan *x = &plan.x, *y = &plan.y;
    struct r2_window window = {x->first, y->first, x->count, y->count};
    R2_TRY(r2_resampler_create(picture, x->resized, y->resized, window, spec->filter, spec->like,
                               &resampler, err));
    r2_normaliser_init(&normaliser, spec->mean, spec->std, spec->bgr);
    size_t width = x->network, right = x->pad + x->count;
    for (uint32_t row = 0; row < y->network; row++, dst += width * 3) {
        if (row < y->pad || row - y->pad >= y->count) {
            clear(dst, width);
            continue;
        }
        clear(dst, x->pad);
        r2_normalise_row(&normaliser, r2_resampler_next(resampler), x->count,
                         dst + (size_t)x->pad * 3);
        clear(dst + right * 3, width - right);
    }
    r2_resampler_destroy(resampler);
    *ret = geometry_of(&plan);
    return R2_OK;
}
