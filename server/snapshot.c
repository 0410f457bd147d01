#include "server/snapshot.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum r2_status r2_snapshot_create(struct r2_settings *settings, struct r2_snapshot **ret,
                                  struct r2_error *err)
{
    struct r2_snapshot *snapshot;
    R2_TRY(r2_alloc(1, sizeof *snapshot, "snapshot", &snapshot, err));
    atomic_init(&snapshot->count, 1);
    atomic_init(&snapshot->model, NULL);
    snapshot->settings = *settings;
    memset(settings, 0, sizeof *settings);
    *ret = snapshot;
    return R2_OK;
}

struct r2_snapshot *r2_snapshot_ref(struct r2_snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->count, 1);
    return snapshot;
}

void r2_snapshot_unref(struct r2_snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub(&snapshot->count, 1) != 1) return;
    r2_model_unref(atomic_load(&snapshot->model));
    r2_settings_finish(&snapshot->settings);
    free(snapshot);
    malloc_trim(0); /* a model leaves holes in all heaps, where the next one need not fit */
}

struct r2_model *r2_snapshot_model(struct r2_snapshot *snapshot)
{
    return atomic_load(&snapshot->model);
}
