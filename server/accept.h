/*
 * What a client takes: Accept and Accept-Encoding (RFC 9110, sections 12.4 and 12.5).
 *
 * Headers are read where they stand, once for each type that is offered, and need no memory. A
 * piece that is malformed is passed over as if it were not there.
 */
#ifndef R2_SERVER_ACCEPT_H
#define R2_SERVER_ACCEPT_H

/* The type that Accept prefers among those offered (NULL-terminated, at least one, each like
   "text/plain; version=0.0.4"), or NULL when it takes none. Without a header (NULL), or without a
   well-formed piece in it, that is the first.

   Of the ranges that match a type the most specific says its quality. A parameter of a range
   excludes a type that has another value for it; one that the type does not have ("charset",
   "escaping") makes the match weaker only. Where two types are of equal quality, the one that was
   named more specifically wins, then the one that is offered first. */
const char *r2_accept_type(const char *header, const char *const *offered);

enum r2_coding {
    R2_CODING_IDENTITY,  /* plain only; also where the client takes neither */
    R2_CODING_GZIP,      /* gzip where it helps */
    R2_CODING_GZIP_ONLY, /* plain is refused: "gzip, identity;q=0" */
};

/* What Accept-Encoding (NULL: not there) wants. */
enum r2_coding r2_accept_coding(const char *header);

#endif
