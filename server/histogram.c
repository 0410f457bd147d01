#include "server/histogram.h"

#include <inttypes.h>
#include <math.h>

/* OpenTelemetry's advice for HTTP servers, with four more for the short stages. */
const double r2_histogram_bounds[R2_HISTOGRAM_BUCKETS - 1] = {
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
    0.1,     0.25,   0.5,   0.75,   1,     2.5,  5,     10,
};

void r2_histogram_observe(struct r2_histogram *histogram, uint64_t ns)
{
    int bucket = 0;
    double seconds = (double)ns / 1e9;
    while (bucket < R2_HISTOGRAM_BUCKETS - 1 && seconds > r2_histogram_bounds[bucket]) bucket++;
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

void r2_histogram_render(struct r2_histogram *histogram, const char *name, const char *label,
                         const struct r2_exposition *out)
{
    uint64_t total = 0;
    uint64_t sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
    for (int i = 0; i < R2_HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        r2_text_add(out->text, "%s_bucket{%s", name, label);
        r2_exposition_bound(out, i < R2_HISTOGRAM_BUCKETS - 1 ? r2_histogram_bounds[i] : INFINITY);
        r2_text_add(out->text, "} %" PRIu64 "\n", total);
    }
    r2_text_add(out->text, "%s_sum{%s} %.9f\n", name, label, (double)sum_ns / 1e9);
    r2_text_add(out->text, "%s_count{%s} %" PRIu64 "\n", name, label, total);
}
