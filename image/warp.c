#include "image/warp.h"

#include <math.h>

#include "base/memory.h"
#include "image/normalise.h"

/* Coordinates are fixed-point numbers: sums have 10 bits behind the point, samples 5. */
enum { SUM_ONE = 1024, SAMPLE_ONE = 32, SUM_TO_SAMPLE = SUM_ONE / SAMPLE_ONE };

void r2_affine_apply(const struct r2_affine *map, double x, double y, double *ret_x, double *ret_y)
{
    *ret_x = map->xx * x + map->xy * y + map->x0;
    *ret_y = map->yx * x + map->yy * y + map->y0;
}

struct r2_affine r2_affine_invert(const struct r2_affine *map)
{
    const double determinant = map->xx * map->yy - map->xy * map->yx;
    const double by = determinant < 0 || determinant > 0 ? 1 / determinant : 0;
    struct r2_affine inverse = {
        .xx = map->yy * by, .xy = -map->xy * by, .yx = -map->yx * by, .yy = map->xx * by};
    inverse.x0 = -inverse.xx * map->x0 - inverse.xy * map->y0;
    inverse.y0 = -inverse.yx * map->x0 - inverse.yy * map->y0;
    return inverse;
}

/* Rounded to 1/1024, halves to even; OpenCV's limit is that of 32 bits. */
static int64_t to_fixed(double value)
{
    return (int64_t)rint(fmin(fmax(value * SUM_ONE, INT32_MIN), INT32_MAX));
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* A pixel, or black outside. */
static const uint8_t *pixel_at(const struct r2_image *picture, int64_t x, int64_t y)
{
    static const uint8_t black[3];
    if (x < 0 || y < 0 || x >= picture->width || y >= picture->height) return black;
    return picture->pixels + (size_t)y * r2_image_stride(picture) + (size_t)x * 3;
}

/* The mean of the four pixels around (x, y), in 1/32 pixels, weighted by nearness. */
static void sample(const struct r2_image *picture, int64_t x, int64_t y, uint8_t *ret)
{
    const int64_t left = floor_div(x, SAMPLE_ONE), top = floor_div(y, SAMPLE_ONE);
    const unsigned right = (unsigned)(x - left * SAMPLE_ONE);
    const unsigned below = (unsigned)(y - top * SAMPLE_ONE);
    const uint8_t *a = pixel_at(picture, left, top), *b = pixel_at(picture, left + 1, top);
    const uint8_t *c = pixel_at(picture, left, top + 1), *d = pixel_at(picture, left + 1, top + 1);
    for (int i = 0; i < 3; i++) {
        const unsigned upper = a[i] * (SAMPLE_ONE - right) + b[i] * right;
        const unsigned lower = c[i] * (SAMPLE_ONE - right) + d[i] * right;
        const unsigned sum = upper * (SAMPLE_ONE - below) + lower * below;
        ret[i] = (uint8_t)((sum + SAMPLE_ONE * SAMPLE_ONE / 2) / (SAMPLE_ONE * SAMPLE_ONE));
    }
}

static void warp_row(const struct r2_image *picture, const struct r2_affine *map, uint32_t y,
                     uint32_t width, uint8_t *rgb)
{
    const int64_t x0 = to_fixed(map->xy * y + map->x0) + SUM_TO_SAMPLE / 2;
    const int64_t y0 = to_fixed(map->yy * y + map->y0) + SUM_TO_SAMPLE / 2;
    for (uint32_t x = 0; x < width; x++, rgb += 3)
        sample(picture, floor_div(x0 + to_fixed(map->xx * x), SUM_TO_SAMPLE),
               floor_div(y0 + to_fixed(map->yx * x), SUM_TO_SAMPLE), rgb);
}

static bool is_finite(const struct r2_affine *map)
{
    return isfinite(map->xx) && isfinite(map->xy) && isfinite(map->x0) && isfinite(map->yx) &&
           isfinite(map->yy) && isfinite(map->y0);
}

enum r2_status r2_warp(const struct r2_image *picture, const struct r2_affine *to_picture,
                       const struct r2_input_spec *spec, struct r2_input_shape shape, float *dst,
                       struct r2_error *err)
{
    R2_AUTOFREE uint8_t *rgb = NULL;
    struct r2_normaliser normaliser;
    if (shape.height < 1 || shape.height > R2_INPUT_MAX_SIDE || shape.width < 1 ||
        shape.width > R2_INPUT_MAX_SIDE ||
        (uint64_t)shape.height * shape.width > R2_INPUT_MAX_PIXELS)
        return r2_fail(err, R2_INVALID,
                       "a crop of %u x %u pixels: the limit is %d a side and %d pixels",
                       shape.width, shape.height, R2_INPUT_MAX_SIDE, R2_INPUT_MAX_PIXELS);
    if (!is_finite(to_picture))
        return r2_fail(err, R2_INVALID, "a crop's place in the picture is not finite");
    R2_TRY(r2_alloc((size_t)shape.width * 3, 1, "a row of a crop", &rgb, err));
    r2_normaliser_init(&normaliser, spec->mean, spec->std, spec->bgr);
    for (uint32_t y = 0; y < shape.height; y++, dst += (size_t)shape.width * 3) {
        warp_row(picture, to_picture, y, shape.width, rgb);
        r2_normalise_row(&normaliser, rgb, shape.width, dst);
    }
    return R2_OK;
}
