/*
 * Masks in JSON, as COCO writes them.
 */
#ifndef R2_HEADS_MASK_JSON_H
#define R2_HEADS_MASK_JSON_H

#include <jansson.h>

#include "base/text.h"
#include "heads/polygons.h"

/* {size: [height, width], counts} of run lengths (rle.h); NULL without memory. */
json_t *r2_rle_json(uint32_t width, uint32_t height, const struct r2_text *counts);

/* Appends each region to lists[its label] (borrowed; NULL: it is left out) as {outer, holes}, outlines
   [x1, y1, x2, y2, ...], moved by `shift`. R2_NO_MEMORY. */
enum r2_status r2_polygons_json(const struct r2_polygons *polygons, struct r2_point shift,
                                json_t *const *lists, struct r2_error *err);

#endif
