/*
 * Classification: global mean of c5, one linear layer, softmax; a class activation map when asked.
 */
#include "base/memory.h"
#include "heads/classes.h"
#include "heads/labels.h"

struct classifier {
    struct r2_head head;
    char *labels_path;
    int64_t top_k;
    uint32_t classes;
    struct r2_labels labels;
    const struct r2_tensor_entry *weight; /* [classes, features] or [classes, features, 1, 1];
                                             borrowed from the model */
};

struct classifier_params {
    int64_t top_k;
    bool cam;
};

/* clang-format off */
static const struct r2_option options[] = {
    R2_HEAD_OPTIONS(struct classifier),
    {.name = "labels", R2_FIELD(TEXT, struct classifier, labels_path), .flags = R2_OPTION_OPTIONAL,
     .help = "text file, one class name a line"},
    {.name = "top_k", R2_FIELD(INT, struct classifier, top_k), .min = 0, .max = 65536,
     .fallback = "5", .help = "classes in an answer, 0 = all"},
};

static const struct r2_option params[] = {
    {.name = "top_k", R2_FIELD(INT, struct classifier_params, top_k), .min = 0, .max = 65536,
     .fallback = "5", .help = "classes in the answer, 0 = all"},
    {.name = "cam", R2_FIELD(BOOL, struct classifier_params, cam), .fallback = "0",
     .help = "also where in the picture the best class was seen (activation map)"},
};
/* clang-format on */

static enum r2_status classifier_init(void *self, const struct r2_head_setup *setup,
                                      struct r2_error *err)
{
    struct classifier *classifier = self;
    R2_TRY(r2_head_find_rows(setup, "fc.weight", &classifier->weight, err));
    classifier->classes = (uint32_t)classifier->weight->dims[0];
    return r2_head_read_labels(setup, classifier->labels_path, classifier->classes,
                               &classifier->labels, err);
}

static void classifier_finish(void *self)
{
    struct classifier *classifier = self;
    r2_labels_finish(&classifier->labels);
}

static void classifier_default_params(const void *self, void *data)
{
    const struct classifier *classifier = self;
    struct classifier_params *request = data;
    request->top_k = classifier->top_k;
}

static void classifier_build(const void *self, struct r2_graph *graph, const struct r2_taps *taps,
                             const char *prefix)
{
    const struct classifier *classifier = self;
    const struct r2_linear linear = {.name = "fc", .out = classifier->classes};
    const struct r2_conv conv = {
        .name = "fc", .out = classifier->classes, .kernel = 1, .stride = 1};
    const bool is_conv = classifier->weight->rank == 4; /* DLA's */
    r2_value logits = is_conv ? r2_graph_conv(graph, taps->pooled, &conv)
                              : r2_graph_linear(graph, taps->pooled, &linear);
    r2_head_add_output(graph, prefix, "logits", logits);
    r2_head_add_output(graph, prefix, "features", taps->last);
}

/* Adds the activation map of the best class. */
static enum r2_status add_map(const struct classifier *classifier, const struct r2_head_run *run,
                              struct r2_classes *classes, struct r2_error *err)
{
    struct r2_output_view features = {0};
    R2_AUTOFREE float *weights = NULL;
    const size_t best = classes->items[0].index;
    R2_TRY(r2_head_output(&run->outputs, "features", &features, err));
    R2_TRY(r2_alloc(features.channels, sizeof *weights, "activation map", &weights, err));
    r2_tensor_read_row(classifier->weight, best, weights);
    return r2_activation_map_make(&features, weights, best, run->geometry, &classes->map, err);
}

static enum r2_status classifier_decode(const void *self, const struct r2_head_run *run,
                                        struct r2_result *ret, struct r2_error *err)
{
    const struct classifier *classifier = self;
    const struct classifier_params *request = run->params;
    struct r2_output_view logits = {0};
    R2_TRY(r2_head_output(&run->outputs, "logits", &logits, err));
    struct r2_result result = {0};
    R2_TRY(r2_classes_from_logits(logits.data, logits.channels, (size_t)request->top_k,
                                  classifier->labels.count ? &classifier->labels : NULL, &result,
                                  err));
    if (request->cam && add_map(classifier, run, result.data, err) != R2_OK) {
        r2_result_finish(&result);
        return err->status;
    }
    *ret = result;
    return R2_OK;
}

static bool classifier_is_drawn(const void *data)
{
    const struct classifier_params *request = data;
    return request->cam;
}

static enum r2_status classifier_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct classifier *classifier = self;
    return r2_head_describe_labels(&classifier->labels, classifier->classes, object, err);
}

extern const struct r2_head_type r2_classifier_head;
const struct r2_head_type r2_classifier_head = {
    .name = "classifier",
    .help = "the best classes of the whole picture",
    .size = sizeof(struct classifier),
    .options = R2_OPTION_TABLE(options, "key"),
    .params_size = sizeof(struct classifier_params),
    .params = R2_OPTION_TABLE(params, "parameter"),
    .init = classifier_init,
    .finish = classifier_finish,
    .default_params = classifier_default_params,
    .gives = &r2_classes_kind,
    .build = classifier_build,
    .is_drawn = classifier_is_drawn,
    .decode = classifier_decode,
    .describe = classifier_describe,
};
