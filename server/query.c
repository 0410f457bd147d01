#include "server/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/quote.h"

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

bool r2_percent_decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0 || high + low == 0) return false;
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from == '+' ? ' ' : *from;
        }
    }
    *to = 0;
    return true;
}

static enum r2_status check_room(const struct r2_query *query, const char *name,
                                 struct r2_error *err)
{
    if (r2_query_get(query, name))
        return r2_fail(err, R2_BAD_REQUEST, "parameter %s is given twice", r2_quote(name).text);
    if (query->count == R2_QUERY_MAX)
        return r2_fail(err, R2_BAD_REQUEST, "more than %d parameters", R2_QUERY_MAX);
    return R2_OK;
}

static enum r2_status add_pair(char *pair, struct r2_query *query, struct r2_error *err)
{
    char *equals = strchr(pair, '=');
    char *value = equals ? equals + 1 : pair + strlen(pair);
    struct r2_quoted shown = r2_quote(pair);
    if (equals) *equals = 0;
    if (!r2_percent_decode(pair) || !r2_percent_decode(value))
        return r2_fail(err, R2_BAD_REQUEST,
                       "query %s: a \"%%\" is not followed by the two hex "
                       "digits of a byte that is not 0",
                       shown.text);
    if (!*pair)
        return r2_fail(err, R2_BAD_REQUEST, "query %s: a parameter has no name", shown.text);
    R2_TRY(check_room(query, pair, err));
    query->pairs[query->count++] = (struct r2_query_pair){pair, value, NULL};
    return R2_OK;
}

enum r2_status r2_query_parse(const char *text, struct r2_query *ret, struct r2_error *err)
{
    struct r2_query query = {0};
    size_t size = text ? strlen(text) : 0;
    R2_TRY(r2_alloc(size + 1, 1, "query", &query.text, err));
    if (size) memcpy(query.text, text, size);
    char *rest = query.text, *pair;
    while ((pair = strsep(&rest, "&"))) {
        if (!*pair) continue;
        if (add_pair(pair, &query, err) != R2_OK) {
            r2_query_finish(&query);
            return err->status;
        }
    }
    *ret = query;
    return R2_OK;
}

enum r2_status r2_query_add(struct r2_query *query, const char *name, struct r2_bytes value,
                            struct r2_error *err)
{
    size_t size = strlen(name) + 1;
    char *owned;
    R2_TRY(check_room(query, name, err));
    if (value.size > R2_QUERY_VALUE_MAX)
        return r2_fail(err, R2_INVALID, "parameter %s has %zu bytes; the limit is %d",
                       r2_quote(name).text, value.size, R2_QUERY_VALUE_MAX);
    if (value.size && memchr(value.data, 0, value.size))
        return r2_fail(err, R2_BAD_REQUEST, "parameter %s holds a byte that is 0",
                       r2_quote(name).text);
    R2_TRY(r2_alloc(size + value.size + 1, 1, "parameter", &owned, err));
    memcpy(owned, name, size);
    if (value.size) memcpy(owned + size, value.data, value.size);
    query->pairs[query->count++] = (struct r2_query_pair){owned, owned + size, owned};
    return R2_OK;
}

void r2_query_finish(struct r2_query *query)
{
    if (!query) return;
    for (size_t i = 0; i < query->count; i++) free(query->pairs[i].owned);
    free(query->text);
    *query = (struct r2_query){0};
}

const char *r2_query_get(const struct r2_query *query, const char *name)
{
    for (size_t i = 0; i < query->count; i++)
        if (strcmp(query->pairs[i].name, name) == 0) return query->pairs[i].value;
    return NULL;
}
