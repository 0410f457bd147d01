#include "backbone/params.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backbone/kernels.h"
#include "backbone/slab.h"
#include "base/memory.h"

enum { MAX_PARTS = 17 };

struct entry {
    struct r2_packed packed;                       /* first: a packed is its entry */
    const struct r2_tensor_entry *tensor, *affine; /* key: weights, and the norm or bias */
    size_t cells;
    struct r2_weights_format *format; /* NULL: depthwise, [3 * 3, out] */
    unsigned uses;
    struct entry *next;
};

struct r2_params {
    pthread_mutex_t lock; /* guards what follows */
    struct entry *entries;
    struct r2_slabs slabs; /* of the packed weights */
    size_t size;
    size_t source_count;
    struct r2_source sources[MAX_PARTS];
};

/* The tensors of one node. */
struct tensors {
    const struct r2_tensor_entry *weight;
    const struct r2_tensor_entry *bias; /* without a norm; NULL where there is none either */
    const struct r2_tensor_entry *gamma, *beta, *mean, *variance; /* with one */
    uint32_t out;
    const struct r2_conv *deconv; /* NULL unless the weights are [in, out, k, k] */
    size_t
        cells; /* that a row of LINEAR weights has of each channel, one after the other; else 1 */
};

enum r2_status r2_params_create(const struct r2_source *sources, size_t count,
                                struct r2_params **ret, struct r2_error *err)
{
    struct r2_params *params;
    if (count == 0 || count > MAX_PARTS)
        return r2_fail(err, R2_INTERNAL, "params: %zu parts, allowed are 1 to %d", count,
                       MAX_PARTS);
    R2_TRY(r2_alloc(1, sizeof *params, "parameters", &params, err));
    pthread_mutex_init(&params->lock, NULL);
    memcpy(params->sources, sources, count * sizeof *sources);
    params->source_count = count;
    *ret = params;
    return R2_OK;
}

static void entry_destroy(struct r2_params *params, struct entry *entry)
{
    r2_weights_format_destroy(entry->format);
    r2_slabs_free(&params->slabs, entry->packed.weights);
    r2_slabs_free(&params->slabs, entry->packed.bias);
    free(entry);
}

void r2_params_destroy(struct r2_params *params)
{
    if (!params) return;
    while (params->entries) {
        struct entry *entry = params->entries;
        params->entries = entry->next;
        entry_destroy(params, entry);
    }
    pthread_mutex_destroy(&params->lock);
    free(params);
}

size_t r2_params_size(struct r2_params *params)
{
    pthread_mutex_lock(&params->lock);
    size_t size = params->size;
    pthread_mutex_unlock(&params->lock);
    return size;
}

static enum r2_status take(const struct r2_source *source, const char *owner, const char *suffix,
                           unsigned rank, const uint64_t *dims, const struct r2_tensor_entry **ret,
                           struct r2_error *err)
{
    char official[R2_NAME_SIZE], name[R2_NAME_SIZE];
    snprintf(official, sizeof official, "%s.%s", owner, suffix);
    R2_TRY(r2_naming_apply(source->naming, official, name, err));
    return r2_weights_take(source->weights, name, rank, dims, ret, err);
}

static enum r2_status find_tensors(const struct r2_params *params, const struct r2_graph *graph,
                                   const struct r2_node *node, struct tensors *ret,
                                   struct r2_error *err)
{
    if (node->part >= params->source_count)
        return r2_fail(err, R2_INTERNAL, "params: part %u has no source", node->part);
    const struct r2_source *source = &params->sources[node->part];
    const uint64_t out = r2_graph_channels(graph, node->output);
    const uint64_t in = r2_graph_channels(graph, node->inputs[0]);
    const uint64_t k = node->conv.kernel;
    const bool transposed = node->op == R2_OP_DECONV, is_conv = node->op != R2_OP_LINEAR;
    const uint64_t cells = (uint64_t)node->linear.window.height * node->linear.window.width;
    const uint64_t row = is_conv ? in / node->conv.groups : in * cells;
    const uint64_t dims[] = {transposed ? in : out, transposed ? out : row, k, k};
    struct tensors tensors = {.out = (uint32_t)out,
                              .deconv = transposed ? &node->conv : NULL,
                              .cells = is_conv ? 1 : cells};

    R2_TRY(take(source, node->name, "weight", is_conv ? 4 : 2, dims, &tensors.weight, err));
    if (!node->norm[0]) {
        if (!node->conv.plain)
            R2_TRY(take(source, node->name, "bias", 1, &out, &tensors.bias, err));
    } else {
        R2_TRY(take(source, node->norm, "weight", 1, &out, &tensors.gamma, err));
        R2_TRY(take(source, node->norm, "bias", 1, &out, &tensors.beta, err));
        R2_TRY(take(source, node->norm, "running_mean", 1, &out, &tensors.mean, err));
        R2_TRY(take(source, node->norm, "running_var", 1, &out, &tensors.variance, err));
    }
    *ret = tensors;
    return R2_OK;
}

static enum r2_status read_floats(const struct r2_tensor_entry *tensor, float **ret,
                                  struct r2_error *err)
{
    R2_TRY(r2_alloc_aligned(tensor->count * sizeof(float), tensor->name, ret, err));
    r2_tensor_read(tensor, *ret);
    return R2_OK;
}

/* Writes scale and shift [out]: what follows the weights is y = scale * x + shift. */
static enum r2_status read_affine(const struct tensors *tensors, double eps, float *scale,
                                  float *shift, struct r2_error *err)
{
    if (!tensors->gamma) {
        for (uint32_t i = 0; i < tensors->out; i++) scale[i] = 1, shift[i] = 0;
        if (tensors->bias) r2_tensor_read(tensors->bias, shift);
    } else {
        R2_AUTOFREE float *gamma = NULL, *beta = NULL, *mean = NULL, *variance = NULL;
        R2_TRY(read_floats(tensors->gamma, &gamma, err));
        R2_TRY(read_floats(tensors->beta, &beta, err));
        R2_TRY(read_floats(tensors->mean, &mean, err));
        R2_TRY(read_floats(tensors->variance, &variance, err));
        for (uint32_t i = 0; i < tensors->out; i++) {
            double factor = gamma[i] / sqrt((double)variance[i] + eps);
            scale[i] = (float)factor;
            shift[i] = (float)(beta[i] - mean[i] * factor);
        }
    }
    for (uint32_t i = 0; i < tensors->out; i++)
        if (!isfinite(scale[i]) || !isfinite(shift[i]))
            return r2_fail(err, R2_INVALID,
                           "tensor '%s' or its batch norm: channel %u is not finite",
                           tensors->weight->name, i);
    return R2_OK;
}

enum r2_status r2_params_check(const struct r2_params *params, const struct r2_graph *graph,
                               struct r2_error *err)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct r2_node *node = &graph->nodes[i];
        struct tensors tensors = {0};
        R2_AUTOFREE float *affine = NULL;
        if (!r2_op_has_weights(node->op)) continue;
        R2_TRY(find_tensors(params, graph, node, &tensors, err));
        R2_TRY(r2_alloc(2 * (size_t)tensors.out, sizeof *affine, "batch norm", &affine, err));
        R2_TRY(read_affine(&tensors, params->sources[node->part].norm_eps, affine,
                           affine + tensors.out, err));
    }
    return R2_OK;
}

static const struct r2_tensor_entry *affine_of(const struct tensors *tensors)
{
    return tensors->bias ? tensors->bias : tensors->gamma;
}

/* Rows [channels, cells] become [cells, channels], as maps are laid out. */
static enum r2_status interleave(float *rows, size_t count, size_t channels, size_t cells,
                                 struct r2_error *err)
{
    const size_t size = channels * cells;
    R2_AUTOFREE float *row = NULL;
    if (cells == 1) return R2_OK;
    R2_TRY(r2_alloc_aligned(size * sizeof *row, "weights", &row, err));
    for (size_t i = 0; i < count; i++) {
        memcpy(row, rows + i * size, size * sizeof *row);
        for (size_t k = 0; k < size; k++)
            rows[i * size + k] = row[k % channels * cells + k / channels];
    }
    return R2_OK;
}

/* The weights [in, out, k, k] of a transposed convolution as those of the dense one that it runs as,
   [y, x, out, in, taps, taps]: y and x say which cell a cell becomes (kernels.h). Taps that look
   beyond the kernel are 0. */
static enum r2_status unfold(const struct tensors *tensors, float **weights, struct r2_error *err)
{
    const size_t k = tensors->deconv->kernel, stride = tensors->deconv->stride;
    const size_t taps = r2_spread_taps(tensors->deconv->kernel, tensors->deconv->stride);
    const size_t out = tensors->out, in = tensors->weight->count / (out * k * k);
    R2_AUTOFREE float *made = NULL;
    R2_TRY(r2_alloc(stride * stride * out * in, taps * taps * sizeof *made, "weights", &made, err));
    float *at = made;
    for (size_t phase = 0; phase < stride * stride; phase++)
        for (size_t i = 0; i < out * in; i++)
            for (size_t tap = 0; tap < taps * taps; tap++, at++) {
                const size_t y = stride * (taps - 1 - tap / taps) + phase / stride;
                const size_t x = stride * (taps - 1 - tap % taps) + phase % stride;
                const float *kernel = *weights + (i % in * out + i / in) * k * k;
                if (y < k && x < k) *at = kernel[y * k + x];
            }
    free(*weights);
    *weights = R2_TAKE(made);
    return R2_OK;
}

/* Rows as a primitive wants them. */
static enum r2_status read_weights(const struct tensors *tensors, float **ret, struct r2_error *err)
{
    R2_AUTOFREE float *plain = NULL;
    R2_TRY(read_floats(tensors->weight, &plain, err));
    if (tensors->deconv) R2_TRY(unfold(tensors, &plain, err));
    R2_TRY(interleave(plain, tensors->out, tensors->weight->count / tensors->out / tensors->cells,
                      tensors->cells, err));
    *ret = R2_TAKE(plain);
    return R2_OK;
}

/* Elements of a row of those. */
static size_t row_size(const struct tensors *tensors)
{
    const struct r2_conv *deconv = tensors->deconv;
    if (!deconv) return tensors->weight->count / tensors->out;
    const size_t taps = r2_spread_taps(deconv->kernel, deconv->stride);
    return (size_t)tensors->weight->dims[0] * taps * taps;
}

/* NULL for a depthwise kernel of ours. */
static const struct r2_weights_format *format_of(const struct r2_primitive *primitive)
{
    return primitive ? r2_primitive_weights(primitive) : NULL;
}

static bool same_format(const struct r2_weights_format *a, const struct r2_weights_format *b)
{
    return a && b ? r2_weights_format_equal(a, b) : a == b;
}

/* Packs rows; changes them. */
static enum r2_status pack(const struct tensors *tensors, const struct r2_primitive *primitive,
                           float *rows, void *packed, struct r2_error *err)
{
    if (primitive) return r2_primitive_pack(primitive, rows, packed, err);
    R2_TRY(interleave(rows, 1, tensors->out, row_size(tensors), err));
    memcpy(packed, rows, tensors->weight->count * sizeof *rows);
    return R2_OK;
}

/* Folds and packs into a new entry. */
static enum r2_status fill(struct r2_slabs *slabs, struct entry *entry,
                           const struct tensors *tensors, double eps,
                           const struct r2_primitive *primitive, struct r2_error *err)
{
    const struct r2_weights_format *format = format_of(primitive);
    const size_t packed_size =
        format ? r2_weights_format_size(format) : tensors->weight->count * sizeof(float);
    const size_t phases =
        tensors->deconv ? (size_t)tensors->deconv->stride * tensors->deconv->stride : 1;
    const size_t out = tensors->out, rows = phases * out, bias_size = rows * sizeof(float);
    const size_t per_row = row_size(tensors);
    R2_AUTOFREE float *plain = NULL, *scale = NULL;

    if (format) R2_TRY(r2_weights_format_clone(format, &entry->format, err));
    R2_TRY(r2_slabs_alloc(slabs, packed_size, "packed weights", &entry->packed.weights, err));
    R2_TRY(r2_slabs_alloc(slabs, bias_size, "bias", &entry->packed.bias, err));
    R2_TRY(r2_alloc_aligned(out * sizeof(float), "batch norm", &scale, err));
    R2_TRY(read_affine(tensors, eps, scale, entry->packed.bias, err));
    R2_TRY(read_weights(tensors, &plain, err));
    for (size_t i = out; i < rows; i++) entry->packed.bias[i] = entry->packed.bias[i - out];
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < per_row; k++) plain[i * per_row + k] *= scale[i % out];
    R2_TRY(pack(tensors, primitive, plain, entry->packed.weights, err));
    entry->tensor = tensors->weight;
    entry->affine = affine_of(tensors);
    entry->cells = tensors->cells;
    entry->packed.size = packed_size + bias_size;
    return R2_OK;
}

/* With the lock held. */
static enum r2_status get_locked(struct r2_params *params, const struct tensors *tensors,
                                 double eps, const struct r2_primitive *primitive,
                                 struct entry **ret, struct r2_error *err)
{
    const struct r2_weights_format *format = format_of(primitive);
    struct entry *entry = params->entries;
    while (entry && (entry->tensor != tensors->weight || entry->affine != affine_of(tensors) ||
                     entry->cells != tensors->cells || !same_format(entry->format, format)))
        entry = entry->next;
    if (!entry) {
        R2_TRY(r2_alloc(1, sizeof *entry, "packed weights", &entry, err));
        if (fill(&params->slabs, entry, tensors, eps, primitive, err) != R2_OK) {
            entry_destroy(params, entry);
            return err->status;
        }
        entry->next = params->entries;
        params->entries = entry;
        params->size += entry->packed.size;
    }
    entry->uses++;
    *ret = entry;
    return R2_OK;
}

enum r2_status r2_params_get(struct r2_params *params, const struct r2_graph *graph,
                             const struct r2_node *node, const struct r2_primitive *primitive,
                             struct r2_packed **ret, struct r2_error *err)
{
    struct tensors tensors = {0};
    struct entry *entry = NULL;
    R2_TRY(find_tensors(params, graph, node, &tensors, err));
    pthread_mutex_lock(&params->lock);
    enum r2_status status =
        get_locked(params, &tensors, params->sources[node->part].norm_eps, primitive, &entry, err);
    pthread_mutex_unlock(&params->lock);
    if (status == R2_OK) *ret = &entry->packed;
    return status;
}

void r2_params_put(struct r2_params *params, struct r2_packed *packed)
{
    if (!packed) return;
    struct entry *entry = (struct entry *)packed, **link = &params->entries;
    pthread_mutex_lock(&params->lock);
    if (--entry->uses == 0) {
        while (*link != entry) link = &(*link)->next;
        *link = entry->next;
        params->size -= entry->packed.size;
        entry_destroy(params, entry);
    }
    pthread_mutex_unlock(&params->lock);
}
