/*
 * Checked sizes, allocation and cleanup attributes.
 */
#ifndef R2_BASE_MEMORY_H
#define R2_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Products and sums of sizes that come from outside: false, and *ret untouched, on overflow. */
static inline bool r2_size_mul(size_t a, size_t b, size_t *ret)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *ret = product;
    return true;
}

static inline bool r2_size_add(size_t a, size_t b, size_t *ret)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *ret = sum;
    return true;
}

/* Zeroed memory for count objects of size bytes, count * size checked. The caller frees with
   free(). Fails with R2_NO_MEMORY, naming `what`. A count of 0 gives a valid pointer. */
enum r2_status r2_alloc(size_t count, size_t size, const char *what, void *ret,
                        struct r2_error *err);

/* Uninitialised memory on a 64-byte boundary (a cache line, a 512-bit vector); free() frees it. */
enum r2_status r2_alloc_aligned(size_t size, const char *what, void *ret, struct r2_error *err);

/* Gives ownership away: the variable becomes NULL, its old value is the result. */
#define R2_TAKE(pointer)                                                                           \
    __extension__({                                                                                \
        __typeof__(pointer) *r2_take_ = &(pointer);                                                \
        __typeof__(pointer) r2_taken_ = *r2_take_;                                                 \
        *r2_take_ = NULL;                                                                          \
        r2_taken_;                                                                                 \
    })

/* Calls fn(&variable) when the variable goes out of scope. */
#define R2_CLEANUP(fn) __attribute__((cleanup(fn)))

/* free() when it goes out of scope: R2_AUTOFREE char *text = ...; */
void r2_free_pointer(void *pointer_to_pointer);
#define R2_AUTOFREE R2_CLEANUP(r2_free_pointer)

#define R2_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
