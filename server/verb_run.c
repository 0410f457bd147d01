#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "server/answer.h"
#include "server/drawing.h"
#include "server/task.h"
#include "server/verbs.h"
#include "server/worker.h"

struct options {
    struct r2_texts heads;
    char *draw, *taps;
};

static const struct r2_option own[] = {
    {.name = "heads",
     R2_FIELD(TEXTS, struct options, heads),
     .flags = R2_OPTION_OPTIONAL,
     .metavar = "A,B",
     .help = "heads to run; all that the model has when not given"},
    {.name = "draw",
     R2_FIELD(TEXT, struct options, draw),
     .flags = R2_OPTION_OPTIONAL,
     .metavar = "FILE",
     .help = "also draws the results on the one picture: FILE.png or FILE.jpg"},
    {.name = "taps",
     R2_FIELD(TEXT, struct options, taps),
     .flags = R2_OPTION_OPTIONAL,
     .metavar = "FILE",
     .help =
         "also writes what the network computed on the one picture, layer by layer: safetensors"},
};

/* The results drawn on the picture, as a file. */
static enum r2_status draw(const struct r2_answer *answer, struct r2_image *picture,
                           const char *path, struct r2_error *err)
{
    R2_CLEANUP(r2_font_finish) struct r2_font font = {0};
    R2_CLEANUP(r2_buffer_finish) struct r2_buffer file = {0};
    R2_TRY(r2_font_open(NULL, &font, err));
    R2_TRY(r2_drawing_make(answer, picture, &font, r2_drawing_type_of(path), &file, err));
    return r2_file_write(path, r2_buffer_view(&file), err);
}

static enum r2_status run_file(const struct r2_task *task, struct r2_runner *runner,
                               const char *path, const struct options *options, json_t **ret,
                               struct r2_error *err)
{
    R2_CLEANUP(r2_buffer_finish) struct r2_buffer file = {0};
    R2_CLEANUP(r2_image_finish) struct r2_image picture = {0};
    R2_CLEANUP(r2_answer_finish) struct r2_answer answer = {0};
    const struct r2_decode_options decode = {.orient = true};
    struct r2_times times;
    bool truncated = false;
    json_t *results;
    r2_times_init(&times);
    R2_TRY(r2_file_read(path, (size_t)task->settings->max_body, &file, err));
    R2_TRY(r2_picture_run(task->settings, r2_buffer_view(&file), decode, &task->work, runner,
                          &times, &picture, &truncated, &answer, err));
    if (options->draw) R2_TRY(draw(&answer, &picture, options->draw, err));
    if (options->taps && r2_runner_dump(runner, &answer, options->taps, err) != R2_OK)
        return r2_fail_in(err, "option --taps");
    R2_TRY(r2_answer_results(&task->work, &answer, task->work.heads != 0, &results, err));
    json_t *image = json_pack("{sI sI}", "width", (json_int_t)picture.width, "height",
                              (json_int_t)picture.height);
    json_object_set_new(results, "image", image);
    if (truncated) json_object_set_new(results, "warnings", r2_answer_warnings());
    *ret = results;
    return R2_OK;
}

/* One line: {"file": ..., "image": ..., "results": ...} or {"file": ..., "error": ...}. */
static bool print_line(const char *path, json_t *result, const struct r2_error *err)
{
    char shown[4096];
    r2_text_printable(path, strlen(path), shown, sizeof shown);
    json_t *line = json_pack("{ss}", "file", shown);
    if (result)
        json_object_update(line, result);
    else
        json_object_set_new(line, "error", json_string(err->message));
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    bool printed = text && puts(text) != EOF && fflush(stdout) == 0;
    free(text);
    json_decref(line);
    return printed;
}

static int run_files(const struct r2_task *task, struct r2_runner *runner,
                     const struct r2_args *args)
{
    const struct options *options = args->own;
    size_t failed = 0;
    for (size_t i = 0; i < args->file_count; i++) {
        struct r2_error err;
        json_t *result = NULL;
        if (args->file_count > 1) r2_progress("picture", (double)i + 1, (double)args->file_count);
        if (run_file(task, runner, args->files[i], options, &result, &err) != R2_OK) failed++;
        if (args->file_count > 1) r2_progress("", -1, 0);
        bool printed = print_line(args->files[i], result, &err);
        json_decref(result);
        if (!printed) {
            fprintf(stderr, "res2netd: the output could not be written\n");
            return R2_EXIT_FAILED;
        }
    }
    if (failed) fprintf(stderr, "res2netd: %zu of %zu pictures failed\n", failed, args->file_count);
    return failed ? R2_EXIT_FAILED : R2_EXIT_OK;
}

static enum r2_status check_draw(const struct r2_args *args, const struct r2_task *task,
                                 struct r2_error *err)
{
    const struct options *options = args->own;
    if (!options->draw) return R2_OK;
    if (!r2_drawing_type_of(options->draw))
        return r2_fail(err, R2_INVALID, "option --draw: '%.200s' ends neither in .png nor in .jpg",
                       options->draw);
    if (args->file_count != 1)
        return r2_fail(err, R2_INVALID, "option --draw: takes one picture, not %zu",
                       args->file_count);
    if (!r2_work_is_drawn(&task->work))
        return r2_fail(err, R2_INVALID, "option --draw: no head gives what can be drawn");
    return R2_OK;
}

static enum r2_status check_taps(const struct r2_args *args, struct r2_error *err)
{
    const struct options *options = args->own;
    if (!options->taps || args->file_count == 1) return R2_OK;
    return r2_fail(err, R2_INVALID, "option --taps: takes one picture, not %zu", args->file_count);
}

static int run(const struct r2_args *args)
{
    const struct options *options = args->own;
    struct r2_error err;
    struct r2_task task;
    struct r2_runner *runner = NULL;
    if (r2_task_init(&task, args->settings, &options->heads, &err) != R2_OK)
        return r2_complain(&err);
    task.work.trace = options->taps != NULL;
    bool ready = check_taps(args, &err) == R2_OK && check_draw(args, &task, &err) == R2_OK &&
                 r2_runner_create(&runner, &err) == R2_OK;
    int code = ready ? run_files(&task, runner, args) : r2_complain(&err);
    r2_runner_destroy(runner);
    r2_task_finish(&task);
    return code;
}

static const struct r2_option_table own_table = R2_OPTION_TABLE(own, "option");
static const char *const settings[] = {"model",      "threads",    "max_body",
                                       "max_pixels", "plan_cache", NULL};

const struct r2_verb r2_verb_run = {
    .name = "run",
    .usage = "--model DIR [OPTION...] IMAGE...",
    .summary = "Computes pictures from files and prints a line of JSON for each.",
    .settings = settings,
    .own = &own_table,
    .own_size = sizeof(struct options),
    .min_files = 1,
    .max_files = SIZE_MAX,
    .needs_model = true,
    .run = run,
};
