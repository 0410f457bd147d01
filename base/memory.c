#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void store_pointer(void *ret, void *memory)
{
    memcpy(ret, &memory, sizeof memory); /* ret is a T ** of any T */
}

enum r2_status r2_alloc(size_t count, size_t size, const char *what, void *ret,
                        struct r2_error *err)
{
    void *memory = calloc(count ? count : 1, size ? size : 1); /* calloc checks the product */
    if (!memory)
        return r2_fail(err, R2_NO_MEMORY, "%s: no memory for %zu x %zu bytes", what, count, size);
    store_pointer(ret, memory);
    return R2_OK;
}

enum r2_status r2_alloc_aligned(size_t size, const char *what, void *ret, struct r2_error *err)
{
    size_t rounded;
    void *memory = NULL;
    if (r2_size_add(size, 64 + 63, &rounded)) memory = aligned_alloc(64, rounded & ~(size_t)63);
    if (!memory) return r2_fail(err, R2_NO_MEMORY, "%s: no memory for %zu bytes", what, size);
    store_pointer(ret, memory);
    return R2_OK;
}

void r2_free_pointer(void *pointer_to_pointer)
{
    void *memory;
    memcpy(&memory, pointer_to_pointer, sizeof memory);
    free(memory);
}
