/*
 * What a session computed as a safetensors file, for comparison with other implementations.
 */
#ifndef R2_BACKBONE_DUMP_H
#define R2_BACKBONE_DUMP_H

#include "backbone/session.h"

/* Writes all outputs of the prepared plan as F32 [batch, channels, height, width], in the order of the
   plan, which the metadata have too: "order", one name a line. In place of a file that is there; after a
   failure it may be incomplete. R2_IO; R2_NOT_FOUND without a plan. */
enum r2_status r2_session_dump(const struct r2_session *session, const char *path,
                               struct r2_error *err);

#endif
