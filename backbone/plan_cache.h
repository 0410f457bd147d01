/*
 * Compiled plans, kept by key in order of use within a byte budget. Thread-safe; one thread
 * compiles a key while others that want the same wait and all others go on.
 */
#ifndef R2_BACKBONE_PLAN_CACHE_H
#define R2_BACKBONE_PLAN_CACHE_H

#include "backbone/plan.h"

struct r2_plan_cache;

/* What a plan is made for: which graph of the owner (`pass`, `heads`; `stage` 0 is the trunk with
   these heads, later ones are networks over regions), which input, how many threads. */
struct r2_plan_key {
    uint32_t pass, heads, stage;
    struct r2_plan_shape shape;
    uint32_t threads;
};

/* Compiles the plan of a key. */
typedef enum r2_status (*r2_plan_make)(const void *context, const struct r2_plan_key *key,
                                       struct r2_plan **ret, struct r2_error *err);

/* The newest plan stays whatever its size; older ones go when together they pass `budget` bytes. */
enum r2_status r2_plan_cache_create(size_t budget, r2_plan_make make, const void *context,
                                    struct r2_plan_cache **ret, struct r2_error *err);
void r2_plan_cache_destroy(struct r2_plan_cache *cache); /* nobody may be in r2_plan_cache_get */

/* *ret is counted for the caller; *ret_hit tells whether it was there. */
enum r2_status r2_plan_cache_get(struct r2_plan_cache *cache, const struct r2_plan_key *key,
                                 struct r2_plan **ret, bool *ret_hit, struct r2_error *err);

/* Bytes of the cached plans now, estimated. */
size_t r2_plan_cache_size(struct r2_plan_cache *cache);

#endif
