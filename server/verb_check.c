#include <stdio.h>

#include "heads/model.h"
#include "server/service.h"
#include "server/verbs.h"
#include "server/worker.h"

static json_t *shares_json(const struct r2_cpus *cpus, const struct r2_shares *shares)
{
    return json_pack("{si sf si si si si}", "affinity", (int)cpus->affinity, "quota", cpus->quota,
                     "usable", (int)cpus->usable, "workers", (int)shares->workers, "threads",
                     (int)shares->threads, "threads_alone", (int)shares->threads_alone);
}

static json_int_t bytes(const json_t *model, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(model, "memory"), key));
}

/* What the process may come to, when every worker has the largest picture at once. Bodies that wait
   come on top, and while a model is loaded anew its second copy. */
static json_t *memory_json(const struct r2_settings *settings, const struct r2_shares *shares,
                           const json_t *model)
{
    const json_int_t pictures = (json_int_t)r2_picture_memory(settings);
    const json_int_t arenas = bytes(model, "arena_bytes_per_worker");
    const json_int_t most = bytes(model, "weights_mapped_bytes") +
                            bytes(model, "weights_packed_bytes") + settings->plan_cache +
                            (json_int_t)shares->workers * (arenas + pictures);
    return json_pack("{sI sI sI}", "picture_bytes_per_worker", pictures, "arena_bytes_per_worker",
                     arenas, "most_bytes", most);
}

static enum r2_status report(const struct r2_settings *settings, const struct r2_shares *shares,
                             json_t **ret, struct r2_error *err)
{
    struct r2_model_options options = {.plan_cache = (size_t)settings->plan_cache};
    struct r2_model *model;
    R2_TRY(r2_model_load(settings->model, &options, &model, err));
    enum r2_status status = r2_model_report(model, shares->threads, ret, err);
    r2_model_unref(model);
    return status;
}

static int check(const struct r2_args *args)
{
    struct r2_error err;
    struct r2_cpus cpus;
    json_t *settings, *model = NULL;
    r2_cpus_read(&cpus);
    struct r2_shares shares = r2_shares_plan(args->settings, cpus.usable);
    if (r2_options_dump(&r2_settings_table, args->settings, &settings, &err) != R2_OK)
        return r2_complain(&err);
    if (args->settings->model && report(args->settings, &shares, &model, &err) != R2_OK) {
        json_decref(settings);
        return r2_complain(&err);
    }
    json_t *memory = model ? memory_json(args->settings, &shares, model) : NULL;
    return r2_print_json(json_pack("{so so so* so*}", "settings", settings, "cpus",
                                   shares_json(&cpus, &shares), "model", model, "memory", memory));
}

const struct r2_verb r2_verb_check = {
    .name = "check",
    .usage = "[--config FILE] [--model DIR] [OPTION...]",
    .summary = "Validates settings and model, and prints what `serve` would do with them.",
    .run = check,
};
