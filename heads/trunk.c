/*
 * The trunks of a model: the one of model.json's `backbone`, and those that heads bring themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/model_inside.h"

enum r2_status r2_model_open_weights(struct r2_model *model, const struct r2_texts *paths,
                                     struct r2_weights *weights, struct r2_error *err)
{
    for (size_t i = 0; i < paths->count; i++) {
        R2_AUTOFREE char *path = NULL;
        R2_TRY(r2_model_path(model->file.dir, paths->items[i], &path, err));
        R2_TRY(r2_weight_files_open(&model->files, path, weights, err));
    }
    return R2_OK;
}

static void note_precision(struct r2_model *model, const struct r2_trunk *trunk)
{
    const char *asked = r2_precision_name((enum r2_precision)trunk->options.precision);
    const char *used = r2_model_precision(model);
    if (strcmp(asked, used) == 0) return;
    snprintf(model->note, sizeof model->note,
             "model.json asks for precision %s, which the engine does not compute; %s is used",
             asked, used);
}

static enum r2_status load(struct r2_model *model, struct r2_trunk *trunk, struct r2_error *err)
{
    note_precision(model, trunk);
    R2_TRY(r2_model_open_weights(model, &trunk->options.weights, &trunk->weights, err));
    R2_TRY(r2_naming_detect(&trunk->weights, &trunk->naming, err));
    if (trunk->options.arch.dla != (trunk->naming.family == R2_FAMILY_DLA))
        return r2_fail(err, R2_INVALID, "arch '%s' is %s DLA, the trunk in %s is %s ('%s')",
                       trunk->options.arch_name, trunk->options.arch.dla ? "a" : "no",
                       trunk->options.weights.items[0], trunk->options.arch.dla ? "none" : "one",
                       trunk->naming.anchor);
    if (r2_dialect_choose((enum r2_dialect)trunk->options.dialect, &trunk->naming, &trunk->dialect,
                          trunk->evidence, err) != R2_OK)
        return r2_fail_in(err, "model.json: backbone");
    return R2_OK;
}

enum r2_status r2_trunk_load(struct r2_model *model, json_t *object, uint32_t *ret,
                             struct r2_error *err)
{
    uint32_t i = 0;
    while (i < model->trunk_count && !json_equal(model->trunks[i].object, object)) i++;
    if (i == model->trunk_count) {
        struct r2_trunk *trunk = &model->trunks[i];
        R2_TRY(r2_backbone_options_read(object, &trunk->options, err));
        trunk->object = object;
        model->trunk_count++; /* from here on destroy finishes it */
        R2_TRY(load(model, trunk, err));
    }
    *ret = i;
    return R2_OK;
}

void r2_trunk_finish(struct r2_trunk *trunk)
{
    r2_params_destroy(trunk->params);
    r2_options_finish(&r2_backbone_table, &trunk->options);
}

static enum r2_status check_regions(const struct r2_model *model, uint32_t i, uint32_t stage,
                                    const struct r2_params *params, struct r2_error *err)
{
    struct r2_graph graph;
    r2_graph_init(&graph);
    enum r2_status status = r2_regions_graph(model, i, stage, &graph, err);
    if (status == R2_OK) status = r2_params_check(params, &graph, err);
    r2_graph_finish(&graph);
    return status;
}

/* The tensors of all networks of a trunk: itself with its heads, and those over regions. */
static enum r2_status check_params(const struct r2_model *model, uint32_t trunk,
                                   struct r2_error *err)
{
    const struct r2_params *params = model->trunks[trunk].params;
    struct r2_graph graph;
    uint32_t heads = 0;
    for (uint32_t i = 0; i < model->head_count; i++)
        if (model->heads[i].trunk == trunk) heads |= UINT32_C(1) << i;
    r2_graph_init(&graph);
    enum r2_status status = r2_model_graph(model, trunk, heads, &graph, err);
    if (status == R2_OK) status = r2_params_check(params, &graph, err);
    r2_graph_finish(&graph);
    for (uint32_t i = 0; i < model->head_count; i++)
        for (uint32_t stage = 0;
             status == R2_OK && heads >> i & 1 && r2_regions_at(model, i, stage); stage++)
            status = check_regions(model, i, stage, params, err);
    return status;
}

enum r2_status r2_trunk_bind(struct r2_model *model, uint32_t index, struct r2_error *err)
{
    struct r2_trunk *trunk = &model->trunks[index];
    const double eps =
        r2_dialect_norm_eps(trunk->dialect, trunk->naming.family, trunk->options.bn_eps);
    struct r2_source sources[1 + R2_MODEL_MAX_HEADS] = {{&trunk->weights, &trunk->naming, eps}};
    for (size_t i = 0; i < model->head_count; i++)
        sources[1 + i] = (struct r2_source){&model->heads[i].weights, &model->heads[i].naming, eps};
    R2_TRY(r2_params_create(sources, 1 + model->head_count, &trunk->params, err));
    return check_params(model, index, err);
}
