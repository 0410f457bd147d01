/*
 * A model: one directory, loaded. Backbones, heads and the trunk passes that the heads share.
 *
 * A model is immutable once loaded and counted: workers share it, a job keeps a reference to the
 * one that it started with. What changes while it runs lives in a runner, one a worker.
 */
#ifndef R2_HEADS_MODEL_H
#define R2_HEADS_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/options.h"
#include "heads/result.h"
#include "image/image.h"
#include "image/input.h"

enum { R2_MODEL_MAX_HEADS = 16 };

struct r2_model;
struct r2_runner;

struct r2_model_options {
    size_t plan_cache; /* bytes that cached plans may take; the newest plan always stays */
};

/* Reads and validates the directory, folds and checks all weights. */
enum r2_status r2_model_load(const char *dir, const struct r2_model_options *options,
                             struct r2_model **ret, struct r2_error *err);
struct r2_model *r2_model_ref(struct r2_model *model);
void r2_model_unref(struct r2_model *model); /* takes NULL */

/* --- what it is (all borrowed, valid while the model lives) --- */
const char *r2_model_name(const struct r2_model *model);
const char *r2_model_version(const struct r2_model *model);
const char *r2_model_arch(const struct r2_model *model);
const char *r2_model_precision(const struct r2_model *model); /* that it is computed in */

/* What whoever runs the model should know: where it is not computed as model.json asks, and why.
   NULL: nothing. */
const char *r2_model_note(const struct r2_model *model);
size_t r2_model_head_count(const struct r2_model *model);

/* Task of head i: its route, its metric label, its key in /analyze. */
const char *r2_model_task(const struct r2_model *model, size_t i);

/* Index of the head with this task, or -1. */
int r2_model_find_task(const struct r2_model *model, const char *task);

/* The request parameters that head i understands (a table with count 0 when none). */
const struct r2_option_table *r2_model_params(const struct r2_model *model, size_t i);

/* How the pictures of head i reach the network. */
const struct r2_input_spec *r2_model_input(const struct r2_model *model, size_t i);

/* The object of GET /models: heads, labels, inputs, version, precision. New reference. */
enum r2_status r2_model_describe(const struct r2_model *model, json_t **ret, struct r2_error *err);

/* Adds to the report of `check` and `info`: passes, shapes, parameters, MACs, implementations,
   memory; compiles the plans that the largest input needs, a square one where there is no largest. New
   reference. */
enum r2_status r2_model_report(struct r2_model *model, unsigned threads, json_t **ret,
                               struct r2_error *err);

/* --- what one job asks --- */

/* Heads and their request parameters; made for one model. */
struct r2_work {
    struct r2_model *model; /* counted */
    uint32_t heads;         /* bit i: head i */
    bool embed;             /* also the pooled trunk feature */
    bool trace;             /* keep what the trunk computes on the way, for r2_runner_dump */
    unsigned threads;       /* that the pass may use, at least 1 */
    void *params[R2_MODEL_MAX_HEADS];

    /* Asked before the trunk and between stages; what is not R2_OK ends the run. NULL: never. */
    enum r2_status (*check)(void *context, struct r2_error *err);
    void *check_context;
};

/* Takes a reference to the model. No head is selected. */
enum r2_status r2_work_init(struct r2_work *work, struct r2_model *model, struct r2_error *err);
void r2_work_finish(struct r2_work *work);

/* R2_NOT_FOUND names the heads that the model has. */
enum r2_status r2_work_select(struct r2_work *work, const char *task, struct r2_error *err);
void r2_work_select_all(struct r2_work *work);

/* Sets a parameter of every selected head that knows it. Unknown names: R2_INVALID, which names
   the nearest; values out of range: R2_INVALID. `extra` names further parameters that the caller
   understands itself, for that message (NULL-terminated list, may be NULL). */
enum r2_status r2_work_set(struct r2_work *work, const char *name, const char *value,
                           const char *const *extra, struct r2_error *err);

/* Whether anything of what is asked can be drawn on the picture. */
bool r2_work_is_drawn(const struct r2_work *work);

/* --- running --- */

/* One a worker thread: arena, scratchpad, stream. Used by one thread at a time. */
enum r2_status r2_runner_create(struct r2_runner **ret, struct r2_error *err);
void r2_runner_destroy(struct r2_runner *runner); /* takes NULL */

struct r2_answer {
    struct r2_result results[R2_MODEL_MAX_HEADS]; /* of the selected heads */
    float *embedding;                             /* [embedding_size], NULL unless asked for */
    size_t embedding_size;
    uint64_t preprocess_ns, backbone_ns, head_ns;
    unsigned trunk_passes, plan_hits, plan_misses;
};

void r2_answer_finish(struct r2_answer *answer);

/* Draws all results on a drawing of the picture that they were found in. */
enum r2_status r2_answer_draw(const struct r2_answer *answer, struct r2_draw *draw,
                              struct r2_error *err);

/* Runs the work on a decoded picture. Thread-safe for different runners. */
enum r2_status r2_model_run(const struct r2_work *work, struct r2_runner *runner,
                            const struct r2_image *picture, struct r2_answer *ret,
                            struct r2_error *err);

/* Writes what the last run computed, of a work that said `trace`, as a safetensors file (backbone/dump.h):
   the network's input, the taps and blocks of the trunk, the outputs of the heads. R2_INVALID unless that
   run was one trunk pass over the picture as a whole. */
enum r2_status r2_runner_dump(const struct r2_runner *runner, const struct r2_answer *answer,
                              const char *path, struct r2_error *err);

/* Compiles and runs every head once on a synthetic picture, so that the first request is as fast
   as the next. *ret_longest_ns, which may be NULL, is what the longest of these runs took. */
enum r2_status r2_model_warm(struct r2_model *model, struct r2_runner *runner, unsigned threads,
                             uint64_t *ret_longest_ns, struct r2_error *err);

#endif
