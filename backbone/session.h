/*
 * A session: one thread's memory for running plans. The arena only grows; a run allocates nothing.
 */
#ifndef R2_BACKBONE_SESSION_H
#define R2_BACKBONE_SESSION_H

#include "backbone/plan.h"

struct r2_session;

enum r2_status r2_session_create(struct r2_session **ret, struct r2_error *err);
void r2_session_destroy(struct r2_session *session); /* takes NULL */

/* Binds the plan (counted) to this session's memory; nothing happens when it already is. */
enum r2_status r2_session_prepare(struct r2_session *session, struct r2_plan *plan,
                                  struct r2_error *err);

/* Where the input [batch, height, width, channels] of the prepared plan is to be written before
   each run. */
float *r2_session_input(struct r2_session *session);

/* Nanoseconds of the trunk (part 0) and of all heads' nodes. */
struct r2_session_times {
    uint64_t trunk_ns, head_ns;
};

enum r2_status r2_session_run(struct r2_session *session, struct r2_session_times *ret,
                              struct r2_error *err);

/* As run, and writes the nanoseconds of each step of the plan to step_ns. */
enum r2_status r2_session_profile(struct r2_session *session, uint64_t *step_ns,
                                  struct r2_error *err);

/* An output after a run, valid until the next prepare or run. */
struct r2_output_view {
    const float *data; /* [batch, height, width, pitch], the first `channels` of each pitch are the
                          value */
    uint32_t batch, height, width, channels;
    size_t pitch;
};

/* R2_NOT_FOUND for a name that is no output of the prepared plan. */
enum r2_status r2_session_output(const struct r2_session *session, const char *name,
                                 struct r2_output_view *ret, struct r2_error *err);

/* Output i, its name borrowed from the plan; NULL past the end, and without a plan. */
const char *r2_session_output_at(const struct r2_session *session, size_t i,
                                 struct r2_output_view *ret);

/* Bytes of the arena now. */
size_t r2_session_size(const struct r2_session *session);

#endif
