/*
 * The HTTP side: libmicrohttpd's events on one end, jobs on the other.
 *
 * Each address has an event thread of its own. A request's head is checked before its body is read
 * (r2_routes_admit); the body goes into the job's bounded buffer; then the connection is suspended
 * and the job belongs to the queue until job->wake resumes the connection.
 *
 * What is refused before its body was read: with Expect: 100-continue, and when more than 64 MiB
 * are announced, the answer leaves at once and the connection closes. Otherwise the body is
 * swallowed unstored and the answer follows it, so that ordinary clients, which read only when they
 * have written, see it; a chunked body is cut off after 64 MiB.
 */
#ifndef R2_SERVER_HTTP_H
#define R2_SERVER_HTTP_H

#include <stddef.h>

#include "base/error.h"
#include "server/service.h"

struct r2_http;

/* Listens on every address of the settings and serves from now on. */
enum r2_status r2_http_start(struct r2_service *service, const struct r2_settings *settings,
                             struct r2_http **ret, struct r2_error *err);

/* Addresses with their real ports, comma-separated; borrowed. */
const char *r2_http_addresses(const struct r2_http *http);

/* Closes all connections. No job may be in the queue or with a worker; takes NULL. */
void r2_http_stop(struct r2_http *http);

#endif
