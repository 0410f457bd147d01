#include "tests/support/naive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static size_t pixels_of(const struct naive_value *value)
{
    return (size_t)value->extent.height * value->extent.width;
}

/* The cell at (y, x), which may lie outside. */
static const double *cell(const struct naive_value *value, uint32_t channel, int64_t y, int64_t x)
{
    if (y < 0 || x < 0 || y >= value->extent.height || x >= value->extent.width) return NULL;
    return value->data + channel * pixels_of(value) + (size_t)y * value->extent.width + (size_t)x;
}

/* The tensor as floats, to be freed. */
static enum r2_status read_tensor(const struct r2_source *source, const char *owner,
                                  const char *suffix, float **ret, struct r2_error *err)
{
    char official[R2_NAME_SIZE], name[R2_NAME_SIZE];
    snprintf(official, sizeof official, "%s.%s", owner, suffix);
    R2_TRY(r2_naming_apply(source->naming, official, name, err));
    const struct r2_tensor_entry *entry = r2_weights_find(source->weights, name);
    if (!entry) return r2_fail(err, R2_NOT_FOUND, "naive: no tensor '%s'", name);
    R2_TRY(r2_alloc(entry->count, sizeof **ret, name, ret, err));
    r2_tensor_read(entry, *ret);
    return R2_OK;
}

/* How many windows PyTorch puts on a side: all that fit; with `ceil` also one that hangs over by
   less than a stride and begins inside the picture or before it. */
static uint32_t count_windows(uint32_t size, uint32_t reach, uint32_t stride, uint32_t pad,
                              bool ceil)
{
    uint32_t count = 0;
    while (count * stride + reach <= size + 2 * pad + (ceil ? stride - 1 : 0) &&
           (!ceil || count * stride < size + pad))
        count++;
    return count;
}

static struct r2_extent windows(struct r2_extent in, uint32_t reach, uint32_t stride, uint32_t pad,
                                bool ceil)
{
    return (struct r2_extent){count_windows(in.height, reach, stride, pad, ceil),
                              count_windows(in.width, reach, stride, pad, ceil)};
}

static enum r2_status allocate(struct naive_value *value, struct r2_error *err)
{
    return r2_alloc(value->channels * pixels_of(value), sizeof *value->data, "naive value",
                    &value->data, err);
}

/* y = scale * x + shift of the norm or the bias behind a convolution. */
static enum r2_status read_affine(const struct r2_source *source, const struct r2_node *node,
                                  uint32_t out, double **ret, struct r2_error *err)
{
    R2_AUTOFREE float *gamma = NULL, *beta = NULL, *mean = NULL, *variance = NULL;
    R2_AUTOFREE double *affine = NULL;
    R2_TRY(r2_alloc(2 * (size_t)out, sizeof *affine, "naive norm", &affine, err));
    if (node->norm[0]) {
        R2_TRY(read_tensor(source, node->norm, "weight", &gamma, err));
        R2_TRY(read_tensor(source, node->norm, "bias", &beta, err));
        R2_TRY(read_tensor(source, node->norm, "running_mean", &mean, err));
        R2_TRY(read_tensor(source, node->norm, "running_var", &variance, err));
    } else if (!node->conv.plain) {
        R2_TRY(read_tensor(source, node->name, "bias", &beta, err));
    }
    for (uint32_t c = 0; c < out; c++) {
        double scale = gamma ? (double)gamma[c] / sqrt((double)variance[c] + source->norm_eps) : 1;
        affine[2 * c] = scale;
        affine[2 * c + 1] = (beta ? (double)beta[c] : 0) - (mean ? scale * (double)mean[c] : 0);
    }
    *ret = R2_TAKE(affine);
    return R2_OK;
}

/* The sum of one output cell. `weights` are those of its channel. */
static double conv_cell(const struct naive_value *x, const struct r2_conv *conv,
                        const float *weights, uint32_t first, uint32_t count, int64_t y0,
                        int64_t x0)
{
    double sum = 0;
    const uint32_t k = conv->kernel;
    for (uint32_t c = 0; c < count; c++) {
        for (uint32_t i = 0; i < k * k; i++) {
            const double *at =
                cell(x, first + c, y0 + i / k * conv->dilation, x0 + i % k * conv->dilation);
            if (at) sum += *at * (double)weights[(size_t)c * k * k + i];
        }
    }
    return sum;
}

static enum r2_status run_conv(const struct r2_node *node, const struct r2_source *source,
                               const struct naive_value *x, struct naive_value *ret,
                               struct r2_error *err)
{
    const struct r2_conv *conv = &node->conv;
    const uint32_t in = x->channels / conv->groups, out = ret->channels / conv->groups;
    R2_AUTOFREE float *weights = NULL;
    R2_AUTOFREE double *affine = NULL;
    ret->extent =
        windows(x->extent, (conv->kernel - 1) * conv->dilation + 1, conv->stride, conv->pad, false);
    R2_TRY(allocate(ret, err));
    R2_TRY(read_tensor(source, node->name, "weight", &weights, err));
    R2_TRY(read_affine(source, node, ret->channels, &affine, err));
    double *at = ret->data;
    for (uint32_t c = 0; c < ret->channels; c++) {
        const float *own = weights + (size_t)c * in * conv->kernel * conv->kernel;
        for (uint32_t y = 0; y < ret->extent.height; y++) {
            for (uint32_t column = 0; column < ret->extent.width; column++) {
                double sum =
                    conv_cell(x, conv, own, c / out * in, in, (int64_t)y * conv->stride - conv->pad,
                              (int64_t)column * conv->stride - conv->pad);
                sum = affine[2 * c] * sum + affine[2 * c + 1];
                sum = conv->relu && sum < 0 ? 0 : sum;
                *at++ = conv->sigmoid ? 1 / (1 + exp(-sum)) : sum;
            }
        }
    }
    return R2_OK;
}

static double pool_cell(const struct naive_value *x, const struct r2_pool *pool, uint32_t channel,
                        int64_t y0, int64_t x0)
{
    double most = -INFINITY, sum = 0;
    uint32_t inside = 0;
    for (uint32_t i = 0; i < pool->kernel * pool->kernel; i++) {
        const double *at = cell(x, channel, y0 + i / pool->kernel, x0 + i % pool->kernel);
        if (!at) continue;
        inside++;
        sum += *at;
        if (*at > most) most = *at;
    }
    if (pool->kind == R2_POOL_MAX) return most;
    return sum / (pool->kind == R2_POOL_AVG ? pool->kernel * pool->kernel : inside);
}

/* Over [first, end) of each axis of n cells, as PyTorch words it. */
static double adaptive_cell(const struct naive_value *x, uint32_t n, uint32_t channel, uint32_t row,
                            uint32_t column)
{
    const double by_row = (double)x->extent.height / n, by_column = (double)x->extent.width / n;
    double sum = 0;
    uint32_t count = 0;
    for (double y = floor(row * by_row); y < ceil((row + 1) * by_row); y++)
        for (double i = floor(column * by_column); i < ceil((column + 1) * by_column); i++, count++)
            sum += *cell(x, channel, (int64_t)y, (int64_t)i);
    return sum / count;
}

static enum r2_status run_adaptive(uint32_t n, const struct naive_value *x, struct naive_value *ret,
                                   struct r2_error *err)
{
    ret->extent = (struct r2_extent){n, n};
    R2_TRY(allocate(ret, err));
    double *at = ret->data;
    for (uint32_t i = 0; i < ret->channels * n * n; i++)
        *at++ = adaptive_cell(x, n, i / (n * n), i / n % n, i % n);
    return R2_OK;
}

static enum r2_status run_pool(const struct r2_pool *pool, const struct naive_value *x,
                               struct naive_value *ret, struct r2_error *err)
{
    if (pool->kind == R2_POOL_AVG_ADAPTIVE) return run_adaptive(pool->kernel, x, ret, err);
    const struct r2_extent padded = {x->extent.height + pool->pad_end,
                                     x->extent.width + pool->pad_end};
    ret->extent = windows(padded, pool->kernel, pool->stride, pool->pad, pool->ceil);
    R2_TRY(allocate(ret, err));
    double *at = ret->data;
    for (uint32_t c = 0; c < ret->channels; c++)
        for (uint32_t y = 0; y < ret->extent.height; y++)
            for (uint32_t column = 0; column < ret->extent.width; column++)
                *at++ = pool_cell(x, pool, c, (int64_t)y * pool->stride - pool->pad,
                                  (int64_t)column * pool->stride - pool->pad);
    return R2_OK;
}

static enum r2_status run_global_pool(const struct naive_value *x, struct naive_value *ret,
                                      struct r2_error *err)
{
    ret->extent = (struct r2_extent){1, 1};
    R2_TRY(allocate(ret, err));
    const size_t pixels = pixels_of(x);
    for (uint32_t c = 0; c < x->channels; c++) {
        for (size_t p = 0; p < pixels; p++) ret->data[c] += x->data[c * pixels + p];
        ret->data[c] /= (double)pixels;
    }
    return R2_OK;
}

/* Where cell i of `out` lies among `in` cells. */
static double place(enum r2_sampling sampling, size_t i, uint32_t in, uint32_t out)
{
    double at = floor((double)((float)i * ((float)in / (float)out))); /* as PyTorch rounds it */
    if (sampling == R2_SAMPLE_BILINEAR) at = ((double)i + 0.5) * in / out - 0.5;
    if (sampling == R2_SAMPLE_BILINEAR_CORNERS) at = out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
    return fmax(0, fmin(at, in - 1.0));
}

static double resized_cell(const struct naive_value *x, uint32_t channel, double row, double column)
{
    const int64_t y = (int64_t)row, c = (int64_t)column;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        const double *at = cell(x, channel, y + i / 2, c + i % 2);
        const double part_y = row - (double)y, part_x = column - (double)c;
        if (at) sum += *at * (i / 2 ? part_y : 1 - part_y) * (i % 2 ? part_x : 1 - part_x);
    }
    return sum;
}

static enum r2_status run_resize(const struct r2_node *node, const struct naive_run *run,
                                 struct naive_value *ret, struct r2_error *err)
{
    const struct naive_value *x = &run->values[node->inputs[0]];
    ret->extent = run->values[node->like].extent;
    R2_TRY(allocate(ret, err));
    double *to = ret->data;
    for (uint32_t c = 0; c < ret->channels; c++)
        for (uint32_t y = 0; y < ret->extent.height; y++)
            for (uint32_t column = 0; column < ret->extent.width; column++)
                *to++ = resized_cell(
                    x, c, place(node->sampling, y, x->extent.height, ret->extent.height),
                    place(node->sampling, column, x->extent.width, ret->extent.width));
    return R2_OK;
}

static enum r2_status run_linear(const struct r2_node *node, const struct r2_source *source,
                                 const struct naive_value *x, struct naive_value *ret,
                                 struct r2_error *err)
{
    R2_AUTOFREE float *weights = NULL, *bias = NULL;
    ret->extent = (struct r2_extent){1, 1};
    R2_TRY(allocate(ret, err));
    R2_TRY(read_tensor(source, node->name, "weight", &weights, err));
    R2_TRY(read_tensor(source, node->name, "bias", &bias, err));
    const size_t count = x->channels * pixels_of(x);
    for (uint32_t o = 0; o < ret->channels; o++) {
        double sum = (double)bias[o];
        for (size_t i = 0; i < count; i++) sum += (double)weights[o * count + i] * x->data[i];
        ret->data[o] = node->linear.relu && sum < 0 ? 0 : sum;
    }
    return R2_OK;
}

/* INPUT, SLICE, ADD, CONCAT: cells are moved and added, channel by channel. */
static enum r2_status run_move(const struct r2_node *node, const struct naive_run *run,
                               const float *input, struct naive_value *ret, struct r2_error *err)
{
    if (node->op != R2_OP_INPUT) ret->extent = run->values[node->inputs[0]].extent;
    R2_TRY(allocate(ret, err));
    const size_t pixels = pixels_of(ret);
    uint32_t at = 0;
    if (node->op == R2_OP_INPUT) {
        for (size_t i = 0; i < ret->channels * pixels; i++)
            ret->data[i] = (double)input[i % pixels * ret->channels + i / pixels];
        return R2_OK;
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        const struct naive_value *x = &run->values[node->inputs[i]];
        const uint32_t first = node->op == R2_OP_SLICE ? node->first : 0;
        const uint32_t count = node->op == R2_OP_SLICE ? ret->channels : x->channels;
        if (node->op != R2_OP_CONCAT) at = 0;
        for (size_t k = 0; k < count * pixels; k++)
            ret->data[at * pixels + k] += x->data[first * pixels + k];
        at += count;
    }
    for (size_t k = 0; k < ret->channels * pixels; k++)
        if (node->op == R2_OP_ADD && node->relu && ret->data[k] < 0) ret->data[k] = 0;
    return R2_OK;
}

static enum r2_status run_gate(const struct r2_node *node, const struct naive_run *run,
                               struct naive_value *ret, struct r2_error *err)
{
    const struct naive_value *x = &run->values[node->inputs[0]];
    const struct naive_value *b = &run->values[node->inputs[1]];
    const struct naive_value *gate = &run->values[node->inputs[2]];
    const size_t pixels = pixels_of(x);
    ret->extent = x->extent;
    R2_TRY(allocate(ret, err));
    for (size_t i = 0; i < ret->channels * pixels; i++) {
        const double value = x->data[i] * gate->data[i / pixels] + b->data[i];
        ret->data[i] = node->relu && value < 0 ? 0 : value;
    }
    return R2_OK;
}

/* As it is said: each cell adds its kernel, the borders are cut off. */
static enum r2_status run_deconv(const struct r2_node *node, const struct r2_source *source,
                                 const struct naive_value *x, struct naive_value *ret,
                                 struct r2_error *err)
{
    const struct r2_conv *conv = &node->conv;
    const uint32_t k = conv->kernel, out = ret->channels;
    R2_AUTOFREE float *weights = NULL;
    R2_AUTOFREE double *affine = NULL;
    ret->extent = (struct r2_extent){(x->extent.height - 1) * conv->stride + k - 2 * conv->pad,
                                     (x->extent.width - 1) * conv->stride + k - 2 * conv->pad};
    R2_TRY(allocate(ret, err));
    R2_TRY(read_tensor(source, node->name, "weight", &weights, err));
    R2_TRY(read_affine(source, node, out, &affine, err));
    for (size_t i = 0; i < x->channels * pixels_of(x); i++) {
        const size_t in = i / pixels_of(x), place = i % pixels_of(x);
        for (size_t w = 0; w < (size_t)out * k * k; w++) {
            const int64_t row = (int64_t)(place / x->extent.width * conv->stride + w / k % k);
            const int64_t column = (int64_t)(place % x->extent.width * conv->stride + w % k);
            const double *at =
                cell(ret, (uint32_t)(w / k / k), row - conv->pad, column - conv->pad);
            if (at) ret->data[at - ret->data] += x->data[i] * (double)weights[in * out * k * k + w];
        }
    }
    for (size_t i = 0; i < out * pixels_of(ret); i++) {
        const size_t c = i / pixels_of(ret);
        const double value = affine[2 * c] * ret->data[i] + affine[2 * c + 1];
        ret->data[i] = conv->relu && value < 0 ? 0 : value;
    }
    return R2_OK;
}

static enum r2_status run_node(const struct r2_node *node, const struct r2_source *sources,
                               const float *input, const struct naive_run *run,
                               struct naive_value *ret, struct r2_error *err)
{
    const struct naive_value *x = &run->values[node->inputs[0]];
    switch (node->op) {
    case R2_OP_CONV: return run_conv(node, &sources[node->part], x, ret, err);
    case R2_OP_DECONV: return run_deconv(node, &sources[node->part], x, ret, err);
    case R2_OP_LINEAR: return run_linear(node, &sources[node->part], x, ret, err);
    case R2_OP_RESIZE: return run_resize(node, run, ret, err);
    case R2_OP_POOL: return run_pool(&node->pool, x, ret, err);
    case R2_OP_GLOBAL_POOL: return run_global_pool(x, ret, err);
    case R2_OP_GATE: return run_gate(node, run, ret, err);
    case R2_OP_INPUT:
    case R2_OP_SLICE:
    case R2_OP_CONCAT:
    case R2_OP_ADD: break;
    }
    return run_move(node, run, input, ret, err);
}

enum r2_status naive_run(const struct r2_graph *graph, const struct r2_source *sources,
                         struct r2_extent extent, const float *input, struct naive_run *ret,
                         struct r2_error *err)
{
    struct naive_run run = {.count = graph->value_count};
    R2_TRY(r2_graph_check(graph, err));
    R2_TRY(r2_alloc(run.count, sizeof *run.values, "naive values", &run.values, err));
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        struct naive_value *value = &run.values[node->output];
        value->channels = r2_graph_channels(graph, node->output);
        value->extent = extent;
        if (run_node(node, sources, input, &run, value, err) != R2_OK) {
            naive_run_finish(&run);
            return err->status;
        }
    }
    *ret = run;
    return R2_OK;
}

void naive_run_finish(struct naive_run *run)
{
    for (size_t i = 0; i < run->count; i++) free(run->values[i].data);
    free(run->values);
    *run = (struct naive_run){0};
}

double naive_error(const struct naive_value *value, const struct r2_output_view *view)
{
    double error = 0, largest = 0.1; /* values that nearly cancel are judged as if they did not */
    const size_t pixels = pixels_of(value);
    if (view->channels != value->channels || view->height != value->extent.height ||
        view->width != value->extent.width || view->pitch < view->channels)
        return INFINITY;
    for (size_t i = 0; i < value->channels * pixels; i++) {
        double ours = (double)view->data[i % pixels * view->pitch + i / pixels];
        if (!isfinite(ours)) return INFINITY;
        error = fmax(error, fabs(ours - value->data[i]));
        largest = fmax(largest, fabs(value->data[i]));
    }
    return error / largest;
}

void naive_print(const struct r2_graph *graph)
{
    static const char *const ops[] = {"input",  "conv", "pool",   "global_pool", "resize", "slice",
                                      "concat", "add",  "linear", "deconv",      "gate"};
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct r2_node *node = &graph->nodes[n];
        printf("v%u[%u] = %s(", node->output, r2_graph_channels(graph, node->output),
               ops[node->op]);
        for (uint32_t i = 0; i < node->input_count; i++)
            printf("%sv%u", i ? ", " : "", node->inputs[i]);
        if (node->op == R2_OP_SLICE) printf(" from %u", node->first);
        if (node->op == R2_OP_CONV || node->op == R2_OP_DECONV)
            printf(" k%u s%u p%u d%u g%u%s", node->conv.kernel, node->conv.stride, node->conv.pad,
                   node->conv.dilation, node->conv.groups, node->norm[0] ? " norm" : " bias");
        if (node->op == R2_OP_POOL)
            printf(" kind%d k%u s%u p%u+%u%s", (int)node->pool.kind, node->pool.kernel,
                   node->pool.stride, node->pool.pad, node->pool.pad_end,
                   node->pool.ceil ? " ceil" : "");
        if (node->op == R2_OP_RESIZE)
            printf(" like v%u sampling%d", node->like, (int)node->sampling);
        printf("%s)\n", node->relu || node->conv.relu || node->linear.relu ? " relu" : "");
    }
    for (size_t i = 0; i < graph->output_count; i++)
        printf("output v%u\n", graph->outputs[i].value);
}
