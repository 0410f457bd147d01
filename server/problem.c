#include "server/problem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

static const unsigned codes[R2_STATUS_COUNT] = {
    [R2_OK] = 200,          [R2_BAD_REQUEST] = 400, [R2_NOT_FOUND] = 404, [R2_TOO_LARGE] = 413,
    [R2_UNSUPPORTED] = 415, [R2_INVALID] = 422,     [R2_BUSY] = 503,      [R2_EXPIRED] = 504,
    [R2_CANCELLED] = 499, /* nginx's: nobody reads it but the log */
    [R2_NO_MEMORY] = 503,   [R2_IO] = 500,          [R2_INTERNAL] = 500,
};

static const struct {
    unsigned code;
    const char *kind; /* of the type URI */
    const char *title;
} problems[] = {
    {400, "bad-request", "Bad Request"},
    {404, "not-found", "Not Found"},
    {405, "method-not-allowed", "Method Not Allowed"},
    {406, "not-acceptable", "Not Acceptable"},
    {408, "request-timeout", "Request Timeout"},
    {413, "too-large", "Content Too Large"},
    {415, "unsupported", "Unsupported Media Type"},
    {422, "invalid", "Unprocessable Content"},
    {499, "client-closed-request", "Client Closed Request"},
    {500, "internal", "Internal Server Error"},
    {503, "unavailable", "Service Unavailable"},
    {504, "expired", "Gateway Timeout"},
};

unsigned r2_problem_code(enum r2_status status)
{
    return (unsigned)status < R2_STATUS_COUNT ? codes[status] : 500;
}

static size_t find(unsigned code)
{
    size_t i = 0;
    while (i < R2_COUNT(problems) && problems[i].code != code) i++;
    return i;
}

const char *r2_problem_title(unsigned code)
{
    size_t i = find(code);
    return i < R2_COUNT(problems) ? problems[i].title : "Error";
}

bool r2_problem_is_temporary(unsigned code)
{
    return code == 503;
}

char *r2_problem_body(unsigned code, const char *detail, const char *id)
{
    char type[64], shown[R2_ERROR_SIZE];
    size_t i = find(code);
    snprintf(type, sizeof type, "urn:res2netd:problem:%s",
             i < R2_COUNT(problems) ? problems[i].kind : "error");
    r2_text_printable(detail, strlen(detail), shown, sizeof shown);
    json_t *json = json_pack("{ss ss si ss ss ss}", "type", type, "title", r2_problem_title(code),
                             "status", (int)code, "detail", shown, "instance", id, "error", shown);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
