/*
 * How a route speaks to its clients: the form of its answers, its errors and its parameters. One
 * for ourselves, one for each foreign service whose clients are served too.
 */
#ifndef R2_SERVER_PROTOCOL_H
#define R2_SERVER_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "heads/model.h"

#define R2_JSON_TYPE "application/json"

struct r2_job;

struct r2_protocol {
    /* The JSON that answers a picture; a new reference. */
    enum r2_status (*answer)(const struct r2_job *job, const struct r2_answer *answer, json_t **ret,
                             struct r2_error *err);

    /* The text of an error, malloc; NULL without memory. */
    char *(*problem)(unsigned code, const char *detail, const char *id);
    const char *problem_type; /* its Content-Type */

    /* Our name of a request parameter, NULL when the name means nothing; NULL: names are ours. */
    const char *(*parameter)(const char *name);

    bool draws; /* answers with pictures, too, where the results can be drawn */
};

extern const struct r2_protocol r2_native_protocol;    /* answer.c */
extern const struct r2_protocol r2_deepstack_protocol; /* deepstack.c */

#endif
