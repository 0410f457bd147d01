#include "server/queue.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"

struct slot {
    void *item;
    size_t bytes;
};

struct r2_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    /* Under the lock. A ring of `room` slots, at least as many as were ever allowed to wait. */
    struct slot *slots;
    size_t room, first, length;
    size_t capacity, bytes, max_bytes;
    unsigned pokes;
    bool closed;
};

enum r2_status r2_queue_create(size_t capacity, size_t max_bytes, struct r2_queue **ret,
                               struct r2_error *err)
{
    struct r2_queue *queue;
    if (capacity < 1) capacity = 1;
    R2_TRY(r2_alloc(1, sizeof *queue, "queue", &queue, err));
    if (r2_alloc(capacity, sizeof *queue->slots, "queue", &queue->slots, err) != R2_OK) {
        free(queue);
        return err->status;
    }
    queue->room = queue->capacity = capacity;
    queue->max_bytes = max_bytes ? max_bytes : SIZE_MAX;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    *ret = queue;
    return R2_OK;
}

void r2_queue_destroy(struct r2_queue *queue)
{
    if (!queue) return;
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
    free(queue->slots);
    free(queue);
}

/* A ring twice as large, the oldest item first. */
static enum r2_status grow(struct r2_queue *queue, struct r2_error *err)
{
    struct slot *slots;
    size_t room = queue->room * 2;
    R2_TRY(r2_alloc(room, sizeof *slots, "queue", &slots, err));
    for (size_t i = 0; i < queue->length; i++)
        slots[i] = queue->slots[(queue->first + i) % queue->room];
    free(queue->slots);
    queue->slots = slots;
    queue->room = room;
    queue->first = 0;
    return R2_OK;
}

static enum r2_status push_locked(struct r2_queue *queue, void *item, size_t bytes,
                                  struct r2_error *err)
{
    size_t total;
    if (queue->closed) return r2_fail(err, R2_BUSY, "the service is shutting down");
    if (queue->length >= queue->capacity)
        return r2_fail(err, R2_BUSY, "the queue is full: %zu of %zu jobs wait", queue->length,
                       queue->capacity);
    if (!r2_size_add(queue->bytes, bytes, &total) || (queue->length && total > queue->max_bytes))
        return r2_fail(err, R2_BUSY, "the queue is full: %zu of %zu bytes wait", queue->bytes,
                       queue->max_bytes);
    if (queue->length == queue->room) R2_TRY(grow(queue, err));
    queue->slots[(queue->first + queue->length) % queue->room] = (struct slot){item, bytes};
    queue->length++;
    queue->bytes = total;
    pthread_cond_signal(&queue->filled);
    return R2_OK;
}

enum r2_status r2_queue_push(struct r2_queue *queue, void *item, size_t bytes, struct r2_error *err)
{
    pthread_mutex_lock(&queue->lock);
    enum r2_status status = push_locked(queue, item, bytes, err);
    pthread_mutex_unlock(&queue->lock);
    return status;
}

static void *take_locked(struct r2_queue *queue)
{
    if (!queue->length) return NULL;
    struct slot slot = queue->slots[queue->first];
    queue->first = (queue->first + 1) % queue->room;
    queue->length--;
    queue->bytes -= slot.bytes;
    return slot.item;
}

enum r2_popped r2_queue_pop(struct r2_queue *queue, unsigned *seen, void **ret_item)
{
    enum r2_popped popped = R2_POPPED_ITEM;
    pthread_mutex_lock(&queue->lock);
    while (!queue->length && !queue->closed && queue->pokes == *seen)
        pthread_cond_wait(&queue->filled, &queue->lock);
    if (queue->length)
        *ret_item = take_locked(queue);
    else if (queue->closed)
        popped = R2_POPPED_END;
    else
        popped = R2_POPPED_POKE;
    if (popped == R2_POPPED_POKE) *seen = queue->pokes;
    pthread_mutex_unlock(&queue->lock);
    return popped;
}

void r2_queue_poke(struct r2_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->pokes++;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

bool r2_queue_remove(struct r2_queue *queue, const void *item)
{
    pthread_mutex_lock(&queue->lock);
    size_t at = 0;
    while (at < queue->length && queue->slots[(queue->first + at) % queue->room].item != item) at++;
    bool found = at < queue->length;
    if (found) {
        queue->bytes -= queue->slots[(queue->first + at) % queue->room].bytes;
        for (size_t i = at; i + 1 < queue->length; i++)
            queue->slots[(queue->first + i) % queue->room] =
                queue->slots[(queue->first + i + 1) % queue->room];
        queue->length--;
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

void *r2_queue_try_pop(struct r2_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    void *item = take_locked(queue);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void r2_queue_close(struct r2_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

void r2_queue_set_capacity(struct r2_queue *queue, size_t capacity)
{
    pthread_mutex_lock(&queue->lock);
    queue->capacity = capacity ? capacity : 1;
    pthread_mutex_unlock(&queue->lock);
}

size_t r2_queue_length(struct r2_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t length = queue->length;
    pthread_mutex_unlock(&queue->lock);
    return length;
}

size_t r2_queue_capacity(struct r2_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t capacity = queue->capacity;
    pthread_mutex_unlock(&queue->lock);
    return capacity;
}
