/*
 * Monotonic time in nanoseconds.
 */
#ifndef R2_BASE_CLOCK_H
#define R2_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t r2_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline double r2_ns_to_ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static inline double r2_ns_to_s(uint64_t ns)
{
    return (double)ns / 1e9;
}

#endif
