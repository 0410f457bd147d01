#include "server/queue.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdint.h>

#include "server/pool.h"

static struct r2_error err;

/* The item that comes out, NULL at the end. */
static void *pop(struct r2_queue *queue)
{
    void *item = NULL;
    unsigned seen = 0;
    return r2_queue_pop(queue, &seen, &item) == R2_POPPED_ITEM ? item : NULL;
}

Test(queue, first_in_first_out_within_both_limits)
{
    struct r2_queue *queue;
    int items[4];
    cr_assert_eq(r2_queue_create(3, 100, &queue, &err), R2_OK);
    cr_expect_null(r2_queue_try_pop(queue));
    cr_expect_eq(r2_queue_push(queue, &items[0], 60, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &items[1], 41, &err), R2_BUSY, "more bytes than may wait");
    cr_expect_eq(r2_queue_push(queue, &items[1], SIZE_MAX, &err), R2_BUSY);
    cr_expect_eq(r2_queue_push(queue, &items[1], 40, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &items[2], 0, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &items[3], 0, &err), R2_BUSY, "more items than may wait");
    cr_expect_eq(r2_queue_length(queue), 3);
    for (int i = 0; i < 3; i++) cr_expect_eq(pop(queue), &items[i]);
    cr_expect_eq(r2_queue_push(queue, &items[0], 500, &err), R2_OK, "alone, however large");
    cr_expect_eq(pop(queue), &items[0]);
    cr_expect_eq(r2_queue_length(queue), 0);
    r2_queue_destroy(queue);
    r2_queue_destroy(NULL);
}

Test(queue, capacity_changes)
{
    struct r2_queue *queue;
    int items[9];
    cr_assert_eq(r2_queue_create(2, 0, &queue, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &items[0], 1, &err), R2_OK);
    cr_expect_eq(pop(queue), &items[0]); /* the ring's start is not its first slot */
    r2_queue_set_capacity(queue, 9);
    cr_expect_eq(r2_queue_capacity(queue), 9);
    for (int i = 0; i < 9; i++) cr_expect_eq(r2_queue_push(queue, &items[i], 1, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &items[0], 1, &err), R2_BUSY);
    r2_queue_set_capacity(queue, 0);
    cr_expect_eq(r2_queue_capacity(queue), 1);
    for (int i = 0; i < 9; i++) cr_expect_eq(pop(queue), &items[i]);
    r2_queue_destroy(queue);
}

Test(queue, a_closed_queue_runs_empty)
{
    struct r2_queue *queue;
    int item;
    cr_assert_eq(r2_queue_create(2, 0, &queue, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &item, 1, &err), R2_OK);
    r2_queue_close(queue);
    cr_expect_eq(r2_queue_push(queue, &item, 1, &err), R2_BUSY);
    cr_expect_eq(pop(queue), &item);
    cr_expect_null(pop(queue));
    r2_queue_destroy(queue);
}

Test(queue, an_item_is_taken_out_of_the_middle)
{
    struct r2_queue *queue;
    int items[5];
    cr_assert_eq(r2_queue_create(4, 100, &queue, &err), R2_OK);
    for (int i = 0; i < 3; i++) cr_assert_eq(r2_queue_push(queue, &items[i], 1, &err), R2_OK);
    cr_expect_eq(pop(queue), &items[0]); /* the ring goes round its end below */
    cr_assert_eq(r2_queue_push(queue, &items[3], 90, &err), R2_OK);
    cr_assert_eq(r2_queue_push(queue, &items[4], 1, &err), R2_OK);
    cr_expect_eq(r2_queue_push(queue, &items[0], 90, &err), R2_BUSY);
    cr_expect(r2_queue_remove(queue, &items[3]));
    cr_expect_not(r2_queue_remove(queue, &items[3]));
    cr_expect_eq(r2_queue_length(queue), 3);
    cr_expect_eq(r2_queue_push(queue, &items[0], 90, &err), R2_OK, "its bytes are free again");
    cr_expect_eq(pop(queue), &items[1]);
    cr_expect_eq(pop(queue), &items[2]);
    cr_expect_eq(pop(queue), &items[4]);
    cr_expect_eq(pop(queue), &items[0]);
    r2_queue_destroy(queue);
}

Test(queue, a_poke_is_told_once_and_after_the_items)
{
    struct r2_queue *queue;
    int item;
    void *taken = NULL;
    unsigned seen = 0, other = 0;
    cr_assert_eq(r2_queue_create(4, 0, &queue, &err), R2_OK);
    cr_assert_eq(r2_queue_push(queue, &item, 1, &err), R2_OK);
    r2_queue_poke(queue);
    cr_expect_eq(r2_queue_pop(queue, &seen, &taken), R2_POPPED_ITEM);
    cr_expect_eq(r2_queue_pop(queue, &seen, &taken), R2_POPPED_POKE);
    cr_expect_eq(r2_queue_pop(queue, &other, &taken), R2_POPPED_POKE, "everyone is told");
    r2_queue_close(queue);
    cr_expect_eq(r2_queue_pop(queue, &seen, &taken), R2_POPPED_END);
    r2_queue_destroy(queue);
}

enum { PRODUCERS = 3, CONSUMERS = 3, ITEMS = 3000 };

struct traffic {
    struct r2_queue *queue;
    atomic_uint producers;
    atomic_uint taken[PRODUCERS * ITEMS];
    char items[PRODUCERS * ITEMS];
};

static void pass(void *context, unsigned index)
{
    struct traffic *traffic = context;
    struct r2_error failure;
    char *item;
    if (index < PRODUCERS) {
        for (unsigned i = 0; i < ITEMS; i++) {
            item = &traffic->items[index * ITEMS + i];
            while (r2_queue_push(traffic->queue, item, 1, &failure) == R2_BUSY) continue;
        }
        if (atomic_fetch_sub(&traffic->producers, 1) == 1) r2_queue_close(traffic->queue);
    } else {
        while ((item = pop(traffic->queue)))
            atomic_fetch_add(&traffic->taken[item - traffic->items], 1);
    }
}

Test(queue, many_threads_lose_nothing)
{
    static struct traffic traffic = {.producers = PRODUCERS};
    struct r2_pool *pool;
    cr_assert_eq(r2_queue_create(7, 0, &traffic.queue, &err), R2_OK);
    cr_assert_eq(r2_pool_start("traffic", PRODUCERS + CONSUMERS, pass, NULL, &traffic, &pool, &err),
                 R2_OK);
    r2_pool_join(pool);
    for (int i = 0; i < PRODUCERS * ITEMS; i++) cr_assert_eq(traffic.taken[i], 1);
    r2_queue_destroy(traffic.queue);
}
