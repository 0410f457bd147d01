/* Models that load: what they tell, and that what they compute is what a naive run computes. */
#include <math.h>

#include "base/memory.h"
#include "heads/classes.h"
#include "heads/input_options.h"
#include "tests/heads/fixture.h"
#include "tests/support/naive.h"
#include "tests/support/tensor_file.h"

#define ONE "\"classify\": {" CLASSIFIER "}"
#define OTHER_INPUT                                                                                \
    "\"input\": {\"resize\": {\"mode\": \"exact\", \"size\": [48, 36]}, \"color\": \"bgr\"}"
#define SECOND_SAME ", \"tags\": {\"type\": \"classifier\", \"top_k\": 2, " SMALL_INPUT "}"
#define SECOND_OTHER ", \"tags\": {\"type\": \"classifier\", \"top_k\": 2, " OTHER_INPUT "}"

/* --- the same in a naive way --------------------------------------------------------------------
 */

struct expected {
    double pooled[64], scores[CLASSES];
};

static struct expected compute(const char *path, const struct model_dir_weights *what,
                               const struct r2_input_spec *input, const struct r2_image *picture)
{
    struct r2_error err = {0};
    struct r2_safetensors file;
    struct r2_weights weights = {0};
    struct r2_naming naming;
    struct r2_graph graph;
    struct r2_input_shape shape;
    struct r2_geometry geometry;
    struct naive_run naive = {0};
    struct expected expected = {{0}, {0}};
    double most = -INFINITY, sum = 0;
    ASSERT_OK(r2_safetensors_open(path, &file, &err), err);
    ASSERT_OK(r2_weights_add(&weights, &file, &err), err);
    ASSERT_OK(r2_naming_detect(&weights, &naming, &err), err);
    ASSERT_OK(r2_input_shape(input, picture->width, picture->height, &shape, &err), err);
    R2_AUTOFREE float *pixels = calloc((size_t)shape.height * shape.width * 3, sizeof *pixels);
    ASSERT_OK(r2_input_prepare(input, picture, pixels, &geometry, &err), err);
    r2_graph_init(&graph);
    model_dir_graph(&graph, what);
    const struct r2_source source = {&weights, &naming, 1e-5};
    ASSERT_OK(naive_run(&graph, &source, (struct r2_extent){shape.height, shape.width}, pixels,
                        &naive, &err),
              err);
    const double *pooled = naive.values[graph.outputs[0].value].data;
    const double *logits = naive.values[graph.outputs[1].value].data;
    memcpy(expected.pooled, pooled, sizeof expected.pooled);
    for (size_t i = 0; i < CLASSES; i++) most = fmax(most, logits[i]);
    for (size_t i = 0; i < CLASSES; i++) sum += exp(logits[i] - most);
    for (size_t i = 0; i < CLASSES; i++) expected.scores[i] = exp(logits[i] - most) / sum;
    naive_run_finish(&naive);
    r2_graph_finish(&graph);
    r2_safetensors_close(&file);
    return expected;
}

static void expect_scores(const struct r2_result *result, const struct expected *expected,
                          size_t count)
{
    const struct r2_classes *classes = result->data;
    cr_assert(result->kind == &r2_classes_kind && classes->count == count);
    for (size_t i = 0; i < count; i++) {
        const struct r2_class_score *item = &classes->items[i];
        double wanted = expected->scores[item->index];
        cr_expect(fabs((double)item->score - wanted) < 1e-5, "class %zu: %g, not %g", item->index,
                  (double)item->score, wanted);
        if (i) cr_expect_leq(item->score, classes->items[i - 1].score);
    }
}

static struct expected expected_of(const struct fixture *fixture, const struct r2_model *model,
                                   size_t head, const struct r2_image *picture)
{
    char path[128];
    snprintf(path, sizeof path, "%s/trunk.safetensors", fixture->dir);
    return compute(path, &fixture->weights, r2_model_input(model, head), picture);
}

Test(model, scores_and_embedding)
{
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, ONE);
    struct r2_image picture = fixture_picture(61, 47);
    struct expected expected = expected_of(&fixture, model, 0, &picture);
    struct r2_answer answer = fixture_run(model, "classify", true, &picture);
    const struct r2_classes *classes = answer.results[0].data;
    expect_scores(&answer.results[0], &expected, 5);
    cr_expect_gt(classes->items[0].score - classes->items[1].score, 0.01,
                 "too flat to tell anything");
    cr_expect_str_eq(classes->labels->names[3], "class3");
    cr_assert_eq(answer.embedding_size, 64);
    for (size_t i = 0; i < 64; i++)
        cr_expect(fabs((double)answer.embedding[i] - expected.pooled[i]) < 1e-4, "feature %zu", i);
    cr_expect(answer.trunk_passes == 1 && answer.plan_hits == 0 && answer.plan_misses == 1);
    cr_expect(answer.backbone_ns > 0 && answer.preprocess_ns > 0);
    r2_answer_finish(&answer);
    cr_expect(!answer.embedding && !answer.results[0].data);
    answer = fixture_run(model, "", true, &picture);
    cr_expect(answer.embedding_size == 64 && !answer.results[0].kind && answer.trunk_passes == 1);
    r2_answer_finish(&answer);
    answer = fixture_run(model, "", false, &picture);
    cr_expect(!answer.embedding && !answer.results[0].kind && answer.trunk_passes == 0);
    r2_answer_finish(&answer);
    r2_image_finish(&picture);
    r2_model_unref(model);
    fixture_close(&fixture);
}

static void expect_passes(const char *heads, unsigned passes, const char *shapes)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, heads);
    struct r2_image picture = fixture_picture(50, 64);
    struct r2_answer answer = fixture_run(model, NULL, true, &picture);
    cr_expect_eq(answer.trunk_passes, passes);
    for (size_t i = 0; i < 2; i++) {
        struct expected expected = expected_of(&fixture, model, i, &picture);
        expect_scores(&answer.results[i], &expected, i ? 2 : 5);
    }
    struct expected first = expected_of(&fixture, model, 0, &picture);
    cr_expect(fabs((double)answer.embedding[7] - first.pooled[7]) < 1e-4,
              "of the classifier's input");
    r2_answer_finish(&answer);
    answer = fixture_run(model, "tags", false, &picture);
    cr_expect(answer.trunk_passes == 1 && !answer.results[0].kind && answer.results[1].kind);
    r2_answer_finish(&answer);

    json_t *report = NULL, *pass;
    size_t index;
    ASSERT_OK(r2_model_report(model, 1, &report, &err), err);
    struct r2_text text = {0};
    json_array_foreach(json_object_get(report, "passes"), index, pass)
    {
        char *size = json_dumps(json_object_get(pass, "network_size"), JSON_COMPACT);
        char *tasks = json_dumps(json_object_get(pass, "heads"), JSON_COMPACT);
        r2_text_add(&text, "%s%s ", size, tasks);
        free(size);
        free(tasks);
    }
    cr_expect_str_eq(r2_text_view(&text), shapes, "%s", r2_text_view(&text));
    r2_text_finish(&text);
    json_decref(report);
    r2_image_finish(&picture);
    r2_model_unref(model);
    fixture_close(&fixture);
}

Test(model, equal_inputs_share_a_pass)
{
    expect_passes(ONE SECOND_SAME, 1, "[32,32][\"classify\",\"tags\"] ");
}

Test(model, different_inputs_take_two_passes)
{
    expect_passes(ONE SECOND_OTHER, 2, "[32,32][\"classify\"] [48,36][\"tags\"] ");
}

/* The trunk's file has an fc too, which the head must not read. */
Test(model, head_with_its_own_weights)
{
    static const uint64_t weight[] = {CLASSES, 64}, bias[] = {CLASSES};
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct tensor_file made = {0};
    char path[128];
    double sum = 0;
    snprintf(path, sizeof path, "%s/head.safetensors", fixture.dir);
    tensor_file_add_f32(&made, "head.fc.weight", 2, weight);
    tensor_file_add_f32(&made, "head.fc.bias", 1, bias);
    ASSERT_OK(tensor_file_write(&made, path, &err), err);
    tensor_file_finish(&made);
    struct r2_model *model =
        fixture_good(&fixture, "\"classify\": {" CLASSIFIER ", \"weights\": \"head.safetensors\"}");
    struct r2_image picture = fixture_picture(33, 32);
    struct expected expected = expected_of(&fixture, model, 0, &picture);
    for (size_t i = 0; i < CLASSES; i++) {
        double logit = 1 / ((double)i + 1);
        for (size_t k = 0; k < 64; k++) logit += expected.pooled[k] / ((double)(64 * i + k) + 1);
        expected.scores[i] = exp(logit);
        sum += exp(logit);
    }
    for (size_t i = 0; i < CLASSES; i++) expected.scores[i] /= sum;
    struct r2_answer answer = fixture_run(model, "classify", false, &picture);
    expect_scores(&answer.results[0], &expected, 5);
    r2_answer_finish(&answer);
    r2_image_finish(&picture);
    r2_model_unref(model);
    fixture_close(&fixture);
}

/* --- what it is ---------------------------------------------------------------------------------
 */

/* A precision that the engine lacks is no reason to refuse, but nobody is told that it is there. */
Test(model, another_precision_is_computed_in_f32_and_noted)
{
    static const char *const asked[] = {"f32", "bf16", "int8"};
    struct fixture fixture = fixture_open();
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct r2_error err = {0};
        struct r2_model *model = NULL;
        json_t *json = NULL, *report = NULL;
        char backbone[512], note[128];
        snprintf(backbone, sizeof backbone,
                 "\"backbone\": {" MODEL_DIR_ARCH
                 ", \"weights\": \"trunk.safetensors\", \"precision\": \"%s\"}",
                 asked[i]);
        snprintf(note, sizeof note,
                 "model.json asks for precision %s, which the engine does not compute; f32 is used",
                 asked[i]);
        const char *expected = i ? note : "none", *is;
        ASSERT_OK(fixture_load(&fixture, backbone, ONE, &model, &err), err);
        is = r2_model_note(model);
        cr_expect_str_eq(is ? is : "none", expected);
        cr_expect_str_eq(r2_model_precision(model), "f32");
        ASSERT_OK(r2_model_describe(model, &json, &err), err);
        ASSERT_OK(r2_model_report(model, 1, &report, &err), err);
        is = json_string_value(json_object_get(json, "note"));
        cr_expect_str_eq(is ? is : "none", expected, "models: %s", is);
        is = json_string_value(json_object_get(report, "note"));
        cr_expect_str_eq(is ? is : "none", expected, "check: %s", is);
        cr_expect_str_eq(json_string_value(json_object_get(report, "precision")), "f32");
        json_t *described = json_object_get(json_object_get(json, "backbone"), "precision");
        cr_expect_str_eq(json_string_value(described), "f32");
        json_decref(json);
        json_decref(report);
        r2_model_unref(model);
    }
    fixture_close(&fixture);
}

Test(model, tells_what_it_is)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, ONE SECOND_OTHER);
    json_t *json = NULL, *head;
    cr_expect_str_eq(r2_model_name(model), "tiny");
    cr_expect_str_eq(r2_model_version(model), "7");
    cr_expect_str_eq(r2_model_arch(model), "custom");
    cr_expect_str_eq(r2_model_precision(model), "f32");
    cr_expect_eq(r2_model_head_count(model), 2);
    cr_expect_str_eq(r2_model_task(model, 0), "classify");
    cr_expect_str_eq(r2_model_task(model, 1), "tags");
    cr_expect(r2_model_find_task(model, "tags") == 1 && r2_model_find_task(model, "detect") == -1);
    cr_expect_eq(r2_model_params(model, 0)->count, 2);
    cr_expect_str_eq(r2_model_params(model, 0)->options[0].name, "top_k");
    cr_expect_eq(r2_model_input(model, 1)->size[1], 36);

    ASSERT_OK(r2_model_describe(model, &json, &err), err);
    cr_expect_str_eq(json_string_value(json_object_get(json, "name")), "tiny");
    cr_expect_str_eq(json_string_value(json_object_get(json, "version")), "7");
    cr_expect_eq(json_integer_value(json_object_get(json, "trunk_passes")), 2);
    char *backbone = json_dumps(json_object_get(json, "backbone"), JSON_COMPACT);
    cr_expect_str_eq(backbone,
                     "{\"arch\":\"custom\",\"precision\":\"f32\",\"dialect\":\"official\"}", "%s",
                     backbone);
    free(backbone);
    head = json_object_get(json_object_get(json, "heads"), "classify");
    cr_expect_str_eq(json_string_value(json_object_get(head, "type")), "classifier");
    cr_expect_eq(json_array_size(json_object_get(head, "labels")), CLASSES);
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(head, "labels"), 6)),
                     "class6");
    cr_expect_eq(json_integer_value(json_object_get(head, "classes")), CLASSES);
    struct r2_input_spec read;
    ASSERT_OK(r2_input_read(json_object_get(head, "input"), &read, &err), err);
    cr_expect(r2_input_spec_equal(&read, r2_model_input(model, 0)));
    head = json_object_get(json_object_get(json, "heads"), "tags");
    cr_expect_eq(json_array_size(json_object_get(head, "labels")), 0);
    cr_expect_eq(json_integer_value(json_object_get(head, "classes")), CLASSES);
    json_decref(json);
    cr_expect_eq(r2_model_ref(model), model);
    r2_model_unref(model);
    r2_model_unref(model);
    r2_model_unref(NULL);
    fixture_close(&fixture);
}

Test(model, report_counts)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, ONE);
    struct r2_graph graph;
    json_t *report = NULL;
    uint64_t macs = 0, parameters = 0;
    r2_graph_init(&graph);
    model_dir_graph(&graph, &fixture.weights);
    R2_AUTOFREE struct r2_extent *extents = calloc(graph.value_count, sizeof *extents);
    ASSERT_OK(r2_graph_extents(&graph, (struct r2_extent){32, 32}, extents, &err), err);
    for (size_t n = 0; n < graph.node_count; n++) {
        const struct r2_node *node = &graph.nodes[n];
        uint64_t out = r2_graph_channels(&graph, node->output);
        uint64_t in = r2_graph_channels(&graph, node->inputs[0]);
        macs += r2_graph_macs(&graph, node, extents);
        if (node->op == R2_OP_CONV)
            parameters += out * in * node->conv.kernel * node->conv.kernel + 2 * out;
        if (node->op == R2_OP_LINEAR) parameters += out * in + out;
    }
    r2_graph_finish(&graph);
    ASSERT_OK(r2_model_report(model, 2, &report, &err), err);
    cr_expect_eq((uint64_t)json_integer_value(json_object_get(report, "parameters")), parameters);
    cr_expect_eq(json_integer_value(json_object_get(report, "threads")), 2);
    json_t *pass = json_array_get(json_object_get(report, "passes"), 0);
    cr_expect_eq((uint64_t)json_integer_value(json_object_get(pass, "macs")), macs);
    cr_expect_gt(json_integer_value(json_object_get(pass, "arena_bytes")), 0);
    json_t *memory = json_object_get(report, "memory");
    cr_expect_eq(json_object_size(memory), 4);
    cr_expect_gt(json_integer_value(json_object_get(memory, "weights_packed_bytes")), 0);
    json_decref(report);
    r2_model_unref(model);
    fixture_close(&fixture);
}

/* --- models of other shapes ---------------------------------------------------------------------
 */

Test(model, without_heads)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, ""); /* fc.* is there and nobody's */
    struct r2_image picture = fixture_picture(300, 260);
    struct r2_runner *runner;
    json_t *json = NULL;
    cr_expect_eq(r2_model_head_count(model), 0);
    struct r2_answer answer = fixture_run(model, NULL, true, &picture);
    cr_expect(answer.embedding_size == 64 && answer.trunk_passes == 1);
    r2_answer_finish(&answer);
    ASSERT_OK(r2_model_describe(model, &json, &err), err);
    cr_expect_eq(json_object_size(json_object_get(json, "heads")), 0);
    json_decref(json);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(r2_model_warm(model, runner, 1, NULL, &err), err);
    r2_runner_destroy(runner);
    r2_runner_destroy(NULL);
    r2_image_finish(&picture);
    r2_model_unref(model);
    fixture_close(&fixture);
}

static void rename_mmdet(const char *official, char *ret, size_t size)
{
    if (strncmp(official, "fc.", 3) == 0)
        snprintf(ret, size, "head.%s", official);
    else if (strncmp(official, "conv1.", 6) == 0)
        snprintf(ret, size, "backbone.stem.%s", official + 6);
    else if (strncmp(official, "bn1.", 4) == 0)
        snprintf(ret, size, "backbone.stem.7.%s", official + 4);
    else
        snprintf(ret, size, "backbone.%s", official);
}

/* The names of mmdetection choose its dialect, unless the model says otherwise. */
static void expect_dialect(const char *key, enum r2_dialect dialect)
{
    static const struct r2_arch deep = {.layers = {1, 1, 1, 1},
                                        .planes = {16, 16, 16, 16},
                                        .base_width = 64,
                                        .scale = 2,
                                        .groups = 1,
                                        .stem_channels = 16,
                                        .stem = R2_STEM_DEEP,
                                        .downsample = R2_DOWNSAMPLE_AVG};
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = NULL;
    char backbone[512], path[128];
    fixture.weights.arch = &deep;
    fixture.weights.dialect = dialect;
    fixture.weights.rename = rename_mmdet;
    ASSERT_OK(model_dir_weights(fixture.dir, "trunk.safetensors", &fixture.weights, &err), err);
    snprintf(backbone, sizeof backbone,
             "\"backbone\": {" MODEL_DIR_ARCH ", \"stem\": \"deep\", \"downsample\": \"avg\","
             " \"weights\": \"trunk.safetensors\"%s}",
             key);
    ASSERT_OK(fixture_load(&fixture, backbone, ONE, &model, &err), err);
    struct r2_image picture = fixture_picture(45, 45);
    struct r2_answer answer = fixture_run(model, "classify", false, &picture);
    snprintf(path, sizeof path, "%s/trunk.safetensors", fixture.dir);
    struct expected expected = compute(path, &fixture.weights, r2_model_input(model, 0), &picture);
    expect_scores(&answer.results[0], &expected, 5);
    r2_answer_finish(&answer);
    r2_image_finish(&picture);
    r2_model_unref(model);
    fixture_close(&fixture);
}

Test(model, dialects)
{
    expect_dialect("", R2_DIALECT_MMDET);
    expect_dialect(", \"dialect\": \"official\"", R2_DIALECT_OFFICIAL);
    expect_dialect(", \"dialect\": \"mmdet\"", R2_DIALECT_MMDET);
}

/* Pictures down to one pixel, through the crop's padding. */
Test(model, pictures_of_any_size)
{
    static const struct r2_extent sizes[] = {{1, 1}, {1, 40}, {64, 3}, {333, 500}};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, ONE);
    for (size_t i = 0; i < R2_COUNT(sizes); i++) {
        struct r2_image picture = fixture_picture(sizes[i].width, sizes[i].height);
        struct expected expected = expected_of(&fixture, model, 0, &picture);
        struct r2_answer answer = fixture_run(model, "classify", false, &picture);
        expect_scores(&answer.results[0], &expected, 5);
        cr_expect_eq(answer.plan_hits, i > 0, "all have one network size");
        r2_answer_finish(&answer);
        r2_image_finish(&picture);
    }
    r2_model_unref(model);
    fixture_close(&fixture);
}
