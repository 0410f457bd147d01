#include "heads/top_k.h"

#include <stdbool.h>
#include <string.h>

/* A key is three digits of this many bits (the first has one less). */
enum { DIGIT_BITS = 11, DIGITS = 3, BUCKETS = 1 << DIGIT_BITS };

/* Ascending keys are descending scores. */
static inline uint32_t key_of(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    if (score != score) return UINT32_MAX;
    return bits >> 31 ? bits : ~bits & 0x7FFFFFFFu;
}

static inline uint32_t digit_of(uint32_t key, int digit)
{
    return key >> digit * DIGIT_BITS & (BUCKETS - 1);
}

/* The key of place `place` (from 0), and how many keys of that value are among the first
   place + 1. */
static uint32_t select_key(const float *scores, size_t count, size_t place, size_t *ret_equal)
{
    uint32_t found = 0; /* the digits above the present one */
    for (int digit = DIGITS - 1; digit >= 0; digit--) {
        uint32_t sizes[BUCKETS] = {0}, bucket = 0;
        const int above = (digit + 1) * DIGIT_BITS;
        for (size_t i = 0; i < count; i++) {
            const uint32_t key = key_of(scores[i]);
            if ((uint64_t)key >> above == (uint64_t)found >> above) sizes[digit_of(key, digit)]++;
        }
        while (place >= sizes[bucket]) place -= sizes[bucket++];
        found |= bucket << digit * DIGIT_BITS;
    }
    *ret_equal = place + 1;
    return found;
}

/* Stable, so that equal keys stay in order. Three passes: the result is in `work`. */
static void sort_indices(const float *scores, size_t count, uint32_t *indices, uint32_t *work)
{
    for (int digit = 0; digit < DIGITS; digit++) {
        uint32_t starts[BUCKETS + 1] = {0};
        for (size_t i = 0; i < count; i++)
            starts[digit_of(key_of(scores[indices[i]]), digit) + 1]++;
        for (size_t b = 1; b < BUCKETS; b++) starts[b] += starts[b - 1];
        for (size_t i = 0; i < count; i++)
            work[starts[digit_of(key_of(scores[indices[i]]), digit)]++] = indices[i];
        uint32_t *swap = indices;
        indices = work;
        work = swap;
    }
}

size_t r2_top_k(const float *scores, size_t count, size_t k, uint32_t *work, uint32_t *ret)
{
    size_t equal = count, taken = 0;
    uint32_t last = UINT32_MAX;
    if (k > count) k = count;
    if (!k) return 0;
    if (k < count) last = select_key(scores, count, k - 1, &equal);
    for (size_t i = 0; i < count; i++) {
        const uint32_t key = key_of(scores[i]);
        const bool take = key < last || (key == last && equal);
        if (key == last && equal) equal--;
        if (take) work[taken++] = (uint32_t)i;
    }
    sort_indices(scores, taken, work, ret);
    return taken;
}
