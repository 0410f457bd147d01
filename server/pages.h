/*
 * The pages: what GET answers from what the service knows. Each replies to the job.
 */
#ifndef R2_SERVER_PAGES_H
#define R2_SERVER_PAGES_H

#include <jansson.h>

struct r2_job;
struct r2_service;

/* Replies with JSON: takes the reference; NULL is a lack of memory. */
void r2_page_reply(struct r2_job *job, json_t *json);

void r2_page_livez(struct r2_service *service, struct r2_job *job);
void r2_page_readyz(struct r2_service *service, struct r2_job *job);
void r2_page_models(struct r2_service *service, struct r2_job *job);
void r2_page_metrics(struct r2_service *service, struct r2_job *job);
void r2_page_version(struct r2_service *service, struct r2_job *job);

#endif
