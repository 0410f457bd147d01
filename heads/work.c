#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "heads/model_inside.h"

enum r2_status r2_work_init(struct r2_work *work, struct r2_model *model, struct r2_error *err)
{
    struct r2_work made = {.threads = 1};
    for (size_t i = 0; i < model->head_count; i++) {
        const struct r2_model_part *part = &model->heads[i];
        if (!part->type->params_size) continue;
        if (r2_alloc(1, part->type->params_size, "parameters", &made.params[i], err) != R2_OK ||
            r2_options_defaults(&part->type->params, made.params[i], err) != R2_OK) {
            made.model = r2_model_ref(model);
            r2_work_finish(&made);
            return err->status;
        }
        if (part->type->default_params) part->type->default_params(part->self, made.params[i]);
    }
    made.model = r2_model_ref(model);
    *work = made;
    return R2_OK;
}

void r2_work_finish(struct r2_work *work)
{
    if (!work->model) return;
    for (size_t i = 0; i < work->model->head_count; i++) {
        if (!work->params[i]) continue;
        r2_options_finish(&work->model->heads[i].type->params, work->params[i]);
        free(work->params[i]);
    }
    r2_model_unref(work->model);
    *work = (struct r2_work){0};
}

enum r2_status r2_work_select(struct r2_work *work, const char *task, struct r2_error *err)
{
    int head = r2_model_find_task(work->model, task);
    if (head >= 0) {
        work->heads |= UINT32_C(1) << head;
        return R2_OK;
    }
    char shown[64];
    R2_CLEANUP(r2_text_finish) struct r2_text known = {0};
    for (size_t i = 0; i < work->model->head_count; i++)
        r2_text_add(&known, "%s%s", i ? ", " : "", work->model->heads[i].task);
    r2_text_printable(task, strlen(task), shown, sizeof shown);
    return r2_fail(err, R2_NOT_FOUND, "the model '%s' has no head '%s'; it has: %s",
                   work->model->file.name, shown,
                   work->model->head_count ? r2_text_view(&known) : "none");
}

void r2_work_select_all(struct r2_work *work)
{
    work->heads = (uint32_t)((UINT64_C(1) << work->model->head_count) - 1);
}

bool r2_work_is_drawn(const struct r2_work *work)
{
    for (size_t i = 0; i < work->model->head_count; i++) {
        const struct r2_head_type *type = work->model->heads[i].type;
        if (work->heads >> i & 1 && type->is_drawn && type->is_drawn(work->params[i])) return true;
    }
    return false;
}

/* Names of all parameters that could have been meant. */
struct known {
    const struct r2_work *work;
    const char *const *extra;
};

static const char *known_at(const void *from, size_t i)
{
    const struct known *known = from;
    for (size_t h = 0; h < known->work->model->head_count; h++) {
        const struct r2_option_table *table = &known->work->model->heads[h].type->params;
        if (!(known->work->heads >> h & 1)) continue;
        if (i < table->count) return table->options[i].name;
        i -= table->count;
    }
    for (const char *const *extra = known->extra; extra && *extra; extra++)
        if (i-- == 0) return *extra;
    return NULL;
}

static enum r2_status fail_unknown(const struct known *known, const char *name,
                                   struct r2_error *err)
{
    char shown[64];
    const char *each, *nearest = r2_text_nearest(name, known_at, known);
    R2_CLEANUP(r2_text_finish) struct r2_text list = {0};
    for (size_t i = 0; (each = known_at(known, i)); i++)
        r2_text_add(&list, "%s%s", i ? ", " : "", each);
    r2_text_printable(name, strlen(name), shown, sizeof shown);
    if (nearest)
        return r2_fail(err, R2_INVALID, "parameter '%s' is unknown; did you mean '%s'?", shown,
                       nearest);
    return r2_fail(err, R2_INVALID, "parameter '%s' is unknown; known are: %s", shown,
                   list.size ? r2_text_view(&list) : "none");
}

enum r2_status r2_work_set(struct r2_work *work, const char *name, const char *value,
                           const char *const *extra, struct r2_error *err)
{
    bool known = false;
    for (size_t h = 0; h < work->model->head_count; h++) {
        const struct r2_option_table *table = &work->model->heads[h].type->params;
        if (!(work->heads >> h & 1) || !r2_options_find(table, R2_SPELL_KEY, name)) continue;
        known = true;
        R2_TRY(r2_options_set(table, name, value, work->params[h], err));
    }
    return known ? R2_OK : fail_unknown(&(struct known){work, extra}, name, err);
}
