/*
 * Test weights of a roi_keypoints head, alone in their file.
 */
#ifndef R2_TESTS_KEYPOINTS_H
#define R2_TESTS_KEYPOINTS_H

#include <stdint.h>

#include "base/error.h"

struct keypoints {
    const uint32_t *taps; /* [tap_count] channels of the stages that it reads */
    uint32_t tap_count, channels, convs, joints;
};

enum r2_status keypoints_weights(const char *path, const struct keypoints *what,
                                 struct r2_error *err);

#endif
