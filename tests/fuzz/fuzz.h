/*
 * What fuzz targets share: libFuzzer's entry point, and checks that count in every build.
 */
#ifndef R2_TESTS_FUZZ_FUZZ_H
#define R2_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs the code under test over one input; called by libFuzzer or by replay.c. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() that stays in release builds: an abort is what libFuzzer counts as a find. */
#define FUZZ_MUST(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Reads every byte, so that a sanitizer sees views that reach too far. */
static inline void fuzz_touch(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) sum = (uint8_t)(sum + bytes[i]);
    __asm__ volatile("" : : "r"(sum)); /* the sum is used */
}

/* A copy that may be changed, of exactly `size` bytes and a NUL if wanted; to be freed. */
static inline char *fuzz_copy(const uint8_t *data, size_t size, bool nul)
{
    FUZZ_MUST(size < PTRDIFF_MAX);
    char *copy = malloc(size + nul);
    FUZZ_MUST(copy || !(size + nul));
    if (size) memcpy(copy, data, size);
    if (nul) copy[size] = 0;
    return copy;
}

#endif
