/*
 * A plan: a graph compiled for one input size, batch and thread count.
 *
 * Compiling picks primitives, fuses bias, ReLU and residual sums into convolutions, turns split
 * and concat into views where it can, and packs all buffers into one arena by their lifetimes.
 * A plan is immutable and counted; sessions of different threads run it at the same time.
 */
#ifndef R2_BACKBONE_PLAN_H
#define R2_BACKBONE_PLAN_H

#include "backbone/engine.h"
#include "backbone/graph.h"
#include "backbone/kernels.h"
#include "backbone/params.h"

struct r2_plan;

/* A batch of pictures or regions of one size. Every value of the graph is then [batch, channels,
   height, width]. */
struct r2_plan_shape {
    struct r2_extent picture;
    uint32_t batch;
};

/* The graph is only read while compiling; params must outlive the plan. R2_INVALID where the
   picture is too small for a layer, or a value is larger than 2^31 elements. */
enum r2_status r2_plan_create(const struct r2_graph *graph, struct r2_params *params,
                              struct r2_plan_shape shape, unsigned threads, struct r2_plan **ret,
                              struct r2_error *err);
struct r2_plan *r2_plan_ref(struct r2_plan *plan);
void r2_plan_unref(struct r2_plan *plan); /* takes NULL */

unsigned r2_plan_threads(const struct r2_plan *plan);

/* Bytes that a session needs to run it. */
size_t r2_plan_arena(const struct r2_plan *plan);

/* An estimate of the bytes that a cached plan itself takes: generated code and descriptors, without
   arena and packed weights. */
size_t r2_plan_size(const struct r2_plan *plan);

/* What one step of a plan does; borrowed texts. */
struct r2_step_info {
    const char *name; /* of the layer, "" for moves */
    const char
        *kind; /* "conv", "linear", "deconv", "copy", "add", "gate", "pool", "mean", "resize",
                                   "spread" */
    const char *implementation; /* oneDNN's, or "own" */
    uint64_t macs;
    uint32_t part;
};

size_t r2_plan_step_count(const struct r2_plan *plan);
struct r2_step_info r2_plan_step(const struct r2_plan *plan, size_t i);

#endif
