/*
 * Classification: global mean of c5, one linear layer, softmax.
 */
#include "base/memory.h"
#include "config/model_file.h"
#include "heads/classes.h"
#include "heads/head.h"

enum { MAX_CLASSES = 65536 };

struct classifier {
    struct r2_head head;
    char *labels_path;
    int64_t top_k;
    uint32_t classes;
    struct r2_labels labels;
};

struct classifier_params {
    int64_t top_k;
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
};
/* clang-format on */

/* The number of classes is the number of rows of the weights. */
static enum r2_status count_classes(struct classifier *classifier,
                                    const struct r2_head_setup *setup, struct r2_error *err)
{
    char name[R2_NAME_SIZE];
    R2_TRY(r2_naming_apply(setup->naming, "fc.weight", name, err));
    const struct r2_tensor_entry *weight = r2_weights_find(setup->weights, name);
    if (!weight) return r2_weights_missing(setup->weights, name, err);
    if (weight->rank != 2 || weight->dims[0] < 1 || weight->dims[0] > MAX_CLASSES)
        return r2_fail(err, R2_INVALID, "tensor '%s' is not [classes 1..%d, features]", name,
                       MAX_CLASSES);
    classifier->classes = (uint32_t)weight->dims[0];
    return R2_OK;
}

static enum r2_status classifier_init(void *self, const struct r2_head_setup *setup,
                                      struct r2_error *err)
{
    struct classifier *classifier = self;
    R2_TRY(count_classes(classifier, setup, err));
    if (!classifier->labels_path) return R2_OK;
    R2_AUTOFREE char *path = NULL;
    R2_TRY(r2_model_path(setup->dir, classifier->labels_path, &path, err));
    R2_TRY(r2_labels_read(path, &classifier->labels, err));
    if (classifier->labels.count != classifier->classes)
        return r2_fail(err, R2_INVALID, "labels '%s' has %zu names, the weights have %u classes",
                       classifier->labels_path, classifier->labels.count, classifier->classes);
    return R2_OK;
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
    r2_value logits = r2_graph_linear(
        graph, taps->pooled, &(struct r2_linear){.name = "fc", .out = classifier->classes});
    r2_head_add_output(graph, prefix, "logits", logits);
}

static enum r2_status classifier_decode(const void *self, const struct r2_head_run *run,
                                        struct r2_result *ret, struct r2_error *err)
{
    const struct classifier *classifier = self;
    const struct classifier_params *request = run->params;
    struct r2_output_view logits = {0};
    R2_TRY(r2_head_output(&run->outputs, "logits", &logits, err));
    return r2_classes_from_logits(logits.data, logits.channels, (size_t)request->top_k,
                                  classifier->labels.count ? &classifier->labels : NULL, ret, err);
}

static enum r2_status classifier_describe(const void *self, json_t *object, struct r2_error *err)
{
    const struct classifier *classifier = self;
    json_t *labels = json_array();
    bool failed = !labels;
    for (size_t i = 0; i < classifier->labels.count && !failed; i++)
        failed = json_array_append_new(labels, json_string(classifier->labels.names[i])) != 0;
    if (json_object_set_new(object, "labels", labels) != 0 ||
        json_object_set_new(object, "classes", json_integer(classifier->classes)) != 0)
        failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the labels' JSON") : R2_OK;
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
    .build = classifier_build,
    .decode = classifier_decode,
    .describe = classifier_describe,
};
