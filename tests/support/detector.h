/*
 * Test weights of a detector: Res2Net, feature pyramid, proposal network, box and mask heads under
 * mmdetection's names.
 */
#ifndef R2_TESTS_DETECTOR_H
#define R2_TESTS_DETECTOR_H

#include "backbone/res2net.h"
#include "tests/support/test_weights.h"

struct detector {
    const struct r2_arch *arch;
    uint32_t first_tap, tap_count; /* 0 is c2 */
    uint32_t fpn_channels, rpn_channels, fc_channels;
    uint32_t anchors; /* of a cell */
    uint32_t classes; /* without the background */
    bool cascade, masks;
    uint32_t mask_convs, mask_channels;
    const struct test_factor *factors;
};

/* OpenMMLab's names of a whole network: the trunk is "backbone.", a deep stem and its last norm are
   one list. */
test_rename detector_rename(const struct r2_arch *arch);

/* Writes one file with all tensors. */
enum r2_status detector_weights(const char *path, const struct detector *detector,
                                struct r2_error *err);

#endif
