#include "backbone/plan.h"

#include <stdlib.h>

#include "backbone/plan_steps.h"
#include "base/memory.h"

/* Generated code and descriptors of one primitive: the growth of the process over 40 plans of
   Res2Net-50, oneDNN 2.6.3. */
enum { PRIMITIVE_BYTES = 96 << 10 };

static void plan_destroy(struct r2_plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        r2_primitive_destroy(plan->steps[i].primitive);
        r2_params_put(plan->params, plan->steps[i].packed);
    }
    free(plan->steps);
    free(plan->buffers);
    free(plan->outputs);
    free(plan);
}

/* Packs what every primitive needs. */
static enum r2_status get_params(struct r2_plan *plan, const struct r2_graph *graph,
                                 struct r2_error *err)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        struct r2_plan_step *step = &plan->steps[i];
        if (step->kind != R2_STEP_PRIMITIVE && step->kind != R2_STEP_DEPTHWISE) continue;
        R2_TRY(r2_params_get(plan->params, graph, &graph->nodes[step->node], step->primitive,
                             &step->packed, err));
    }
    return R2_OK;
}

enum r2_status r2_plan_create(const struct r2_graph *graph, struct r2_params *params,
                              struct r2_plan_shape shape, unsigned threads, struct r2_plan **ret,
                              struct r2_error *err)
{
    struct r2_plan *plan;
    R2_TRY(r2_graph_check(graph, err));
    R2_TRY(r2_alloc(1, sizeof *plan, "plan", &plan, err));
    atomic_init(&plan->references, 1);
    plan->params = params;
    plan->threads = threads;
    plan->shape = shape;
    r2_threads_use(threads);
    if (r2_plan_lower(plan, graph, err) != R2_OK || get_params(plan, graph, err) != R2_OK ||
        r2_plan_place(plan, err) != R2_OK) {
        plan_destroy(plan);
        return err->status;
    }
    *ret = plan;
    return R2_OK;
}

struct r2_plan *r2_plan_ref(struct r2_plan *plan)
{
    atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
    return plan;
}

void r2_plan_unref(struct r2_plan *plan)
{
    if (plan && atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) == 1)
        plan_destroy(plan);
}

unsigned r2_plan_threads(const struct r2_plan *plan)
{
    return plan->threads;
}

size_t r2_plan_arena(const struct r2_plan *plan)
{
    return plan->arena_size;
}

size_t r2_plan_size(const struct r2_plan *plan)
{
    size_t size = sizeof *plan + plan->step_capacity * sizeof *plan->steps;
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].primitive) size += PRIMITIVE_BYTES;
    return size;
}

size_t r2_plan_step_count(const struct r2_plan *plan)
{
    return plan->step_count;
}

struct r2_step_info r2_plan_step(const struct r2_plan *plan, size_t i)
{
    const struct r2_plan_step *step = &plan->steps[i];
    return (struct r2_step_info){
        .name = step->name,
        .kind = step->label,
        .implementation = step->primitive ? r2_primitive_implementation(step->primitive) : "own",
        .macs = step->macs,
        .part = step->part,
    };
}
