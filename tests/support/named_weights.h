/*
 * Test weights of a network whose tensors a golden lists by the names of their library, as
 * training/testweights.py fills such a network.
 */
#ifndef R2_TESTS_NAMED_WEIGHTS_H
#define R2_TESTS_NAMED_WEIGHTS_H

#include <jansson.h>

#include "base/error.h"

/* Writes an F32 safetensors file. `tensors`: name -> shape; what stands beside a running_var is a batch
   norm's. `factors`: name -> number that the whole tensor is multiplied with. */
enum r2_status named_weights_write(const char *path, json_t *tensors, const json_t *factors,
                                   struct r2_error *err);

#endif
