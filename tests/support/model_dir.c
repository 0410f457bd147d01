#include "tests/support/model_dir.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "tests/support/plan_case.h"

enum { PATH_SIZE = 4096 };

const struct r2_arch model_dir_arch = {
    .layers = {1, 1, 1, 1},
    .planes = {16, 16, 16, 16},
    .base_width = 64,
    .scale = 2,
    .groups = 1,
    .stem_channels = 16,
};

static void join(const char *dir, const char *name, char ret[PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "%s/%s", dir, name);
}

enum r2_status model_dir_create(char *ret, struct r2_error *err)
{
    snprintf(ret, R2_MODEL_DIR_SIZE, "/tmp/r2-model-XXXXXX");
    return mkdtemp(ret) ? R2_OK : r2_fail(err, R2_IO, "%s: cannot be made", ret);
}

void model_dir_remove(const char *dir)
{
    char path[PATH_SIZE];
    DIR *list = opendir(dir);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        join(dir, entry->d_name, path);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlink(path);
    }
    if (list) closedir(list);
    rmdir(dir);
}

enum r2_status model_dir_write(const char *dir, const char *name, const char *text,
                               struct r2_error *err)
{
    char path[PATH_SIZE];
    join(dir, name, path);
    FILE *file = fopen(path, "w");
    if (!file) return r2_fail(err, R2_IO, "%s: cannot be written", path);
    bool failed = fputs(text, file) == EOF;
    if (fclose(file) != 0 || failed) return r2_fail(err, R2_IO, "%s: write failed", path);
    return R2_OK;
}

enum r2_status model_dir_labels(const char *dir, const char *name, uint32_t count,
                                struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text text = {0};
    for (uint32_t i = 0; i < count; i++) r2_text_add(&text, "class%u\n", i);
    return model_dir_write(dir, name, r2_text_view(&text), err);
}

void model_dir_graph(struct r2_graph *graph, const struct model_dir_weights *what)
{
    struct r2_taps taps;
    r2_res2net_build(graph, what->arch, what->dialect, &taps);
    r2_graph_output(graph, taps.pooled, "pooled");
    const struct r2_linear linear = {.name = "fc", .out = what->classes};
    const struct r2_conv conv = {.name = "fc", .out = what->classes, .kernel = 1, .stride = 1};
    if (what->classes)
        r2_graph_output(graph,
                        what->arch->dla ? r2_graph_conv(graph, taps.pooled, &conv)
                                        : r2_graph_linear(graph, taps.pooled, &linear),
                        "logits");
}

enum r2_status model_dir_weights(const char *dir, const char *name,
                                 const struct model_dir_weights *what, struct r2_error *err)
{
    const struct test_factor factors[] = {{"fc.weight", what->scale}, {0}};
    struct r2_graph graph;
    char path[PATH_SIZE];
    join(dir, name, path);
    r2_graph_init(&graph);
    model_dir_graph(&graph, what);
    enum r2_status status = r2_graph_check(&graph, err);
    if (status == R2_OK) status = test_weights_write(path, &graph, factors, what->rename, err);
    r2_graph_finish(&graph);
    return status;
}

/* With logits = scale * a + b, the variance is that of a times scale^2, and so on: a quadratic. */
static float solve_scale(const float *logits, const float *bias, uint32_t count)
{
    double mean_a = 0, mean_b = 0, aa = 0, ab = 0, bb = 0;
    for (uint32_t i = 0; i < count; i++) {
        mean_a += ((double)logits[i] - (double)bias[i]) / count;
        mean_b += (double)bias[i] / count;
    }
    for (uint32_t i = 0; i < count; i++) {
        double a = (double)logits[i] - (double)bias[i] - mean_a, b = (double)bias[i] - mean_b;
        aa += a * a / count;
        ab += a * b / count;
        bb += b * b / count;
    }
    if (aa <= 0 || bb >= 4) return 1; /* one class */
    return (float)((-ab + sqrt(ab * ab - aa * (bb - 4))) / aa);
}

static enum r2_status read_logits(const struct plan_case *self, struct r2_extent picture,
                                  uint32_t classes, float *ret, struct r2_error *err)
{
    struct r2_plan *plan = NULL;
    struct r2_session *session = NULL;
    struct r2_session_times times;
    struct r2_output_view view = {0};
    enum r2_status status = r2_plan_create(self->graph, self->params,
                                           (struct r2_plan_shape){picture, 1}, 1, &plan, err);
    if (status == R2_OK) status = r2_session_create(&session, err);
    if (status == R2_OK) status = r2_session_prepare(session, plan, err);
    if (status == R2_OK) {
        plan_case_input(0, (size_t)picture.height * picture.width * 3, r2_session_input(session));
        status = r2_session_run(session, &times, err);
    }
    if (status == R2_OK) status = r2_session_output(session, "logits", &view, err);
    if (status == R2_OK) memcpy(ret, view.data, classes * sizeof *ret);
    r2_session_destroy(session);
    r2_plan_unref(plan);
    return status;
}

enum r2_status model_dir_scale(const struct model_dir_weights *what, struct r2_extent picture,
                               float *ret, struct r2_error *err)
{
    struct r2_graph graph;
    struct plan_case self = {0};
    R2_AUTOFREE float *logits = NULL, *bias = NULL;
    R2_TRY(r2_alloc(what->classes, sizeof *logits, "logits", &logits, err));
    R2_TRY(r2_alloc(what->classes, sizeof *bias, "bias", &bias, err));
    test_uniform("fc.bias", what->classes, bias);
    for (uint32_t i = 0; i < what->classes; i++) bias[i] *= 0.2f;
    r2_graph_init(&graph);
    model_dir_graph(&graph, what);
    enum r2_status status = plan_case_open(&self, &graph, err);
    if (status == R2_OK) status = read_logits(&self, picture, what->classes, logits, err);
    if (status == R2_OK) *ret = solve_scale(logits, bias, what->classes);
    plan_case_close(&self);
    r2_graph_finish(&graph);
    return status;
}
