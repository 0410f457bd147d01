/*
 * Every published variant and dialect against PyTorch (training/make_goldens.py): all taps, the pooled
 * feature and the logits at two picture sizes, and wrong dialects that must not agree.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backbone/res2net.h"
#include "backbone/session.h"
#include "base/memory.h"
#include "tests/support/golden_file.h"
#include "tests/support/test_weights.h"

enum { NAME_SIZE = 128 };

/* Each golden has two of these. */
static const struct r2_extent sizes[] = {{224, 224}, {225, 331}, {96, 160}, {32, 32}, {33, 47}};
static const char *const taps[] = {"stem", "c2", "c3", "c4", "c5"};

/* What a golden file says of its network. */
struct golden {
    struct golden_file file;
    struct r2_arch arch;
    enum r2_dialect dialect;
    uint32_t classes;
    float scale;
};

static void read_arch(struct golden *golden)
{
    struct r2_error err;
    struct r2_backbone_options options;
    json_t *backbone = json_loads(golden_file_meta(&golden->file, "backbone"), 0, NULL);
    cr_assert_not_null(backbone);
    json_object_set_new(backbone, "arch", json_string(golden_file_meta(&golden->file, "arch")));
    json_object_set_new(backbone, "weights", json_string("unused"));
    cr_assert_eq(r2_backbone_options_read(backbone, &options, &err), R2_OK, "%s", err.message);
    golden->arch = options.arch;
    r2_options_finish(&r2_backbone_table, &options);
    json_decref(backbone);
}

static enum r2_dialect find_dialect(const char *name)
{
    unsigned i = 0;
    while (strcmp(r2_dialect_name((enum r2_dialect)i), name) != 0) i++;
    return (enum r2_dialect)i;
}

static struct golden golden_open(const char *name)
{
    char path[NAME_SIZE];
    struct golden golden = {0};
    snprintf(path, sizeof path, "trunk/%s.safetensors", name);
    golden.file = golden_file_open(path);
    read_arch(&golden);
    golden.dialect = find_dialect(golden_file_meta(&golden.file, "dialect"));
    golden.classes = (uint32_t)atoi(golden_file_meta(&golden.file, "num_classes"));
    golden.scale = strtof(golden_file_meta(&golden.file, "classifier_scale"), NULL);
    return golden;
}

static void golden_close(struct golden *golden)
{
    golden_file_close(&golden->file);
}

static void build(struct r2_graph *graph, const struct golden *golden)
{
    struct r2_taps trunk;
    struct r2_error err;
    r2_graph_init(graph);
    r2_res2net_build(graph, &golden->arch, golden->dialect, &trunk);
    r2_graph_output(graph, trunk.stem, "stem");
    for (unsigned i = 0; i < r2_arch_stages(&golden->arch); i++)
        r2_graph_output(graph, trunk.stage[i], taps[i + 1]);
    r2_graph_output(graph, trunk.pooled, "pooled");
    const struct r2_linear linear = {.name = "fc", .out = golden->classes};
    const struct r2_conv conv = {.name = "fc", .out = golden->classes, .kernel = 1, .stride = 1};
    r2_graph_output(graph,
                    golden->arch.dla ? r2_graph_conv(graph, trunk.pooled, &conv)
                                     : r2_graph_linear(graph, trunk.pooled, &linear),
                    "logits");
    cr_assert_eq(r2_graph_check(graph, &err), R2_OK, "%s", err.message);
}

/* The golden picture is made in NCHW order. */
static void write_picture(float *dst, struct r2_extent size)
{
    size_t pixels = (size_t)size.height * size.width;
    float *planar = malloc(3 * pixels * sizeof *planar);
    test_uniform("input", 3 * pixels, planar);
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < 3; c++) dst[3 * p + c] = 2 * planar[c * pixels + p];
    free(planar);
}

static const char *sized(struct r2_extent size, const char *rest, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%ux%u/%s", size.height, size.width, rest);
    return ret;
}

static double vector_error(const struct golden *golden, struct r2_extent size, const char *name,
                           const struct r2_output_view *view)
{
    char full[NAME_SIZE];
    size_t count;
    double error = 0, largest = 0;
    const float *values = golden_file_data(&golden->file, sized(size, name, full), &count);
    cr_assert_eq(count, view->channels);
    for (size_t i = 0; i < count; i++) {
        error = fmax(error, fabs((double)view->data[i] - values[i]));
        largest = fmax(largest, fabs((double)values[i]));
    }
    return error / largest;
}

/* The worst error of all outputs at one size. */
static double compare(const struct golden *golden, const struct r2_graph *graph,
                      struct r2_params *params, struct r2_extent size, unsigned threads)
{
    struct r2_error err;
    struct r2_plan *plan;
    struct r2_session *session;
    struct r2_session_times times;
    double worst = 0;
    cr_assert_eq(
        r2_plan_create(graph, params, (struct r2_plan_shape){size, 1}, threads, &plan, &err), R2_OK,
        "%s", err.message);
    for (size_t i = 0; i < r2_plan_step_count(plan); i++) {
        struct r2_step_info step = r2_plan_step(plan, i);
        cr_assert_null(strstr(step.implementation, "ref"), "layer %s runs on %s", step.name,
                       step.implementation);
    }
    cr_assert_eq(r2_session_create(&session, &err), R2_OK);
    cr_assert_eq(r2_session_prepare(session, plan, &err), R2_OK, "%s", err.message);
    write_picture(r2_session_input(session), size);
    cr_assert_eq(r2_session_run(session, &times, &err), R2_OK, "%s", err.message);
    for (size_t i = 0; i < graph->output_count; i++) {
        const char *name = graph->outputs[i].name;
        struct r2_output_view view = {0};
        cr_assert_eq(r2_session_output(session, name, &view, &err), R2_OK);
        char full[NAME_SIZE];
        double error = i < 1 + r2_arch_stages(&golden->arch)
                           ? golden_file_map_error(&golden->file, sized(size, name, full), &view)
                           : vector_error(golden, size, name, &view);
        if (getenv("R2_VERBOSE")) printf("%ux%u %s %.2e\n", size.height, size.width, name, error);
        worst = fmax(worst, error);
    }
    r2_session_destroy(session);
    r2_plan_unref(plan);
    return worst;
}

/* Runs the graph of `network` with test weights against the values of `expected`. */
static double run_golden(const struct golden *network, const struct golden *expected,
                         unsigned threads)
{
    char path[] = "/tmp/r2-golden-XXXXXX";
    struct r2_error err;
    struct r2_graph graph;
    struct r2_safetensors file;
    struct r2_weights weights = {0};
    struct r2_naming naming;
    struct r2_params *params;
    const struct test_factor factors[] = {{"fc.weight", network->scale}, {0}};
    double worst = 0;
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    build(&graph, network);
    cr_assert_eq(test_weights_write(path, &graph, factors, NULL, &err), R2_OK, "%s", err.message);
    cr_assert_eq(r2_safetensors_open(path, &file, &err), R2_OK, "%s", err.message);
    unlink(path);
    cr_assert_eq(r2_weights_add(&weights, &file, &err), R2_OK);
    cr_assert_eq(r2_naming_detect(&weights, &naming, &err), R2_OK, "%s", err.message);
    struct r2_source source = {&weights, &naming, 1e-5};
    cr_assert_eq(r2_params_create(&source, 1, &params, &err), R2_OK);
    cr_assert_eq(r2_params_check(params, &graph, &err), R2_OK, "%s", err.message);
    size_t compared = 0;
    for (size_t i = 0; i < R2_COUNT(sizes); i++) {
        char name[NAME_SIZE];
        if (!r2_safetensors_find(&expected->file.tensors, sized(sizes[i], "logits", name)))
            continue;
        worst = fmax(worst, compare(expected, &graph, params, sizes[i], threads));
        compared++;
    }
    cr_assert_eq(compared, 2);
    cr_expect_gt(r2_params_size(params) + 1, 0);
    r2_params_destroy(params);
    r2_safetensors_close(&file);
    r2_graph_finish(&graph);
    return worst;
}

ParameterizedTestParameters(trunk_golden, agrees)
{
    static const char *const names[] = {"custom-demo",
                                        "custom-groups",
                                        "res2net101_26w_4s",
                                        "res2net101_v1b_26w_4s",
                                        "res2net152_v1b_26w_4s",
                                        "res2net50_14w_8s",
                                        "res2net50_26w_4s",
                                        "res2net50_26w_6s",
                                        "res2net50_26w_8s",
                                        "res2net50_48w_2s",
                                        "res2net50_v1b_26w_4s",
                                        "res2next50",
                                        "res2net50_26w_4s-dialectB",
                                        "custom-stride8",
                                        "custom-stride16",
                                        "custom-stride16-avg",
                                        "custom-dialectD",
                                        "custom-dialectE",
                                        "custom-dialectF",
                                        "res2net50_26w_4s_se",
                                        "res2next50_4s_se",
                                        "res2net_dla60",
                                        "res2next_dla60",
                                        "res2next29_6cx24wx4s",
                                        "res2next29_8cx25wx4s",
                                        "res2next29_6cx24wx6s",
                                        "res2next29_6cx24wx4s_se",
                                        "res2next29_8cx25wx4s_se",
                                        "res2next29_6cx24wx6s_se"};
    static char texts[R2_COUNT(names)]
                     [NAME_SIZE]; /* criterion runs tests in processes of their own */
    for (size_t i = 0; i < R2_COUNT(names); i++) snprintf(texts[i], NAME_SIZE, "%s", names[i]);
    return cr_make_param_array(char[NAME_SIZE], texts, R2_COUNT(names), NULL);
}

ParameterizedTest(char (*name)[NAME_SIZE], trunk_golden, agrees)
{
    struct golden golden = golden_open(*name);
    double worst = run_golden(&golden, &golden, 1);
    printf("%s: %.1e\n", *name, worst);
    cr_expect_lt(worst, 1e-4, "%s: error %g", *name, worst);
    golden_close(&golden);
}

Test(trunk_golden, two_threads_agree)
{
    struct golden golden = golden_open("res2net50_26w_4s");
    cr_expect_lt(run_golden(&golden, &golden, 2), 1e-4);
    golden_close(&golden);
}

/* The negative control: the dialects differ in one pool of one slice, and that must show. */
Test(trunk_golden, wrong_dialect_fails)
{
    struct golden official = golden_open("res2net50_26w_4s");
    struct golden mmdet = golden_open("res2net50_26w_4s-dialectB");
    double worst = run_golden(&mmdet, &official, 1);
    cr_expect_gt(worst, 1e-2, "a wrong dialect is off by %g only", worst);
    golden_close(&official);
    golden_close(&mmdet);
}

/* Likewise for the others: no dialect but its own agrees with a golden. */
Test(trunk_golden, other_dialects_fail)
{
    static const char *const names[] = {"custom-dialectD", "custom-dialectE", "custom-dialectF"};
    for (size_t i = 0; i < R2_COUNT(names); i++) {
        struct golden golden = golden_open(names[i]), other = golden;
        for (unsigned dialect = 0; dialect < R2_DIALECT_AUTO; dialect++) {
            if (dialect == golden.dialect) continue;
            other.dialect = (enum r2_dialect)dialect;
            double worst = run_golden(&other, &golden, 1);
            cr_expect_gt(worst, 1e-2, "%s as %s: off by %g only", names[i],
                         r2_dialect_name(other.dialect), worst);
        }
        golden_close(&golden);
    }
}
