/*
 * One daemon and one photo for the length of a test, and the questions that most tests ask of them.
 * Everything that goes wrong fails the test.
 */
#ifndef R2_TESTS_HTTP_VISIT_H
#define R2_TESTS_HTTP_VISIT_H

#include "image/decode.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

/* Of the running test. The photo is the test's to change. */
extern struct r2_visit {
    struct r2_daemon daemon;
    struct r2_buffer photo;
    unsigned width, height; /* of the photo at the start */
} r2_visit;

/* The photo is r2_sample_jpeg's, of this size. */
void r2_visit_start(const char *model, unsigned width, unsigned height);
void r2_visit_stop(void);

/* Posts the photo. `headers` are whole lines, may be "". */
struct r2_response r2_visit_ask(const char *target, const char *headers);

/* The JSON of an answer with status 200; the caller decrefs. */
json_t *r2_visit_answer(const char *target);

/* A file that must be of this format and size. The caller finishes the picture. */
struct r2_image r2_visit_decode(struct r2_bytes file, enum r2_format format, unsigned width,
                                unsigned height);

/* The picture, of the photo's size, that is the answer where `accept` is asked for. The caller finishes it. */
struct r2_image r2_visit_picture(const char *target, const char *accept, enum r2_format format);

#endif
