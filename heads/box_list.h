/*
 * Boxes as text: x1,y1,x2,y2;x1,y1,x2,y2 in pixels of the original, oriented picture.
 */
#ifndef R2_HEADS_BOX_LIST_H
#define R2_HEADS_BOX_LIST_H

#include <stddef.h>

#include "base/error.h"
#include "heads/box.h"

enum { R2_BOX_LIST_MAX = 64, R2_BOX_FAR = 1000000 /* pixels from the picture's corner */ };

/* Reads 1 to R2_BOX_LIST_MAX boxes to ret. R2_INVALID names the box, from 1, that is not four decimal
   numbers within R2_BOX_FAR, or is empty. */
enum r2_status r2_box_list_read(const char *text, struct r2_box ret[R2_BOX_LIST_MAX],
                                size_t *ret_count, struct r2_error *err);

/* The same as the check of an option. */
enum r2_status r2_box_list_check(const char *text, struct r2_error *err);

#endif
