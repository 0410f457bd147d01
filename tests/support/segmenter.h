/*
 * Test weights of a segmenter: Res2Net and mmsegmentation's decode head.
 */
#ifndef R2_TESTS_SEGMENTER_H
#define R2_TESTS_SEGMENTER_H

#include "backbone/res2net.h"
#include "tests/support/test_weights.h"

enum { SEGMENTER_MAX_RATES = 8 };

struct segmenter {
    const struct r2_arch *arch;
    enum r2_dialect dialect;
    uint32_t rates[SEGMENTER_MAX_RATES], rate_count;
    bool separable;
    uint32_t channels, fuse_kernel, low_tap, low_channels, decoder_convs; /* low_tap 2 is c2 */
    uint32_t classes;
    const struct test_factor *factors;
};

/* Writes one file with all tensors; with those of an auxiliary head, which no head reads. */
enum r2_status segmenter_weights(const char *path, const struct segmenter *segmenter,
                                 struct r2_error *err);

#endif
