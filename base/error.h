/*
 * Status codes and error messages.
 *
 * A call that can fail returns enum r2_status and takes, as its last argument, the caller's
 * struct r2_error (never NULL). On failure outputs are untouched and the message names the
 * object, the value and the rule that it breaks. Libraries never log and never exit.
 */
#ifndef R2_BASE_ERROR_H
#define R2_BASE_ERROR_H

/* What went wrong, as far as a caller decides by it. The server maps these to HTTP in one table. */
enum r2_status {
    R2_OK = 0,
    R2_BAD_REQUEST, /* broken syntax: JSON, headers, file structure, command line */
    R2_NOT_FOUND,   /* no such file, tensor, head, route */
    R2_TOO_LARGE,   /* over a byte limit */
    R2_UNSUPPORTED, /* a format, type or precision that is not handled */
    R2_INVALID,     /* well-formed but not acceptable: corrupt picture, value out of range */
    R2_BUSY,        /* no capacity now; trying later can succeed */
    R2_EXPIRED,     /* the deadline passed before the work was done */
    R2_CANCELLED,   /* the one who asked has left */
    R2_NO_MEMORY,
    R2_IO,       /* the operating system refused */
    R2_INTERNAL, /* a fault of this program */
    R2_STATUS_COUNT
};

enum { R2_ERROR_SIZE = 768 };

struct r2_error {
    enum r2_status status;
    char message[R2_ERROR_SIZE]; /* one line, UTF-8, no trailing newline; "" when R2_OK */
};

/* Writes status and a printf-like message (truncated to fit) and returns status. */
enum r2_status r2_fail(struct r2_error *err, enum r2_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message that err holds; returns err->status. */
enum r2_status r2_fail_in(struct r2_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "bad_request" and so on; static. */
const char *r2_status_name(enum r2_status status);

/* Returns from the calling function when a call failed. */
#define R2_TRY(call)                                                                               \
    do {                                                                                           \
        enum r2_status r2_try_status_ = (call);                                                    \
        if (r2_try_status_ != R2_OK) return r2_try_status_;                                        \
    } while (0)

#endif
