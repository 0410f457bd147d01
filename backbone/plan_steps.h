/*
 * The inside of a plan, shared by the files that build it (lower.c, values.c, arena.c, plan.c) and the one
 * that runs it (session.c).
 */
#ifndef R2_BACKBONE_PLAN_STEPS_H
#define R2_BACKBONE_PLAN_STEPS_H

#include <stdatomic.h>

#include "backbone/plan.h"

/* Storage of the maps of a batch in the arena: channels-last [pixels, channels], or, of one
   picture, in blocks [channels / 16, pixels, 16]. */
struct r2_plan_buffer {
    size_t pixels; /* of all pictures */
    uint32_t channels;
    bool blocked;
    size_t first_step, last_step; /* lifetime, both included */
    size_t offset;                /* bytes from the arena's start */
};

/* Channels [first, ...) of a buffer; first is 0 in a blocked one. */
struct r2_plan_view {
    uint32_t buffer;
    uint32_t first;
};

#define R2_NO_BUFFER UINT32_MAX

enum r2_step_kind {
    R2_STEP_PRIMITIVE,
    R2_STEP_DEPTHWISE,
    R2_STEP_COPY,
    R2_STEP_ADD,
    R2_STEP_GATE,
    R2_STEP_POOL,
    R2_STEP_MEAN,
    R2_STEP_RESIZE,
    R2_STEP_SPREAD
};

struct r2_plan_step {
    enum r2_step_kind kind;
    uint32_t part;
    size_t node; /* PRIMITIVE, DEPTHWISE: index in the graph, while the plan is made */
    char name[R2_GRAPH_NAME_SIZE];
    const char *label; /* static: "conv", ... */
    struct r2_plan_view dst, src;
    struct r2_plan_view other; /* ADD, GATE, RESIZE: what is added, or no buffer */
    struct r2_plan_view copy;  /* ADD: where `other` is copied, or no buffer; GATE: the factors */
    uint32_t channels;
    size_t pixels;       /* COPY, ADD: of all pictures */
    bool relu;           /* ADD, GATE, RESIZE */
    struct r2_conv conv; /* DEPTHWISE */
    struct r2_pool pool; /* SPREAD: its stride and pad */
    enum r2_sampling sampling;
    struct r2_extent out, in; /* DEPTHWISE, GATE, POOL, MEAN, RESIZE, SPREAD: of one picture */
    struct r2_primitive *primitive;
    struct r2_packed *packed;
    uint64_t macs;
};

struct r2_plan_output {
    char name[R2_GRAPH_NAME_SIZE];
    struct r2_plan_view view;
    uint32_t channels;
    struct r2_extent extent;
};

struct r2_plan {
    atomic_uint references;
    struct r2_params *params;
    unsigned threads;
    struct r2_plan_shape shape;
    uint32_t input_buffer;
    uint32_t input_channels;
    struct r2_plan_step *steps;
    size_t step_count, step_capacity;
    struct r2_plan_buffer *buffers;
    size_t buffer_count, buffer_capacity;
    struct r2_plan_output *outputs;
    size_t output_count;
    size_t scratchpad_offset; /* bytes from the arena's start */
    size_t arena_size;
};

/* lower.c: fills steps, buffers and outputs, without primitives' parameters. */
enum r2_status r2_plan_lower(struct r2_plan *plan, const struct r2_graph *graph,
                             struct r2_error *err);

/* arena.c: gives every buffer its offset so that buffers alive at the same step do not overlap, and
   puts the scratchpad behind them. */
enum r2_status r2_plan_place(struct r2_plan *plan, struct r2_error *err);

#endif
