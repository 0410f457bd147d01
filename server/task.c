#include "server/task.h"

#include <stdio.h>
#include <unistd.h>

static enum r2_status select_heads(struct r2_work *work, const struct r2_texts *heads,
                                   struct r2_error *err)
{
    for (size_t i = 0; i < heads->count; i++) R2_TRY(r2_work_select(work, heads->items[i], err));
    if (!heads->count) r2_work_select_all(work);
    work->embed = !work->heads;
    return R2_OK;
}

enum r2_status r2_task_init(struct r2_task *task, const struct r2_settings *settings,
                            const struct r2_texts *heads, struct r2_error *err)
{
    struct r2_cpus cpus;
    struct r2_model_options options = {.plan_cache = (size_t)settings->plan_cache};
    *task = (struct r2_task){.settings = settings};
    r2_cpus_read(&cpus);
    task->shares = r2_shares_plan(settings, cpus.usable);
    enum r2_status status = r2_model_load(settings->model, &options, &task->model, err);
    if (status == R2_OK && r2_model_note(task->model))
        fprintf(stderr, "res2netd: %s\n", r2_model_note(task->model));
    if (status == R2_OK) status = r2_work_init(&task->work, task->model, err);
    if (status == R2_OK) status = select_heads(&task->work, heads, err);
    task->work.threads = task->shares.threads_alone;
    if (status != R2_OK) r2_task_finish(task);
    return status;
}

void r2_task_finish(struct r2_task *task)
{
    if (!task) return;
    if (task->work.model) r2_work_finish(&task->work);
    r2_model_unref(task->model);
    *task = (struct r2_task){0};
}

void r2_progress(const char *what, double done, double all)
{
    if (!isatty(STDERR_FILENO)) return;
    if (done < 0)
        fprintf(stderr, "\r\033[K");
    else
        fprintf(stderr, "\r\033[K%s %.0f of %.0f", what, done, all);
}
