/*
 * A graph computed the slow and plain way: one value after the other, direct loops, sums in double.
 * What the engine's plans are compared with; it shares no code with them but the graph.
 */
#ifndef R2_TESTS_NAIVE_H
#define R2_TESTS_NAIVE_H

#include "backbone/graph.h"
#include "backbone/params.h"
#include "backbone/session.h"

struct naive_value {
    struct r2_extent extent;
    uint32_t channels;
    double *data; /* [channels, height, width], owned */
};

struct naive_run {
    size_t count;
    struct naive_value *values; /* of value id; 0 is empty */
};

/* Computes every value. `input` is [height, width, channels]; sources are of part 0, 1, ... as for
   r2_params_create. R2_NOT_FOUND for a missing tensor. */
enum r2_status naive_run(const struct r2_graph *graph, const struct r2_source *sources,
                         struct r2_extent extent, const float *input, struct naive_run *ret,
                         struct r2_error *err);
void naive_run_finish(struct naive_run *run);

/* max|a - b| / max|b| where b is the naive value and a the first picture of the view; INFINITY when the shapes differ or a is not
 * finite. */
double naive_error(const struct naive_value *value, const struct r2_output_view *view);

/* Prints the graph, one node a line, for the report of a failed comparison. */
void naive_print(const struct r2_graph *graph);

#endif
