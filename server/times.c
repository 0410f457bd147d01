#include "server/times.h"

static const char *const names[R2_STAGE_COUNT] = {
    [R2_STAGE_RECEIVE] = "receive",       [R2_STAGE_DECODE] = "decode",
    [R2_STAGE_PREPROCESS] = "preprocess", [R2_STAGE_QUEUE] = "queue",
    [R2_STAGE_BACKBONE] = "backbone",     [R2_STAGE_HEAD] = "head",
    [R2_STAGE_ENCODE] = "encode",
};

void r2_times_init(struct r2_times *times)
{
    for (int i = 0; i < R2_STAGE_COUNT; i++) times->ns[i] = -1;
}

const char *r2_stage_name(enum r2_stage stage)
{
    return names[stage];
}
