/*
 * Small random networks: slices, sums, pools and joins in every order that the graph allows.
 */
#ifndef R2_TESTS_RANDOM_GRAPH_H
#define R2_TESTS_RANDOM_GRAPH_H

#include "backbone/graph.h"

/* Fills an initialised graph; the same for the same seed. *ret is a picture size that fits. Every
   layer has a name of its own; no value is an output yet. */
void random_graph(struct r2_graph *graph, unsigned seed, struct r2_extent *ret);

enum random_outputs {
    RANDOM_ALL,  /* every value */
    RANDOM_ENDS, /* those that no node reads */
    RANDOM_LAST, /* the last */
    RANDOM_SOME, /* about a third of them */
    RANDOM_OUTPUTS_COUNT
};

/* Replaces the graph's outputs; value v is named "vN". */
void random_graph_outputs(struct r2_graph *graph, enum random_outputs which);

#endif
