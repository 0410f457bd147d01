/*
 * How metrics are written down: Prometheus' text format 0.0.4, or OpenMetrics 1.0.0.
 *
 * Names are given as 0.0.4 has them: counters end in "_total", what says who somebody is in
 * "_info"; OpenMetrics' families lack these, and name the unit that a name ends in.
 */
#ifndef R2_SERVER_EXPOSITION_H
#define R2_SERVER_EXPOSITION_H

#include <stdbool.h>

#include "base/text.h"

#define R2_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define R2_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct r2_exposition {
    struct r2_text *text; /* borrowed */
    bool open;            /* OpenMetrics */
};

/* What stands before the samples of a metric; type "counter", "gauge", "histogram" or "info". */
void r2_exposition_head(const struct r2_exposition *out, const char *name, const char *type,
                        const char *help);

/* A metric with one sample and no labels. */
void r2_exposition_number(const struct r2_exposition *out, const char *name, const char *type,
                          const char *help, double value);

/* One label, its value escaped (NULL: ""); `before` is what separates it from the text so far. */
void r2_exposition_label(const struct r2_exposition *out, const char *before, const char *name,
                         const char *value);

/* `,le="0.5"`: a bucket's bound; INFINITY is the last's. */
void r2_exposition_bound(const struct r2_exposition *out, double bound);

/* After all metrics. */
void r2_exposition_end(const struct r2_exposition *out);

#endif
