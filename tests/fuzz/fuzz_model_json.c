/*
 * model.json, as far as it can be read without the files that it names.
 */
#include "backbone/arch.h"
#include "config/json.h"
#include "heads/head.h"
#include "heads/input_options.h"
#include "tests/fuzz/options.h"

static void read_backbone(json_t *object)
{
    struct r2_error err = {0};
    struct r2_backbone_options options;
    if (r2_backbone_options_read(object, &options, &err) != R2_OK) {
        FUZZ_MUST(err.message[0]);
        return;
    }
    for (unsigned stage = 0; stage < r2_arch_stages(&options.arch); stage++)
        FUZZ_MUST(r2_arch_width(&options.arch, stage) >= 1);
    fuzz_options_check(&r2_backbone_table, &options, sizeof options);
    r2_options_finish(&r2_backbone_table, &options);
}

/* A spec that was accepted is described and read back to the same, and keeps to the limits. */
static void read_input(json_t *object)
{
    static const uint32_t sides[][2] = {{1, 1}, {640, 427}, {3, 50000}, {65500, 65500}};
    struct r2_error err = {0};
    struct r2_input_spec spec, again;
    struct r2_input_shape shape;
    if (r2_input_read(object, &spec, &err) != R2_OK) return;
    json_t *json = r2_input_describe(&spec);
    FUZZ_MUST(json && r2_input_read(json, &again, &err) == R2_OK);
    FUZZ_MUST(r2_input_spec_equal(&spec, &again));
    json_decref(json);
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        if (r2_input_shape(&spec, sides[i][0], sides[i][1], &shape, &err) != R2_OK) continue;
        FUZZ_MUST(shape.width >= 1 && shape.width <= R2_INPUT_MAX_SIDE);
        FUZZ_MUST(shape.height >= 1 && shape.height <= R2_INPUT_MAX_SIDE);
        FUZZ_MUST((uint64_t)shape.width * shape.height <= R2_INPUT_MAX_PIXELS);
    }
}

static void read_head(json_t *object)
{
    struct r2_error err = {0};
    const struct r2_head_type *type;
    const char *name = json_string_value(json_object_get(object, "type"));
    if (!name || r2_head_type_find(name, &type, &err) != R2_OK) return;
    void *self = calloc(1, type->size);
    FUZZ_MUST(self && r2_options_defaults(&type->options, self, &err) == R2_OK);
    json_object_del(object, "type");
    if (r2_options_read(&type->options, object, "head", self, &err) == R2_OK) {
        fuzz_options_check(&type->options, self, type->size);
        read_input(((const struct r2_head *)self)->input);
    }
    r2_options_finish(&type->options, self);
    free(self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    json_t *root, *head;
    const char *task;
    if (r2_json_parse((const char *)data, size, "model.json", &root, &err) != R2_OK) {
        FUZZ_MUST(err.status == R2_BAD_REQUEST && err.message[0]);
        return 0;
    }
    read_backbone(json_object_get(root, "backbone"));
    json_object_foreach(json_object_get(root, "heads"), task, head) read_head(head);
    json_decref(root);
    return 0;
}
