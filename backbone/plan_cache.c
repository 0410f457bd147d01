#include "backbone/plan_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct entry {
    struct r2_plan_key key;
    struct r2_plan *plan; /* NULL while it is compiled */
    size_t size;
    struct entry *next;
};

struct r2_plan_cache {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t made;
    struct entry *entries; /* most recently used first */
    size_t size;
    size_t budget;
    r2_plan_make make;
    const void *context;
};

enum r2_status r2_plan_cache_create(size_t budget, r2_plan_make make, const void *context,
                                    struct r2_plan_cache **ret, struct r2_error *err)
{
    struct r2_plan_cache *cache;
    R2_TRY(r2_alloc(1, sizeof *cache, "plan cache", &cache, err));
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->made, NULL);
    cache->budget = budget;
    cache->make = make;
    cache->context = context;
    *ret = cache;
    return R2_OK;
}

void r2_plan_cache_destroy(struct r2_plan_cache *cache)
{
    if (!cache) return;
    while (cache->entries) {
        struct entry *entry = cache->entries;
        cache->entries = entry->next;
        r2_plan_unref(entry->plan);
        free(entry);
    }
    pthread_cond_destroy(&cache->made);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static struct entry **find(struct r2_plan_cache *cache, const struct r2_plan_key *key)
{
    struct entry **link = &cache->entries;
    while (*link && memcmp(&(*link)->key, key, sizeof *key) != 0) link = &(*link)->next;
    return link;
}

static void push_front(struct r2_plan_cache *cache, struct entry *entry)
{
    entry->next = cache->entries;
    cache->entries = entry;
}

/* Drops plans from the least recently used end; those being compiled and the first one stay.
   Sessions that still run a dropped plan hold their own reference. */
static void evict(struct r2_plan_cache *cache)
{
    while (cache->size > cache->budget) {
        struct entry **victim = NULL;
        if (!cache->entries) return;
        for (struct entry **link = &cache->entries->next; *link; link = &(*link)->next)
            if ((*link)->plan) victim = link;
        if (!victim) return;
        struct entry *entry = *victim;
        *victim = entry->next;
        cache->size -= entry->size;
        r2_plan_unref(entry->plan);
        free(entry);
    }
}

/* Compiles without the lock, which is held on entry and exit. */
static enum r2_status make_entry(struct r2_plan_cache *cache, const struct r2_plan_key *key,
                                 struct r2_plan **ret, struct r2_error *err)
{
    struct entry *entry;
    R2_TRY(r2_alloc(1, sizeof *entry, "plan cache", &entry, err));
    entry->key = *key;
    push_front(cache, entry);
    pthread_mutex_unlock(&cache->lock);
    struct r2_plan *plan = NULL;
    enum r2_status status = cache->make(cache->context, key, &plan, err);
    pthread_mutex_lock(&cache->lock);
    struct entry **link = find(cache, key);
    *link = entry->next;
    if (status == R2_OK) {
        push_front(cache, entry); /* the newest, whatever was asked for meanwhile */
        entry->plan = plan;
        entry->size = r2_plan_size(plan); /* arena and weights are counted where they are held */
        cache->size += entry->size;
        *ret = r2_plan_ref(plan);
        evict(cache);
    } else {
        free(entry);
    }
    pthread_cond_broadcast(&cache->made);
    return status;
}

enum r2_status r2_plan_cache_get(struct r2_plan_cache *cache, const struct r2_plan_key *key,
                                 struct r2_plan **ret, bool *ret_hit, struct r2_error *err)
{
    enum r2_status status = R2_OK;
    bool hit = true;
    pthread_mutex_lock(&cache->lock);
    struct entry **link;
    while (*(link = find(cache, key)) && !(*link)->plan)
        pthread_cond_wait(&cache->made, &cache->lock);
    struct entry *entry = *link;
    if (entry) {
        *link = entry->next;
        push_front(cache, entry);
        *ret = r2_plan_ref(entry->plan);
    } else {
        hit = false;
        status = make_entry(cache, key, ret, err);
    }
    pthread_mutex_unlock(&cache->lock);
    if (status == R2_OK) *ret_hit = hit;
    return status;
}

size_t r2_plan_cache_size(struct r2_plan_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t size = cache->size;
    pthread_mutex_unlock(&cache->lock);
    return size;
}
