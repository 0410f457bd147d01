/*
 * A job: one request from its first line to its reply.
 *
 * A job is in one place at a time, and only that place touches it: the HTTP side while it arrives,
 * the queue, one worker, and the HTTP side again from the moment when `wake` is called.
 */
#ifndef R2_SERVER_JOB_H
#define R2_SERVER_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "heads/model.h"
#include "image/decode.h"
#include "server/accept.h"
#include "server/body.h"
#include "server/metrics.h"
#include "server/protocol.h"
#include "server/query.h"
#include "server/snapshot.h"
#include "server/times.h"

enum {
    R2_ID_SIZE = 128 + 1, /* longest request id, and NUL */
    R2_SHOWN_PATH = 256,
    R2_SHOWN_METHOD = 24,
};

struct r2_reply {
    unsigned code;    /* HTTP status; 0 = none yet */
    const char *type; /* Content-Type; static */
    char *data;       /* owned, malloc; what MHD sends takes it over */
    size_t size;
    const char *encoding;       /* Content-Encoding; static, NULL = none */
    const char *vary;           /* Vary; static, NULL = none */
    const char *warning;        /* X-Warning; static, NULL = none */
    const char *allow;          /* of 405 and OPTIONS; static, else NULL */
    unsigned retry_after;       /* seconds; 0 = no such header */
    bool close;                 /* end the connection after it */
    char server_timing[320];    /* "" = no such header */
    char detail[R2_ERROR_SIZE]; /* of an error, for the log; "" = none */
};

struct r2_job {
    struct r2_snapshot *snapshot; /* counted: settings and model that the request is served by */
    char id[R2_ID_SIZE];
    char method[R2_SHOWN_METHOD], path[R2_SHOWN_PATH]; /* printable, cut: for the log */
    size_t route;                                      /* index */
    const struct r2_protocol *protocol;                /* of the route; static */

    struct r2_body_form form; /* what the body is announced to be */
    struct r2_buffer body;
    struct r2_bytes picture; /* the picture's file, in body; set when the body is complete */
    struct r2_query query;   /* parameters, of the query string and of the body */
    struct r2_work work;     /* model == NULL: none */
    bool orient;             /* apply the picture's EXIF orientation */
    bool strict;             /* refuse a truncated picture */
    bool nested;             /* the answer is `results: {task: ...}` */
    char *accept;            /* the header; owned, NULL = none */
    const char *type;        /* of the answer, when it is no problem; static */
    enum r2_coding coding;   /* that the client takes */

    uint64_t start_ns;    /* the request's first line was read (r2_clock_ns) */
    uint64_t received_ns; /* the picture was there; 0 = not yet */
    int64_t timeout_ms;   /* that the client gives us from then on; 0 = it does not say */
    uint64_t deadline_ns; /* 0 = none */
    uint64_t size;        /* bytes of the body, also of one that was not kept */
    struct r2_times times;
    uint32_t width, height; /* of the decoded picture, 0 before */
    bool truncated;         /* the decoded picture: its answer carries a warning */

    struct r2_reply reply;

    atomic_bool left;               /* the client has; set by the watch */
    enum r2_cancellation cancelled; /* where, when the job was given up; else _COUNT */
    int socket;                     /* of the connection, -1 = not known */
    struct {
        struct r2_job *before, *after;
        uint64_t ticket; /* 0 = not watched */
    } watched;           /* the watch's own */

    /* Gives the job, which has its reply or was cancelled, back to the HTTP side. */
    void (*wake)(struct r2_job *job);
    void *connection; /* of the HTTP side */
};

/* Started now, under this snapshot, to which it takes a reference of its own; the id is made unless
   one is set later. NULL without memory. */
struct r2_job *r2_job_create(struct r2_snapshot *snapshot);
void r2_job_destroy(struct r2_job *job); /* takes NULL */

/* Takes the client's id when it is 1..128 printable ASCII characters; makes one otherwise. */
void r2_job_set_id(struct r2_job *job, const char *wanted);

/* Replies with text, which the job takes over; NULL text (no memory was left for it) is a 503. */
void r2_job_reply(struct r2_job *job, unsigned code, const char *type, char *text);

/* Replies with the bytes of a picture of that type, which the job takes over. */
void r2_job_reply_picture(struct r2_job *job, const char *type, struct r2_buffer *file);

/* Replies with a problem of that code, or of the code that belongs to the error's status. */
void r2_job_refuse(struct r2_job *job, unsigned code, const char *detail);
void r2_job_fail(struct r2_job *job, const struct r2_error *err);

/* Gives the job up, without a reply: its client has left. */
void r2_job_cancel(struct r2_job *job, enum r2_cancellation where);

#endif
