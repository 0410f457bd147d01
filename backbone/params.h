/*
 * The parameters of a model as primitives want them: batch norms folded, packed, shared.
 *
 * Packed weights are keyed by (tensor, packed form), made at the first plan that needs them and
 * shared by all plans of the model; the last plan that lets go frees them. Thread-safe.
 */
#ifndef R2_BACKBONE_PARAMS_H
#define R2_BACKBONE_PARAMS_H

#include "backbone/engine.h"
#include "backbone/graph.h"
#include "backbone/weights.h"

struct r2_params;

/* Where the nodes of one part of the graph find their tensors. */
struct r2_source {
    const struct r2_weights *weights;
    const struct r2_naming *naming;
    double norm_eps; /* of the batch norms */
};

/* Copies sources [count]: of part 0 (the trunk), 1, 2, ... What they point to must outlive it. */
enum r2_status r2_params_create(const struct r2_source *sources, size_t count,
                                struct r2_params **ret, struct r2_error *err);
void r2_params_destroy(struct r2_params *params); /* after all plans */

/* Checks that every tensor of the graph exists with its shape and is finite where it is small
   (norms, biases); marks all as taken. */
enum r2_status r2_params_check(const struct r2_params *params, const struct r2_graph *graph,
                               struct r2_error *err);

/* Counted. */
struct r2_packed {
    void *weights;
    float *bias; /* [out of the primitive] */
    size_t size; /* bytes of both */
};

/* The folded and packed parameters of a CONV, DECONV or LINEAR node for this primitive; when it is
   NULL, of a depthwise CONV for r2_map_depthwise. */
enum r2_status r2_params_get(struct r2_params *params, const struct r2_graph *graph,
                             const struct r2_node *node, const struct r2_primitive *primitive,
                             struct r2_packed **ret, struct r2_error *err);
void r2_params_put(struct r2_params *params, struct r2_packed *packed); /* takes NULL */

/* Bytes of all packed parameters that are in use. */
size_t r2_params_size(struct r2_params *params);

#endif
