/*
 * Depthwise convolution: every channel has its own 3 x 3 kernel and sees no other.
 *
 * oneDNN has a fast one for dense kernels only; for a dilated one, as separable ASPP has, it takes
 * code that computes one channel at a time. This kernel computes with as many channels as the
 * processor's registers hold, whatever the dilation, at the speed of memory.
 */
#ifndef R2_BACKBONE_DEPTHWISE_H
#define R2_BACKBONE_DEPTHWISE_H

#include "backbone/kernels.h"

enum { R2_DEPTHWISE_KERNEL = 3 };

/* dst = src convolved, plus bias [channels], max(0, .) with conv->relu. Both maps are
   channels-last; weights are [3 * 3, channels]. */
void r2_map_depthwise(struct r2_map dst, struct r2_map src, const struct r2_conv *conv,
                      const float *weights, const float *bias, const struct r2_map_size *size);

#endif
