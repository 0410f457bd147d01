/*
 * Sessions: plans shared between threads, sessions that change plans, thread counts that agree.
 */
#include <pthread.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/plan_case.h"
#include "tests/support/random_graph.h"

enum { RUNS = 20 };

/* A block with every kind of step, at a size where kernels of ours use a second thread. */
static void build(struct r2_graph *graph)
{
    const struct r2_conv first = {
        .name = "a", .norm = "an", .out = 24, .kernel = 3, .stride = 1, .pad = 1, .relu = true};
    struct r2_conv branch = {
        .name = "b", .out = 8, .kernel = 3, .stride = 1, .pad = 1, .relu = true};
    const struct r2_pool pool = {.kind = R2_POOL_AVG, .kernel = 3, .stride = 1, .pad = 1};
    r2_graph_init(graph);
    r2_value y = r2_graph_conv(graph, r2_graph_input(graph, 3), &first), parts[3];
    parts[0] = r2_graph_conv(graph, r2_graph_slice(graph, y, 0, 8), &branch);
    branch.name = "c";
    parts[1] = r2_graph_conv(
        graph, r2_graph_add(graph, r2_graph_slice(graph, y, 8, 8), parts[0], false), &branch);
    parts[2] = r2_graph_pool(graph, r2_graph_slice(graph, y, 16, 8), &pool);
    branch = (struct r2_conv){.name = "d", .out = 24, .kernel = 1, .stride = 1};
    y = r2_graph_add(graph, r2_graph_conv(graph, r2_graph_concat(graph, parts, 3), &branch), y,
                     true);
    r2_graph_output(graph, y, "map");
    r2_graph_output(graph,
                    r2_graph_linear(graph, r2_graph_global_pool(graph, y),
                                    &(struct r2_linear){.name = "fc", .out = 5}),
                    "logits");
}

struct job {
    const struct plan_case *self;
    struct r2_plan *plan;
    struct r2_plan_shape shape;
    unsigned seed;
    const struct naive_run *expected;
    double worst;
    struct r2_error err;
};

static void *run_job(void *data)
{
    struct job *job = data;
    struct r2_session *session = NULL;
    enum r2_status status = r2_session_create(&session, &job->err);
    for (unsigned i = 0; i < RUNS && status == R2_OK; i++) {
        double error = 0;
        status = plan_case_run(job->self, session, job->plan, job->shape, job->seed, job->expected,
                               &error, &job->err);
        if (error > job->worst) job->worst = error;
    }
    r2_session_destroy(session);
    return NULL;
}

Test(session, two_share_a_plan)
{
    const struct r2_extent extent = {20, 17};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    struct r2_plan *plan;
    struct naive_run expected[2] = {{0}};
    struct job jobs[2];
    pthread_t threads[2];
    build(&graph);
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    ASSERT_OK(
        r2_plan_create(&graph, self.params, (struct r2_plan_shape){extent, 1}, 1, &plan, &err),
        err);
    for (unsigned i = 0; i < 2; i++) {
        ASSERT_OK(plan_case_naive(&self, extent, i, &expected[i], &err), err);
        jobs[i] = (struct job){&self, plan, {extent, 1}, i, &expected[i], 0, {0}};
    }
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_eq(jobs[i].err.status, R2_OK, "%s", jobs[i].err.message);
        cr_expect_lt(jobs[i].worst, 1e-4, "thread %u: error %g", i, jobs[i].worst);
        naive_run_finish(&expected[i]);
    }
    r2_plan_unref(plan);
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

Test(session, one_changes_plans)
{
    static const struct r2_extent extents[] = {{5, 4}, {12, 15}, {3, 3}, {12, 15}, {5, 4}};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    struct r2_session *session;
    struct r2_plan *plans[R2_COUNT(extents)];
    size_t largest = 0;
    build(&graph);
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    ASSERT_OK(r2_session_create(&session, &err), err);
    for (size_t i = 0; i < R2_COUNT(extents); i++)
        ASSERT_OK(r2_plan_create(&graph, self.params, (struct r2_plan_shape){extents[i], 1}, 1,
                                 &plans[i], &err),
                  err);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < R2_COUNT(extents); i++) {
            struct naive_run expected = {0};
            double worst = 0;
            ASSERT_OK(plan_case_naive(&self, extents[i], round, &expected, &err), err);
            ASSERT_OK(plan_case_run(&self, session, plans[i], (struct r2_plan_shape){extents[i], 1},
                                    round, &expected, &worst, &err),
                      err);
            cr_expect_lt(worst, 1e-4, "plan %zu: error %g", i, worst);
            naive_run_finish(&expected);
            if (r2_plan_arena(plans[i]) > largest) largest = r2_plan_arena(plans[i]);
            cr_expect_eq(r2_session_size(session), largest, "the arena only grows");
        }
    }
    for (size_t i = 0; i < R2_COUNT(extents); i++) r2_plan_unref(plans[i]);
    cr_expect_gt(r2_params_size(self.params), 0, "the session still holds the last plan");
    r2_session_destroy(session);
    cr_expect_eq(r2_params_size(self.params), 0);
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

/* 40 x 40 x 24 floats are more than kernels leave to one thread. */
Test(session, thread_counts_agree)
{
    const struct r2_extent extent = {40, 40};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    build(&graph);
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    for (unsigned threads = 1; threads <= 2; threads++) {
        double worst = 0;
        ASSERT_OK(plan_case_worst(&self, (struct r2_plan_shape){extent, 1}, threads, &worst, &err),
                  err);
        cr_expect_lt(worst, 1e-4, "%u threads: error %g", threads, worst);
    }
    plan_case_close(&self);
    r2_graph_finish(&graph);
}

Test(session, shapes_and_times)
{
    const struct r2_extent extent = {7, 9};
    struct r2_graph graph;
    struct r2_error err = {0};
    struct plan_case self;
    struct r2_session *session;
    struct r2_plan *plan;
    struct r2_session_times times = {0};
    struct r2_output_view view = {0};
    build(&graph);
    ASSERT_OK(plan_case_open(&self, &graph, &err), err);
    ASSERT_OK(r2_session_create(&session, &err), err);
    EXPECT_FAIL(r2_session_output(session, "map", &view, &err), err, R2_NOT_FOUND,
                "the plan has no output 'map'");
    ASSERT_OK(
        r2_plan_create(&graph, self.params, (struct r2_plan_shape){extent, 1}, 1, &plan, &err),
        err);
    ASSERT_OK(r2_session_prepare(session, plan, &err), err);
    float *input = r2_session_input(session);
    ASSERT_OK(r2_session_prepare(session, plan, &err), err);
    cr_expect_eq(r2_session_input(session), input, "the same plan again changes nothing");
    plan_case_input(0, (size_t)7 * 9 * 3, input);
    ASSERT_OK(r2_session_run(session, &times, &err), err);
    cr_expect_gt(times.trunk_ns, 0);
    cr_expect_eq(times.head_ns, 0, "all nodes are of part 0");
    ASSERT_OK(r2_session_output(session, "map", &view, &err), err);
    cr_expect(view.height == 7 && view.width == 9 && view.channels == 24 && view.pitch >= 24);
    ASSERT_OK(r2_session_output(session, "logits", &view, &err), err);
    cr_expect(view.height == 1 && view.width == 1 && view.channels == 5);
    R2_AUTOFREE uint64_t *steps = calloc(r2_plan_step_count(plan), sizeof *steps);
    ASSERT_OK(r2_session_profile(session, steps, &err), err);
    EXPECT_FAIL(r2_session_output(session, "none", &view, &err), err, R2_NOT_FOUND,
                "the plan has no output 'none'");
    r2_plan_unref(plan);
    r2_session_destroy(session);
    r2_session_destroy(NULL);
    plan_case_close(&self);
    r2_graph_finish(&graph);
}
