/*
 * The workers: they take jobs from the queue: decode, run, answer.
 */
#ifndef R2_SERVER_WORKER_H
#define R2_SERVER_WORKER_H

#include <stdbool.h>

#include "base/error.h"
#include "server/service.h"

struct r2_crew;

/* Starts the workers. A poke of the queue (by the loader) makes each warm itself for the current
   model; when all have, the service is ready. The service must outlive the crew. */
enum r2_status r2_crew_start(struct r2_service *service, struct r2_crew **ret,
                             struct r2_error *err);

/* True, with the reason, when a worker had to end. */
bool r2_crew_failed(struct r2_crew *crew, struct r2_error *ret);

/* Closes the queue, refuses the jobs that still wait, and waits for those that workers hold. When
   the queue should be empty first, the caller waits for that. Takes NULL. */
void r2_crew_stop(struct r2_crew *crew);

/* Bytes that a worker takes at most for one request, besides the network's: its body, the picture
   while it is decoded, and a drawing on it with its file. */
size_t r2_picture_memory(const struct r2_settings *settings);

/* One picture from its bytes to its results, as the workers, `run` and `bench` do it; the limits in
   options are the settings', whatever they say. `times` gets the stages that were reached,
   ret_picture the decoded picture, ret_truncated whether it is whole. The caller finishes picture
   and answer. */
enum r2_status r2_picture_run(const struct r2_settings *settings, struct r2_bytes file,
                              struct r2_decode_options options, const struct r2_work *work,
                              struct r2_runner *runner, struct r2_times *times,
                              struct r2_image *ret_picture, bool *ret_truncated,
                              struct r2_answer *ret, struct r2_error *err);

#endif
