/*
 * The inside of lowering a graph to steps: what analyse.c finds out, lower.c acts on; values.c
 * keeps where each value stands.
 */
#ifndef R2_BACKBONE_LOWERING_H
#define R2_BACKBONE_LOWERING_H

#include "backbone/plan_steps.h"

/* What lowering knows of a graph value. */
struct r2_value_state {
    struct r2_plan_view view;   /* where it is, once computed; none when it is joined to a sum */
    struct r2_plan_view dense;  /* a dense channels-last copy of it, or no buffer */
    struct r2_plan_view blocks; /* a copy in blocks of 16 channels, or no buffer */
    struct r2_plan_view place;  /* its slice of a concat's buffer, or no buffer */
    bool placed;                /* it stands there */
    uint32_t uses;              /* by nodes and outputs */
    size_t last_use;            /* node index */
    size_t last_read; /* node index, of it or of a slice of it; SIZE_MAX: an output, read after the
                         run */
    r2_value root;    /* what it is a slice of, through slices of slices; else itself */
    uint32_t root_first; /* its first channel there */
    size_t producer;     /* node index */
};

struct r2_lowering {
    struct r2_plan *plan;
    const struct r2_graph *graph;
    struct r2_extent *extents;
    struct r2_value_state *values;
    bool *fused;                    /* of node: computed by an earlier step */
    r2_value *inplace;              /* of CONCAT node: the value that it overwrites, or 0 */
    struct r2_primitive **winograd; /* of CONV node: made beforehand, until a step takes it */
    bool *is_winograd;
    uint32_t part;
};

#define R2_NO_VIEW ((struct r2_plan_view){R2_NO_BUFFER, 0})

static inline bool r2_is_view(struct r2_plan_view view)
{
    return view.buffer != R2_NO_BUFFER;
}

static inline bool r2_same_view(struct r2_plan_view a, struct r2_plan_view b)
{
    return a.buffer == b.buffer && a.first == b.first;
}

/* Of all pictures of the batch. */
static inline size_t r2_value_pixels(const struct r2_lowering *lower, r2_value value)
{
    return (size_t)lower->plan->shape.batch * lower->extents[value].height *
           lower->extents[value].width;
}

/* Fills values, is_winograd, winograd and inplace, which come zeroed, from graph and extents. */
enum r2_status r2_lowering_analyse(struct r2_lowering *lower, struct r2_error *err);

/* True for a RESIZE that the sum which alone reads it computes on the way. */
bool r2_lowering_joins_sum(const struct r2_lowering *lower, const struct r2_node *node);

/* --- values.c --- */

/* Appends a step; its primitive becomes the plan's also on failure. */
enum r2_status r2_lowering_step(struct r2_lowering *lower, struct r2_plan_step step,
                                struct r2_error *err);

/* A buffer of these pixels, channels and layout. */
enum r2_status r2_lowering_buffer(struct r2_plan *plan, struct r2_plan_buffer buffer,
                                  struct r2_plan_view *ret, struct r2_error *err);

/* A buffer for a value. */
enum r2_status r2_value_buffer(struct r2_lowering *lower, r2_value value, bool blocked,
                               struct r2_plan_view *ret, struct r2_error *err);

enum r2_status r2_value_copy(struct r2_lowering *lower, struct r2_plan_view dst,
                             struct r2_plan_view src, r2_value value, struct r2_error *err);

/* The value as a dense channels-last map, copied there if it is a slice or in blocks; the copy
   serves later readers too. */
enum r2_status r2_value_dense(struct r2_lowering *lower, r2_value value, struct r2_plan_view *ret,
                              struct r2_error *err);

/* The value in blocks of 16 channels, likewise. */
enum r2_status r2_value_blocks(struct r2_lowering *lower, r2_value value, struct r2_plan_view *ret,
                               struct r2_error *err);

/* The value channels-last, dense or a slice. */
enum r2_status r2_value_channels_last(struct r2_lowering *lower, r2_value value,
                                      struct r2_plan_view *ret, struct r2_error *err);

/* Sets the view of a value that a kernel of ours computes: its slice of a concat when only that
   reads it. */
enum r2_status r2_value_target(struct r2_lowering *lower, r2_value value, struct r2_error *err);

/* Before the first input of a concat is computed its buffer must exist: prepared at the producer
   of the in-place source, or at the first input's producer, node n. */
enum r2_status r2_lowering_concats(struct r2_lowering *lower, size_t n, struct r2_error *err);

#endif
