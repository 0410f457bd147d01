#include "tests/support/named_weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tests/support/tensor_file.h"
#include "tests/support/test_weights.h"

enum { NAME_SIZE = 256, MAX_RANK = 4 };

static bool is_norm(const json_t *tensors, const char *name)
{
    char statistic[NAME_SIZE];
    const char *dot = strrchr(name, '.');
    if (!dot) return false;
    snprintf(statistic, sizeof statistic, "%.*s.running_var", (int)(dot - name), name);
    return json_object_get(tensors, statistic) != NULL;
}

/* offset + factor * u */
struct rule {
    double offset, factor;
};

static struct rule rule_of(const char *name, bool norm, size_t fan_in)
{
    const char *dot = strrchr(name, '.'), *leaf = dot ? dot + 1 : name;
    if (norm && strcmp(leaf, "weight") == 0)
        return strstr(name, ".bn3.") ? (struct rule){0.3, 0.12} : (struct rule){1, 0.4};
    if (norm && strcmp(leaf, "running_var") == 0) return (struct rule){1, 0.5};
    if (!norm && strcmp(leaf, "weight") == 0) return (struct rule){0, sqrt(3 / (double)fan_in)};
    return (struct rule){0, 0.2};
}

static enum r2_status add(struct tensor_file *file, const char *name, const json_t *shape,
                          bool norm, double factor, struct r2_error *err)
{
    char text[128];
    size_t count = 1, used = 0;
    const size_t rank = json_array_size(shape);
    R2_AUTOFREE float *values = NULL;
    for (size_t i = 0; i < rank && i < MAX_RANK; i++) {
        const json_int_t side = json_integer_value(json_array_get(shape, i));
        count *= (size_t)side;
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%d", i ? ", " : "[", (int)side);
    }
    snprintf(text + used, sizeof text - used, "]");
    const size_t rows = (size_t)json_integer_value(json_array_get(shape, 0));
    const struct rule rule = rule_of(name, norm, rows ? count / rows : 1);
    R2_TRY(r2_alloc(count, sizeof *values, name, &values, err));
    test_uniform(name, count, values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((rule.offset + rule.factor * (double)values[i]) * factor);
    tensor_file_add(file, name, "F32", text, values, count * sizeof *values);
    return R2_OK;
}

enum r2_status named_weights_write(const char *path, json_t *tensors, const json_t *factors,
                                   struct r2_error *err)
{
    const char *name;
    const json_t *shape;
    struct tensor_file file = {0};
    enum r2_status status = R2_OK;
    json_object_foreach(tensors, name, shape)
    {
        const json_t *factor = json_object_get(factors, name);
        if (status == R2_OK)
            status = add(&file, name, shape, is_norm(tensors, name),
                         factor ? json_number_value(factor) : 1, err);
    }
    if (status == R2_OK) status = tensor_file_write(&file, path, err);
    tensor_file_finish(&file);
    return status;
}
