#include "heads/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/input_options.h"
#include "heads/model_inside.h"

/* --- the pieces of a load, in order --- */

static enum r2_status init_head(struct r2_model *model, struct r2_model_part *part,
                                const struct r2_model_head *from, struct r2_error *err)
{
    const struct r2_head_type *type = part->type;
    struct r2_head *head = part->self;
    R2_TRY(r2_options_defaults(&type->options, part->self, err));
    R2_TRY(r2_options_read(&type->options, from->object, "model.json", part->self, err));
    if (!head->input && type->input)
        part->input = *type->input;
    else
        R2_TRY(r2_input_read(head->input, &part->input, err));
    if (head->backbone) R2_TRY(r2_trunk_load(model, head->backbone, &part->trunk, err));
    const struct r2_trunk *trunk = &model->trunks[part->trunk];
    part->naming = trunk->naming;
    if (head->weights.count)
        R2_TRY(r2_model_open_weights(model, &head->weights, &part->weights, err));
    else
        part->weights = trunk->weights;
    r2_naming_find_classifier(&part->weights, &part->naming);
    struct r2_head_setup setup = {model->file.dir, &part->weights, &part->naming,
                                  &trunk->options.arch, &part->input, from->object};
    return type->init(part->self, &setup, err);
}

static enum r2_status load_head(struct r2_model *model, const struct r2_model_head *from,
                                struct r2_error *err)
{
    struct r2_model_part *part = &model->heads[model->head_count];
    part->task = from->task;
    int size = snprintf(part->prefix, sizeof part->prefix, "%s.", from->task);
    if (size < 0 || (size_t)size >= sizeof part->prefix)
        return r2_fail(err, R2_INVALID, "heads.%s: the name is over %zu bytes", from->task,
                       sizeof part->prefix - 2);
    enum r2_status status = r2_head_type_find(from->type, &part->type, err);
    if (status == R2_OK) status = r2_alloc(1, part->type->size, "head", &part->self, err);
    if (status == R2_OK) {
        model->head_count++; /* from here on destroy finishes it */
        status = init_head(model, part, from, err);
    }
    return status == R2_OK ? R2_OK : r2_fail_in(err, "heads.%s", from->task);
}

/* Heads with equal trunks and inputs share a pass, but none is in one before that of the head it
   needs. */
static void make_passes(struct r2_model *model)
{
    for (size_t k = 0; k < model->head_count; k++) {
        const uint32_t i = model->order[k];
        struct r2_model_part *part = &model->heads[i];
        const struct r2_model_part *needed = part->needs < 0 ? NULL : &model->heads[part->needs];
        const struct r2_head *head = part->self;
        const bool crops = r2_head_takes_crops(part->type);
        uint32_t pass = crops ? (uint32_t)model->pass_count : needed ? needed->pass : 0;
        if (needed && !head->input && !part->type->input) part->input = needed->input;
        while (pass < model->pass_count &&
               (model->passes[pass].crops || model->passes[pass].trunk != part->trunk ||
                !r2_input_spec_equal(&model->passes[pass].input, &part->input)))
            pass++;
        if (pass == model->pass_count)
            model->passes[model->pass_count++] =
                (struct r2_model_pass){.trunk = part->trunk, .input = part->input, .crops = crops};
        model->passes[pass].heads |= UINT32_C(1) << i;
        part->pass = pass;
    }
}

static void choose_embed_pass(struct r2_model *model)
{
    const int classify = r2_model_find_task(model, "classify");
    uint32_t pass = classify < 0 ? 0 : model->heads[classify].pass;
    while (pass < model->pass_count && model->passes[pass].crops) pass++;
    if (pass == model->pass_count)
        model->passes[model->pass_count++].input = r2_input_spec_default();
    model->embed_pass = pass;
}

enum r2_status r2_model_graph(const struct r2_model *model, uint32_t trunk, uint32_t heads,
                              struct r2_graph *graph, struct r2_error *err)
{
    struct r2_taps taps;
    graph->traced = heads & R2_PLAN_TRACE;
    r2_res2net_build(graph, &model->trunks[trunk].options.arch, model->trunks[trunk].dialect,
                     &taps);
    if (heads & R2_PLAN_EMBED) r2_graph_output(graph, taps.pooled, "pooled");
    for (uint32_t i = 0; i < model->head_count; i++) {
        const struct r2_model_part *part = &model->heads[i];
        if (!(heads >> i & 1)) continue;
        r2_graph_set_part(graph, 1 + i);
        part->type->build(part->self, graph, &taps, part->prefix);
    }
    return r2_graph_check(graph, err);
}

static enum r2_status make_plan(const void *context, const struct r2_plan_key *key,
                                struct r2_plan **ret, struct r2_error *err)
{
    const struct r2_model *model = context;
    const uint32_t regions = key->stage ? (uint32_t)__builtin_ctz(key->heads) : 0;
    const uint32_t trunk =
        key->stage ? model->heads[regions].trunk : model->passes[key->pass].trunk;
    struct r2_graph graph;
    r2_graph_init(&graph);
    enum r2_status status = key->stage
                                ? r2_regions_graph(model, regions, key->stage - 1, &graph, err)
                                : r2_model_graph(model, trunk, key->heads, &graph, err);
    if (status == R2_OK)
        status =
            r2_plan_create(&graph, model->trunks[trunk].params, key->shape, key->threads, ret, err);
    r2_graph_finish(&graph);
    return status;
}

enum r2_status r2_model_plan(const struct r2_model *model, uint32_t pass, uint32_t heads,
                             struct r2_input_shape shape, unsigned threads, struct r2_plan **ret,
                             bool *ret_hit, struct r2_error *err)
{
    const struct r2_plan_key key = {.pass = pass,
                                    .heads = heads,
                                    .shape = {{shape.height, shape.width}, 1},
                                    .threads = threads};
    return r2_plan_cache_get(model->plans, &key, ret, ret_hit, err);
}

/* All tensors are found, checked and taken once, whatever heads later plans leave out. */
static enum r2_status bind_params(struct r2_model *model, struct r2_error *err)
{
    const struct r2_naming *namings[R2_MODEL_MAX_TRUNKS];
    for (uint32_t i = 0; i < model->trunk_count; i++) {
        R2_TRY(r2_trunk_bind(model, i, err));
        namings[i] = &model->trunks[i].naming;
    }
    return r2_weight_files_check_taken(&model->files, namings, model->trunk_count, err);
}

static enum r2_status load(struct r2_model *model, const char *dir,
                           const struct r2_model_options *options, struct r2_error *err)
{
    R2_TRY(r2_model_file_read(dir, &model->file, err));
    uint32_t first;
    R2_TRY(r2_trunk_load(model, model->file.backbone, &first, err));
    for (size_t i = 0; i < model->file.head_count; i++)
        R2_TRY(load_head(model, &model->file.heads[i], err));
    R2_TRY(r2_needs_resolve(model, err));
    make_passes(model);
    choose_embed_pass(model);
    R2_TRY(bind_params(model, err));
    return r2_plan_cache_create(options->plan_cache, make_plan, model, &model->plans, err);
}

static void model_destroy(struct r2_model *model)
{
    r2_plan_cache_destroy(model->plans);
    for (uint32_t i = 0; i < model->trunk_count; i++) r2_trunk_finish(&model->trunks[i]);
    for (size_t i = 0; i < model->head_count; i++) {
        struct r2_model_part *part = &model->heads[i];
        part->type->finish(part->self);
        r2_options_finish(&part->type->options, part->self);
        free(part->self);
    }
    r2_weight_files_close(&model->files);
    r2_model_file_finish(&model->file);
    free(model);
}

enum r2_status r2_model_load(const char *dir, const struct r2_model_options *options,
                             struct r2_model **ret, struct r2_error *err)
{
    struct r2_model *model;
    R2_TRY(r2_alloc(1, sizeof *model, "model", &model, err));
    atomic_init(&model->references, 1);
    if (load(model, dir, options, err) != R2_OK) {
        r2_fail_in(err, "model '%s'", dir);
        model_destroy(model);
        return err->status;
    }
    *ret = model;
    return R2_OK;
}

struct r2_model *r2_model_ref(struct r2_model *model)
{
    atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed);
    return model;
}

void r2_model_unref(struct r2_model *model)
{
    if (model && atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) == 1)
        model_destroy(model);
}

/* --- what it is --- */

const char *r2_model_name(const struct r2_model *model)
{
    return model->file.name;
}

const char *r2_model_version(const struct r2_model *model)
{
    return model->file.version;
}

const char *r2_model_arch(const struct r2_model *model)
{
    return model->trunks[0].options.arch_name;
}

const char *r2_model_precision(const struct r2_model *model)
{
    (void)model;
    return r2_precision_name(R2_PRECISION_F32); /* the engine has no other arithmetic */
}

const char *r2_model_note(const struct r2_model *model)
{
    return model->note[0] ? model->note : NULL;
}

size_t r2_model_head_count(const struct r2_model *model)
{
    return model->head_count;
}

const char *r2_model_task(const struct r2_model *model, size_t i)
{
    return model->heads[i].task;
}

int r2_model_find_task(const struct r2_model *model, const char *task)
{
    for (size_t i = 0; i < model->head_count; i++)
        if (strcmp(model->heads[i].task, task) == 0) return (int)i;
    return -1;
}

const struct r2_option_table *r2_model_params(const struct r2_model *model, size_t i)
{
    return &model->heads[i].type->params;
}

const struct r2_input_spec *r2_model_input(const struct r2_model *model, size_t i)
{
    return &model->heads[i].input;
}

static enum r2_status describe_head(const struct r2_model *model, const struct r2_model_part *part,
                                    json_t *heads, struct r2_error *err)
{
    json_t *object = json_pack("{s:s, s:s}", "type", part->type->name, "help", part->type->help);
    if (json_object_set_new(heads, part->task, object) != 0 ||
        json_object_set_new(object, "input", r2_input_describe(&part->input)) != 0)
        return r2_fail(err, R2_NO_MEMORY, "no memory for the model's JSON");
    if (part->trunk) {
        const struct r2_trunk *trunk = &model->trunks[part->trunk];
        json_object_set_new(object, "backbone",
                            json_pack("{s:s, s:s}", "arch", trunk->options.arch_name, "dialect",
                                      r2_dialect_name(trunk->dialect)));
    }
    return part->type->describe(part->self, object, err);
}

enum r2_status r2_model_describe(const struct r2_model *model, json_t **ret, struct r2_error *err)
{
    json_t *heads = json_object();
    json_t *object =
        json_pack("{s:s, s:s, s:s*, s:{s:s, s:s, s:s}, s:i, s:O}", "name", model->file.name,
                  "version", model->file.version, "note", r2_model_note(model), "backbone", "arch",
                  model->trunks[0].options.arch_name, "precision", r2_model_precision(model),
                  "dialect", r2_dialect_name(model->trunks[0].dialect), "trunk_passes",
                  (int)model->pass_count, "heads", heads);
    enum r2_status status =
        heads && object ? R2_OK : r2_fail(err, R2_NO_MEMORY, "no memory for the model's JSON");
    for (size_t i = 0; i < model->head_count && status == R2_OK; i++)
        status = describe_head(model, &model->heads[i], heads, err);
    json_decref(heads);
    if (status == R2_OK)
        *ret = object;
    else
        json_decref(object);
    return status;
}
