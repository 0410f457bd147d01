/*
 * A snapshot: the settings and the model that belong together, as one configuration gave them.
 *
 * Counted. A request keeps the snapshot that was current when it began, so a reload never changes
 * the rules, or the weights, under a request.
 */
#ifndef R2_SERVER_SNAPSHOT_H
#define R2_SERVER_SNAPSHOT_H

#include <stdatomic.h>

#include "base/error.h"
#include "config/settings.h"
#include "heads/model.h"

struct r2_snapshot {
    atomic_uint count;
    struct r2_settings settings;
    _Atomic(struct r2_model *) model; /* counted; NULL until it is loaded, then for good */
};

/* Takes the settings over, which are empty afterwards; on failure they stay the caller's. */
enum r2_status r2_snapshot_create(struct r2_settings *settings, struct r2_snapshot **ret,
                                  struct r2_error *err);
struct r2_snapshot *r2_snapshot_ref(struct r2_snapshot *snapshot);
void r2_snapshot_unref(struct r2_snapshot *snapshot); /* takes NULL */

/* Borrowed; NULL while it is being loaded. */
struct r2_model *r2_snapshot_model(struct r2_snapshot *snapshot);

#endif
