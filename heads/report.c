/*
 * What `check` and `info` say of a model: parameters, MACs, implementations, memory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/input_options.h"
#include "heads/model_inside.h"
#include "heads/stages.h"

static enum r2_status no_memory(struct r2_error *err)
{
    return r2_fail(err, R2_NO_MEMORY, "no memory for the report");
}

/* Adds `amount` to the integer under `key`. */
static void count_up(json_t *object, const char *key, json_int_t amount)
{
    json_object_set_new(object, key,
                        json_integer(json_integer_value(json_object_get(object, key)) + amount));
}

static void report_steps(const struct r2_plan *plan, json_t *report)
{
    json_t *implementations = json_object();
    json_int_t total = 0;
    for (size_t i = 0; i < r2_plan_step_count(plan); i++) {
        struct r2_step_info step = r2_plan_step(plan, i);
        if (!step.macs) continue;
        count_up(implementations, step.implementation, 1);
        total += (json_int_t)step.macs;
    }
    json_object_set_new(report, "macs", json_integer(total));
    json_object_set_new(report, "implementations", implementations);
}

/* Ends the report of one plan, and takes both: its steps, its arena where that is the largest. */
static enum r2_status add_plan(struct r2_plan *plan, json_t *report, json_t *list, size_t *arena,
                               struct r2_error *err)
{
    if (report) report_steps(plan, report);
    if (r2_plan_arena(plan) > *arena) *arena = r2_plan_arena(plan);
    r2_plan_unref(plan);
    return json_array_append_new(list, report) == 0 ? R2_OK : no_memory(err);
}

/* Ends a graph, and describes it if it could be made. */
static enum r2_status take_stages(enum r2_status status, struct r2_graph *graph,
                                  struct r2_extent picture, json_t **ret, struct r2_error *err)
{
    if (status == R2_OK) status = r2_stages_describe(graph, picture, ret, err);
    r2_graph_finish(graph);
    return status;
}

static enum r2_status pass_stages(const struct r2_model *model, uint32_t pass,
                                  struct r2_input_shape shape, json_t **ret, struct r2_error *err)
{
    const struct r2_model_pass *each = &model->passes[pass];
    const struct r2_extent picture = {shape.height, shape.width};
    struct r2_graph graph;
    r2_graph_init(&graph);
    enum r2_status status = r2_model_graph(model, each->trunk, each->heads, &graph, err);
    return take_stages(status, &graph, picture, ret, err);
}

static enum r2_status regions_stages(const struct r2_model *model, uint32_t i, uint32_t stage,
                                     json_t **ret, struct r2_error *err)
{
    const struct r2_extent window = r2_regions_at(model, i, stage)->window(model->heads[i].self);
    struct r2_graph graph;
    r2_graph_init(&graph);
    enum r2_status status = r2_regions_graph(model, i, stage, &graph, err);
    return take_stages(status, &graph, window, ret, err);
}

static enum r2_status report_pass(const struct r2_model *model, uint32_t pass, unsigned threads,
                                  json_t *list, size_t *arena, struct r2_error *err)
{
    const struct r2_model_pass *each = &model->passes[pass];
    uint32_t heads = each->heads | (pass == model->embed_pass ? R2_PLAN_EMBED : 0);
    struct r2_extent picture = r2_model_largest(model, pass);
    struct r2_input_shape shape = {0};
    struct r2_plan *plan = NULL;
    json_t *stages = NULL;
    bool hit;
    R2_TRY(r2_input_shape(&each->input, picture.width, picture.height, &shape, err));
    R2_TRY(r2_model_plan(model, pass, heads, shape, threads, &plan, &hit, err));
    if (pass_stages(model, pass, shape, &stages, err) != R2_OK) {
        r2_plan_unref(plan);
        return err->status;
    }
    json_t *tasks = json_array();
    for (uint32_t i = 0; i < model->head_count; i++)
        if (each->heads >> i & 1) json_array_append_new(tasks, json_string(model->heads[i].task));
    json_t *report = json_pack(
        "{s:o, s:[i, i], s:o, s:o, s:I, s:I, s:i}", "input", r2_input_describe(&each->input),
        "network_size", (int)shape.height, (int)shape.width, "heads", tasks, "stages", stages,
        "arena_bytes", (json_int_t)r2_plan_arena(plan), "plan_bytes",
        (json_int_t)r2_plan_size(plan), "steps", (int)r2_plan_step_count(plan));
    return add_plan(plan, report, list, arena, err);
}

/* The largest batch of regions of a stage of head i; adds the arena of its session. */
static enum r2_status report_regions(const struct r2_model *model, uint32_t i, uint32_t stage,
                                     unsigned threads, json_t *list, size_t *arena,
                                     struct r2_error *err)
{
    const uint32_t batch = r2_regions_largest(r2_regions_at(model, i, stage));
    struct r2_plan *plan = NULL;
    json_t *stages = NULL;
    bool hit;
    R2_TRY(r2_regions_plan(model, i, stage, batch, threads, &plan, &hit, err));
    if (regions_stages(model, i, stage, &stages, err) != R2_OK) {
        r2_plan_unref(plan);
        return err->status;
    }
    json_t *report = json_pack(
        "{s:s, s:i, s:o, s:I, s:I, s:i}", "head", model->heads[i].task, "batch", (int)batch,
        "stages", stages, "arena_bytes", (json_int_t)r2_plan_arena(plan), "plan_bytes",
        (json_int_t)r2_plan_size(plan), "steps", (int)r2_plan_step_count(plan));
    return add_plan(plan, report, list, arena, err);
}

/* Elements of all floating point tensors that the model uses. */
static uint64_t count_parameters(const struct r2_model *model, uint64_t *ret_bytes)
{
    uint64_t count = 0;
    for (size_t f = 0; f < model->files.count; f++) {
        for (size_t i = 0; i < model->files.files[f]->count; i++) {
            const struct r2_tensor_entry *entry = &model->files.files[f]->entries[i];
            const char *dot = strrchr(entry->name, '.');
            if (!entry->taken) continue;
            *ret_bytes += entry->data.size;
            if (!dot || strncmp(dot, ".running_", 9) != 0) count += entry->count;
        }
    }
    return count;
}

enum r2_status r2_model_report(struct r2_model *model, unsigned threads, json_t **ret,
                               struct r2_error *err)
{
    size_t arena = 0, regions_arena = 0;
    uint64_t file_bytes = 0, parameters = count_parameters(model, &file_bytes);
    json_t *passes = json_array(), *regions = json_array();
    enum r2_status status = passes && regions ? R2_OK : no_memory(err);
    for (uint32_t pass = 0; pass < model->pass_count && status == R2_OK; pass++)
        if (!model->passes[pass].crops)
            status = report_pass(model, pass, threads, passes, &arena, err);
    for (uint32_t i = 0; i < model->head_count; i++)
        for (uint32_t stage = 0; status == R2_OK && r2_regions_at(model, i, stage); stage++)
            status = report_regions(model, i, stage, threads, regions, &regions_arena, err);
    if (status != R2_OK) {
        json_decref(regions);
        json_decref(passes);
        return status;
    }
    json_int_t packed = 0;
    for (uint32_t i = 0; i < model->trunk_count; i++)
        packed += (json_int_t)r2_params_size(model->trunks[i].params);
    const json_int_t plans = (json_int_t)r2_plan_cache_size(model->plans);
    json_t *report = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s*, s:I, s:i, s:i, s:o, s:o, s:{s:I, s:I, s:I, s:I}}", "model",
        model->file.name, "arch", model->trunks[0].options.arch_name, "dialect",
        r2_dialect_name(model->trunks[0].dialect), "dialect_evidence", model->trunks[0].evidence,
        "precision", r2_model_precision(model), "note", r2_model_note(model), "parameters",
        (json_int_t)parameters, "threads", (int)threads, "trunks", (int)model->trunk_count,
        "passes", passes, "regions", regions, "memory", "weights_mapped_bytes",
        (json_int_t)file_bytes, "weights_packed_bytes", packed, "arena_bytes_per_worker",
        (json_int_t)(arena + regions_arena), "two_models_bytes", 2 * (packed + plans));
    if (!report) return no_memory(err);
    *ret = report;
    return R2_OK;
}
