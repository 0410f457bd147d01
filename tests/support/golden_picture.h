/*
 * The picture that the goldens of poses were made from: what make_roi_keypoints_golden.py and
 * make_simple_baseline_golden.py in training/ draw.
 */
#ifndef R2_TESTS_GOLDEN_PICTURE_H
#define R2_TESTS_GOLDEN_PICTURE_H

#include "image/image.h"
#include "tests/base/expect.h"

static inline struct r2_image golden_picture(uint32_t width, uint32_t height)
{
    struct r2_error err = {0};
    struct r2_image picture;
    ASSERT_OK(r2_image_create(width, height, &picture, &err), err);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++)
                picture.pixels[(y * width + x) * 3 + c] =
                    (uint8_t)(x * 37 + y * 59 + c * 85 + x * y % 97 * 3);
    return picture;
}

#endif
