#include <sys/stat.h>

#include "heads/inspect.h"
#include "heads/model.h"
#include "server/verbs.h"

static enum r2_status describe_model(const char *dir, const struct r2_settings *settings,
                                     json_t **ret, struct r2_error *err)
{
    struct r2_model_options options = {.plan_cache = (size_t)settings->plan_cache};
    struct r2_model *model;
    json_t *report = NULL;
    R2_TRY(r2_model_load(dir, &options, &model, err));
    enum r2_status status = r2_model_describe(model, ret, err);
    if (status == R2_OK) status = r2_model_report(model, 1, &report, err);
    if (report && json_object_set_new(*ret, "plan", report) != 0)
        status = r2_fail(err, R2_NO_MEMORY, "no memory for the report");
    r2_model_unref(model);
    return status;
}

static int info(const struct r2_args *args)
{
    struct r2_error err;
    struct stat kind;
    json_t *json = NULL;
    const char *path = args->files[0];
    bool is_dir = stat(path, &kind) == 0 && S_ISDIR(kind.st_mode);
    enum r2_status status = is_dir ? describe_model(path, args->settings, &json, &err)
                                   : r2_weights_info(path, &json, &err);
    if (status == R2_OK) return r2_print_json(json);
    json_decref(json);
    return r2_complain(&err);
}

static const char *const settings[] = {NULL};

const struct r2_verb r2_verb_info = {
    .name = "info",
    .usage = "FILE.safetensors | DIR",
    .summary = "Says what a weights file or a model directory holds.",
    .settings = settings,
    .min_files = 1,
    .max_files = 1,
    .run = info,
};
