/*
 * The parameters of a request: the query string's names and values, percent-decoded, and further
 * ones that stand in the body.
 */
#ifndef R2_SERVER_QUERY_H
#define R2_SERVER_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    R2_QUERY_MAX = 32,
    R2_QUERY_VALUE_MAX = 4096, /* bytes of a value in the body */
};

struct r2_query {
    size_t count;
    struct r2_query_pair {
        const char *name;
        const char *value; /* "" without "=" */
        char *owned;       /* both, of a pair that was added; else NULL */
    } pairs[R2_QUERY_MAX];
    char *text; /* owned; the other names and values stand in it */
};

/* Parses what follows the "?" ("" and NULL: nothing). '+' is a space. R2_BAD_REQUEST for a broken
   percent-escape, an escaped NUL, a name that is empty or given twice, or more than R2_QUERY_MAX
   parameters. The caller finishes *ret. */
enum r2_status r2_query_parse(const char *text, struct r2_query *ret, struct r2_error *err);

/* Adds a copy of a name and its value, taken as they are. R2_BAD_REQUEST for a name that is there
   already, one parameter too many, or a NUL in the value; R2_INVALID for too long a value. */
enum r2_status r2_query_add(struct r2_query *query, const char *name, struct r2_bytes value,
                            struct r2_error *err);

void r2_query_finish(struct r2_query *query);

/* The value of that name, or NULL. */
const char *r2_query_get(const struct r2_query *query, const char *name);

/* Decodes in place; false, and the text is of no more use, when it is not well-formed. */
bool r2_percent_decode(char *text);

#endif
