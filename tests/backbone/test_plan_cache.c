/* Compiled plans by key: hits and misses, what is dropped and when, and who compiles. */
#include "backbone/plan_cache.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/plan_case.h"

static const size_t large = SIZE_MAX / 2;

/* A graph of one convolution, and how often each height was compiled. */
struct maker {
    struct r2_graph graph;
    struct plan_case plan_case;
    atomic_uint made[16];
    atomic_uint failures; /* left to make */
    pthread_mutex_t gate; /* held: compiling `gated` waits */
    atomic_uint gated;
};

static enum r2_status make(const void *context, const struct r2_plan_key *key, struct r2_plan **ret,
                           struct r2_error *err)
{
    struct maker *maker = (struct maker *)(uintptr_t)context;
    maker->made[key->shape.picture.height]++;
    if (key->shape.picture.height == maker->gated) {
        pthread_mutex_lock(&maker->gate);
        pthread_mutex_unlock(&maker->gate);
    }
    if (maker->failures) {
        maker->failures--;
        return r2_fail(err, R2_NO_MEMORY, "no plan for %u", key->shape.picture.height);
    }
    return r2_plan_create(&maker->graph, maker->plan_case.params, key->shape, key->threads, ret,
                          err);
}

static void open_maker(struct maker *maker)
{
    struct r2_error err = {0};
    *maker = (struct maker){.gated = UINT32_MAX};
    pthread_mutex_init(&maker->gate, NULL);
    r2_graph_init(&maker->graph);
    r2_value x = r2_graph_input(&maker->graph, 3);
    x = r2_graph_conv(&maker->graph, x,
                      &(struct r2_conv){.name = "c", .out = 4, .kernel = 1, .stride = 1});
    r2_graph_output(&maker->graph, x, "c");
    ASSERT_OK(plan_case_open(&maker->plan_case, &maker->graph, &err), err);
}

static void close_maker(struct maker *maker)
{
    cr_expect_eq(r2_params_size(maker->plan_case.params), 0, "a plan was not let go");
    plan_case_close(&maker->plan_case);
    r2_graph_finish(&maker->graph);
    pthread_mutex_destroy(&maker->gate);
}

static struct r2_plan_cache *open_cache(size_t budget, const struct maker *maker)
{
    struct r2_error err = {0};
    struct r2_plan_cache *cache;
    ASSERT_OK(r2_plan_cache_create(budget, make, maker, &cache, &err), err);
    cr_expect_eq(r2_plan_cache_size(cache), 0);
    return cache;
}

static struct r2_plan_key key_of(uint32_t height)
{
    return (struct r2_plan_key){.shape = {{height, 4}, 1}, .threads = 1};
}

/* Gets and lets go; the plan that is returned lives as long as it is cached. */
static const struct r2_plan *get(struct r2_plan_cache *cache, struct r2_plan_key key,
                                 bool wanted_hit)
{
    struct r2_error err = {0};
    struct r2_plan *plan = NULL;
    bool hit = !wanted_hit;
    ASSERT_OK(r2_plan_cache_get(cache, &key, &plan, &hit, &err), err);
    cr_expect_eq(hit, wanted_hit, "height %u: %s", key.shape.picture.height, hit ? "hit" : "miss");
    r2_plan_unref(plan);
    return plan;
}

static size_t size_of_one(struct maker *maker)
{
    struct r2_plan_cache *cache = open_cache(large, maker);
    const struct r2_plan *plan = get(cache, key_of(1), false);
    size_t size = r2_plan_cache_size(cache);
    cr_expect_eq(size, r2_plan_size(plan), "the arena is the session's");
    r2_plan_cache_destroy(cache);
    cr_assert_gt(size, 0);
    return size;
}

Test(plan_cache, hits_and_misses)
{
    struct maker maker;
    open_maker(&maker);
    struct r2_plan_cache *cache = open_cache(large, &maker);
    const struct r2_plan *first = get(cache, key_of(3), false);
    cr_expect_eq(get(cache, key_of(3), true), first);
    const size_t size = r2_plan_cache_size(cache);
    /* every member of the key counts */
    get(cache, (struct r2_plan_key){.pass = 1, .shape = {{3, 4}, 1}, .threads = 1}, false);
    get(cache, (struct r2_plan_key){.heads = 1, .shape = {{3, 4}, 1}, .threads = 1}, false);
    get(cache, (struct r2_plan_key){.stage = 1, .shape = {{3, 4}, 1}, .threads = 1}, false);
    get(cache, (struct r2_plan_key){.shape = {{4, 4}, 1}, .threads = 1}, false);
    get(cache, (struct r2_plan_key){.shape = {{3, 5}, 1}, .threads = 1}, false);
    get(cache, (struct r2_plan_key){.shape = {{3, 4}, 8}, .threads = 1}, false);
    get(cache, (struct r2_plan_key){.shape = {{3, 4}, 1}, .threads = 2}, false);
    cr_expect_gt(r2_plan_cache_size(cache), 7 * size);
    cr_expect_eq(get(cache, key_of(3), true), first);
    cr_expect_eq(maker.made[3], 7);
    r2_plan_cache_destroy(cache);
    r2_plan_cache_destroy(NULL);
    close_maker(&maker);
}

Test(plan_cache, least_recently_used_goes_first)
{
    struct maker maker;
    open_maker(&maker);
    const size_t one = size_of_one(&maker);
    struct r2_plan_cache *cache = open_cache(3 * one + one / 2, &maker);
    for (uint32_t height = 1; height <= 3; height++) get(cache, key_of(height), false);
    get(cache, key_of(1), true); /* now 2 is the oldest */
    get(cache, key_of(4), false);
    cr_expect_leq(r2_plan_cache_size(cache), 3 * one + one / 2);
    get(cache, key_of(1), true);
    get(cache, key_of(3), true);
    get(cache, key_of(4), true);
    get(cache, key_of(2), false); /* drops 1 */
    get(cache, key_of(3), true);
    get(cache, key_of(1), false); /* drops 4 */
    get(cache, key_of(2), true);
    get(cache, key_of(4), false);
    r2_plan_cache_destroy(cache);
    close_maker(&maker);
}

Test(plan_cache, the_newest_stays)
{
    struct maker maker;
    struct r2_error err = {0};
    struct r2_plan *held = NULL;
    bool hit;
    open_maker(&maker);
    struct r2_plan_cache *cache = open_cache(0, &maker);
    const struct r2_plan_key key = key_of(1);
    ASSERT_OK(r2_plan_cache_get(cache, &key, &held, &hit, &err), err);
    get(cache, key_of(1), true);
    get(cache, key_of(2), false);
    get(cache, key_of(2), true);
    get(cache, key_of(1), false);
    cr_expect_eq(r2_plan_threads(held), 1, "a dropped plan lives while somebody holds it");
    r2_plan_unref(held);
    r2_plan_cache_destroy(cache);
    close_maker(&maker);
}

Test(plan_cache, failures_leave_nothing)
{
    struct maker maker;
    struct r2_error err = {0};
    struct r2_plan *plan = NULL;
    bool hit = true;
    open_maker(&maker);
    struct r2_plan_cache *cache = open_cache(large, &maker);
    const struct r2_plan_key key = key_of(7);
    maker.failures = 2;
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_FAIL(r2_plan_cache_get(cache, &key, &plan, &hit, &err), err, R2_NO_MEMORY,
                    "no plan for 7");
        cr_expect(!plan && hit && r2_plan_cache_size(cache) == 0, "untouched on failure");
    }
    get(cache, key, false);
    get(cache, key, true);
    cr_expect_eq(maker.made[7], 3);
    r2_plan_cache_destroy(cache);
    close_maker(&maker);
}

/* --- threads ------------------------------------------------------------------------------------
 */

struct getter {
    struct r2_plan_cache *cache;
    struct r2_plan_key key;
    struct r2_plan *plan;
    bool hit;
    struct r2_error err;
    pthread_t thread;
};

static void *run_getter(void *data)
{
    struct getter *getter = data;
    r2_plan_cache_get(getter->cache, &getter->key, &getter->plan, &getter->hit, &getter->err);
    return NULL;
}

static void start(struct getter *getter, struct r2_plan_cache *cache, uint32_t height)
{
    *getter = (struct getter){.cache = cache, .key = key_of(height)};
    cr_assert_eq(pthread_create(&getter->thread, NULL, run_getter, getter), 0);
}

/* Until the height is being compiled. */
static void wait_made(const struct maker *maker, uint32_t height)
{
    while (!maker->made[height]) usleep(1000);
}

Test(plan_cache, one_compiles_while_others_wait, .timeout = 60)
{
    struct getter getters[6];
    struct maker maker;
    unsigned misses = 0;
    open_maker(&maker);
    struct r2_plan_cache *cache = open_cache(large, &maker);
    maker.gated = 5;
    pthread_mutex_lock(&maker.gate);
    for (size_t i = 0; i < R2_COUNT(getters); i++) start(&getters[i], cache, 5);
    wait_made(&maker, 5);
    usleep(20000);
    get(cache, key_of(6), false); /* another key does not wait for it */
    get(cache, key_of(6), true);
    pthread_mutex_unlock(&maker.gate);
    for (size_t i = 0; i < R2_COUNT(getters); i++) {
        pthread_join(getters[i].thread, NULL);
        cr_expect_eq(getters[i].err.status, R2_OK);
        cr_expect_eq(getters[i].plan, getters[0].plan);
        misses += !getters[i].hit;
        r2_plan_unref(getters[i].plan);
    }
    cr_expect_eq(maker.made[5], 1);
    cr_expect_eq(misses, 1);
    r2_plan_cache_destroy(cache);
    close_maker(&maker);
}

Test(plan_cache, those_who_waited_for_a_failure_try_themselves, .timeout = 60)
{
    struct getter getters[3];
    struct maker maker;
    unsigned failed = 0;
    open_maker(&maker);
    struct r2_plan_cache *cache = open_cache(large, &maker);
    maker.gated = 5;
    maker.failures = 1;
    pthread_mutex_lock(&maker.gate);
    for (size_t i = 0; i < R2_COUNT(getters); i++) start(&getters[i], cache, 5);
    wait_made(&maker, 5);
    usleep(20000);
    pthread_mutex_unlock(&maker.gate);
    for (size_t i = 0; i < R2_COUNT(getters); i++) {
        pthread_join(getters[i].thread, NULL);
        failed += getters[i].err.status == R2_NO_MEMORY;
        r2_plan_unref(getters[i].plan);
    }
    cr_expect_eq(failed, 1);
    cr_expect_eq(maker.made[5], 2);
    r2_plan_cache_destroy(cache);
    close_maker(&maker);
}

/* A plan that is ready must not be dropped for one that is still being compiled. */
Test(plan_cache, the_newest_made_stays_beside_one_in_the_making, .timeout = 60)
{
    struct getter early, late;
    struct maker maker;
    open_maker(&maker);
    struct r2_plan_cache *cache = open_cache(0, &maker);
    maker.gated = 5;
    pthread_mutex_lock(&maker.gate);
    start(&early, cache, 5);
    wait_made(&maker, 5);
    maker.gated = UINT32_MAX;
    /* 5 is asked for first and ready last; 6 is made meanwhile */
    start(&late, cache, 6);
    pthread_join(late.thread, NULL);
    get(cache, key_of(6), true);
    pthread_mutex_unlock(&maker.gate);
    pthread_join(early.thread, NULL);
    get(cache, key_of(5), true);
    r2_plan_unref(late.plan);
    r2_plan_unref(early.plan);
    r2_plan_cache_destroy(cache);
    close_maker(&maker);
}
