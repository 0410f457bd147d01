/*
 * The reply to a picture: JSON, or the picture with the results on it.
 */
#ifndef R2_SERVER_ANSWER_H
#define R2_SERVER_ANSWER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "heads/model.h"
#include "image/font.h"
#include "image/image.h"
#include "server/job.h"

/* The results of the work as a new object: `embedding` when it was asked for and, of the heads,
   either the members of the one head (nested = false) or `results: {task: {...}}`. */
enum r2_status r2_answer_results(const struct r2_work *work, const struct r2_answer *answer,
                                 bool nested, json_t **ret, struct r2_error *err);

/* What an answer about a truncated picture says besides, in JSON and in the header X-Warning. */
#define R2_TRUNCATED "truncated"

/* `warnings` of such an answer, new; NULL without memory. */
json_t *r2_answer_warnings(void);

/* Replies in the job's type: its protocol's JSON, or a drawing on the picture. The picture is changed,
   or finished when it is needed no more. The font may be NULL. Server-Timing too. */
enum r2_status r2_answer_reply(struct r2_job *job, const struct r2_answer *answer,
                               struct r2_image *picture, const struct r2_font *font,
                               struct r2_error *err);

#endif
