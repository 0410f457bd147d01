/*
 * What a weights file without a model.json says of itself.
 */
#ifndef R2_HEADS_INSPECT_H
#define R2_HEADS_INSPECT_H

#include <jansson.h>

#include "base/error.h"

/* Tensors, parameters, and, where it holds a Res2Net trunk, its variant by shapes, its naming and
   its classes. New reference. */
enum r2_status r2_weights_info(const char *path, json_t **ret, struct r2_error *err);

#endif
