/*
 * What Frigate's DeepStack plugin does with a server: a frame as a form, as Python's requests builds
 * it, an answer within its time limit, and boxes in the order in which they come until one is not
 * sure enough or has an unknown label.
 */
#ifndef R2_TESTS_HTTP_FRIGATE_H
#define R2_TESTS_HTTP_FRIGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { FRIGATE_BOXES = 20, FRIGATE_TIMEOUT_MS = 100 };

struct frigate_box {
    int label;             /* index in the labels that it knows */
    double score;          /* 0.4..1 */
    double y0, x0, y1, x1; /* parts of the frame */
};

struct frigate {
    uint16_t port;
    const char *const *labels; /* lower case, NULL-terminated */
    int timeout_ms;
};

/* Asks about a JPEG frame of that size. False: no answer in time. A broken answer fails the test, as
   it would make Frigate's detector process die. */
bool frigate_detect(const struct frigate *frigate, struct r2_bytes jpeg, unsigned width,
                    unsigned height, struct frigate_box ret[FRIGATE_BOXES], size_t *ret_count);

#endif
