#include "server/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct member {
    pthread_t thread;
    struct r2_pool *pool;
    unsigned index;
};

struct r2_pool {
    const char *name;
    void (*run)(void *context, unsigned index);
    void *context;
    unsigned count; /* started */
    struct member members[];
};

static void *thread_main(void *argument)
{
    struct member *member = argument;
    char name[16];
    snprintf(name, sizeof name, "%.9s-%u", member->pool->name, member->index);
    pthread_setname_np(pthread_self(), name);
    member->pool->run(member->pool->context, member->index);
    return NULL;
}

enum r2_status r2_pool_start(const char *name, unsigned count,
                             void (*run)(void *context, unsigned index),
                             void (*stop)(void *context), void *context, struct r2_pool **ret,
                             struct r2_error *err)
{
    struct r2_pool *pool;
    R2_TRY(r2_alloc(1, sizeof *pool + count * sizeof *pool->members, "threads", &pool, err));
    pool->name = name;
    pool->run = run;
    pool->context = context;
    while (pool->count < count) {
        struct member *member = &pool->members[pool->count];
        member->pool = pool;
        member->index = pool->count;
        int failure = pthread_create(&member->thread, NULL, thread_main, member);
        if (failure) {
            r2_fail(err, R2_IO, "cannot start %s thread %u of %u: %s", name, pool->count + 1, count,
                    strerror(failure));
            if (stop) stop(context);
            r2_pool_join(pool);
            return err->status;
        }
        pool->count++;
    }
    *ret = pool;
    return R2_OK;
}

void r2_pool_join(struct r2_pool *pool)
{
    if (!pool) return;
    for (unsigned i = 0; i < pool->count; i++) pthread_join(pool->members[i].thread, NULL);
    free(pool);
}
