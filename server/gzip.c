#include "server/gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    LEVEL = 1, /* of 1..9: higher ones save few bytes for much of a worker's time */
    MEMORY = 8,
    WINDOW_GZIP = 15 + 16, /* zlib's way to say a gzip header */
};

static bool is_wanted(const struct r2_job *job)
{
    const struct r2_reply *reply = &job->reply;
    if (!reply->size || reply->size > INT_MAX) return false;
    return job->coding == R2_CODING_GZIP_ONLY ||
           (job->coding == R2_CODING_GZIP && reply->size >= R2_GZIP_LEAST);
}

void r2_gzip_reply(struct r2_job *job)
{
    z_stream stream = {0};
    struct r2_reply *reply = &job->reply;
    if (!is_wanted(job) ||
        deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    uLong bound = deflateBound(&stream, (uLong)reply->size);
    unsigned char *data = malloc(bound);
    stream.next_in = (unsigned char *)reply->data;
    stream.avail_in = (uInt)reply->size;
    stream.next_out = data;
    stream.avail_out = (uInt)bound;
    bool done = data && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    if (done) {
        free(reply->data);
        reply->data = (char *)data;
        reply->size = stream.total_out;
        reply->encoding = "gzip";
    } else {
        free(data);
    }
    deflateEnd(&stream);
}
