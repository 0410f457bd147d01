#include "server/job.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "server/problem.h"

static const char no_memory_body[] =
    "{\"type\":\"urn:res2netd:problem:unavailable\",\"title\":\"Service Unavailable\","
    "\"status\":503,\"detail\":\"out of memory\",\"error\":\"out of memory\"}";

struct r2_job *r2_job_create(struct r2_snapshot *snapshot)
{
    struct r2_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->start_ns = r2_clock_ns();
    job->snapshot = r2_snapshot_ref(snapshot);
    job->orient = true;
    job->protocol = &r2_native_protocol;
    job->cancelled = R2_CANCELLATION_COUNT;
    job->socket = -1;
    r2_times_init(&job->times);
    return job;
}

void r2_job_destroy(struct r2_job *job)
{
    if (!job) return;
    if (job->work.model) r2_work_finish(&job->work);
    r2_query_finish(&job->query);
    r2_buffer_finish(&job->body);
    free(job->accept);
    free(job->reply.data);
    r2_snapshot_unref(job->snapshot);
    free(job);
}

static bool is_acceptable_id(const char *id)
{
    size_t size = strlen(id);
    if (size < 1 || size >= R2_ID_SIZE) return false;
    for (size_t i = 0; i < size; i++)
        if (id[i] < 0x20 || id[i] > 0x7E) return false;
    return true;
}

static void make_id(char ret[R2_ID_SIZE])
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes) {
        /* Early at boot: unique here, if not anywhere. */
        static atomic_uint_fast64_t count;
        uint64_t parts[2] = {r2_clock_ns(), atomic_fetch_add(&count, 1)};
        memcpy(bytes, parts, sizeof bytes);
    }
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

void r2_job_set_id(struct r2_job *job, const char *wanted)
{
    if (wanted && is_acceptable_id(wanted))
        memcpy(job->id, wanted, strlen(wanted) + 1);
    else
        make_id(job->id);
}

void r2_job_reply(struct r2_job *job, unsigned code, const char *type, char *text)
{
    struct r2_reply *reply = &job->reply;
    free(reply->data);
    if (!text) {
        code = 503;
        type = R2_PROBLEM_TYPE;
        text = strdup(no_memory_body); /* NULL again: a reply without a body */
        reply->retry_after = 1;
        snprintf(reply->detail, sizeof reply->detail, "out of memory");
    }
    reply->code = code;
    reply->type = type;
    reply->data = text;
    reply->size = text ? strlen(text) : 0;
}

void r2_job_reply_picture(struct r2_job *job, const char *type, struct r2_buffer *file)
{
    struct r2_reply *reply = &job->reply;
    reply->code = 200;
    reply->type = type;
    reply->data = (char *)file->data;
    reply->size = file->size;
    *file = (struct r2_buffer){0};
}

void r2_job_refuse(struct r2_job *job, unsigned code, const char *detail)
{
    if (r2_problem_is_temporary(code) && !job->reply.retry_after) job->reply.retry_after = 1;
    snprintf(job->reply.detail, sizeof job->reply.detail, "%s", detail);
    r2_job_reply(job, code, job->protocol->problem_type,
                 job->protocol->problem(code, detail, job->id));
}

void r2_job_fail(struct r2_job *job, const struct r2_error *err)
{
    r2_job_refuse(job, r2_problem_code(err->status), err->message);
}

void r2_job_cancel(struct r2_job *job, enum r2_cancellation where)
{
    job->cancelled = where;
    r2_buffer_finish(&job->body);
    job->picture = (struct r2_bytes){0};
}
