#include <stdlib.h>

#include "backbone/plan_steps.h"
#include "base/memory.h"

static size_t buffer_bytes(const struct r2_plan_buffer *buffer)
{
    size_t channels = buffer->channels;
    if (buffer->blocked) channels = (channels + R2_MAP_BLOCK - 1) / R2_MAP_BLOCK * R2_MAP_BLOCK;
    return (buffer->pixels * channels * sizeof(float) + 63) & ~(size_t)63;
}

static bool alive_together(const struct r2_plan_buffer *a, const struct r2_plan_buffer *b)
{
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

static int by_bytes_down(const void *a, const void *b)
{
    const struct r2_plan_buffer *const *x = a, *const *y = b;
    size_t p = buffer_bytes(*x), q = buffer_bytes(*y);
    if (p != q) return p > q ? -1 : 1;
    return ((*x)->first_step > (*y)->first_step) - ((*x)->first_step < (*y)->first_step);
}

/* The lowest offset at which `buffer` overlaps none of placed[count] that live when it does. */
static size_t lowest_offset(const struct r2_plan_buffer *buffer,
                            struct r2_plan_buffer *const *placed, size_t count)
{
    size_t offset = 0, size = buffer_bytes(buffer);
    for (size_t i = 0; i < count;) {
        const struct r2_plan_buffer *other = placed[i];
        bool clash = alive_together(buffer, other) &&
                     offset < other->offset + buffer_bytes(other) && other->offset < offset + size;
        if (clash) {
            offset = other->offset + buffer_bytes(other);
            i = 0; /* moved up: look at all again */
        } else {
            i++;
        }
    }
    return offset;
}

/* Largest first, each as low as it fits: simple, and near the lower bound on networks like these.
 */
enum r2_status r2_plan_place(struct r2_plan *plan, struct r2_error *err)
{
    R2_AUTOFREE struct r2_plan_buffer **order = NULL;
    size_t end = 0, scratchpad = 0;
    R2_TRY(r2_alloc(plan->buffer_count, sizeof *order, "arena", &order, err));
    for (size_t i = 0; i < plan->buffer_count; i++) order[i] = &plan->buffers[i];
    qsort(order, plan->buffer_count, sizeof *order, by_bytes_down);
    for (size_t i = 0; i < plan->buffer_count; i++) {
        order[i]->offset = lowest_offset(order[i], order, i);
        if (order[i]->offset + buffer_bytes(order[i]) > end)
            end = order[i]->offset + buffer_bytes(order[i]);
    }
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct r2_primitive *primitive = plan->steps[i].primitive;
        size_t wanted = primitive ? r2_primitive_scratchpad(primitive) : 0;
        if (wanted > scratchpad) scratchpad = wanted;
    }
    plan->scratchpad_offset = end;
    plan->arena_size = end + ((scratchpad + 63) & ~(size_t)63);
    return R2_OK;
}
