/*
 * Answers in gzip (RFC 1952, by zlib).
 */
#ifndef R2_SERVER_GZIP_H
#define R2_SERVER_GZIP_H

#include "server/job.h"

enum { R2_GZIP_LEAST = 1024 }; /* bytes; what is shorter fits into a packet or two as it is */

/* Compresses the job's reply, which is text, where its client takes that: from R2_GZIP_LEAST bytes,
   or any where it takes nothing else. Without memory the reply stays as it is, which HTTP allows. */
void r2_gzip_reply(struct r2_job *job);

#endif
