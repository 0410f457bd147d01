/*
 * What moves feature maps between oneDNN primitives: slices, sums, pools, resizing and layouts.
 *
 * oneDNN falls to its reference code on views with a pitch, so the plan keeps convolutions dense
 * and these kernels do the slicing, from and to whichever layout a convolution wants. All are
 * memory-bound: one pass over the data, channels inside.
 */
#ifndef R2_BACKBONE_KERNELS_H
#define R2_BACKBONE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backbone/graph.h"

/* Threads of the calling thread's OpenMP team, for these kernels and for oneDNN, from now on. */
void r2_threads_use(unsigned count);

enum { R2_MAP_BLOCK = 16 }; /* channels that always stand together */

/* A feature map: channel c of pixel p is data[c / 16 * block + p * pitch + c % 16]. */
struct r2_map {
    float *data;
    size_t pitch; /* floats from one pixel to the next */
    size_t block; /* floats from 16 channels to the next 16; 16 when channels-last */
};

/* The body of a kernel over a range of pixels or rows; ranges of different threads are disjoint. */
typedef void (*r2_range_fn)(const void *job, size_t begin, size_t end);

/* Runs fn over [0, count), in as many threads as r2_threads_use set if it writes enough floats. */
void r2_map_ranges(r2_range_fn fn, const void *job, size_t count, size_t floats);

/* dst = src. In a dst that is not channels-last the channels up to the next 16 become 0. */
void r2_map_copy(struct r2_map dst, struct r2_map src, size_t pixels, size_t channels);

/* sum = a + b, max(0, .) with relu; and, when copy.data is not NULL, copy = b in the same pass
   (b is then read before copy is written, pixel by pixel; a and copy may not overlap). Padding as
   in r2_map_copy. */
void r2_map_add(struct r2_map sum, struct r2_map a, struct r2_map b, struct r2_map copy,
                size_t pixels, size_t channels, bool relu);

/* What kernels that look around read and write: a batch of pictures, one after the other. */
struct r2_map_size {
    size_t batch;
    struct r2_extent out, in; /* of one picture of dst and src */
    size_t channels;
};

/* dst = src * gate + other, max(0, .) with relu; all channels-last, gate of one pixel a picture. */
void r2_map_gate(struct r2_map dst, struct r2_map src, struct r2_map gate, struct r2_map other,
                 const struct r2_map_size *size, bool relu);

/* Pooling, both maps channels-last. */
void r2_map_pool(struct r2_map dst, struct r2_map src, const struct r2_pool *pool,
                 const struct r2_map_size *size);

/* dst [batch, channels] = mean over the pixels of each picture, both maps channels-last. */
void r2_map_mean(struct r2_map dst, struct r2_map src, const struct r2_map_size *size);

/* A transposed convolution runs as a dense one of stride 1 with so many taps a side, padded by all of
   them but one, to stride^2 times its channels: those of the cells that one cell of the result's
   grid becomes. */
static inline uint32_t r2_spread_taps(uint32_t kernel, uint32_t stride)
{
    return (kernel + stride - 1) / stride;
}

/* What follows it: dst's cell (y, x) is the channels [(y + pad) % stride, (x + pad) % stride, :] of
   src's cell ((y + pad) / stride, (x + pad) / stride). Both maps channels-last; size->channels are
   those of dst. */
void r2_map_spread(struct r2_map dst, struct r2_map src, uint32_t stride, uint32_t pad,
                   const struct r2_map_size *size);

/* dst = src resized, plus `other` (of the size of dst) when other.data is not NULL, max(0, .) with
   relu. dst may be `other`. Padding as in r2_map_copy. */
void r2_map_resize(struct r2_map dst, struct r2_map src, struct r2_map other,
                   enum r2_sampling sampling, const struct r2_map_size *size, bool relu);

#endif
