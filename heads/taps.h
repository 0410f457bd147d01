/*
 * Which stages of the trunk a head reads.
 */
#ifndef R2_HEADS_TAPS_H
#define R2_HEADS_TAPS_H

#include "heads/head.h"

/* The stages that a list names: consecutive ones of c2, c3, c4, c5, ret_first counted from c2. The
   list is not empty. R2_INVALID names the one that is not in its place, or a trunk whose stages do
   not have their usual strides. */
enum r2_status r2_taps_find(const struct r2_arch *arch, const struct r2_texts *names,
                            uint32_t *ret_first, uint32_t *ret_count, struct r2_error *err);

/* Pixels of the network's input between two cells of stage i, 0 being c2: 4, then doubling. */
static inline uint32_t r2_tap_stride(uint32_t i)
{
    return UINT32_C(4) << i;
}

#endif
