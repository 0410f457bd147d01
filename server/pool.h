/*
 * Threads: the one place where the program starts any.
 *
 * (libmicrohttpd starts its own, and so does oneDNN through OpenMP.) Every thread inherits the mask
 * of its creator; the program blocks its signals before, so that only the main thread sees them.
 */
#ifndef R2_SERVER_POOL_H
#define R2_SERVER_POOL_H

#include "base/error.h"

struct r2_pool;

/* Starts `count` threads that run(context, index), index 0..count-1, and return; they are
   called "name-index" (name: at most 9 characters). When one cannot be
   started, `stop` (may be NULL) is called to end those that already run; they are waited for. */
enum r2_status r2_pool_start(const char *name, unsigned count,
                             void (*run)(void *context, unsigned index),
                             void (*stop)(void *context), void *context, struct r2_pool **ret,
                             struct r2_error *err);

/* Waits until all have returned, and frees the pool; takes NULL. */
void r2_pool_join(struct r2_pool *pool);

#endif
