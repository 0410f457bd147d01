/*
 * The loader: a thread that loads one snapshot's model and warms it, beside what is being served.
 */
#ifndef R2_SERVER_LOADER_H
#define R2_SERVER_LOADER_H

#include <stdbool.h>

#include "base/error.h"
#include "server/service.h"

struct r2_loader;

/* Takes over a reference to the snapshot, also on failure. When its model is loaded and every head
   was run, it is published and the workers are told. */
enum r2_status r2_loader_start(struct r2_service *service, struct r2_snapshot *snapshot,
                               struct r2_loader **ret, struct r2_error *err);

/* True when the work has ended; the status is R2_OK when the snapshot was published. */
bool r2_loader_ended(struct r2_loader *loader, enum r2_status *ret_status, struct r2_error *ret);

/* Waits for the end, which is hastened; takes NULL. */
void r2_loader_destroy(struct r2_loader *loader);

#endif
