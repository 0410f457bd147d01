/*
 * The end of a request: its metrics and its one line in the log.
 */
#include "base/clock.h"
#include "base/log.h"
#include "server/routes.h"
#include "server/service.h"

static enum r2_log_level level_of(unsigned code)
{
    return code >= 500 && code != 503 ? R2_LOG_ERROR : code == 503 ? R2_LOG_WARN : R2_LOG_INFO;
}

static void write_line(const struct r2_job *job, unsigned code, const char *ended,
                       uint64_t total_ns)
{
    struct r2_log_field fields[R2_LOG_FIELDS + 1];
    size_t count = 0;
    bool sent = code == job->reply.code;
    fields[count++] = R2_LOG_TEXT("id", job->id);
    fields[count++] = R2_LOG_TEXT("method", job->method);
    fields[count++] = R2_LOG_TEXT("route", r2_route_at(job->route)->label);
    fields[count++] = R2_LOG_TEXT("path", job->path);
    fields[count++] = R2_LOG_COUNT("status", code);
    fields[count++] = R2_LOG_COUNT("bytes_in", job->size);
    fields[count++] = R2_LOG_COUNT("bytes_out", sent ? job->reply.size : 0);
    if (job->width) {
        fields[count++] = R2_LOG_COUNT("width", job->width);
        fields[count++] = R2_LOG_COUNT("height", job->height);
        fields[count++] = R2_LOG_COUNT("threads", job->work.threads);
    }
    fields[count++] = R2_LOG_MS("receive_ms", r2_times_ms(&job->times, R2_STAGE_RECEIVE));
    fields[count++] = R2_LOG_MS("queue_ms", r2_times_ms(&job->times, R2_STAGE_QUEUE));
    fields[count++] = R2_LOG_MS("decode_ms", r2_times_ms(&job->times, R2_STAGE_DECODE));
    fields[count++] = R2_LOG_MS("preprocess_ms", r2_times_ms(&job->times, R2_STAGE_PREPROCESS));
    fields[count++] = R2_LOG_MS("backbone_ms", r2_times_ms(&job->times, R2_STAGE_BACKBONE));
    fields[count++] = R2_LOG_MS("head_ms", r2_times_ms(&job->times, R2_STAGE_HEAD));
    fields[count++] = R2_LOG_MS("encode_ms", r2_times_ms(&job->times, R2_STAGE_ENCODE));
    fields[count++] = R2_LOG_MS("total_ms", r2_ns_to_ms(total_ns));
    if (ended) fields[count++] = R2_LOG_TEXT("ended", ended);
    if (job->reply.warning) fields[count++] = R2_LOG_TEXT("warning", job->reply.warning);
    if (job->reply.detail[0]) fields[count++] = R2_LOG_TEXT("detail", job->reply.detail);
    fields[count] = R2_LOG_END;
    r2_log_fields(level_of(code), "request", fields);
}

void r2_service_record(struct r2_service *service, struct r2_job *job, enum r2_ending ending)
{
    static const char *const words[] = {
        [R2_ENDED_SENT] = NULL,           [R2_ENDED_TIMEOUT] = "timeout",
        [R2_ENDED_LEFT] = "client left",  [R2_ENDED_CUT] = "body too long",
        [R2_ENDED_SHUTDOWN] = "shutdown",
    };
    /* What is counted for a request that got no answer; one that got its answer from libmicrohttpd
       itself was malformed. */
    static const unsigned codes[] = {
        [R2_ENDED_SENT] = 400, [R2_ENDED_TIMEOUT] = 408,  [R2_ENDED_LEFT] = 499,
        [R2_ENDED_CUT] = 413,  [R2_ENDED_SHUTDOWN] = 503,
    };
    uint64_t total_ns = r2_clock_ns() - job->start_ns;
    bool stalled = ending == R2_ENDED_TIMEOUT && job->reply.code; /* it reads no further */
    unsigned code = job->reply.code ? job->reply.code : codes[ending];
    if (ending == R2_ENDED_LEFT || stalled) {
        enum r2_cancellation where = job->reply.code ? R2_CANCELLED_SEND : R2_CANCELLED_RECEIVE;
        if (job->cancelled != R2_CANCELLATION_COUNT) where = job->cancelled;
        r2_metrics_cancelled(service->metrics, where);
    }
    r2_metrics_stages(service->metrics, &job->times);
    r2_metrics_request(service->metrics, job->route, code, total_ns);
    write_line(job, code, words[ending], total_ns);
}
