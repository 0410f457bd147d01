/*
 * JSON from outside, parsed: no duplicate keys, UTF-8 only, messages with line and column.
 */
#ifndef R2_CONFIG_JSON_H
#define R2_CONFIG_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

/* Parses a JSON object; the caller decrefs it. R2_BAD_REQUEST for broken syntax, a duplicate key,
   or a value that is not an object; messages begin with `where`. */
enum r2_status r2_json_parse(const char *data, size_t size, const char *where, json_t **ret,
                             struct r2_error *err);

/* The same for a file of at most `limit` bytes; messages begin with its path. */
enum r2_status r2_json_read(const char *path, size_t limit, json_t **ret, struct r2_error *err);

/* "an object", "a string", "an integer" and so on, for messages; static. */
const char *r2_json_kind(const json_t *json);

#endif
