/*
 * The stages of a request, each timed once: the same numbers feed `timing_ms`, Server-Timing, the
 * log line and the histograms.
 */
#ifndef R2_SERVER_TIMES_H
#define R2_SERVER_TIMES_H

#include <stdint.h>

enum r2_stage {
    R2_STAGE_RECEIVE, /* from the request's line to the last byte of its body */
    R2_STAGE_DECODE,
    R2_STAGE_PREPROCESS,
    R2_STAGE_QUEUE, /* from the last byte to a worker */
    R2_STAGE_BACKBONE,
    R2_STAGE_HEAD,
    R2_STAGE_ENCODE, /* the result to JSON, and that to gzip where the client wants it */
    R2_STAGE_COUNT
};

/* Nanoseconds; negative = not reached. */
struct r2_times {
    int64_t ns[R2_STAGE_COUNT];
};

/* No stage reached. */
void r2_times_init(struct r2_times *times);

/* "receive" and so on; static. */
const char *r2_stage_name(enum r2_stage stage);

/* Milliseconds; negative when the stage was not reached. */
static inline double r2_times_ms(const struct r2_times *times, enum r2_stage stage)
{
    return times->ns[stage] < 0 ? -1 : (double)times->ns[stage] / 1e6;
}

#endif
