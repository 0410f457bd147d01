/*
 * What moves feature maps between oneDNN primitives: slices, sums and pools on channels-last views.
 *
 * oneDNN falls to its reference code on views with a pitch, so the plan keeps convolutions dense
 * and these kernels do the slicing. All are memory-bound: one pass over the data, channels inside.
 */
#ifndef R2_BACKBONE_KERNELS_H
#define R2_BACKBONE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backbone/graph.h"

/* Threads of the calling thread's OpenMP team, for these kernels and for oneDNN, from now on. */
void r2_threads_use(unsigned count);

/* Channels of a map [pixels, pitch]: data points at the first channel of the first pixel. */
struct r2_map {
    float *data;
    size_t pitch; /* floats from one pixel to the next, at least the channels that are used */
};

/* dst = src */
void r2_map_copy(struct r2_map dst, struct r2_map src, size_t pixels, size_t channels);

/* sum = a + b, max(0, .) with relu; and, when copy.data is not NULL, copy = b in the same pass
   (b is then read before copy is written, pixel by pixel; a and copy may not overlap). */
void r2_map_add(struct r2_map sum, struct r2_map a, struct r2_map b, struct r2_map copy,
                size_t pixels, size_t channels, bool relu);

/* Pooling of src [in.height, in.width] to dst [out.height, out.width]. */
void r2_map_pool(struct r2_map dst, struct r2_map src, const struct r2_pool *pool,
                 struct r2_extent out, struct r2_extent in, size_t channels);

/* dst [channels] = mean over the pixels of src. */
void r2_map_mean(float *dst, struct r2_map src, size_t pixels, size_t channels);

#endif
