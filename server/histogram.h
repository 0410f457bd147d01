/*
 * A histogram of durations in the manner of Prometheus. Observed and read without locks.
 */
#ifndef R2_SERVER_HISTOGRAM_H
#define R2_SERVER_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/exposition.h"

/* Upper bounds in seconds; they never change between scrapes. The last bucket is +Inf. */
enum { R2_HISTOGRAM_BUCKETS = 18 };
extern const double r2_histogram_bounds[R2_HISTOGRAM_BUCKETS - 1];

/* Zero-initialised is empty. */
struct r2_histogram {
    atomic_uint_fast64_t buckets[R2_HISTOGRAM_BUCKETS]; /* of its own range, not cumulative */
    atomic_uint_fast64_t sum_ns;
};

void r2_histogram_observe(struct r2_histogram *histogram, uint64_t ns);

/* Adds the lines name_bucket, name_sum and name_count; `label` is like `stage="queue"`. The count
   is that of the +Inf bucket also while others observe. */
void r2_histogram_render(struct r2_histogram *histogram, const char *name, const char *label,
                         const struct r2_exposition *out);

#endif
