/*
 * A picture as base64 in a JSON object: {"image": "<base64>", ...}.
 *
 * Most of such a body is one string. It is decoded where it stands and never copied; the JSON
 * reader sees the object without it. The string may therefore hold what JSON itself forbids there,
 * raw line ends, which `base64 photo.jpg` in a shell makes.
 */
#ifndef R2_SERVER_JSON_PICTURE_H
#define R2_SERVER_JSON_PICTURE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { R2_JSON_REST_MAX = 65536 /* bytes of the object beside the picture's text */ };

/* Decodes the text under "image" in place; a "data:image/...;base64," in front of it is skipped.
   *ret_picture lies in data, *ret_rest holds the other members, and the caller decrefs it.
   R2_BAD_REQUEST: not JSON, not an object, a key twice, no "image", not base64; R2_INVALID: "image"
   is no string, or a data: URI of another kind; R2_TOO_LARGE: over R2_JSON_REST_MAX. The data may
   be changed in any case. */
enum r2_status r2_json_picture_read(uint8_t *data, size_t size, struct r2_bytes *ret_picture,
                                    json_t **ret_rest, struct r2_error *err);

#endif
