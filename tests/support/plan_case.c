#include "tests/support/plan_case.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "tests/support/test_weights.h"

enum r2_status plan_case_open(struct plan_case *ret, const struct r2_graph *graph,
                              struct r2_error *err)
{
    char path[] = "/tmp/r2-plan-XXXXXX";
    int fd = mkstemp(path);
    mallopt(M_PERTURB, 1); /* new memory holds huge numbers: an arena is not zero */
    if (fd < 0 || close(fd) != 0) return r2_fail(err, R2_IO, "%s: cannot be made", path);
    *ret = (struct plan_case){.graph = graph, .naming = {.classifier = "fc"}};
    enum r2_status status = test_weights_write(path, graph, NULL, NULL, err);
    if (status == R2_OK) status = r2_safetensors_open(path, &ret->file, err);
    unlink(path);
    R2_TRY(status);
    R2_TRY(r2_weights_add(&ret->weights, &ret->file, err));
    ret->source = (struct r2_source){&ret->weights, &ret->naming, 1e-5};
    R2_TRY(r2_params_create(&ret->source, 1, &ret->params, err));
    return r2_params_check(ret->params, graph, err);
}

void plan_case_close(struct plan_case *self)
{
    r2_params_destroy(self->params);
    r2_safetensors_close(&self->file);
}

void plan_case_input(unsigned seed, size_t count, float *ret)
{
    char name[32];
    snprintf(name, sizeof name, "input%u", seed);
    test_uniform(name, count, ret);
    for (size_t i = 0; i < count; i++) ret[i] *= 2;
}

static size_t input_count(const struct plan_case *self, struct r2_extent extent)
{
    return (size_t)extent.height * extent.width *
           r2_graph_channels(self->graph, self->graph->nodes[0].output);
}

enum r2_status plan_case_naive(const struct plan_case *self, struct r2_extent extent, unsigned seed,
                               struct naive_run *ret, struct r2_error *err)
{
    R2_AUTOFREE float *input = NULL;
    R2_TRY(r2_alloc(input_count(self, extent), sizeof *input, "input", &input, err));
    plan_case_input(seed, input_count(self, extent), input);
    return naive_run(self->graph, &self->source, extent, input, ret, err);
}

enum r2_status plan_case_run(const struct plan_case *self, struct r2_session *session,
                             struct r2_plan *plan, struct r2_plan_shape shape, unsigned seed,
                             const struct naive_run *expected, double *ret, struct r2_error *err)
{
    const size_t count = input_count(self, shape.picture);
    struct r2_session_times times;
    double worst = 0;
    R2_TRY(r2_session_prepare(session, plan, err));
    for (uint32_t n = 0; n < shape.batch; n++)
        plan_case_input(seed + n, count, r2_session_input(session) + n * count);
    R2_TRY(r2_session_run(session, &times, err));
    for (size_t i = 0; i < self->graph->output_count; i++) {
        const struct r2_output *output = &self->graph->outputs[i];
        struct r2_output_view view = {0};
        R2_TRY(r2_session_output(session, output->name, &view, err));
        if (view.batch != shape.batch) worst = INFINITY;
        for (uint32_t n = 0; n < shape.batch; n++) {
            worst = fmax(worst, naive_error(&expected[n].values[output->value], &view));
            view.data += (size_t)view.height * view.width * view.pitch;
        }
    }
    *ret = worst;
    return R2_OK;
}

enum r2_status plan_case_worst(const struct plan_case *self, struct r2_plan_shape shape,
                               unsigned threads, double *ret, struct r2_error *err)
{
    struct naive_run expected[PLAN_CASE_BATCH] = {{0}};
    struct r2_plan *plan = NULL;
    struct r2_session *session = NULL;
    enum r2_status status = R2_OK;
    for (uint32_t n = 0; n < shape.batch && status == R2_OK; n++)
        status = plan_case_naive(self, shape.picture, n, &expected[n], err);
    if (status == R2_OK)
        status = r2_plan_create(self->graph, self->params, shape, threads, &plan, err);
    if (status == R2_OK) status = r2_session_create(&session, err);
    if (status == R2_OK) status = plan_case_run(self, session, plan, shape, 0, expected, ret, err);
    r2_session_destroy(session);
    r2_plan_unref(plan);
    for (uint32_t n = 0; n < shape.batch; n++) naive_run_finish(&expected[n]);
    return status;
}
