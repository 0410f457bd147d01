/*
 * A bounded queue of jobs between the HTTP side and the workers, first in first out.
 *
 * Bounded by number and by bytes: what would pass either limit is refused at once, so that waiting
 * jobs cannot take all memory and no job waits longer than it may.
 */
#ifndef R2_SERVER_QUEUE_H
#define R2_SERVER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct r2_queue;

/* `capacity` jobs (at least 1) and `max_bytes` bytes (0 = any) may wait. */
enum r2_status r2_queue_create(size_t capacity, size_t max_bytes, struct r2_queue **ret,
                               struct r2_error *err);

/* Must be empty, and nobody may wait in it; takes NULL. */
void r2_queue_destroy(struct r2_queue *queue);

/* R2_BUSY when the queue is full or closed: the caller keeps the item then. A single item larger
   than max_bytes passes an empty queue. */
enum r2_status r2_queue_push(struct r2_queue *queue, void *item, size_t bytes,
                             struct r2_error *err);

enum r2_popped {
    R2_POPPED_ITEM,
    R2_POPPED_POKE, /* nothing waits, and the queue was poked since this caller was last told */
    R2_POPPED_END,  /* the queue is closed and empty */
};

/* Waits until there is something to say. `seen`: pokes that the caller knows of, 0 at first. */
enum r2_popped r2_queue_pop(struct r2_queue *queue, unsigned *seen, void **ret_item);

/* Tells everyone who pops, once each, as soon as it has nothing else to do. */
void r2_queue_poke(struct r2_queue *queue);

/* Takes an item out of the middle. False: it is not there. */
bool r2_queue_remove(struct r2_queue *queue, const void *item);

/* An item if there is one, without waiting. */
void *r2_queue_try_pop(struct r2_queue *queue);

/* No item enters any more; those inside can still be taken. */
void r2_queue_close(struct r2_queue *queue);

/* A smaller capacity leaves what already waits. */
void r2_queue_set_capacity(struct r2_queue *queue, size_t capacity);

size_t r2_queue_length(struct r2_queue *queue);
size_t r2_queue_capacity(struct r2_queue *queue);

#endif
