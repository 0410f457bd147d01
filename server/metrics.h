/*
 * What /metrics shows: counters and histograms, counted without locks when requests end.
 *
 * Every combination of labels is known beforehand and starts at 0.
 */
#ifndef R2_SERVER_METRICS_H
#define R2_SERVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/decode.h"
#include "server/exposition.h"
#include "server/times.h"

enum r2_rejection {
    R2_REJECTED_QUEUE_FULL,
    R2_REJECTED_LOADING,
    R2_REJECTED_DRAINING,
    R2_REJECTED_TOO_LARGE,
    R2_REJECTED_DEADLINE, /* expired in the queue, never computed */
    R2_REJECTION_COUNT
};

/* Where a request was when its client was found to have left. */
enum r2_cancellation {
    R2_CANCELLED_RECEIVE,
    R2_CANCELLED_QUEUE,
    R2_CANCELLED_COMPUTE,
    R2_CANCELLED_SEND,
    R2_CANCELLATION_COUNT
};

struct r2_metrics;

enum r2_status r2_metrics_create(struct r2_metrics **ret, struct r2_error *err);
void r2_metrics_destroy(struct r2_metrics *metrics); /* takes NULL */

/* A request began; it ends with r2_metrics_request. */
void r2_metrics_begin(struct r2_metrics *metrics);
void r2_metrics_request(struct r2_metrics *metrics, size_t route, unsigned code, uint64_t ns);

void r2_metrics_stages(struct r2_metrics *metrics, const struct r2_times *times);
void r2_metrics_rejected(struct r2_metrics *metrics, enum r2_rejection reason);
void r2_metrics_cancelled(struct r2_metrics *metrics, enum r2_cancellation where);
/* A reload ended; ok: the new snapshot is served. */
void r2_metrics_reloaded(struct r2_metrics *metrics, bool ok);
void r2_metrics_decode_error(struct r2_metrics *metrics, enum r2_format format);
void r2_metrics_computed(struct r2_metrics *metrics, unsigned trunk_passes, unsigned plan_hits,
                         unsigned plan_misses);
void r2_metrics_busy(struct r2_metrics *metrics, uint64_t ns);

/* Requests that began and have not ended. */
size_t r2_metrics_in_flight(struct r2_metrics *metrics);

/* What others know at the time of a scrape; texts may be NULL while no model is loaded. */
struct r2_metrics_now {
    size_t queue_length, queue_capacity;
    double cpu_quota_cores;
    const char *version, *onednn, *isa;
    const char *model, *model_version, *arch, *precision;
};

/* Adds all metrics. */
void r2_metrics_render(struct r2_metrics *metrics, const struct r2_metrics_now *now,
                       const struct r2_exposition *out);

#endif
