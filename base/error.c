#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const status_names[R2_STATUS_COUNT] = {
    [R2_OK] = "ok",
    [R2_BAD_REQUEST] = "bad_request",
    [R2_NOT_FOUND] = "not_found",
    [R2_TOO_LARGE] = "too_large",
    [R2_UNSUPPORTED] = "unsupported",
    [R2_INVALID] = "invalid",
    [R2_BUSY] = "busy",
    [R2_EXPIRED] = "expired",
    [R2_CANCELLED] = "cancelled",
    [R2_NO_MEMORY] = "no_memory",
    [R2_IO] = "io",
    [R2_INTERNAL] = "internal",
};

const char *r2_status_name(enum r2_status status)
{
    return (unsigned)status < R2_STATUS_COUNT ? status_names[status] : "unknown";
}

enum r2_status r2_fail(struct r2_error *err, enum r2_status status, const char *format, ...)
{
    char message[R2_ERROR_SIZE]; /* the arguments may point into err->message */
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    err->status = status;
    /* names from files and requests end up here: one line of valid UTF-8, whatever they are */
    r2_text_printable(message, strlen(message), err->message, sizeof err->message);
    return status;
}

enum r2_status r2_fail_in(struct r2_error *err, const char *format, ...)
{
    char context[R2_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    return r2_fail(err, err->status, "%s: %s", context, err->message);
}
