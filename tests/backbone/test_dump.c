/* What a session dumps, read back by the reader of weights, against the naive run. */
#include "backbone/dump.h"

#include <unistd.h>

#include "backbone/res2net.h"
#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/plan_case.h"

static const struct r2_extent picture = {37, 50};

/* A traced trunk and its plan in a session, computed for a batch of two. */
struct traced {
    struct r2_graph graph;
    struct plan_case self;
    struct r2_plan *plan;
    struct r2_session *session;
};

static struct traced run_traced(const char *arch_name, struct r2_extent extent)
{
    struct r2_error err = {0};
    struct r2_session_times times;
    struct traced traced = {0};
    struct r2_arch arch = {.layers = {2, 1, 1, 1},
                           .planes = {16, 16, 16, 16},
                           .base_width = 64,
                           .scale = 2,
                           .groups = 1,
                           .stem_channels = 16};
    struct r2_taps taps;
    if (arch_name) ASSERT_OK(r2_arch_find(arch_name, &arch, &err), err);
    r2_graph_init(&traced.graph);
    traced.graph.traced = true;
    r2_res2net_build(&traced.graph, &arch, R2_DIALECT_OFFICIAL, &taps);
    r2_graph_output(&traced.graph, taps.last, "head.features");
    ASSERT_OK(r2_graph_check(&traced.graph, &err), err);
    if (arch_name) return traced;
    ASSERT_OK(plan_case_open(&traced.self, &traced.graph, &err), err);
    ASSERT_OK(r2_plan_create(&traced.graph, traced.self.params, (struct r2_plan_shape){extent, 2},
                             1, &traced.plan, &err),
              err);
    ASSERT_OK(r2_session_create(&traced.session, &err), err);
    ASSERT_OK(r2_session_prepare(traced.session, traced.plan, &err), err);
    plan_case_input(0, (size_t)2 * 3 * extent.height * extent.width,
                    r2_session_input(traced.session));
    ASSERT_OK(r2_session_run(traced.session, &times, &err), err);
    return traced;
}

static void expect_outputs(const struct r2_graph *graph, const char *const *names)
{
    size_t count = 0;
    for (; names[count]; count++)
        cr_expect(count < graph->output_count &&
                      strcmp(graph->outputs[count].name, names[count]) == 0,
                  "output %zu is no '%s'", count, names[count]);
    cr_expect_eq(graph->output_count, count);
}

Test(dump, reads_back)
{
    static const char *const names[] = {
        "input", "stem", "layer1.0", "layer1.1", "layer2.0", "layer3.0",      "layer4.0",
        "c2",    "c3",   "c4",       "c5",       "pooled",   "head.features", NULL};
    struct r2_error err = {0};
    struct r2_safetensors file;
    struct traced traced = run_traced(NULL, picture);
    char path[] = "/tmp/r2-dump-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    expect_outputs(&traced.graph, names);
    ASSERT_OK(r2_session_dump(traced.session, path, &err), err);
    ASSERT_OK(r2_safetensors_open(path, &file, &err), err);
    unlink(path);
    cr_expect_eq(file.count, R2_COUNT(names) - 1);
    for (size_t i = 0; names[i]; i++) {
        struct r2_output_view view = {0};
        const struct r2_tensor_entry *entry = r2_safetensors_find(&file, names[i]);
        cr_assert_not_null(entry, "%s", names[i]);
        ASSERT_OK(r2_session_output(traced.session, names[i], &view, &err), err);
        cr_assert(entry->rank == 4 && entry->dims[0] == 2 && entry->dims[1] == view.channels &&
                  entry->dims[2] == view.height && entry->dims[3] == view.width);
        const float *values = (const float *)(const void *)entry->data.data;
        size_t at = 0, wrong = 0;
        for (size_t n = 0; n < 2; n++)
            for (size_t c = 0; c < view.channels; c++)
                for (size_t p = 0; p < (size_t)view.height * view.width; p++)
                    wrong += values[at++] !=
                             view.data[(n * view.height * view.width + p) * view.pitch + c];
        cr_expect_eq(wrong, 0, "%s: %zu values differ", names[i], wrong);
    }
    const char *order = strstr((const char *)file.mapping.bytes.data + 8, "\"order\":\"");
    cr_expect(order && strstr(order, "input\\nstem\\nlayer1.0\\nlayer1.1\\n"));
    r2_safetensors_close(&file);

    EXPECT_FAIL(r2_session_dump(traced.session, "/nowhere/x", &err), err, R2_IO,
                "/nowhere/x: No such file or directory");
    r2_session_destroy(traced.session);
    r2_plan_unref(traced.plan);
    plan_case_close(&traced.self);
    r2_graph_finish(&traced.graph);
}

/* Trees and their blocks by the names of their tensors. */
Test(dump, trees)
{
    static const char *const names[] = {"input",
                                        "stem",
                                        "level2.tree1",
                                        "level2.tree2",
                                        "level2",
                                        "level3.tree1.tree1",
                                        "level3.tree1.tree2",
                                        "level3.tree1",
                                        NULL};
    struct traced traced = run_traced("res2net_dla60", picture);
    traced.graph.output_count = 8;
    expect_outputs(&traced.graph, names);
    r2_graph_finish(&traced.graph);
}

Test(dump, nothing_computed)
{
    struct r2_error err = {0};
    struct r2_session *session;
    ASSERT_OK(r2_session_create(&session, &err), err);
    EXPECT_FAIL(r2_session_dump(session, "x", &err), err, R2_NOT_FOUND,
                "x: nothing was computed that could be dumped");
    r2_session_destroy(session);
}
