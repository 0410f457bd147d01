/*
 * What can be asked: the table of routes, and what is checked before a body is read.
 */
#ifndef R2_SERVER_ROUTES_H
#define R2_SERVER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "server/query.h"

struct r2_job;
struct r2_protocol;
struct r2_service;

/* Either a page, answered at once from what the service knows, or work on a picture. */
struct r2_route {
    const char *path;  /* "/classify"; one with "/" at its end stands for all that begin so */
    const char *label; /* of the metrics: "classify" */
    void (*page)(struct r2_service *service, struct r2_job *job); /* NULL: it is work */
    bool posted; /* the page answers POST, and not GET and HEAD */

    /* POST: selects what the job's work, made for the model, has to compute; NULL: the head whose
       task is the path. */
    enum r2_status (*select)(struct r2_job *job, const struct r2_query *query,
                             struct r2_error *err);
    const struct r2_protocol *protocol; /* NULL: our own */
};

/* All routes in the order of their index, which labels metrics; the last stands for unknown paths
   ("other") and has no path. */
size_t r2_route_count(void);
const struct r2_route *r2_route_at(size_t index);

/* The route of a path; "other" when it has none. A model may carry tasks that are not in the table:
   they are served, and counted as "other". */
size_t r2_route_find(const char *path);

/* The head of a request: what is known before its body. Texts are borrowed and may be NULL. */
struct r2_request {
    const char *method, *path;
    const char *query;        /* raw, without "?" */
    const char *content_type; /* NULL: none given */
    const char *accept, *accept_encoding;
    const char *timeout; /* X-Timeout-Ms; NULL: none given */
    bool chunked;
    uint64_t length; /* of the body, 0 when there is none or it is chunked */
};

/* Checks everything that can be checked, in this order: route, method, content type, length,
   readiness, parameters, X-Timeout-Ms, and Accept where the body holds no more parameters. Pages are given to whoever asks: a probe is not
   turned away for its Accept. Afterwards either the job has a reply, or it has its work and waits for
   its body. */
void r2_routes_admit(struct r2_service *service, struct r2_job *job, const struct r2_request *head);

/* True for a name that is a parameter of some route or of some head of the job's model. */
bool r2_routes_know_parameter(const struct r2_job *job, const char *name);

/* Selects and sets anew what the job has to compute: its query has got more parameters. */
enum r2_status r2_routes_apply(struct r2_job *job, struct r2_error *err);

/* Chooses the type of the answer, once all parameters are known. False: the client takes none that
   there is, and the job has a reply (406). */
bool r2_routes_negotiate(struct r2_job *job);

#endif
