/*
 * The JSON that answers a picture.
 */
#ifndef R2_SERVER_ANSWER_H
#define R2_SERVER_ANSWER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "heads/model.h"
#include "server/job.h"

/* The results of the work as a new object: `embedding` when it was asked for and, of the heads,
   either the members of the one head (nested = false) or `results: {task: {...}}`. */
enum r2_status r2_answer_results(const struct r2_work *work, const struct r2_answer *answer,
                                 bool nested, json_t **ret, struct r2_error *err);

/* Replies with the results and what goes with every answer: model, version, image, timing_ms,
   request_id; Server-Timing too. */
enum r2_status r2_answer_reply(struct r2_job *job, const struct r2_answer *answer,
                               struct r2_error *err);

#endif
