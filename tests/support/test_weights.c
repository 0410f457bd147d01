#include "tests/support/test_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define FNV_PRIME UINT64_C(0x100000001B3)

static uint64_t fnv(uint64_t hash, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)bytes[i]) * FNV_PRIME;
    return hash;
}

static float uniform_of(uint64_t hash)
{
    uint64_t z = hash + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (float)(z >> 40) / 8388608.0f - 1.0f;
}

void test_uniform(const char *name, size_t count, float *ret)
{
    uint64_t start = fnv(UINT64_C(0xCBF29CE484222325), name, strlen(name));
    start = fnv(start, "#", 1);
    for (size_t i = 0; i < count; i++) {
        char digits[20];
        size_t at = sizeof digits, rest = i;
        do digits[--at] = (char)('0' + rest % 10);
        while (rest /= 10);
        ret[i] = uniform_of(fnv(start, digits + at, sizeof digits - at));
    }
}

struct writer {
    FILE *file;
    struct r2_text header;
    size_t offset;
    const struct test_factor *factors;
    test_rename rename;
};

/* offset + factor * u, all times scale */
struct affine {
    float offset, factor, scale;
};

static float factor_of(const struct test_factor *factors, const char *tensor)
{
    for (; factors && factors->tensor; factors++)
        if (strcmp(factors->tensor, tensor) == 0) return factors->factor;
    return 1;
}

static void add_tensor(struct writer *writer, const char *owner, const char *suffix, unsigned rank,
                       const uint32_t *dims, struct affine rule)
{
    char official[256], name[256];
    size_t count = 1;
    snprintf(official, sizeof official, "%s.%s", owner, suffix);
    if (writer->rename)
        writer->rename(official, name, sizeof name);
    else
        memcpy(name, official, sizeof name);
    r2_text_add(&writer->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                writer->header.size ? "," : "{", name);
    for (unsigned i = 0; i < rank; i++) {
        r2_text_add(&writer->header, "%s%u", i ? "," : "", dims[i]);
        count *= dims[i];
    }
    r2_text_add(&writer->header, "],\"data_offsets\":[%zu,%zu]}", writer->offset,
                writer->offset + count * sizeof(float));
    writer->offset += count * sizeof(float);

    R2_AUTOFREE float *values = malloc(count * sizeof *values);
    if (!values) return; /* the file stays short, and opening it fails */
    test_uniform(official, count, values);
    const float scale = rule.scale * factor_of(writer->factors, official);
    for (size_t i = 0; i < count; i++) values[i] = (rule.offset + rule.factor * values[i]) * scale;
    fwrite(values, sizeof *values, count, writer->file);
}

static void add_node(struct writer *writer, const struct r2_graph *graph,
                     const struct r2_node *node)
{
    const uint32_t out = r2_graph_channels(graph, node->output), k = node->conv.kernel;
    const bool conv = node->op != R2_OP_LINEAR, transposed = node->op == R2_OP_DECONV;
    const struct r2_extent window = node->linear.window;
    const uint32_t in = r2_graph_channels(graph, node->inputs[0]) *
                        (conv ? 1 : window.height * window.width) / (conv ? node->conv.groups : 1);
    const uint32_t shape[] = {transposed ? in : out, transposed ? out : in, k, k}, dims[] = {out};
    const float bound = sqrtf(3.0f / (float)((size_t)shape[1] * (conv ? k * k : 1)));
    const size_t norm_size = strlen(node->norm);
    const bool last = norm_size > 3 && strcmp(node->norm + norm_size - 3, "bn3") == 0;

    add_tensor(writer, node->name, "weight", conv ? 4 : 2, shape, (struct affine){0, bound, 1});
    if (node->conv.plain && !norm_size) return;
    if (!norm_size) {
        add_tensor(writer, node->name, "bias", 1, dims, (struct affine){0, 0.2f, 1});
        return;
    }
    add_tensor(writer, node->norm, "weight", 1, dims, (struct affine){1, 0.4f, last ? 0.3f : 1.0f});
    add_tensor(writer, node->norm, "bias", 1, dims, (struct affine){0, 0.2f, 1});
    add_tensor(writer, node->norm, "running_mean", 1, dims, (struct affine){0, 0.2f, 1});
    add_tensor(writer, node->norm, "running_var", 1, dims, (struct affine){1, 0.5f, 1});
}

/* Layers may share their tensors. */
static bool is_repeated(const struct r2_graph *graph, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(graph->nodes[i].name, graph->nodes[n].name) == 0) return true;
    return false;
}

/* The data goes to a second file first, since the header holds its offsets. */
enum r2_status test_weights_write(const char *path, const struct r2_graph *graph,
                                  const struct test_factor *factors, test_rename rename,
                                  struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text header = {0};
    struct writer writer = {.file = tmpfile(), .factors = factors, .rename = rename};
    FILE *out = fopen(path, "wb");
    if (!out || !writer.file) return r2_fail(err, R2_IO, "%s: cannot be written", path);
    for (size_t i = 0; i < graph->node_count; i++)
        if (r2_op_has_weights(graph->nodes[i].op) && !is_repeated(graph, i))
            add_node(&writer, graph, &graph->nodes[i]);
    header = writer.header;
    r2_text_add(&header, header.size ? "}" : "{}"); /* a graph may have no weights */
    while (header.size % 8) r2_text_add(&header, " ");
    uint64_t size = header.size;
    fwrite(&size, sizeof size, 1, out); /* little-endian, as all machines that this runs on */
    fwrite(header.data, 1, header.size, out);
    rewind(writer.file);
    static char block[1 << 16];
    for (size_t got; (got = fread(block, 1, sizeof block, writer.file)) > 0;)
        fwrite(block, 1, got, out);
    bool failed = ferror(out) || ferror(writer.file);
    fclose(writer.file);
    if (fclose(out) != 0 || failed) return r2_fail(err, R2_IO, "%s: write failed", path);
    return R2_OK;
}
