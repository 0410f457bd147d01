#include "heads/input_options.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "config/options.h"

struct resize {
    int mode, filter, like;
    struct r2_ints size;
};

struct input {
    json_t *resize;
    struct r2_ints crop;
    bool letterbox;
    int64_t pad_multiple;
    int color;
    struct r2_floats mean, std;
};

/* In the order of the enums in image/. */
static const char *const modes[] = {"none", "exact", "shorter", "longer", "fit", "within", NULL};
static const char *const filters[] = {"nearest", "bilinear", "bicubic", NULL};
static const char *const likes[] = {"pil", "opencv", NULL};
static const char *const colors[] = {"rgb", "bgr", NULL};

_Static_assert(R2_COUNT(modes) == R2_RESIZE_MODE_COUNT + 1, "a name for every resize mode");
_Static_assert(R2_COUNT(likes) == R2_LIKE_COUNT + 1, "a name for every library");

/* clang-format off */
static const struct r2_option resize_options[] = {
    {.name = "mode", R2_FIELD(CHOICE, struct resize, mode), .choices = modes, .fallback = "none",
     .help = "which sides the size is for"},
    {.name = "size", R2_FIELD(INTS, struct resize, size), .flags = R2_OPTION_OPTIONAL, .min = 1,
     .max = R2_INPUT_MAX_SIZE, .max_count = 2, .help = "N, [height, width] or [short, long]"},
    {.name = "filter", R2_FIELD(CHOICE, struct resize, filter), .choices = filters,
     .fallback = "bilinear", .help = "resampling filter"},
    {.name = "like", R2_FIELD(CHOICE, struct resize, like), .choices = likes, .fallback = "pil",
     .help = "whose resize"},
};
static const struct r2_option_table resize_table = R2_OPTION_TABLE(resize_options, "key");

static const struct r2_option input_options[] = {
    {.name = "resize", R2_FIELD(OBJECT, struct input, resize), .flags = R2_OPTION_OPTIONAL,
     .help = "mode, size, filter, like"},
    {.name = "crop", R2_FIELD(INTS, struct input, crop), .flags = R2_OPTION_OPTIONAL, .min = 1,
     .max = R2_INPUT_MAX_SIZE, .max_count = 2, .help = "centre crop: N or [height, width]"},
    {.name = "letterbox", R2_FIELD(BOOL, struct input, letterbox), .fallback = "false",
     .help = "pad to a square of the longer side"},
    {.name = "pad_multiple", R2_FIELD(INT, struct input, pad_multiple), .min = 1,
     .max = R2_INPUT_MAX_MULTIPLE, .fallback = "1", .help = "pad each side to a multiple of N"},
    {.name = "color", R2_FIELD(CHOICE, struct input, color), .choices = colors, .fallback = "rgb",
     .help = "order of the channels"},
    {.name = "mean", R2_FIELD(FLOATS, struct input, mean), .min = -10, .max = 10, .min_count = 3,
     .max_count = 3, .fallback = "0.485,0.456,0.406",
     .help = "of the channels, for pixels in 0..1"},
    {.name = "std", R2_FIELD(FLOATS, struct input, std), .min = 1e-6, .max = 1000, .min_count = 3,
     .max_count = 3, .fallback = "0.229,0.224,0.225",
     .help = "of the channels, for pixels in 0..1"},
};
static const struct r2_option_table input_table = R2_OPTION_TABLE(input_options, "key");
/* clang-format on */

static bool takes_two(enum r2_resize_mode mode)
{
    return mode == R2_RESIZE_EXACT || mode == R2_RESIZE_FIT || mode == R2_RESIZE_WITHIN;
}

static enum r2_status read_resize(json_t *object, struct r2_input_spec *spec, struct r2_error *err)
{
    struct resize resize = {0};
    R2_TRY(r2_options_defaults(&resize_table, &resize, err));
    R2_TRY(r2_options_read(&resize_table, object, "input: resize", &resize, err));
    spec->mode = (enum r2_resize_mode)resize.mode;
    spec->filter = (enum r2_filter)resize.filter;
    spec->like = (enum r2_resize_like)resize.like;
    const size_t wanted = spec->mode == R2_RESIZE_NONE ? 0 : takes_two(spec->mode) ? 2 : 1;
    const bool square = spec->mode == R2_RESIZE_EXACT && resize.size.count == 1;
    if (resize.size.count != wanted && !square)
        return r2_fail(err, R2_INVALID, "input: resize: mode '%s' takes %zu sizes, size has %zu",
                       modes[spec->mode], wanted, resize.size.count);
    for (size_t i = 0; i < wanted; i++) spec->size[i] = (uint32_t)resize.size.items[square ? 0 : i];
    return R2_OK;
}

static enum r2_status read_input(json_t *object, struct input *input, struct r2_input_spec *spec,
                                 struct r2_error *err)
{
    R2_TRY(r2_options_defaults(&input_table, input, err));
    R2_TRY(r2_options_read(&input_table, object, "input", input, err));
    if (input->resize) R2_TRY(read_resize(input->resize, spec, err));
    for (size_t i = 0; i < 2 && input->crop.count; i++)
        spec->crop[i] = (uint32_t)input->crop.items[input->crop.count == 2 ? i : 0];
    spec->letterbox = input->letterbox;
    spec->pad_multiple = (uint32_t)input->pad_multiple;
    spec->bgr = input->color == 1;
    for (size_t i = 0; i < 3; i++) {
        spec->mean[i] = (float)input->mean.items[i];
        spec->std[i] = (float)input->std.items[i];
    }
    if (r2_input_spec_check(spec, err) != R2_OK) return r2_fail_in(err, "input");
    return R2_OK;
}

enum r2_status r2_input_read(json_t *object, struct r2_input_spec *ret, struct r2_error *err)
{
    struct input input = {0};
    struct r2_input_spec spec = {0};
    if (!object) {
        *ret = r2_input_spec_default();
        return R2_OK;
    }
    enum r2_status status = read_input(object, &input, &spec, err);
    r2_options_finish(&input_table, &input);
    if (status == R2_OK) *ret = spec;
    return status;
}

/* The shortest decimal that is this float. The float itself would be another number than was read:
   1e-6f is below 1e-6, which is the least that std may be. */
static double decimal_of(float value)
{
    char text[32];
    int digits = 6;
    do {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
    } while (strtof(text, NULL) != value && ++digits <= 9);
    return strtod(text, NULL);
}

json_t *r2_input_describe(const struct r2_input_spec *spec)
{
    json_t *resize = json_pack("{s:s, s:s, s:s}", "mode", modes[spec->mode], "filter",
                               filters[spec->filter], "like", likes[spec->like]);
    if (takes_two(spec->mode))
        json_object_set_new(resize, "size",
                            json_pack("[i, i]", (int)spec->size[0], (int)spec->size[1]));
    else if (spec->mode != R2_RESIZE_NONE)
        json_object_set_new(resize, "size", json_integer(spec->size[0]));
    json_t *object =
        json_pack("{s:o, s:b, s:i, s:s, s:[f,f,f], s:[f,f,f]}", "resize", resize, "letterbox",
                  spec->letterbox, "pad_multiple", spec->pad_multiple ? (int)spec->pad_multiple : 1,
                  "color", colors[spec->bgr], "mean", decimal_of(spec->mean[0]),
                  decimal_of(spec->mean[1]), decimal_of(spec->mean[2]), "std",
                  decimal_of(spec->std[0]), decimal_of(spec->std[1]), decimal_of(spec->std[2]));
    if (object && spec->crop[0])
        json_object_set_new(object, "crop",
                            json_pack("[i, i]", (int)spec->crop[0], (int)spec->crop[1]));
    return object;
}
