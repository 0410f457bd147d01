#include <stdio.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "heads/inspect.h"
#include "heads/model.h"
#include "server/verbs.h"

struct options {
    bool table;
};

static const struct r2_option own[] = {
    {.name = "table",
     R2_FIELD(BOOL, struct options, table),
     .fallback = "0",
     .metavar = "",
     .help = "variant, dialect, parameters and MACs of each stage as text; JSON when not given"},
};

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

/* "25.6 M" */
static void add_count(json_int_t count, struct r2_text *text)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    double value = (double)count;
    size_t unit = 0;
    for (; value >= 1000 && unit + 1 < R2_COUNT(units); unit++) value /= 1000;
    char shown[32];
    snprintf(shown, sizeof shown, "%.*f%s", unit ? 1 : 0, value, units[unit]);
    r2_text_add(text, "%12s", shown);
}

static void add_row(const json_t *stage, struct r2_text *text)
{
    char size[64];
    const json_t *output = json_object_get(stage, "output");
    snprintf(size, sizeof size, "%d x %d x %d", (int)json_integer_value(json_array_get(output, 0)),
             (int)json_integer_value(json_array_get(output, 1)),
             (int)json_integer_value(json_array_get(output, 2)));
    r2_text_add(text, "%-16s %18s", json_string_value(json_object_get(stage, "name")), size);
    add_count(json_integer_value(json_object_get(stage, "parameters")), text);
    add_count(json_integer_value(json_object_get(stage, "macs")), text);
    r2_text_add(text, "\n");
}

/* One network; `what` says which. */
static void add_table(const char *what, const json_t *stages, struct r2_text *text)
{
    json_int_t parameters = 0, macs = 0;
    r2_text_add(text, "\n%s\n%-16s %18s%12s%12s\n", what, "stage", "output", "parameters", "MACs");
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const json_t *stage = json_array_get(stages, i);
        add_row(stage, text);
        parameters += json_integer_value(json_object_get(stage, "parameters"));
        macs += json_integer_value(json_object_get(stage, "macs"));
    }
    r2_text_add(text, "%-16s %18s", "all", "");
    add_count(parameters, text);
    add_count(macs, text);
    r2_text_add(text, "\n");
}

static void add_picture(const json_t *size, struct r2_text *what)
{
    r2_text_add(what, "picture of %d x %d", (int)json_integer_value(json_array_get(size, 1)),
                (int)json_integer_value(json_array_get(size, 0)));
}

static void add_pass(const json_t *pass, struct r2_text *text)
{
    R2_CLEANUP(r2_text_finish) struct r2_text what = {0};
    const json_t *heads = json_object_get(pass, "heads");
    add_picture(json_object_get(pass, "network_size"), &what);
    for (size_t i = 0; i < json_array_size(heads); i++)
        r2_text_add(&what, "%s%s", i ? ", " : ": ", json_string_value(json_array_get(heads, i)));
    add_table(r2_text_view(&what), json_object_get(pass, "stages"), text);
}

/* What a person wants to see of the JSON: of `trunk` or of `plan`. */
static int print_table(const json_t *info)
{
    R2_CLEANUP(r2_text_finish) struct r2_text text = {0}, what = {0};
    const json_t *trunk = json_object_get(info, "trunk"), *plan = json_object_get(info, "plan");
    const json_t *top = plan ? plan : trunk;
    const json_t *passes = json_object_get(plan, "passes");
    const json_t *regions = json_object_get(plan, "regions");
    if (!top) {
        fprintf(stderr, "res2netd: the file holds no trunk\n");
        return R2_EXIT_FAILED;
    }
    r2_text_add(&text, "variant  %s\ndialect  %s: %s\n",
                json_string_value(json_object_get(top, "arch")),
                json_string_value(json_object_get(top, "dialect")),
                json_string_value(json_object_get(top, "dialect_evidence")));
    if (json_object_get(trunk, "stages")) {
        add_picture(json_object_get(trunk, "picture"), &what);
        add_table(r2_text_view(&what), json_object_get(trunk, "stages"), &text);
    }
    for (size_t i = 0; i < json_array_size(passes); i++) add_pass(json_array_get(passes, i), &text);
    for (size_t i = 0; i < json_array_size(regions); i++) {
        const json_t *region = json_array_get(regions, i);
        r2_text_finish(&what);
        r2_text_add(&what, "each region: %s", json_string_value(json_object_get(region, "head")));
        add_table(r2_text_view(&what), json_object_get(region, "stages"), &text);
    }
    fputs(r2_text_view(&text), stdout);
    return !text.failed && fflush(stdout) == 0 ? R2_EXIT_OK : R2_EXIT_FAILED;
}

static int info(const struct r2_args *args)
{
    const struct options *options = args->own;
    struct r2_error err;
    struct stat kind;
    json_t *json = NULL;
    const char *path = args->files[0];
    bool is_dir = stat(path, &kind) == 0 && S_ISDIR(kind.st_mode);
    enum r2_status status = is_dir ? describe_model(path, args->settings, &json, &err)
                                   : r2_weights_info(path, &json, &err);
    if (status == R2_OK && !options->table) return r2_print_json(json);
    int code = status == R2_OK ? print_table(json) : r2_complain(&err);
    json_decref(json);
    return code;
}

static const struct r2_option_table own_table = R2_OPTION_TABLE(own, "option");
static const char *const settings[] = {NULL};

const struct r2_verb r2_verb_info = {
    .name = "info",
    .usage = "[--table] FILE.safetensors | DIR",
    .summary = "Says what a weights file or a model directory holds.",
    .settings = settings,
    .own = &own_table,
    .own_size = sizeof(struct options),
    .min_files = 1,
    .max_files = 1,
    .run = info,
};
