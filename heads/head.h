/*
 * What a head is to the model that carries it: one struct of functions, one file a head.
 *
 * A head type implements one task. Its keys in model.json and its request parameters are option
 * tables; it adds nodes to the trunk's taps, and turns their outputs into a typed result. The
 * registry (heads.def) lists all types; routes, command line and metrics loop over a model's heads.
 */
#ifndef R2_HEADS_HEAD_H
#define R2_HEADS_HEAD_H

#include <jansson.h>

#include "backbone/res2net.h"
#include "backbone/session.h"
#include "config/options.h"
#include "heads/result.h"
#include "image/input.h"

/* What every head has in model.json; the first member of a head type's private struct. */
struct r2_head {
    struct r2_texts weights; /* files; empty: those of the backbone */
    json_t *input;           /* NULL: the type's default input */
    json_t *backbone;        /* NULL: the model's */
};

/* Its options, first in the table of a head type. */
#define R2_HEAD_OPTIONS(struct_)                                                                   \
    {.name = "weights",                                                                            \
     R2_FIELD(TEXTS, struct_, head.weights),                                                       \
     .flags = R2_OPTION_OPTIONAL,                                                                  \
     .help = "safetensors file or shards; default: the backbone's"},                               \
        {.name = "input",                                                                          \
         R2_FIELD(OBJECT, struct_, head.input),                                                    \
         .flags = R2_OPTION_OPTIONAL,                                                              \
         .help = "how pictures reach the network"},                                                \
    {                                                                                              \
        .name = "backbone", R2_FIELD(OBJECT, struct_, head.backbone), .flags = R2_OPTION_OPTIONAL, \
        .help = "a trunk of the head's own; default: the model's"                                  \
    }

/* What a head's nodes computed: the values that build named "<prefix>NAME". */
struct r2_head_outputs {
    const struct r2_session *session;
    const char *prefix;
};

enum r2_status r2_head_output(const struct r2_head_outputs *outputs, const char *name,
                              struct r2_output_view *ret, struct r2_error *err);

/* Makes the graph's value an output "<prefix>NAME". */
void r2_head_add_output(struct r2_graph *graph, const char *prefix, const char *name,
                        r2_value value);

/* What a head may look at while it works on one picture; borrowed. */
struct r2_head_run {
    struct r2_head_outputs outputs;     /* of its nodes on the taps */
    const struct r2_image *picture;     /* upright */
    const struct r2_geometry *geometry; /* of the trunk's input; for crops, of the picture itself */
    const void *params;                 /* of the request; NULL when the type has none */
    const struct r2_result *needed;     /* of the head that it needs; NULL when it needs none */
    bool asked;                         /* false: only another head wants the result */
    uint32_t stage;                     /* which of its networks over regions runs */
    void *state;                        /* what `gather` made; NULL for a head without regions */
};

/* A second network, over regions of what the first one computed, and perhaps others behind it. The
   model runs them one after the other, each in batches, and leaves the outputs on the taps alone
   meanwhile.

   Without `build` the regions are crops of the picture: the network is the trunk with the head's own
   nodes, for each crop, and there is none over the picture as a whole. */
struct r2_head_regions {
    struct r2_extent (*window)(const void *self); /* height and width of a region */
    bool singly; /* no batches: for convolutions, which gain nothing by them */

    /* Adds the network of a stage to an empty graph: an input of some channels, named outputs. NULL:
       crops. */
    void (*build)(const void *self, uint32_t stage, struct r2_graph *graph);

    /* Finds the regions: their number, which may be 0, and what the head wants to remember of this
       run. *ret_state is run->state: NULL before the first stage, later the head's own. */
    enum r2_status (*gather)(const void *self, const struct r2_head_run *run, void **ret_state,
                             size_t *ret_count, struct r2_error *err);

    /* Writes regions [first, first + count) to dst [count, height, width, channels]. */
    enum r2_status (*fill)(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, float *dst, struct r2_error *err);

    /* Takes what the network says of them into the state. The batch may be longer than count; what
       is behind is padding. */
    enum r2_status (*take)(const void *self, const struct r2_head_run *run, size_t first,
                           size_t count, const struct r2_head_outputs *outputs,
                           struct r2_error *err);

    void (*finish)(void *state); /* takes NULL */

    /* The network of a stage from 1 on, which may be this one again; NULL behind the last. Itself NULL:
       there is one stage. Of the first network only, as `finish`. */
    const struct r2_head_regions *(*next)(const void *self, uint32_t stage);
};

/* What a head may look at while it is made; borrowed. */
struct r2_head_setup {
    const char *dir; /* the model's directory */
    const struct r2_weights *weights;
    const struct r2_naming *naming;
    const struct r2_arch *arch; /* of the trunk */
    const struct r2_input_spec *input;
    const json_t *keys; /* what model.json says of the head, where a default hangs on the weights */
};

struct r2_head_type {
    const char *name; /* "classifier": `type` in model.json */
    const char *help; /* one line */

    /* The private struct (begins with struct r2_head) and its keys. */
    size_t size;
    struct r2_option_table options;

    /* The struct of request parameters and its table; size 0 when there are none. */
    size_t params_size;
    struct r2_option_table params;

    /* How pictures reach the network when model.json does not say; NULL: as a classifier's. */
    const struct r2_input_spec *input;

    /* After the options are read: checks them together, reads labels files. On failure finish is
       called all the same. */
    enum r2_status (*init)(void *self, const struct r2_head_setup *setup, struct r2_error *err);
    void (*finish)(void *self); /* what init made; the options are freed by the model */

    /* Defaults of the request parameters that the model decides (top_k); may be NULL. */
    void (*default_params)(const void *self, void *params);

    /* The task of the head whose result it reads; NULL: none. With params, for that request; without,
       for any. Itself NULL: never. The model runs that head first, asked or not, and gives its input
       to this one where neither model.json nor `input` has another. */
    const char *(*needs)(const void *self, const void *params);
    const struct r2_result_kind *takes; /* what that result must be */
    const struct r2_result_kind *gives; /* its own result, for heads that need it; NULL: not said */

    /* Adds the head's nodes to the taps and names its outputs by r2_head_add_output. */
    void (*build)(const void *self, struct r2_graph *graph, const struct r2_taps *taps,
                  const char *prefix);

    const struct r2_head_regions *regions; /* NULL: all is said on the taps */

    /* Whether the result of a request with these parameters can be drawn; NULL: never. */
    bool (*is_drawn)(const void *params);

    /* Outputs and state to a typed result. Pure: views in, result out. */
    enum r2_status (*decode)(const void *self, const struct r2_head_run *run, struct r2_result *ret,
                             struct r2_error *err);

    /* Adds to the head's object in GET /models (labels and the like). */
    enum r2_status (*describe)(const void *self, json_t *object, struct r2_error *err);
};

static inline bool r2_head_takes_crops(const struct r2_head_type *type)
{
    return type->regions && !type->regions->build;
}

/* The network over regions of a stage, from 0; NULL behind the last. */
static inline const struct r2_head_regions *r2_head_regions_at(const struct r2_head_type *type,
                                                               const void *self, uint32_t stage)
{
    if (!stage || !type->regions) return type->regions;
    return type->regions->next ? type->regions->next(self, stage) : NULL;
}

/* R2_INVALID names the nearest known type. */
enum r2_status r2_head_type_find(const char *name, const struct r2_head_type **ret,
                                 struct r2_error *err);

#endif
