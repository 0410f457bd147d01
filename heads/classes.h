/*
 * The result of a classifier: the best classes with their softmax probabilities, and perhaps where
 * in the picture the best one was seen.
 */
#ifndef R2_HEADS_CLASSES_H
#define R2_HEADS_CLASSES_H

#include <stddef.h>

#include "config/model_file.h"
#include "heads/activation_map.h"
#include "heads/result.h"

struct r2_class_score {
    size_t index;
    float score; /* probability, 0..1 */
};

struct r2_classes {
    const struct r2_labels *labels; /* borrowed from the head; NULL: none */
    size_t count;
    struct r2_class_score *items; /* [count], owned; descending scores, ties by index */
    struct r2_activation_map map; /* owned; values == NULL: was not asked for */
};

extern const struct r2_result_kind r2_classes_kind;

/* The `top` best of logits [count], 0 = all. Softmax in double. Logits that are NaN, or infinite,
   fail with R2_INTERNAL: the network's arithmetic broke. */
enum r2_status r2_classes_from_logits(const float *logits, size_t count, size_t top,
                                      const struct r2_labels *labels, struct r2_result *ret,
                                      struct r2_error *err);

#endif
