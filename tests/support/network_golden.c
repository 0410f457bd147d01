#include "tests/support/network_golden.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/named_weights.h"

/* The metadata hold objects as text. */
static json_t *parsed(const struct golden_file *file, const char *key)
{
    json_t *value = json_loads(golden_file_meta(file, key), 0, NULL);
    cr_assert_not_null(value, "%s", key);
    return value;
}

struct network_golden network_golden_open(const char *name, const char *task, const char *type)
{
    char path[R2_MODEL_DIR_SIZE + 32];
    struct r2_error err = {0};
    struct network_golden golden = {.file = golden_file_open(name), .task = task, .type = type};
    json_t *size = parsed(&golden.file, "size"), *tensors = parsed(&golden.file, "tensors"),
           *scales = parsed(&golden.file, "scales");
    golden.size.height = (uint32_t)json_integer_value(json_array_get(size, 0));
    golden.size.width = (uint32_t)json_integer_value(json_array_get(size, 1));
    ASSERT_OK(model_dir_create(golden.dir, &err), err);
    snprintf(path, sizeof path, "%s/weights.safetensors", golden.dir);
    ASSERT_OK(named_weights_write(path, tensors, scales, &err), err);
    json_decref(size);
    json_decref(tensors);
    json_decref(scales);
    return golden;
}

void network_golden_close(struct network_golden *golden)
{
    model_dir_remove(golden->dir);
    golden_file_close(&golden->file);
}

static json_t *merged(const struct golden_file *file, const char *key, const char *more)
{
    json_t *object = parsed(file, key);
    json_t *over = more ? json_loads(more, 0, NULL) : json_object();
    cr_assert_not_null(over, "%s", more);
    json_object_update(object, over);
    json_decref(over);
    return object;
}

void network_golden_describe(const struct network_golden *golden, const char *backbone,
                             const char *head)
{
    struct r2_error err = {0};
    json_t *trunk = merged(&golden->file, "backbone", backbone);
    json_t *keys = merged(&golden->file, "head", head);
    json_object_set_new(trunk, "weights", json_string("weights.safetensors"));
    json_object_set_new(keys, "type", json_string(golden->type));
    json_t *file = json_pack("{s:s, s:s, s:o, s:{s:o}}", "name", "golden", "version", "1",
                             "backbone", trunk, "heads", golden->task, keys);
    char *text = json_dumps(file, 0);
    ASSERT_OK(model_dir_write(golden->dir, "model.json", text, &err), err);
    free(text);
    json_decref(file);
}

struct r2_model *network_golden_load(const struct network_golden *golden, const char *backbone,
                                     const char *head, struct r2_error *err)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    struct r2_model *model = NULL;
    network_golden_describe(golden, backbone, head);
    return r2_model_load(golden->dir, &options, &model, err) == R2_OK ? model : NULL;
}

void network_golden_refused(const struct network_golden *golden, const char *backbone,
                            const char *head, const char *part)
{
    struct r2_error err = {0};
    cr_expect_null(network_golden_load(golden, backbone, head, &err));
    cr_expect(strstr(err.message, part), "%s", err.message);
}

static void run(const struct network_golden *golden, struct r2_model *model,
                struct r2_session *session)
{
    struct r2_error err = {0};
    struct r2_plan *plan = NULL;
    struct r2_session_times times;
    bool hit;
    const size_t pixels = (size_t)golden->size.height * golden->size.width;
    R2_AUTOFREE float *planes = malloc(3 * pixels * sizeof *planes);
    ASSERT_OK(r2_model_plan(model, 0, 1,
                            (struct r2_input_shape){golden->size.height, golden->size.width}, 1,
                            &plan, &hit, &err),
              err);
    ASSERT_OK(r2_session_prepare(session, plan, &err), err);
    r2_plan_unref(plan);
    test_uniform("input", 3 * pixels, planes);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            r2_session_input(session)[3 * i + c] = 2 * planes[c * pixels + i];
    ASSERT_OK(r2_session_run(session, &times, &err), err);
}

double network_golden_error(const struct network_golden *golden, const char *backbone,
                            const char *head,
                            void (*check)(const struct network_golden *golden,
                                          const struct r2_output_view *logits))
{
    char name[64];
    struct r2_error err = {0};
    struct r2_session *session = NULL;
    struct r2_output_view logits = {0};
    struct r2_model *model = network_golden_load(golden, backbone, head, &err);
    cr_assert_not_null(model, "%s", err.message);
    ASSERT_OK(r2_session_create(&session, &err), err);
    run(golden, model, session);
    snprintf(name, sizeof name, "%s.logits", golden->task);
    ASSERT_OK(r2_session_output(session, name, &logits, &err), err);
    if (check) check(golden, &logits);
    const double error = golden_file_map_error(&golden->file, "logits", &logits);
    r2_session_destroy(session);
    r2_model_unref(model);
    return error;
}
