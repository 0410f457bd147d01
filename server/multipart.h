/*
 * multipart/form-data (RFC 7578, with the syntax of RFC 2046, section 5.1) over a complete body.
 * The parts are views into it: nothing is copied or changed.
 */
#ifndef R2_SERVER_MULTIPART_H
#define R2_SERVER_MULTIPART_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    R2_BOUNDARY_MAX = 70,    /* characters, by the RFC */
    R2_PARTS_MAX = 64,       /* of a body */
    R2_PART_HEAD_MAX = 8192, /* bytes of a part's headers */
};

struct r2_part {
    struct r2_bytes name;     /* of the field, as it is written; may be "" */
    struct r2_bytes encoding; /* Content-Transfer-Encoding, "" when there is none */
    struct r2_bytes content;
};

/* The boundary that a Content-Type announces, quoted or not. R2_BAD_REQUEST when it has none, two,
   or one that is not 1..70 of the characters that the RFC allows. */
enum r2_status r2_multipart_boundary(const char *content_type, char ret[R2_BOUNDARY_MAX + 1],
                                     struct r2_error *err);

/* The parts in their order. Lines end with CRLF; what stands before the first boundary and behind
   the final one is skipped. R2_BAD_REQUEST names the part (from 1) and what is wrong with it: also
   a body that ends before the final boundary, or has too many parts or headers. */
enum r2_status r2_multipart_parse(struct r2_bytes body, const char *boundary,
                                  struct r2_part ret[R2_PARTS_MAX], size_t *ret_count,
                                  struct r2_error *err);

#endif
