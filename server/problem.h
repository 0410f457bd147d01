/*
 * Errors as HTTP has them: the one table from status to code, and RFC 9457 bodies.
 */
#ifndef R2_SERVER_PROBLEM_H
#define R2_SERVER_PROBLEM_H

#include <stdbool.h>

#include "base/error.h"

#define R2_PROBLEM_TYPE "application/problem+json"

/* 400, 404, ... for a failed status. */
unsigned r2_problem_code(enum r2_status status);

/* "Not Found"; static. "Error" for a code that is not in the table. */
const char *r2_problem_title(unsigned code);

/* True when a client may well try again later: the answer carries Retry-After. */
bool r2_problem_is_temporary(unsigned code);

/* {type, title, status, detail, instance, error} as text, to be freed; NULL without memory. What is
   not UTF-8 in `detail` is replaced; `id` is the request's. */
char *r2_problem_body(unsigned code, const char *detail, const char *id);

#endif
