/*
 * What a body may be, and where in it the picture and further parameters are:
 *
 *     image/jpeg, image/png, image/webp, application/octet-stream, or no type
 *                             the picture itself; its magic bytes decide what it is
 *     multipart/form-data     the picture is the part "image". A part with the name of a request
 *                             parameter (of any head of the model) is one; others, such as the
 *                             tokens and buttons of a form, are ignored
 *     application/json        {"image": "<base64>"}; every other member is a request parameter:
 *                             a string, a number, a boolean, or a list of those
 *
 * A parameter counts the same wherever it stands, and may stand in one place only.
 */
#ifndef R2_SERVER_BODY_H
#define R2_SERVER_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/multipart.h"

struct r2_job;

enum r2_body_kind { R2_BODY_PICTURE, R2_BODY_MULTIPART, R2_BODY_JSON };

struct r2_body_form {
    enum r2_body_kind kind;
    char boundary[R2_BOUNDARY_MAX + 1]; /* of R2_BODY_MULTIPART */
};

/* Reads a Content-Type, which may be NULL. R2_UNSUPPORTED lists what is accepted. */
enum r2_status r2_body_form_read(const char *content_type, struct r2_body_form *ret,
                                 struct r2_error *err);

/* Bytes that a body may have. A JSON body has half as many again as max_body, and 64 KiB, since
   base64 with line ends and escapes is up to 1.48 times as long as the picture. */
size_t r2_body_limit(const struct r2_body_form *form, size_t max_body);

/* Fails with R2_TOO_LARGE: a body of that many bytes is over its limit; 0 = unknown, but over it. */
enum r2_status r2_body_too_large(const struct r2_body_form *form, size_t max_body, uint64_t size,
                                 struct r2_error *err);

/* What messages call the place of the picture: "body", "part \"image\""; static. */
const char *r2_body_place(const struct r2_body_form *form);

/* The job's body is complete: sets job->picture, of 1..max_body bytes, and applies the parameters
   that the body holds. */
enum r2_status r2_body_unpack(struct r2_job *job, size_t max_body, struct r2_error *err);

#endif
