#include <string.h>

#include "image/codec.h"

/* Where the stored picture's first pixel and its axes lie in the upright one. */
static const struct {
    bool swap;           /* stored x runs along the upright y */
    bool flip_x, flip_y; /* the stored axis runs against the upright one */
} layouts[9] = {
    [1] = {false, false, false}, [2] = {false, true, false}, [3] = {false, true, true},
    [4] = {false, false, true},  [5] = {true, false, false}, [6] = {true, false, true},
    [7] = {true, true, true},    [8] = {true, true, false},
};

enum r2_status r2_canvas_create(uint32_t width, uint32_t height, unsigned orientation,
                                struct r2_canvas *ret, struct r2_error *err)
{
    struct r2_canvas canvas = {.stored_width = width, .stored_height = height};
    bool swap = layouts[orientation].swap;
    R2_TRY(r2_image_create(swap ? height : width, swap ? width : height, &canvas.image, err));
    ptrdiff_t stride = (ptrdiff_t)r2_image_stride(&canvas.image);
    canvas.step_x = swap ? stride : 3;
    canvas.step_y = swap ? 3 : stride;
    canvas.origin = canvas.image.pixels;
    if (layouts[orientation].flip_x) {
        canvas.origin += canvas.step_x * (ptrdiff_t)(width - 1);
        canvas.step_x = -canvas.step_x;
    }
    if (layouts[orientation].flip_y) {
        canvas.origin += canvas.step_y * (ptrdiff_t)(height - 1);
        canvas.step_y = -canvas.step_y;
    }
    *ret = canvas;
    return R2_OK;
}

void r2_canvas_finish(struct r2_canvas *canvas)
{
    r2_image_finish(&canvas->image);
    canvas->origin = NULL;
}

bool r2_canvas_is_upright(const struct r2_canvas *canvas)
{
    return canvas->step_x == 3 && canvas->step_y == (ptrdiff_t)r2_image_stride(&canvas->image);
}

void r2_canvas_put(struct r2_canvas *canvas, uint32_t y, uint32_t rows, const uint8_t *rgb)
{
    size_t stride = (size_t)canvas->stored_width * 3;
    uint8_t *start = canvas->origin + canvas->step_y * (ptrdiff_t)y;
    if (canvas->step_x == 3) {
        for (uint32_t row = 0; row < rows; row++)
            memcpy(start + canvas->step_y * (ptrdiff_t)row, rgb + stride * row, stride);
        return;
    }
    for (uint32_t x = 0; x < canvas->stored_width; x++) {
        uint8_t *to = start + canvas->step_x * (ptrdiff_t)x;
        const uint8_t *from = rgb + (size_t)x * 3;
        for (uint32_t row = 0; row < rows; row++) {
            memcpy(to, from, 3);
            to += canvas->step_y;
            from += stride;
        }
    }
}

void r2_rgba_over_white(const uint8_t *rgba, size_t pixels, uint8_t *rgb)
{
    for (size_t i = 0; i < pixels; i++, rgba += 4, rgb += 3) {
        uint32_t alpha = rgba[3], samples[3] = {rgba[0], rgba[1], rgba[2]};
        for (int channel = 0; channel < 3; channel++) {
            uint32_t sum = samples[channel] * alpha + 255 * (255 - alpha) + 128;
            rgb[channel] = (uint8_t)((sum + (sum >> 8)) >> 8);
        }
    }
}

void r2_missing_fill(uint8_t *samples, size_t pixels, unsigned channels)
{
    memset(samples, 128, pixels * channels);
    if (channels == 4)
        for (size_t i = 0; i < pixels; i++) samples[4 * i + 3] = 255;
}
