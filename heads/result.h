/*
 * Typed results: what a head decodes to, and how it leaves as JSON or on a picture.
 *
 * A kind belongs to the result, not to the head: two detectors share one kind.
 */
#ifndef R2_HEADS_RESULT_H
#define R2_HEADS_RESULT_H

#include <jansson.h>

#include "base/error.h"

struct r2_buffer;
struct r2_draw;

struct r2_result_kind {
    const char *name; /* "classes" */

    /* Adds the result's members to `object` (borrowed). */
    enum r2_status (*to_json)(const void *data, json_t *object, struct r2_error *err);

    /* Draws the result on the picture that it was found in; NULL: there is nothing to see. */
    enum r2_status (*draw)(const void *data, struct r2_draw *draw, struct r2_error *err);

    /* Appends a PNG that is the result itself, where a client asks one head for a PNG; NULL: it gets
       the drawing. */
    enum r2_status (*to_png)(const void *data, struct r2_buffer *ret, struct r2_error *err);

    /* Frees data; takes NULL. */
    void (*finish)(void *data);
};

/* Owns data. Zero-initialised is no result. */
struct r2_result {
    const struct r2_result_kind *kind;
    void *data;
};

static inline void r2_result_finish(struct r2_result *result)
{
    if (result->kind) result->kind->finish(result->data);
    *result = (struct r2_result){0};
}

#endif
