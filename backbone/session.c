#include "backbone/session.h"

#include <stdlib.h>
#include <string.h>

#include "backbone/depthwise.h"
#include "backbone/plan_steps.h"
#include "backbone/slab.h"
#include "base/clock.h"
#include "base/memory.h"

struct r2_session {
    struct r2_plan *plan;   /* counted; NULL before the first prepare */
    struct r2_call **calls; /* of each step of the plan, NULL for moves */
    size_t call_count;
    uint8_t *arena;
    size_t arena_size;
};

enum r2_status r2_session_create(struct r2_session **ret, struct r2_error *err)
{
    return r2_alloc(1, sizeof **ret, "session", ret, err);
}

static void release_plan(struct r2_session *session)
{
    for (size_t i = 0; i < session->call_count; i++) r2_call_destroy(session->calls[i]);
    free(session->calls);
    r2_plan_unref(session->plan);
    session->calls = NULL;
    session->call_count = 0;
    session->plan = NULL;
}

void r2_session_destroy(struct r2_session *session)
{
    if (!session) return;
    release_plan(session);
    r2_pages_free(session->arena);
    free(session);
}

static float *view_data(const struct r2_session *session, struct r2_plan_view view)
{
    const struct r2_plan_buffer *buffer = &session->plan->buffers[view.buffer];
    return (float *)(void *)(session->arena + buffer->offset) + view.first;
}

static struct r2_map view_map(const struct r2_session *session, struct r2_plan_view view)
{
    if (view.buffer == R2_NO_BUFFER) return (struct r2_map){NULL, 0, 0};
    const struct r2_plan_buffer *buffer = &session->plan->buffers[view.buffer];
    float *data = view_data(session, view);
    if (buffer->blocked) return (struct r2_map){data, R2_MAP_BLOCK, buffer->pixels * R2_MAP_BLOCK};
    return (struct r2_map){data, buffer->channels, R2_MAP_BLOCK};
}

static enum r2_status grow_arena(struct r2_session *session, size_t size, struct r2_error *err)
{
    if (size <= session->arena_size) return R2_OK;
    uint8_t *arena;
    R2_TRY(r2_pages_alloc(size, "arena", &arena, err));
    r2_pages_free(session->arena);
    session->arena = arena;
    session->arena_size = size;
    return R2_OK;
}

static enum r2_status bind_calls(struct r2_session *session, struct r2_error *err)
{
    const struct r2_plan *plan = session->plan;
    for (size_t i = 0; i < plan->step_count; i++, session->call_count++) {
        const struct r2_plan_step *step = &plan->steps[i];
        if (!step->primitive) continue;
        struct r2_operands operands = {
            .src = view_data(session, step->src),
            .dst = view_data(session, step->dst),
            .weights = step->packed->weights,
            .bias = step->packed->bias,
            .scratchpad = session->arena + plan->scratchpad_offset,
        };
        R2_TRY(r2_call_create(step->primitive, &operands, &session->calls[i], err));
    }
    return R2_OK;
}

enum r2_status r2_session_prepare(struct r2_session *session, struct r2_plan *plan,
                                  struct r2_error *err)
{
    if (session->plan == plan) return R2_OK;
    release_plan(session);
    R2_TRY(grow_arena(session, plan->arena_size, err));
    R2_TRY(r2_alloc(plan->step_count, sizeof(struct r2_call *), "calls", &session->calls, err));
    session->plan = r2_plan_ref(plan);
    if (bind_calls(session, err) != R2_OK) {
        release_plan(session);
        return err->status;
    }
    return R2_OK;
}

float *r2_session_input(struct r2_session *session)
{
    return view_data(session, (struct r2_plan_view){session->plan->input_buffer, 0});
}

static enum r2_status run_step(const struct r2_session *session, size_t i, struct r2_error *err)
{
    const struct r2_plan_step *step = &session->plan->steps[i];
    struct r2_map dst = view_map(session, step->dst), src = view_map(session, step->src);
    const struct r2_map_size size = {session->plan->shape.batch, step->out, step->in,
                                     step->channels};
    switch (step->kind) {
    case R2_STEP_PRIMITIVE:
        if (r2_call_run(session->calls[i], err) != R2_OK)
            return r2_fail_in(err, "layer '%s'", step->name);
        break;
    case R2_STEP_DEPTHWISE:
        r2_map_depthwise(dst, src, &step->conv, step->packed->weights, step->packed->bias, &size);
        break;
    case R2_STEP_COPY: r2_map_copy(dst, src, step->pixels, step->channels); break;
    case R2_STEP_ADD:
        r2_map_add(dst, src, view_map(session, step->other), view_map(session, step->copy),
                   step->pixels, step->channels, step->relu);
        break;
    case R2_STEP_GATE:
        r2_map_gate(dst, src, view_map(session, step->copy), view_map(session, step->other), &size,
                    step->relu);
        break;
    case R2_STEP_POOL: r2_map_pool(dst, src, &step->pool, &size); break;
    case R2_STEP_MEAN: r2_map_mean(dst, src, &size); break;
    case R2_STEP_SPREAD: r2_map_spread(dst, src, step->pool.stride, step->pool.pad, &size); break;
    case R2_STEP_RESIZE:
        r2_map_resize(dst, src, view_map(session, step->other), step->sampling, &size, step->relu);
        break;
    }
    return R2_OK;
}

enum r2_status r2_session_run(struct r2_session *session, struct r2_session_times *ret,
                              struct r2_error *err)
{
    const struct r2_plan *plan = session->plan;
    uint64_t start = r2_clock_ns(), boundary = 0;
    r2_threads_use(plan->threads);
    for (size_t i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].part != 0 && !boundary) boundary = r2_clock_ns();
        R2_TRY(run_step(session, i, err));
    }
    uint64_t end = r2_clock_ns();
    if (!boundary) boundary = end;
    *ret = (struct r2_session_times){boundary - start, end - boundary};
    return R2_OK;
}

enum r2_status r2_session_profile(struct r2_session *session, uint64_t *step_ns,
                                  struct r2_error *err)
{
    r2_threads_use(session->plan->threads);
    for (size_t i = 0; i < session->plan->step_count; i++) {
        uint64_t start = r2_clock_ns();
        R2_TRY(run_step(session, i, err));
        step_ns[i] = r2_clock_ns() - start;
    }
    return R2_OK;
}

const char *r2_session_output_at(const struct r2_session *session, size_t i,
                                 struct r2_output_view *ret)
{
    const struct r2_plan *plan = session->plan;
    if (!plan || i >= plan->output_count) return NULL;
    const struct r2_plan_output *output = &plan->outputs[i];
    *ret = (struct r2_output_view){
        .data = view_data(session, output->view),
        .batch = plan->shape.batch,
        .height = output->extent.height,
        .width = output->extent.width,
        .channels = output->channels,
        .pitch = plan->buffers[output->view.buffer].channels,
    };
    return output->name;
}

enum r2_status r2_session_output(const struct r2_session *session, const char *name,
                                 struct r2_output_view *ret, struct r2_error *err)
{
    struct r2_output_view view;
    const char *each;
    for (size_t i = 0; (each = r2_session_output_at(session, i, &view)); i++) {
        if (strcmp(each, name) != 0) continue;
        *ret = view;
        return R2_OK;
    }
    return r2_fail(err, R2_NOT_FOUND, "the plan has no output '%s'", name);
}

size_t r2_session_size(const struct r2_session *session)
{
    return session->arena_size;
}
