/*
 * No convolution is left behind: none runs on oneDNN's reference code, and none that matters (over
 * 1 % of its network's time) below a tenth of what the core can do, with AVX2 or by clang a
 * fifteenth. A layer that cannot be faster would have to be listed here with its reason; none is.
 * Everything is a ratio within one process; the best of several runs counts.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backbone/engine.h"
#include "backbone/res2net.h"
#include "backbone/session.h"
#include "base/clock.h"
#include "base/memory.h"
#include "tests/support/test_weights.h"

enum { RUNS = 5, PEAK_RUNS = 20 };

/* FLOP a second of one core: independent multiply-adds that stay in their registers. */
#define CHAIN(v)                                                                                   \
    v = v * factor + term;                                                                         \
    __asm__ volatile("" : "+x"(v));
#define PEAK_LOOP(name, target_, lanes)                                                            \
    __attribute__((target(target_))) static double name(void)                                      \
    {                                                                                              \
        typedef float vector __attribute__((vector_size(4 * (lanes))));                            \
        enum { ROUNDS = 200000, CHAINS = 10 };                                                     \
        vector factor = (vector){0} + 0.999f, term = (vector){0} + 1e-3f;                          \
        vector a = term, b = term, c = term, d = term, e = term;                                   \
        vector f = term, g = term, h = term, i = term, j = term;                                   \
        uint64_t start = r2_clock_ns();                                                            \
        for (int round = 0; round < ROUNDS; round++) {                                             \
            CHAIN(a)                                                                               \
            CHAIN(b) CHAIN(c) CHAIN(d) CHAIN(e) CHAIN(f) CHAIN(g) CHAIN(h) CHAIN(i) CHAIN(j)       \
        }                                                                                          \
        return 2.0 * (lanes)*CHAINS * ROUNDS / (double)(r2_clock_ns() - start) * 1e9;              \
    }

PEAK_LOOP(peak_avx512, "avx512f,fma", 16)
PEAK_LOOP(peak_avx2, "avx2,fma", 8)

/* oneDNN may use AVX-512: its setting can forbid what the processor has. */
static bool is_wide(void)
{
    return __builtin_cpu_supports("avx512f") && strncmp(r2_engine_isa(), "avx2", 4) != 0;
}

static double measure_peak(void)
{
    double best = 0;
    for (int i = 0; i < PEAK_RUNS; i++) {
        double narrow = peak_avx2(), wide = is_wide() ? peak_avx512() : 0;
        if (narrow > best) best = narrow;
        if (wide > best) best = wide;
    }
    return best;
}

#ifdef __clang__
enum { IS_CLANG = 1 };
#else
enum { IS_CLANG = 0 };
#endif

/* A sanitizer slows what it looks into: our kernels, not oneDNN's code. */
static bool is_judged(const struct r2_step_info *step)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return strcmp(step->implementation, "own") != 0;
#else
    (void)step;
    return true;
#endif
}

/* The fastest of RUNS for every step. */
static void profile(struct r2_session *session, size_t steps, uint64_t *best)
{
    uint64_t *times = malloc(steps * sizeof *times);
    struct r2_error err;
    for (size_t i = 0; i < steps; i++) best[i] = UINT64_MAX;
    for (int run = 0; run < RUNS; run++) {
        cr_assert_eq(r2_session_profile(session, times, &err), R2_OK, "%s", err.message);
        for (size_t i = 0; i < steps; i++)
            if (times[i] < best[i]) best[i] = times[i];
    }
    free(times);
}

static void check_steps(const char *arch, const struct r2_plan *plan, const uint64_t *best,
                        double peak)
{
    /* Our depthwise kernel waits for memory: with AVX2 a tenth of the peak, or less beside other
       work. clang compiles it for the narrowest vectors (base/vector.h): a ninth. */
    const double least = is_wide() && !IS_CLANG ? peak / 10 : peak / 15;
    uint64_t total = 0, moves = 0;
    for (size_t i = 0; i < r2_plan_step_count(plan); i++) {
        total += best[i];
        if (!r2_plan_step(plan, i).macs) moves += best[i];
    }
    printf("%s: %.2f ms, of which moves %.2f ms; peak %.0f GFLOP/s\n", arch, r2_ns_to_ms(total),
           r2_ns_to_ms(moves), peak / 1e9);
    for (size_t i = 0; i < r2_plan_step_count(plan); i++) {
        struct r2_step_info step = r2_plan_step(plan, i);
        double flops = 2.0 * (double)step.macs / (double)best[i] * 1e9;
        if (getenv("R2_VERBOSE"))
            printf("  %-24s %-7s %8.1f us %6.1f GFLOP/s %s\n", step.name, step.kind,
                   (double)best[i] / 1e3, flops / 1e9, step.implementation);
        if (strcmp(step.kind, "conv") != 0) continue;
        cr_expect_null(strstr(step.implementation, "ref"), "%s: %s runs on %s", arch, step.name,
                       step.implementation);
        cr_expect(best[i] * 100 < total || flops >= least || !is_judged(&step),
                  "%s: %s takes %.1f %% of the time at %.1f of %.0f GFLOP/s (%s)", arch, step.name,
                  100.0 * (double)best[i] / (double)total, flops / 1e9, peak / 1e9,
                  step.implementation);
    }
}

/* `graph` reads its tensors under their own names. */
static void check_graph(const char *name, const struct r2_graph *graph, struct r2_extent picture,
                        double peak)
{
    char path[] = "/tmp/r2-speed-XXXXXX";
    struct r2_error err;
    struct r2_safetensors file;
    struct r2_weights weights = {0};
    struct r2_naming naming = {.classifier = "fc"};
    struct r2_params *params;
    struct r2_plan *plan;
    struct r2_session *session;
    close(mkstemp(path));
    cr_assert_eq(test_weights_write(path, graph, NULL, NULL, &err), R2_OK, "%s", err.message);
    cr_assert_eq(r2_safetensors_open(path, &file, &err), R2_OK, "%s", err.message);
    unlink(path);
    cr_assert_eq(r2_weights_add(&weights, &file, &err), R2_OK);
    struct r2_source source = {&weights, &naming, 1e-5};
    cr_assert_eq(r2_params_create(&source, 1, &params, &err), R2_OK);
    cr_assert_eq(r2_plan_create(graph, params, (struct r2_plan_shape){picture, 1}, 1, &plan, &err),
                 R2_OK, "%s", err.message);
    cr_assert_eq(r2_session_create(&session, &err), R2_OK);
    cr_assert_eq(r2_session_prepare(session, plan, &err), R2_OK);
    test_uniform("input",
                 (size_t)picture.height * picture.width *
                     r2_graph_channels(graph, graph->nodes[0].output),
                 r2_session_input(session));
    uint64_t *best = malloc(r2_plan_step_count(plan) * sizeof *best);
    profile(session, r2_plan_step_count(plan), best);
    check_steps(name, plan, best, peak);
    free(best);
    r2_session_destroy(session);
    r2_plan_unref(plan);
    r2_params_destroy(params);
    r2_safetensors_close(&file);
}

static void check_arch(const char *arch, double peak)
{
    struct r2_error err;
    struct r2_arch numbers;
    struct r2_taps taps;
    struct r2_graph graph;
    cr_assert_eq(r2_arch_find(arch, &numbers, &err), R2_OK, "%s", err.message);
    r2_graph_init(&graph);
    r2_res2net_build(&graph, &numbers, R2_DIALECT_OFFICIAL, &taps);
    r2_graph_output(
        &graph,
        r2_graph_linear(&graph, taps.pooled, &(struct r2_linear){.name = "fc", .out = 1000}),
        "logits");
    check_graph(arch, &graph, (struct r2_extent){224, 224}, peak);
    r2_graph_finish(&graph);
}

/* What segmentation puts on a trunk: branches that dilate, whole or separable; one reaches beyond
   the map. Small enough for the cache, where a kernel of memory's speed is judged too. */
static void check_pyramid(double peak)
{
    enum { CHANNELS = 256 };
    static const uint32_t rates[] = {1, 6, 12, 36};
    struct r2_graph graph;
    r2_graph_init(&graph);
    r2_value x = r2_graph_input(&graph, CHANNELS);
    for (size_t i = 0; i < 2 * R2_COUNT(rates); i++) {
        char name[32];
        const bool separable = i % 2;
        const uint32_t rate = rates[i / 2];
        struct r2_conv conv = {.name = name,
                               .out = separable ? CHANNELS : 32,
                               .kernel = 3,
                               .stride = 1,
                               .pad = rate,
                               .dilation = rate,
                               .groups = separable ? CHANNELS : 1,
                               .relu = true};
        snprintf(name, sizeof name, "%s%u", separable ? "depthwise" : "whole", rate);
        r2_graph_output(&graph, r2_graph_conv(&graph, x, &conv), name);
    }
    check_graph("pyramid", &graph, (struct r2_extent){33, 33}, peak);
    r2_graph_finish(&graph);
}

Test(speed, no_convolution_is_left_behind)
{
    static const char *const archs[] = {"res2net50_48w_2s", "res2net50_26w_4s", "res2net50_14w_8s",
                                        "res2next50", "res2net50_v1b"};
    double peak = measure_peak();
    for (size_t i = 0; i < R2_COUNT(archs); i++) check_arch(archs[i], peak);
    check_pyramid(peak);
}
