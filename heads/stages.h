/*
 * A network stage by stage: what comes out, and what it costs.
 */
#ifndef R2_HEADS_STAGES_H
#define R2_HEADS_STAGES_H

#include <jansson.h>

#include "backbone/graph.h"

/* A list in the order of the graph: {"name": "layer1", "output": [channels, height, width] of its last
   layer, "parameters", "macs"} of all layers whose tensor names begin so, for a picture of this size. New
   reference. R2_INVALID where the picture does not suit the network. */
enum r2_status r2_stages_describe(const struct r2_graph *graph, struct r2_extent picture,
                                  json_t **ret, struct r2_error *err);

#endif
