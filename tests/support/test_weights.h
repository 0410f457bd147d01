/*
 * Weights that are made, not stored: the same numbers in C and in training/testweights.py.
 *
 * Element i of tensor NAME: FNV-1a 64 over the bytes of "NAME#i", one SplitMix64 step, the top 24
 * bits as a uniform number u in [-1, 1). Weights: u * sqrt(3 / fan_in); batch norms: weight
 * 1 + 0.4 u (times 0.3 in bn3, the last one of a block), bias and mean 0.2 u, variance 1 + 0.5 u;
 * biases of linear layers 0.2 u.
 */
#ifndef R2_TESTS_TEST_WEIGHTS_H
#define R2_TESTS_TEST_WEIGHTS_H

#include <stddef.h>

#include "backbone/graph.h"
#include "base/error.h"

/* Writes u for elements [0, count) of a tensor. */
void test_uniform(const char *name, size_t count, float *ret);

/* How a test file names what the official code calls `official`. */
typedef void (*test_rename)(const char *official, char *ret, size_t size);

/* Whole tensors, by their official names, times constants; the last name is NULL. */
struct test_factor {
    const char *tensor;
    float factor;
};

/* Writes all tensors of the graph as an F32 safetensors file. `factors` and `rename` may be NULL. */
enum r2_status test_weights_write(const char *path, const struct r2_graph *graph,
                                  const struct test_factor *factors, test_rename rename,
                                  struct r2_error *err);

#endif
