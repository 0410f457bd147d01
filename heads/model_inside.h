/*
 * The inside of a model, shared by the files that load, describe and run it.
 */
#ifndef R2_HEADS_MODEL_INSIDE_H
#define R2_HEADS_MODEL_INSIDE_H

#include <stdatomic.h>

#include "backbone/plan_cache.h"
#include "config/model_file.h"
#include "heads/head.h"
#include "heads/model.h"

_Static_assert((int)R2_MODEL_MAX_HEADS == (int)R2_MODEL_HEADS_MAX, "config and heads agree");

enum { R2_MODEL_MAX_TRUNKS = 1 + R2_MODEL_MAX_HEADS };

struct r2_trunk {
    json_t
        *object; /* what model.json says of it; borrowed from there, or from the head's options */
    struct r2_backbone_options options;
    enum r2_dialect dialect;
    char evidence[R2_EVIDENCE_SIZE]; /* of the dialect */
    struct r2_weights weights;
    struct r2_naming naming;
    struct r2_params *params; /* of it, its heads and their networks over regions */
};

struct r2_model_part {
    const char *task; /* borrowed from the file */
    const struct r2_head_type *type;
    void *self; /* the type's private struct */
    struct r2_input_spec input;
    int needs; /* head whose result it reads, or -1 */
    uint32_t trunk, pass;
    char prefix[32]; /* of its outputs: "classify." */
    struct r2_weights weights;
    struct r2_naming naming;
};

/* One trunk pass: the heads whose trunks and inputs are equal share it. A head that takes crops has one of its
   own, in which the trunk runs over them instead of the picture. A pass comes after those whose heads'
   results its heads need. */
struct r2_model_pass {
    uint32_t trunk;
    struct r2_input_spec input;
    uint32_t heads; /* bit i: head i */
    bool crops;
};

struct r2_model {
    atomic_uint references;
    struct r2_model_file file;
    char note[128]; /* "" = none */
    struct r2_weight_files files;
    uint32_t trunk_count;
    struct r2_trunk trunks[R2_MODEL_MAX_TRUNKS]; /* the first is model.json's `backbone` */
    struct r2_plan_cache *plans;
    size_t head_count;
    struct r2_model_part heads[R2_MODEL_MAX_HEADS];
    uint32_t order[R2_MODEL_MAX_HEADS]; /* of heads: the needed before those that need them */
    size_t pass_count;
    struct r2_model_pass passes[R2_MODEL_MAX_HEADS + 1];
    uint32_t embed_pass; /* whose input /embed uses: the classifier's, or else the first without
                            crops; the default when there is none */
};

/* In the `heads` of a plan's key: the pooled feature is an output too. */
#define R2_PLAN_EMBED (UINT32_C(1) << 31)
/* The same of all that r2_res2net_build traces. */
#define R2_PLAN_TRACE (UINT32_C(1) << 30)

/* Opens the files of these paths, in the model's directory. */
enum r2_status r2_model_open_weights(struct r2_model *model, const struct r2_texts *paths,
                                     struct r2_weights *weights, struct r2_error *err);

/* Finds or loads the trunk that a `backbone` object describes; the model borrows the object. Equal
   objects are one trunk. */
enum r2_status r2_trunk_load(struct r2_model *model, json_t *object, uint32_t *ret,
                             struct r2_error *err);
void r2_trunk_finish(struct r2_trunk *trunk);

/* Finds, checks and takes the tensors of a trunk and its heads, once these are loaded. */
enum r2_status r2_trunk_bind(struct r2_model *model, uint32_t index, struct r2_error *err);

/* A trunk with these of its heads (and R2_PLAN_EMBED) in an initialised graph. */
enum r2_status r2_model_graph(const struct r2_model *model, uint32_t trunk, uint32_t heads,
                              struct r2_graph *graph, struct r2_error *err);

/* The compiled plan of a pass; counted. */
enum r2_status r2_model_plan(const struct r2_model *model, uint32_t pass, uint32_t heads,
                             struct r2_input_shape shape, unsigned threads, struct r2_plan **ret,
                             bool *ret_hit, struct r2_error *err);

/* A stage of head i that runs over regions (regions.c); NULL behind the last. */
const struct r2_head_regions *r2_regions_at(const struct r2_model *model, uint32_t i,
                                            uint32_t stage);

/* Its network in an initialised graph. */
enum r2_status r2_regions_graph(const struct r2_model *model, uint32_t i, uint32_t stage,
                                struct r2_graph *graph, struct r2_error *err);

/* The largest batch that it is run in. */
uint32_t r2_regions_largest(const struct r2_head_regions *regions);

/* Its compiled plan; counted. */
enum r2_status r2_regions_plan(const struct r2_model *model, uint32_t i, uint32_t stage,
                               uint32_t batch, unsigned threads, struct r2_plan **ret,
                               bool *ret_hit, struct r2_error *err);

/* Gathers the regions of head i and runs them, stage by stage, in a session of their own; run->state
   is set, also on failure, and the caller's to finish. */
enum r2_status r2_regions_run(const struct r2_work *work, uint32_t i, struct r2_session *session,
                              struct r2_head_run *run, struct r2_answer *answer,
                              struct r2_error *err);

/* Compiles all its plans and has the session's memory grown for them. */
enum r2_status r2_regions_warm(const struct r2_model *model, uint32_t i, unsigned threads,
                               struct r2_session *session, struct r2_error *err);

/* Finds the head that each head needs (needs.c), and their order. R2_NOT_FOUND, R2_INVALID. */
enum r2_status r2_needs_resolve(struct r2_model *model, struct r2_error *err);

/* The head whose result head i reads for this work, or -1. */
int r2_needs_of(const struct r2_work *work, uint32_t i);

/* The work's heads and all that they need: bit i is head i. */
uint32_t r2_needs_close(const struct r2_work *work);

/* Asks work->check. */
enum r2_status r2_work_may_go_on(const struct r2_work *work, struct r2_error *err);

/* A picture size for warm-up: what the pass takes without much scaling. */
struct r2_extent r2_model_typical(const struct r2_model *model, uint32_t pass);

/* The same for reports, with the largest input where the pass has one. */
struct r2_extent r2_model_largest(const struct r2_model *model, uint32_t pass);

#endif
