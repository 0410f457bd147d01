/*
 * The pages: what GET answers from what the service knows. Each replies to the job.
 */
#ifndef R2_SERVER_PAGES_H
#define R2_SERVER_PAGES_H

struct r2_job;
struct r2_service;

void r2_page_livez(struct r2_service *service, struct r2_job *job);
void r2_page_readyz(struct r2_service *service, struct r2_job *job);
void r2_page_models(struct r2_service *service, struct r2_job *job);
void r2_page_metrics(struct r2_service *service, struct r2_job *job);
void r2_page_version(struct r2_service *service, struct r2_job *job);

#endif
