/*
 * Base64 (RFC 4648, section 4: the alphabet with + and /), written with padding and in one line,
 * and read tolerantly where senders differ: padding may be missing, white space may stand anywhere,
 * unused bits of the last character are not looked at.
 */
#ifndef R2_BASE_BASE64_H
#define R2_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"

/* Appends the text of `bytes`; a failure is the text's. */
void r2_base64_encode(struct r2_bytes bytes, struct r2_text *ret);

/* Bytes that `size` characters decode to at most. */
static inline size_t r2_base64_room(size_t size)
{
    return size / 4 * 3 + 3;
}

/* Decodes into ret, which has r2_base64_room(size) bytes or is `text` itself: what is written never
   overtakes what is read. R2_BAD_REQUEST names the character that is not base64, or the length that
   cannot be; ret may be partly written then. */
enum r2_status r2_base64_decode(const uint8_t *text, size_t size, uint8_t *ret, size_t *ret_size,
                                struct r2_error *err);

#endif
