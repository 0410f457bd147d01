/*
 * The best of many scores.
 */
#ifndef R2_HEADS_TOP_K_H
#define R2_HEADS_TOP_K_H

#include <stddef.h>
#include <stdint.h>

/* Writes the indices of the k greatest of scores [count] to ret, in descending order of the score,
   equal scores (0 and -0 are equal) by ascending index, NaN after every number. Returns how many:
   min(k, count). count is below 2^32; `work` is memory as large as ret, that many elements.

   Time is linear in count + k, whatever the order and the values: a radix selection (no sort) finds
   the k-th score, a radix sort orders what is selected. */
size_t r2_top_k(const float *scores, size_t count, size_t k, uint32_t *work, uint32_t *ret);

#endif
