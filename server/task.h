/*
 * Work without HTTP, for `run` and `bench`: a model, what to compute, and by how many threads.
 */
#ifndef R2_SERVER_TASK_H
#define R2_SERVER_TASK_H

#include "base/error.h"
#include "config/options.h"
#include "config/settings.h"
#include "heads/model.h"
#include "server/service.h"

struct r2_task {
    const struct r2_settings *settings;
    struct r2_shares shares;
    struct r2_model *model;
    struct r2_work work;
};

/* Loads settings.model and selects the heads; none named: all that there are, and the embedding of
   a model that has none. */
enum r2_status r2_task_init(struct r2_task *task, const struct r2_settings *settings,
                            const struct r2_texts *heads, struct r2_error *err);
void r2_task_finish(struct r2_task *task);

/* "3 of 10 pictures" on a terminal, nothing elsewhere; done < 0 clears the line. */
void r2_progress(const char *what, double done, double all);

#endif
