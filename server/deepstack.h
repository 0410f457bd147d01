/*
 * The door for clients of DeepStack and CodeProject.AI (Frigate, Home Assistant, Blue Iris):
 *
 *   POST /v1/vision/detection     a multipart form with `image` and, when wanted, `min_confidence`
 *   POST /v1/vision/custom/MODEL  the same, by the name of the model
 *   POST /v1/vision/custom/list   the model's name
 *
 * The answer is {"success": true, "predictions": [{label, confidence, x_min, y_min, x_max, y_max}]}
 * in whole pixels of the picture: 20 at most, the surest first, because Frigate keeps that many and
 * stops at the first that is below its own threshold. Errors are {"success": false, "error": ...}.
 */
#ifndef R2_SERVER_DEEPSTACK_H
#define R2_SERVER_DEEPSTACK_H

#include "base/error.h"
#include "server/query.h"

#define R2_DEEPSTACK_CUSTOM "/v1/vision/custom/"

struct r2_job;
struct r2_service;

/* Selects the detector, with what these clients expect where they do not say. */
enum r2_status r2_deepstack_select(struct r2_job *job, const struct r2_query *query,
                                   struct r2_error *err);

void r2_deepstack_list(struct r2_service *service, struct r2_job *job);

#endif
