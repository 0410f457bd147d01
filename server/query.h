/*
 * The query string of a request: names and values, percent-decoded.
 */
#ifndef R2_SERVER_QUERY_H
#define R2_SERVER_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { R2_QUERY_MAX = 32 };

struct r2_query {
    size_t count;
    struct r2_query_pair {
        const char *name;
        const char *value; /* "" without "=" */
    } pairs[R2_QUERY_MAX];
    char *text; /* owned; names and values stand in it */
};

/* Parses what follows the "?" ("" and NULL: nothing). '+' is a space. R2_BAD_REQUEST for a broken
   percent-escape, an escaped NUL, a name that is empty or given twice, or more than R2_QUERY_MAX
   parameters. The caller finishes *ret. */
enum r2_status r2_query_parse(const char *text, struct r2_query *ret, struct r2_error *err);

void r2_query_finish(struct r2_query *query);

/* The value of that name, or NULL. */
const char *r2_query_get(const struct r2_query *query, const char *name);

/* Decodes in place; false, and the text is of no more use, when it is not well-formed. */
bool r2_percent_decode(char *text);

#endif
