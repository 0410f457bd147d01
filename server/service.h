/*
 * The service: what requests share. The model, its readiness, the queue, the metrics, the load.
 *
 * How the CPUs are shared out. Without settings there is one worker a CPU. A job that starts while
 * no other worker is busy and nothing waits is computed by `threads_alone` threads, any other by
 * `threads`; so workers x threads never exceed the CPUs, save while a second job joins a lone one.
 */
#ifndef R2_SERVER_SERVICE_H
#define R2_SERVER_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/font.h"
#include "server/cpus.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/queue.h"
#include "server/snapshot.h"
#include "server/watch.h"

#ifndef R2_VERSION
#define R2_VERSION "0.0.0" /* the build says which */
#endif

/* Every state answers /livez and /metrics. */
enum r2_state {
    R2_STATE_LOADING,  /* the model is loaded and warmed; work is refused */
    R2_STATE_READY,    /* takes work */
    R2_STATE_LEAVING,  /* takes work, but /readyz says no, so that balancers turn away */
    R2_STATE_DRAINING, /* refuses new work, finishes what was accepted */
};

struct r2_shares {
    unsigned workers, threads, threads_alone;
};

/* Shares out the CPUs by settings.workers and settings.threads, each of which may be R2_AUTO. */
struct r2_shares r2_shares_plan(const struct r2_settings *settings, unsigned cpus);

struct r2_service {
    struct r2_cpus cpus;
    struct r2_shares shares;
    struct r2_queue *queue;
    struct r2_metrics *metrics;
    struct r2_watch *watch; /* for clients that leave */
    struct r2_font font;    /* of labels; empty: there is none here */

    pthread_mutex_t lock;
    struct r2_snapshot *current; /* counted; under the lock */

    atomic_int state;             /* enum r2_state */
    atomic_uint busy;             /* workers with a job */
    atomic_uint_fast64_t mean_ns; /* of a job's time with a worker, exponential; 0 = unknown */
};

/* Takes over a reference to the first snapshot, whose model need not be loaded yet; also on
   failure. Starts the watch. */
enum r2_status r2_service_init(struct r2_service *service, struct r2_snapshot *snapshot,
                               struct r2_error *err);
void r2_service_finish(struct r2_service *service);

/* What new requests are served by; a new reference. */
struct r2_snapshot *r2_service_snapshot(struct r2_service *service);

/* Requests that begin from now on are served by this snapshot. Takes the reference. */
void r2_service_publish(struct r2_service *service, struct r2_snapshot *snapshot);

enum r2_state r2_service_state(const struct r2_service *service);

/* Takes work from now on, unless a signal came before. */
void r2_service_set_ready(struct r2_service *service);
void r2_service_set_state(struct r2_service *service, enum r2_state state);

/* A job took this long: renews the mean, and the queue's capacity where it is automatic. */
void r2_service_measure(struct r2_service *service, uint64_t ns);

/* Seconds after which a refused client may come again: what the queue takes, at least 1. */
unsigned r2_service_retry_after(const struct r2_service *service);

/* The body is complete: sets the deadline, and gives the job to the workers and its connection to
   the watch. job->wake is called once it has a reply, or the client has left. False: the job has a
   reply, and wake is not called. After true the job is no longer the caller's. */
bool r2_service_submit(struct r2_service *service, struct r2_job *job);

/* On a worker's thread: finds the picture in the body and checks that. False: the job has a reply.
 */
bool r2_service_unpack(struct r2_service *service, struct r2_job *job);

/* A worker is done with the job, or it was refused while it waited. */
void r2_service_return(struct r2_service *service, struct r2_job *job);

/* Refuses a job for want of capacity: 503, Retry-After, counted. */
void r2_service_refuse(struct r2_service *service, struct r2_job *job, enum r2_rejection reason,
                       const char *detail);

/* How a request ended on the wire. */
enum r2_ending {
    R2_ENDED_SENT,
    R2_ENDED_TIMEOUT,  /* the client was silent or slow */
    R2_ENDED_LEFT,     /* the client closed */
    R2_ENDED_CUT,      /* a refused body was too long to swallow */
    R2_ENDED_SHUTDOWN, /* this process ends */
};

/* Counts and logs a request that has ended, once. */
void r2_service_record(struct r2_service *service, struct r2_job *job, enum r2_ending ending);

#endif
