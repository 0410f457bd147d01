#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "server/pool.h"
#include "server/task.h"
#include "server/verbs.h"
#include "server/worker.h"

struct options {
    struct r2_texts heads;
    char *image;
    double seconds;
    bool json;
};

static const struct r2_option own[] = {
    {.name = "heads",
     R2_FIELD(TEXTS, struct options, heads),
     .flags = R2_OPTION_OPTIONAL,
     .metavar = "A,B",
     .help = "heads to run; all that the model has when not given"},
    {.name = "image",
     R2_FIELD(TEXT, struct options, image),
     .flags = R2_OPTION_OPTIONAL,
     .metavar = "FILE",
     .help = "measure from this file's bytes on; without it from the pixels of a made picture on"},
    {.name = "seconds",
     R2_FIELD(FLOAT, struct options, seconds),
     .min = 0.1,
     .max = 86400,
     .fallback = "5",
     .help = "how long to measure, after warming up"},
    {.name = "json",
     R2_FIELD(BOOL, struct options, json),
     .fallback = "0",
     .metavar = "",
     .help = "print one JSON object"},
};

/* One thread's measurements. */
struct lane {
    double *latencies; /* ms, owned */
    size_t count, capacity;
    double stage_ms[R2_STAGE_COUNT]; /* sums */
    uint64_t end_ns;
    enum r2_status status;
    struct r2_error err;
};

struct bench {
    struct r2_task task;
    unsigned workers;
    struct r2_buffer file; /* empty: the picture below */
    struct r2_image picture;
    double seconds;
    atomic_uint warm;              /* lanes; the clock starts when all are */
    atomic_bool failed;            /* one of them: the others give up */
    atomic_uint_fast64_t start_ns; /* of the measurement; set by the first that sees all warm */
    struct lane *lanes;            /* [workers] */
};

/* The picture is as large as the network's input for a photo of 640 x 480. */
static enum r2_status make_picture(const struct r2_model *model, struct r2_image *ret,
                                   struct r2_error *err)
{
    struct r2_input_spec spec =
        r2_model_head_count(model) ? *r2_model_input(model, 0) : r2_input_spec_default();
    struct r2_input_shape shape;
    uint32_t state = 1;
    R2_TRY(r2_input_shape(&spec, 640, 480, &shape, err));
    R2_TRY(r2_image_create(shape.width, shape.height, ret, err));
    size_t size = r2_image_stride(ret) * ret->height;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        ret->pixels[i] = (uint8_t)(state >> 24);
    }
    return R2_OK;
}

static enum r2_status one_picture(const struct bench *bench, struct r2_runner *runner,
                                  struct r2_times *times, struct r2_error *err)
{
    struct r2_answer answer = {0};
    struct r2_image picture = {0};
    r2_times_init(times);
    if (bench->file.size) {
        const struct r2_decode_options options = {.orient = true};
        bool truncated = false;
        R2_TRY(r2_picture_run(bench->task.settings, r2_buffer_view(&bench->file), options,
                              &bench->task.work, runner, times, &picture, &truncated, &answer,
                              err));
        r2_image_finish(&picture);
    } else {
        R2_TRY(r2_model_run(&bench->task.work, runner, &bench->picture, &answer, err));
        times->ns[R2_STAGE_PREPROCESS] = (int64_t)answer.preprocess_ns;
        times->ns[R2_STAGE_BACKBONE] = (int64_t)answer.backbone_ns;
        times->ns[R2_STAGE_HEAD] = (int64_t)answer.head_ns;
    }
    r2_answer_finish(&answer);
    return R2_OK;
}

static enum r2_status keep(struct lane *lane, double ms, struct r2_error *err)
{
    if (lane->count == lane->capacity) {
        size_t capacity = lane->capacity ? lane->capacity * 2 : 1024;
        double *grown = realloc(lane->latencies, capacity * sizeof *grown);
        if (!grown) return r2_fail(err, R2_NO_MEMORY, "no memory for %zu latencies", capacity);
        lane->latencies = grown;
        lane->capacity = capacity;
    }
    lane->latencies[lane->count++] = ms;
    return R2_OK;
}

static enum r2_status measure(struct bench *bench, struct lane *lane, struct r2_runner *runner,
                              bool shows_progress)
{
    uint64_t limit_ns = bench->start_ns + (uint64_t)(bench->seconds * 1e9);
    uint64_t now_ns = r2_clock_ns();
    while (now_ns < limit_ns && !atomic_load(&bench->failed)) {
        struct r2_times times;
        uint64_t begin_ns = now_ns;
        R2_TRY(one_picture(bench, runner, &times, &lane->err));
        now_ns = r2_clock_ns();
        R2_TRY(keep(lane, r2_ns_to_ms(now_ns - begin_ns), &lane->err));
        for (int i = 0; i < R2_STAGE_COUNT; i++)
            if (times.ns[i] >= 0) lane->stage_ms[i] += (double)times.ns[i] / 1e6;
        lane->end_ns = now_ns;
        if (shows_progress)
            r2_progress("seconds", floor(r2_ns_to_s(now_ns - bench->start_ns)), bench->seconds);
    }
    return R2_OK;
}

static enum r2_status warm(const struct bench *bench, struct lane *lane,
                           struct r2_runner **ret_runner)
{
    struct r2_times times;
    R2_TRY(r2_runner_create(ret_runner, &lane->err));
    for (int i = 0; i < 3; i++) R2_TRY(one_picture(bench, *ret_runner, &times, &lane->err));
    return R2_OK;
}

static void wait_for_others(struct bench *bench)
{
    static const struct timespec tick = {0, 1000000};
    uint_fast64_t unset = 0;
    atomic_fetch_add(&bench->warm, 1);
    while (atomic_load(&bench->warm) < bench->workers && !atomic_load(&bench->failed))
        nanosleep(&tick, NULL);
    atomic_compare_exchange_strong(&bench->start_ns, &unset, r2_clock_ns());
}

static void run_lane(void *context, unsigned index)
{
    struct bench *bench = context;
    struct lane *lane = &bench->lanes[index];
    struct r2_runner *runner = NULL;
    lane->status = warm(bench, lane, &runner);
    if (lane->status == R2_OK) {
        wait_for_others(bench);
        lane->status = measure(bench, lane, runner, index == 0);
    }
    if (lane->status != R2_OK) atomic_store(&bench->failed, true);
    r2_runner_destroy(runner);
}

static void give_up(void *context)
{
    struct bench *bench = context;
    atomic_store(&bench->failed, true);
}

static int compare(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile(const double *sorted, size_t count, double p)
{
    size_t rank = (size_t)ceil(p * (double)count);
    return sorted[rank ? rank - 1 : 0];
}

struct summary {
    size_t images;
    double seconds, mean, p50, p90, p99;
    double stage_ms[R2_STAGE_COUNT]; /* means; 0 = no part of it */
};

static enum r2_status summarize(const struct bench *bench, struct summary *ret,
                                struct r2_error *err)
{
    struct summary summary = {0};
    uint64_t end_ns = bench->start_ns;
    size_t count = 0;
    R2_AUTOFREE double *all = NULL;
    for (unsigned i = 0; i < bench->workers; i++) summary.images += bench->lanes[i].count;
    if (!summary.images) return r2_fail(err, R2_INTERNAL, "no picture was computed");
    R2_TRY(r2_alloc(summary.images, sizeof *all, "latencies", &all, err));
    for (unsigned i = 0; i < bench->workers; i++) {
        const struct lane *lane = &bench->lanes[i];
        if (lane->count) memcpy(all + count, lane->latencies, lane->count * sizeof *all);
        count += lane->count;
        if (lane->end_ns > end_ns) end_ns = lane->end_ns;
        for (int s = 0; s < R2_STAGE_COUNT; s++) summary.stage_ms[s] += lane->stage_ms[s];
    }
    qsort(all, count, sizeof *all, compare);
    for (size_t i = 0; i < count; i++) summary.mean += all[i] / (double)count;
    for (int s = 0; s < R2_STAGE_COUNT; s++) summary.stage_ms[s] /= (double)count;
    summary.seconds = r2_ns_to_s(end_ns - bench->start_ns);
    summary.p50 = percentile(all, count, 0.50);
    summary.p90 = percentile(all, count, 0.90);
    summary.p99 = percentile(all, count, 0.99);
    *ret = summary;
    return R2_OK;
}

static json_t *heads_json(const struct r2_work *work)
{
    json_t *heads = json_array();
    for (size_t i = 0; i < r2_model_head_count(work->model); i++)
        if (work->heads >> i & 1)
            json_array_append_new(heads, json_string(r2_model_task(work->model, i)));
    return heads;
}

static json_t *stages_json(const struct bench *bench, const struct summary *summary)
{
    static const enum r2_stage stages[] = {R2_STAGE_DECODE, R2_STAGE_PREPROCESS, R2_STAGE_BACKBONE,
                                           R2_STAGE_HEAD};
    json_t *object = json_object();
    for (size_t i = bench->file.size ? 0 : 1; i < R2_COUNT(stages); i++)
        json_object_set_new(object, r2_stage_name(stages[i]),
                            json_real(summary->stage_ms[stages[i]]));
    return object;
}

static json_t *summary_json(const struct bench *bench, const struct summary *summary)
{
    const struct r2_model *model = bench->task.model;
    return json_pack("{ss so ss si si sf sI sf s{sf sf sf sf} so}", "model", r2_model_name(model),
                     "heads", heads_json(&bench->task.work), "precision", r2_model_precision(model),
                     "threads", (int)bench->task.work.threads, "workers", (int)bench->workers,
                     "seconds", summary->seconds, "images", (json_int_t)summary->images,
                     "images_per_second", (double)summary->images / summary->seconds, "latency_ms",
                     "mean", summary->mean, "p50", summary->p50, "p90", summary->p90, "p99",
                     summary->p99, "stage_ms", stages_json(bench, summary));
}

static int print_summary(const struct bench *bench, const struct summary *summary)
{
    const struct r2_model *model = bench->task.model;
    printf("%s (%s, %s): %u workers x %u threads, %zu images in %.2f s\n", r2_model_name(model),
           r2_model_arch(model), r2_model_precision(model), bench->workers,
           bench->task.work.threads, summary->images, summary->seconds);
    printf("  images a second  %.2f\n", (double)summary->images / summary->seconds);
    printf("  latency ms       mean %.2f  p50 %.2f  p90 %.2f  p99 %.2f\n", summary->mean,
           summary->p50, summary->p90, summary->p99);
    printf("  stages ms       ");
    for (int s = 0; s < R2_STAGE_COUNT; s++)
        if (summary->stage_ms[s] > 0)
            printf(" %s %.2f ", r2_stage_name((enum r2_stage)s), summary->stage_ms[s]);
    printf("\n");
    return fflush(stdout) == 0 ? R2_EXIT_OK : R2_EXIT_FAILED;
}

static enum r2_status run_lanes(struct bench *bench, struct r2_error *err)
{
    struct r2_pool *pool;
    R2_TRY(r2_alloc(bench->workers, sizeof *bench->lanes, "bench", &bench->lanes, err));
    R2_TRY(r2_pool_start("bench", bench->workers, run_lane, give_up, bench, &pool, err));
    r2_pool_join(pool);
    r2_progress("", -1, 0);
    for (unsigned i = 0; i < bench->workers; i++) {
        if (bench->lanes[i].status == R2_OK) continue;
        *err = bench->lanes[i].err;
        return err->status;
    }
    return R2_OK;
}

static enum r2_status prepare(struct bench *bench, const struct r2_args *args, struct r2_error *err)
{
    const struct options *options = args->own;
    const struct r2_settings *settings = args->settings;
    R2_TRY(r2_task_init(&bench->task, settings, &options->heads, err));
    bench->seconds = options->seconds;
    bench->workers = settings->workers == R2_AUTO ? 1 : (unsigned)settings->workers;
    bench->task.work.threads =
        bench->workers == 1 ? bench->task.shares.threads_alone : bench->task.shares.threads;
    if (options->image)
        return r2_file_read(options->image, (size_t)settings->max_body, &bench->file, err);
    return make_picture(bench->task.model, &bench->picture, err);
}

static void finish(struct bench *bench)
{
    for (unsigned i = 0; bench->lanes && i < bench->workers; i++) free(bench->lanes[i].latencies);
    free(bench->lanes);
    r2_buffer_finish(&bench->file);
    r2_image_finish(&bench->picture);
    r2_task_finish(&bench->task);
}

static int run(const struct r2_args *args)
{
    const struct options *options = args->own;
    struct r2_error err;
    struct bench bench = {0};
    struct summary summary = {0};
    enum r2_status status = prepare(&bench, args, &err);
    if (status == R2_OK) status = run_lanes(&bench, &err);
    if (status == R2_OK) status = summarize(&bench, &summary, &err);
    int code = status != R2_OK ? r2_complain(&err)
               : options->json ? r2_print_json(summary_json(&bench, &summary))
                               : print_summary(&bench, &summary);
    finish(&bench);
    return code;
}

static const struct r2_option_table own_table = R2_OPTION_TABLE(own, "option");
static const char *const settings_used[] = {"model",      "workers",    "threads", "max_body",
                                            "max_pixels", "plan_cache", NULL};

const struct r2_verb r2_verb_bench = {
    .name = "bench",
    .usage = "--model DIR [OPTION...]",
    .summary = "Measures how fast a model is on this machine.",
    .settings = settings_used,
    .own = &own_table,
    .own_size = sizeof(struct options),
    .needs_model = true,
    .run = run,
};
