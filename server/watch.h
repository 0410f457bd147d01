/*
 * The watch: notices clients that leave while their requests wait or are computed.
 *
 * libmicrohttpd does not look at a suspended connection, so its socket is watched here. A client
 * that shuts down its sending side only (`nc -N`) counts as one that has left: libmicrohttpd, which
 * polls for the same event, closes such a connection as soon as it is resumed.
 */
#ifndef R2_SERVER_WATCH_H
#define R2_SERVER_WATCH_H

#include "base/error.h"
#include "server/job.h"

struct r2_watch;

/* Starts the thread that watches. `on_left` is called on it, at most once a job, and not after
   r2_watch_remove has returned. */
enum r2_status r2_watch_create(void (*on_left)(void *context, struct r2_job *job), void *context,
                               struct r2_watch **ret, struct r2_error *err);
void r2_watch_destroy(struct r2_watch *watch); /* nothing may be watched; takes NULL */

/* Watches job->socket from now on. Without memory or descriptors it is not watched. */
void r2_watch_add(struct r2_watch *watch, struct r2_job *job);

/* Nothing happens when it is not watched (any more). */
void r2_watch_remove(struct r2_watch *watch, struct r2_job *job);

#endif
