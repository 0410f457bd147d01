/*
 * The `input` object of a head in model.json.
 */
#ifndef R2_HEADS_INPUT_OPTIONS_H
#define R2_HEADS_INPUT_OPTIONS_H

#include <jansson.h>

#include "base/error.h"
#include "image/input.h"

/* Reads the object; NULL gives the default of a classifier. Keys that are not there are: no resize,
   no crop, RGB, ImageNet mean and deviation. */
enum r2_status r2_input_read(json_t *object, struct r2_input_spec *ret, struct r2_error *err);

/* The spec as an object that r2_input_read reads back to the same; new reference, NULL without
 * memory. */
json_t *r2_input_describe(const struct r2_input_spec *spec);

#endif
