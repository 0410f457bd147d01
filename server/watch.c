#include "server/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "server/pool.h"

enum { EVENTS = 64, STOP = 0 /* the ticket of the eventfd */ };

struct r2_watch {
    void (*on_left)(void *context, struct r2_job *job);
    void *context;
    int epoll, stop; /* descriptors */
    struct r2_pool *thread;
    pthread_mutex_t lock;
    /* Under the lock. An event tells a ticket, which no two jobs share: it may come when its job
       is long gone. */
    struct r2_job *first;
    uint64_t tickets;
};

static void unlink_locked(struct r2_watch *watch, struct r2_job *job)
{
    *(job->watched.before ? &job->watched.before->watched.after : &watch->first) =
        job->watched.after;
    if (job->watched.after) job->watched.after->watched.before = job->watched.before;
    epoll_ctl(watch->epoll, EPOLL_CTL_DEL, job->socket, NULL);
    memset(&job->watched, 0, sizeof job->watched);
}

static void leave(struct r2_watch *watch, uint64_t ticket)
{
    pthread_mutex_lock(&watch->lock);
    struct r2_job *job = watch->first;
    while (job && job->watched.ticket != ticket) job = job->watched.after;
    if (job) {
        unlink_locked(watch, job);
        watch->on_left(watch->context, job);
    }
    pthread_mutex_unlock(&watch->lock);
}

static void run(void *context, unsigned index)
{
    struct r2_watch *watch = context;
    struct epoll_event events[EVENTS];
    (void)index;
    for (;;) {
        int count = epoll_wait(watch->epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) return;
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == STOP) return;
            leave(watch, events[i].data.u64);
        }
    }
}

static enum r2_status start(struct r2_watch *watch, struct r2_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = STOP};
    watch->epoll = epoll_create1(EPOLL_CLOEXEC);
    watch->stop = eventfd(0, EFD_CLOEXEC);
    if (watch->epoll < 0 || watch->stop < 0 ||
        epoll_ctl(watch->epoll, EPOLL_CTL_ADD, watch->stop, &event) != 0)
        return r2_fail(err, R2_IO, "the watch for leaving clients: %s", strerror(errno));
    return r2_pool_start("watch", 1, run, NULL, watch, &watch->thread, err);
}

enum r2_status r2_watch_create(void (*on_left)(void *context, struct r2_job *job), void *context,
                               struct r2_watch **ret, struct r2_error *err)
{
    struct r2_watch *watch;
    R2_TRY(r2_alloc(1, sizeof *watch, "watch", &watch, err));
    watch->on_left = on_left;
    watch->context = context;
    pthread_mutex_init(&watch->lock, NULL);
    if (start(watch, err) != R2_OK) {
        r2_watch_destroy(watch);
        return err->status;
    }
    *ret = watch;
    return R2_OK;
}

void r2_watch_destroy(struct r2_watch *watch)
{
    if (!watch) return;
    if (watch->thread && eventfd_write(watch->stop, 1) == 0) r2_pool_join(watch->thread);
    if (watch->epoll >= 0) close(watch->epoll);
    if (watch->stop >= 0) close(watch->stop);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void r2_watch_add(struct r2_watch *watch, struct r2_job *job)
{
    struct epoll_event event = {.events = EPOLLONESHOT | EPOLLRDHUP};
    pthread_mutex_lock(&watch->lock);
    event.data.u64 = ++watch->tickets;
    if (epoll_ctl(watch->epoll, EPOLL_CTL_ADD, job->socket, &event) == 0) {
        job->watched.ticket = event.data.u64;
        job->watched.after = watch->first;
        if (watch->first) watch->first->watched.before = job;
        watch->first = job;
    }
    pthread_mutex_unlock(&watch->lock);
}

void r2_watch_remove(struct r2_watch *watch, struct r2_job *job)
{
    pthread_mutex_lock(&watch->lock);
    if (job->watched.ticket) unlink_locked(watch, job);
    pthread_mutex_unlock(&watch->lock);
}
