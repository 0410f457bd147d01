/*
 * One graph with test weights, compiled and run, and compared with the naive run of it.
 */
#ifndef R2_TESTS_PLAN_CASE_H
#define R2_TESTS_PLAN_CASE_H

#include "tests/support/naive.h"

/* Weights are read under the names of the graph itself. Stays where it was opened: params point
 * into it. */
enum { PLAN_CASE_BATCH = 8 }; /* most pictures of a shape */

struct plan_case {
    const struct r2_graph *graph;
    struct r2_safetensors file;
    struct r2_weights weights;
    struct r2_naming naming;
    struct r2_source source;
    struct r2_params *params;
};

/* Makes the weights; the graph must stay, its outputs may change. */
enum r2_status plan_case_open(struct plan_case *ret, const struct r2_graph *graph,
                              struct r2_error *err);
void plan_case_close(struct plan_case *self);

/* Numbers in [-2, 2) that depend on the seed; [height, width, channels]. */
void plan_case_input(unsigned seed, size_t count, float *ret);

/* The naive run on the input of that seed. */
enum r2_status plan_case_naive(const struct plan_case *self, struct r2_extent extent, unsigned seed,
                               struct naive_run *ret, struct r2_error *err);

/* Runs the plan in the session, picture i on the input of seed + i; *ret is the worst naive_error
   of its outputs to expected[i]. */
enum r2_status plan_case_run(const struct plan_case *self, struct r2_session *session,
                             struct r2_plan *plan, struct r2_plan_shape shape, unsigned seed,
                             const struct naive_run *expected, double *ret, struct r2_error *err);

/* All of it once, with a new plan and session. */
enum r2_status plan_case_worst(const struct plan_case *self, struct r2_plan_shape shape,
                               unsigned threads, double *ret, struct r2_error *err);

#endif
