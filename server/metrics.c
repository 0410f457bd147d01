#include "server/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "server/histogram.h"
#include "server/process.h"
#include "server/routes.h"

#define P "res2netd_"

/* Whose answers have which code, so that no impossible combination is shown. */
enum { OF_PAGE = 1, OF_POST = 2, OF_OTHER = 4 };

static const struct {
    unsigned code;
    unsigned of;
} codes[] = {
    {200, OF_PAGE | OF_POST},
    {204, OF_PAGE | OF_POST | OF_OTHER},
    {400, OF_POST},
    {404, OF_POST | OF_OTHER},
    {405, OF_PAGE | OF_POST},
    {406, OF_POST},
    {408, OF_PAGE | OF_POST | OF_OTHER},
    {413, OF_POST},
    {415, OF_POST},
    {422, OF_POST},
    {499, OF_PAGE | OF_POST | OF_OTHER},
    {500, OF_PAGE | OF_POST},
    {503, OF_PAGE | OF_POST | OF_OTHER},
    {504, OF_POST},
};

enum { ROUTES_MAX = 32 };

static const char *const rejections[R2_REJECTION_COUNT] = {
    [R2_REJECTED_QUEUE_FULL] = "queue_full", [R2_REJECTED_LOADING] = "loading",
    [R2_REJECTED_DRAINING] = "draining",     [R2_REJECTED_TOO_LARGE] = "too_large",
    [R2_REJECTED_DEADLINE] = "deadline",
};

static const char *const cancellations[R2_CANCELLATION_COUNT] = {
    [R2_CANCELLED_RECEIVE] = "receive",
    [R2_CANCELLED_QUEUE] = "queue",
    [R2_CANCELLED_COMPUTE] = "compute",
    [R2_CANCELLED_SEND] = "send",
};

static const char *const formats[R2_FORMAT_COUNT] = {
    [R2_FORMAT_UNKNOWN] = "unknown", [R2_FORMAT_JPEG] = "jpeg", [R2_FORMAT_PNG] = "png",
    [R2_FORMAT_WEBP] = "webp",       [R2_FORMAT_GIF] = "gif",   [R2_FORMAT_HEIC] = "heic",
    [R2_FORMAT_AVIF] = "avif",       [R2_FORMAT_JXL] = "jxl",   [R2_FORMAT_BMP] = "bmp",
    [R2_FORMAT_TIFF] = "tiff",
};

static const char *const reloads[] = {"ok", "error"};

struct r2_metrics {
    atomic_uint_fast64_t requests[ROUTES_MAX][R2_COUNT(codes)];
    struct r2_histogram durations[ROUTES_MAX];
    struct r2_histogram stages[R2_STAGE_COUNT];
    atomic_uint_fast64_t rejected[R2_REJECTION_COUNT];
    atomic_uint_fast64_t cancelled[R2_CANCELLATION_COUNT];
    atomic_uint_fast64_t decode_errors[R2_FORMAT_COUNT];
    atomic_uint_fast64_t reloaded[R2_COUNT(reloads)];
    atomic_uint_fast64_t plan_hits, plan_misses, trunk_passes, busy_ns;
    atomic_size_t in_flight;
};

enum r2_status r2_metrics_create(struct r2_metrics **ret, struct r2_error *err)
{
    if (r2_route_count() > ROUTES_MAX)
        return r2_fail(err, R2_INTERNAL, "metrics: %zu routes, room for %d", r2_route_count(),
                       ROUTES_MAX);
    return r2_alloc(1, sizeof(struct r2_metrics), "metrics", ret, err);
}

void r2_metrics_destroy(struct r2_metrics *metrics)
{
    free(metrics);
}

static void add(atomic_uint_fast64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static uint64_t get(atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void r2_metrics_begin(struct r2_metrics *metrics)
{
    atomic_fetch_add(&metrics->in_flight, 1);
}

void r2_metrics_request(struct r2_metrics *metrics, size_t route, unsigned code, uint64_t ns)
{
    size_t i = 0;
    while (i < R2_COUNT(codes) - 1 && codes[i].code != code) i++;
    add(&metrics->requests[route][i], 1);
    r2_histogram_observe(&metrics->durations[route], ns);
    atomic_fetch_sub(&metrics->in_flight, 1);
}

void r2_metrics_stages(struct r2_metrics *metrics, const struct r2_times *times)
{
    for (int i = 0; i < R2_STAGE_COUNT; i++)
        if (times->ns[i] >= 0) r2_histogram_observe(&metrics->stages[i], (uint64_t)times->ns[i]);
}

void r2_metrics_rejected(struct r2_metrics *metrics, enum r2_rejection reason)
{
    add(&metrics->rejected[reason], 1);
}

void r2_metrics_cancelled(struct r2_metrics *metrics, enum r2_cancellation where)
{
    add(&metrics->cancelled[where], 1);
}

void r2_metrics_reloaded(struct r2_metrics *metrics, bool ok)
{
    add(&metrics->reloaded[ok ? 0 : 1], 1);
}

void r2_metrics_decode_error(struct r2_metrics *metrics, enum r2_format format)
{
    add(&metrics->decode_errors[format], 1);
}

void r2_metrics_computed(struct r2_metrics *metrics, unsigned trunk_passes, unsigned plan_hits,
                         unsigned plan_misses)
{
    add(&metrics->trunk_passes, trunk_passes);
    add(&metrics->plan_hits, plan_hits);
    add(&metrics->plan_misses, plan_misses);
}

void r2_metrics_busy(struct r2_metrics *metrics, uint64_t ns)
{
    add(&metrics->busy_ns, ns);
}

size_t r2_metrics_in_flight(struct r2_metrics *metrics)
{
    return atomic_load(&metrics->in_flight);
}

static void counters(const struct r2_exposition *out, const char *name, const char *help,
                     const char *label, const char *const *values, atomic_uint_fast64_t *of,
                     size_t count)
{
    r2_exposition_head(out, name, "counter", help);
    for (size_t i = 0; i < count; i++)
        r2_text_add(out->text, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, values[i], get(&of[i]));
}

static unsigned class_of(const struct r2_route *route)
{
    if (!route->path) return OF_OTHER;
    return route->page ? OF_PAGE : OF_POST;
}

static void render_requests(struct r2_metrics *metrics, const struct r2_exposition *out)
{
    char labels[64];
    r2_exposition_head(out, P "requests_total", "counter",
                       "Requests that ended, by route and HTTP status.");
    for (size_t route = 0; route < r2_route_count(); route++) {
        unsigned class = class_of(r2_route_at(route));
        for (size_t i = 0; i < R2_COUNT(codes); i++) {
            uint64_t count = get(&metrics->requests[route][i]);
            if (count || (codes[i].of & class))
                r2_text_add(out->text, P "requests_total{route=\"%s\",code=\"%u\"} %" PRIu64 "\n",
                            r2_route_at(route)->label, codes[i].code, count);
        }
    }
    r2_exposition_head(out, P "request_duration_seconds", "histogram",
                       "From a request's first line to the last byte of its answer.");
    for (size_t route = 0; route < r2_route_count(); route++) {
        snprintf(labels, sizeof labels, "route=\"%s\"", r2_route_at(route)->label);
        r2_histogram_render(&metrics->durations[route], P "request_duration_seconds", labels, out);
    }
    r2_exposition_head(out, P "stage_duration_seconds", "histogram",
                       "Time in each stage of a request.");
    for (int stage = 0; stage < R2_STAGE_COUNT; stage++) {
        snprintf(labels, sizeof labels, "stage=\"%s\"", r2_stage_name((enum r2_stage)stage));
        r2_histogram_render(&metrics->stages[stage], P "stage_duration_seconds", labels, out);
    }
}

static void render_work(struct r2_metrics *metrics, const struct r2_metrics_now *now,
                        const struct r2_exposition *out)
{
    r2_exposition_number(out, P "queue_length", "gauge", "Jobs that wait.",
                         (double)now->queue_length);
    r2_exposition_number(out, P "queue_capacity", "gauge", "Jobs that may wait.",
                         (double)now->queue_capacity);
    r2_exposition_number(out, P "requests_in_flight", "gauge",
                         "Requests that began and have not ended.",
                         (double)r2_metrics_in_flight(metrics));
    counters(out, P "rejected_total", "Requests refused for want of capacity or by a limit.",
             "reason", rejections, metrics->rejected, R2_REJECTION_COUNT);
    counters(out, P "cancelled_total", "Requests whose client left, by where they were.", "where",
             cancellations, metrics->cancelled, R2_CANCELLATION_COUNT);
    counters(out, P "decode_errors_total", "Bodies that could not be decoded.", "format", formats,
             metrics->decode_errors, R2_FORMAT_COUNT);
    r2_exposition_number(out, P "plan_cache_hits_total", "counter",
                         "Passes that found their plan compiled.",
                         (double)get(&metrics->plan_hits));
    r2_exposition_number(out, P "plan_cache_misses_total", "counter",
                         "Plans compiled for a request.", (double)get(&metrics->plan_misses));
    r2_exposition_number(out, P "worker_busy_seconds_total", "counter",
                         "Time that workers spent on jobs.", (double)get(&metrics->busy_ns) / 1e9);
    r2_exposition_number(out, P "trunk_passes_total", "counter", "Runs of a backbone.",
                         (double)get(&metrics->trunk_passes));
    counters(out, P "reloads_total", "Reloads of the configuration and the model.", "result",
             reloads, metrics->reloaded, R2_COUNT(reloads));
    r2_exposition_number(out, P "cpu_quota_cores", "gauge",
                         "Cores that affinity and control groups grant.", now->cpu_quota_cores);
}

static void render_info(const struct r2_metrics_now *now, const struct r2_exposition *out)
{
    r2_exposition_head(out, P "build_info", "info", "The program; always 1.");
    r2_exposition_label(out, P "build_info{", "version", now->version);
    r2_exposition_label(out, ",", "onednn", now->onednn);
    r2_exposition_label(out, ",", "isa", now->isa);
    r2_text_add(out->text, "} 1\n");
    r2_exposition_head(out, P "model_info", "info", "The model that is served; always 1.");
    if (!now->model) return;
    r2_exposition_label(out, P "model_info{", "model", now->model);
    r2_exposition_label(out, ",", "version", now->model_version);
    r2_exposition_label(out, ",", "arch", now->arch);
    r2_exposition_label(out, ",", "precision", now->precision);
    r2_text_add(out->text, "} 1\n");
}

void r2_metrics_render(struct r2_metrics *metrics, const struct r2_metrics_now *now,
                       const struct r2_exposition *out)
{
    render_requests(metrics, out);
    render_work(metrics, now, out);
    render_info(now, out);
    r2_process_render(out);
    r2_exposition_end(out);
}
