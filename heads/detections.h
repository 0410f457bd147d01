/*
 * The result of a detector: labelled boxes.
 */
#ifndef R2_HEADS_DETECTIONS_H
#define R2_HEADS_DETECTIONS_H

#include <stddef.h>

#include "config/model_file.h"
#include "heads/box.h"
#include "heads/result.h"

struct r2_detection {
    size_t index;      /* of the label */
    float score;       /* 0..1 */
    struct r2_box box; /* pixels of the original, oriented picture */
};

struct r2_detections {
    const struct r2_labels *labels; /* borrowed from the head, which outlives results; NULL: none */
    size_t count;
    struct r2_detection *items; /* [count], owned; descending scores */
};

/* JSON: scores as they are, boxes rounded to hundredths of a pixel. */
extern const struct r2_result_kind r2_detections_kind;

/* Copies items [count], which the caller has in descending order (r2_nms_keep's). A score or a
   coordinate that is not finite fails with R2_INTERNAL: the network's arithmetic broke. */
enum r2_status r2_detections_create(const struct r2_detection *items, size_t count,
                                    const struct r2_labels *labels, struct r2_result *ret,
                                    struct r2_error *err);

#endif
