/*
 * Large memory on huge pages: the arena of a session, and packed weights side by side in slabs.
 *
 * A network streams through a hundred megabytes a pass; with pages of 4 KiB the misses of the TLB
 * take about 3 % of its time. Memory that is not touched is not resident.
 */
#ifndef R2_BACKBONE_SLAB_H
#define R2_BACKBONE_SLAB_H

#include <stddef.h>

#include "base/error.h"

/* Uninitialised, 64-byte aligned, advised to use huge pages. Fails naming `what`. */
enum r2_status r2_pages_alloc(size_t size, const char *what, void *ret, struct r2_error *err);
void r2_pages_free(void *memory); /* takes NULL */

/* Zero-initialised is empty. Not thread-safe. */
struct r2_slabs {
    struct r2_slab *first;
};

/* 64-byte aligned memory next to what was allocated before; a slab is freed with its last piece. */
enum r2_status r2_slabs_alloc(struct r2_slabs *slabs, size_t size, const char *what, void *ret,
                              struct r2_error *err);
void r2_slabs_free(struct r2_slabs *slabs, void *memory); /* takes NULL */

#endif
