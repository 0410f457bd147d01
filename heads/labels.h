/*
 * What the weights of a head tell of it: how many classes they have; and the names of these.
 */
#ifndef R2_HEADS_LABELS_H
#define R2_HEADS_LABELS_H

#include "base/text.h"
#include "config/model_file.h"
#include "heads/head.h"

enum { R2_CLASSES_MAX = 65536 };

/* The weights [rows, features] of a linear layer, or [rows, features, 1, 1] of a convolution, that
   the official code calls `official` ("fc.weight"); borrowed from the model. R2_NOT_FOUND; R2_INVALID
   when they are no such matrix, or have more than R2_CLASSES_MAX rows. */
enum r2_status r2_head_find_rows(const struct r2_head_setup *setup, const char *official,
                                 const struct r2_tensor_entry **ret, struct r2_error *err);

/* Whether the weights have the tensor of this official name. R2_INVALID for a name that is too long. */
enum r2_status r2_head_has_tensor(const struct r2_head_setup *setup, const char *official,
                                  bool *ret, struct r2_error *err);

/* Reads the labels file of a head with `classes` classes. A NULL path is no labels. */
enum r2_status r2_head_read_labels(const struct r2_head_setup *setup, const char *path,
                                   uint32_t classes, struct r2_labels *ret, struct r2_error *err);

/* The name of a class, or its number where there are no names: as JSON, NULL without memory, and
   added to a text. */
json_t *r2_label_json(const struct r2_labels *labels, size_t index);
void r2_label_add(const struct r2_labels *labels, size_t index, struct r2_text *text);

/* Adds "labels" and "classes" to what GET /models says. */
enum r2_status r2_head_describe_labels(const struct r2_labels *labels, uint32_t classes,
                                       json_t *object, struct r2_error *err);

#endif
