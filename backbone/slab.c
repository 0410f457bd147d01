#include "backbone/slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"

enum { HUGE_PAGE = 2 << 20, SLAB_SIZE = 16 << 20, LINE = 64 };

struct r2_slab {
    struct r2_slab *next;
    unsigned char *memory;
    size_t size, used;
    unsigned pieces;
};

enum r2_status r2_pages_alloc(size_t size, const char *what, void *ret, struct r2_error *err)
{
    size_t rounded = 0;
    void *memory = NULL;
    if (r2_size_add(size, HUGE_PAGE - 1, &rounded)) {
        rounded = rounded / HUGE_PAGE * HUGE_PAGE;
        memory = aligned_alloc(HUGE_PAGE, rounded ? rounded : HUGE_PAGE);
    }
    if (!memory) return r2_fail(err, R2_NO_MEMORY, "%s: no memory for %zu bytes", what, size);
    (void)madvise(memory, rounded, MADV_HUGEPAGE); /* a wish: kernels without huge pages refuse */
    memcpy(ret, &memory, sizeof memory);
    return R2_OK;
}

void r2_pages_free(void *memory)
{
    free(memory);
}

static enum r2_status add_slab(struct r2_slabs *slabs, size_t size, const char *what,
                               struct r2_error *err)
{
    struct r2_slab *slab;
    R2_TRY(r2_alloc(1, sizeof *slab, what, &slab, err));
    slab->size = size > SLAB_SIZE ? size : SLAB_SIZE;
    if (r2_pages_alloc(slab->size, what, &slab->memory, err) != R2_OK) {
        free(slab);
        return err->status;
    }
    slab->next = slabs->first;
    slabs->first = slab;
    return R2_OK;
}

enum r2_status r2_slabs_alloc(struct r2_slabs *slabs, size_t size, const char *what, void *ret,
                              struct r2_error *err)
{
    size_t rounded;
    if (!r2_size_add(size, LINE - 1, &rounded))
        return r2_fail(err, R2_NO_MEMORY, "%s: no memory for %zu bytes", what, size);
    rounded = rounded / LINE * LINE;
    struct r2_slab *slab = slabs->first;
    if (!slab || slab->size - slab->used < rounded) {
        R2_TRY(add_slab(slabs, rounded, what, err));
        slab = slabs->first;
    }
    void *memory = slab->memory + slab->used;
    slab->used += rounded;
    slab->pieces++;
    memcpy(ret, &memory, sizeof memory);
    return R2_OK;
}

void r2_slabs_free(struct r2_slabs *slabs, void *memory)
{
    struct r2_slab **link = &slabs->first;
    if (!memory) return;
    const unsigned char *at = memory;
    while (at < (*link)->memory || at >= (*link)->memory + (*link)->size) link = &(*link)->next;
    struct r2_slab *slab = *link;
    if (--slab->pieces) return;
    *link = slab->next;
    r2_pages_free(slab->memory);
    free(slab);
}
