#include "backbone/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backbone/onednn.h"
#include "base/memory.h"

/* --- the engine: one CPU, stateless, for the life of the process --- */

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t cpu_engine;

static void engine_start(void)
{
    if (dnnl_engine_create(&cpu_engine, dnnl_cpu, 0) != dnnl_success) cpu_engine = NULL;
    dnnl_set_primitive_cache_capacity(0); /* plans are our cache */
}

/* NULL when there is none: every creation call of oneDNN then refuses it. */
static dnnl_engine_t engine_get(void)
{
    pthread_once(&engine_once, engine_start);
    return cpu_engine;
}

static enum r2_status check(dnnl_status_t status, const char *what, struct r2_error *err)
{
    if (status == dnnl_success) return R2_OK;
    return r2_fail(err, status == dnnl_out_of_memory ? R2_NO_MEMORY : R2_INTERNAL,
                   "oneDNN: %s failed with status %d", what, (int)status);
}

static char version_text[32];
static pthread_once_t version_once = PTHREAD_ONCE_INIT;

static void version_write(void)
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(version_text, sizeof version_text, "%d.%d.%d", version->major, version->minor,
             version->patch);
}

const char *r2_engine_version(void)
{
    pthread_once(&version_once, version_write);
    return version_text;
}

const char *r2_engine_isa(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_sse41, "sse41"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    };
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < R2_COUNT(names); i++)
        if (names[i].isa == isa) return names[i].name;
    return "other";
}

/* --- primitives --- */

enum { SRC, WEIGHTS, BIAS, DST, SCRATCHPAD, OPERANDS };

struct r2_weights_format {
    md_handle md;
};

struct r2_primitive {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    md_handle plain; /* of the weights as they stand in a file, or as merge_groups makes them */
    struct r2_weights_format weights;
    uint32_t merged; /* groups that are computed as one; 0 is 1 */
    uint32_t out, groups;
    size_t row; /* weights of an output channel */
};

static md_view pd_md(const struct r2_primitive *primitive, int operand)
{
    static const dnnl_query_t queries[OPERANDS] = {
        [SRC] = dnnl_query_src_md,
        [WEIGHTS] = dnnl_query_weights_md,
        [BIAS] = dnnl_query_weights_md,
        [DST] = dnnl_query_dst_md,
        [SCRATCHPAD] = dnnl_query_scratchpad_md,
    };
    return dnnl_primitive_desc_query_md(primitive->pd, queries[operand], operand == BIAS);
}

void r2_primitive_destroy(struct r2_primitive *primitive)
{
    if (!primitive) return;
    if (primitive->primitive) dnnl_primitive_destroy(primitive->primitive);
    if (primitive->pd) dnnl_primitive_desc_destroy(primitive->pd);
    md_free(primitive->plain);
    md_free(primitive->weights.md);
    free(primitive);
}

/* What follows an operation, in this order. */
struct follow {
    bool sum, relu, sigmoid;
};

/* Scratchpads are the caller's. */
static dnnl_status_t make_attr(struct follow follow, dnnl_primitive_attr_t *ret)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && follow.sum) status = append_sum(ops);
    if (status == dnnl_success && follow.relu) status = append_eltwise(ops, dnnl_eltwise_relu);
    if (status == dnnl_success && follow.sigmoid)
        status = append_eltwise(ops, dnnl_eltwise_logistic);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    if (status == dnnl_success)
        *ret = attr;
    else if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

/* The common end of creation: takes `status` of the descriptor's creation and finishes or frees. */
static enum r2_status finish_primitive(struct r2_primitive *primitive, dnnl_status_t status,
                                       const char *what, struct r2_primitive **ret,
                                       struct r2_error *err)
{
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive->primitive, primitive->pd);
    if (status == dnnl_success)
        status = md_clone(&primitive->weights.md, pd_md(primitive, WEIGHTS));
    if (check(status, what, err) != R2_OK) {
        r2_primitive_destroy(primitive);
        return err->status;
    }
    *ret = primitive;
    return R2_OK;
}

static dnnl_dim_t end_pad(uint32_t src, uint32_t dst, const struct r2_conv *conv)
{
    dnnl_dim_t reach = (dnnl_dim_t)(conv->kernel - 1) * conv->dilation + 1;
    return (dnnl_dim_t)(dst - 1) * conv->stride + reach - src - conv->pad;
}

/* With `merged` groups as one: what an output channel did not read gets zeros. */
static enum r2_status conv_create(const struct r2_conv_shape *shape, uint32_t merged,
                                  struct r2_primitive **ret, struct r2_error *err)
{
    const struct r2_conv *conv = &shape->conv;
    const dnnl_dim_t in = shape->in, out = conv->out, k = conv->kernel;
    const dnnl_dim_t groups = conv->groups / merged;
    const bool grouped = groups > 1;
    const dnnl_dims_t bias = {out};
    const dnnl_dims_t src = {shape->batch, in, shape->src.height, shape->src.width};
    const dnnl_dims_t dst = {shape->batch, out, shape->dst.height, shape->dst.width};
    const dnnl_dims_t dense = {out, in, k, k};
    const dnnl_dims_t group = {groups, out / groups, in / groups, k, k};
    const dnnl_dims_t stride = {conv->stride, conv->stride};
    const dnnl_dims_t dilate = {conv->dilation - 1, conv->dilation - 1};
    const dnnl_dims_t pad = {conv->pad, conv->pad};
    const dnnl_dims_t pad_end = {end_pad(shape->src.height, shape->dst.height, conv),
                                 end_pad(shape->src.width, shape->dst.width, conv)};
    const dnnl_dim_t *weights = grouped ? group : dense;
    const int rank = grouped ? 5 : 4;
    dnnl_engine_t engine = engine_get();
    dnnl_primitive_attr_t attr = NULL;
    md_handle md[4] = {NULL};
    struct r2_primitive *primitive;

    R2_TRY(r2_alloc(1, sizeof *primitive, "convolution", &primitive, err));
    primitive->merged = merged;
    primitive->out = conv->out;
    primitive->groups = conv->groups;
    primitive->row = (size_t)shape->in / conv->groups * conv->kernel * conv->kernel;
    dnnl_status_t status = make_attr((struct follow){shape->sum, conv->relu, conv->sigmoid}, &attr);
    if (status == dnnl_success) status = md_create(&md[0], 4, src, dnnl_nhwc);
    if (status == dnnl_success) status = md_create(&md[1], rank, weights, dnnl_format_tag_any);
    if (status == dnnl_success) status = md_create(&md[2], 1, bias, dnnl_x);
    if (status == dnnl_success) status = md_create(&md[3], 4, dst, dnnl_nhwc);
    if (status == dnnl_success)
        status = md_create(&primitive->plain, rank, weights, grouped ? dnnl_goihw : dnnl_oihw);
    if (status == dnnl_success)
        status = conv_pd(&primitive->pd, engine, md, stride, dilate, pad, pad_end, attr);
    for (size_t i = 0; i < 4; i++) md_free(md[i]);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return finish_primitive(primitive, status, "creating a convolution", ret, err);
}

static bool is_gemm(const struct r2_primitive *primitive)
{
    return strstr(r2_primitive_implementation(primitive), "gemm") != NULL;
}

/* Groups narrower than a vector go through GEMM, one after the other: some of them together, most of
   whose products are with zeros, are several times faster (AVX2, 8 groups of 4 channels). */
enum r2_status r2_primitive_conv(const struct r2_conv_shape *shape, struct r2_primitive **ret,
                                 struct r2_error *err)
{
    const uint32_t groups = shape->conv.groups;
    struct r2_primitive *best;
    R2_TRY(conv_create(shape, 1, &best, err));
    for (uint32_t merged = 2; is_gemm(best) && merged < groups && groups % merged == 0;
         merged *= 2) {
        struct r2_primitive *wide;
        if (conv_create(shape, merged, &wide, err) != R2_OK) {
            r2_primitive_destroy(best);
            return err->status;
        }
        struct r2_primitive *worse = wide;
        if (!is_gemm(wide)) {
            worse = best;
            best = wide;
        }
        r2_primitive_destroy(worse);
    }
    *ret = best;
    return R2_OK;
}

enum r2_status r2_primitive_winograd(const struct r2_conv_shape *shape, struct r2_primitive **ret,
                                     struct r2_error *err)
{
    const struct r2_conv *conv = &shape->conv;
    const dnnl_dims_t src = {1, shape->in, shape->src.height, shape->src.width};
    const dnnl_dims_t dst = {1, conv->out, shape->dst.height, shape->dst.width};
    const dnnl_dims_t weights = {conv->out, shape->in, 3, 3}, bias = {conv->out}, ones = {1, 1};
    dnnl_primitive_attr_t attr = NULL;
    md_handle md[4] = {NULL};
    struct r2_primitive *primitive;

    R2_TRY(r2_alloc(1, sizeof *primitive, "convolution", &primitive, err));
    dnnl_status_t status = make_attr((struct follow){.relu = conv->relu}, &attr);
    if (status == dnnl_success) status = md_create(&md[0], 4, src, dnnl_nChw16c);
    if (status == dnnl_success) status = md_create(&md[1], 4, weights, dnnl_format_tag_any);
    if (status == dnnl_success) status = md_create(&md[2], 1, bias, dnnl_x);
    if (status == dnnl_success) status = md_create(&md[3], 4, dst, dnnl_nChw16c);
    if (status == dnnl_success) status = md_create(&primitive->plain, 4, weights, dnnl_oihw);
    if (status == dnnl_success) status = winograd_pd(&primitive->pd, engine_get(), md, ones, attr);
    for (size_t i = 0; i < 4; i++) md_free(md[i]);
    if (attr) dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success || status == dnnl_out_of_memory)
        return finish_primitive(primitive, status, "creating a Winograd convolution", ret, err);
    r2_primitive_destroy(primitive);
    *ret = NULL;
    return R2_OK;
}

/* Flat rows on both sides: oneDNN has its fast implementation for those, not for maps. */
enum r2_status r2_primitive_linear(const struct r2_linear_shape *shape, struct r2_primitive **ret,
                                   struct r2_error *err)
{
    const struct r2_linear *linear = &shape->linear;
    const dnnl_dim_t batch = shape->batch, out = linear->out;
    const dnnl_dim_t in = (dnnl_dim_t)shape->in * linear->window.height * linear->window.width;
    const dnnl_dims_t src = {batch, in}, dst = {batch, out}, weights = {out, in}, bias = {out};
    dnnl_engine_t engine = engine_get();
    dnnl_primitive_attr_t attr = NULL;
    md_handle md[4] = {NULL};
    struct r2_primitive *primitive;

    R2_TRY(r2_alloc(1, sizeof *primitive, "linear layer", &primitive, err));
    dnnl_status_t status = make_attr((struct follow){.relu = linear->relu}, &attr);
    if (status == dnnl_success) status = md_create(&md[0], 2, src, dnnl_nc);
    if (status == dnnl_success) status = md_create(&md[1], 2, weights, dnnl_format_tag_any);
    if (status == dnnl_success) status = md_create(&md[2], 1, bias, dnnl_x);
    if (status == dnnl_success) status = md_create(&md[3], 2, dst, dnnl_nc);
    if (status == dnnl_success) status = md_create(&primitive->plain, 2, weights, dnnl_oi);
    if (status == dnnl_success) status = linear_pd(&primitive->pd, engine, md, attr);
    for (size_t i = 0; i < 4; i++) md_free(md[i]);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return finish_primitive(primitive, status, "creating a linear layer", ret, err);
}

const char *r2_primitive_implementation(const struct r2_primitive *primitive)
{
    const char *name = NULL;
    dnnl_status_t status =
        dnnl_primitive_desc_query(primitive->pd, dnnl_query_impl_info_str, 0, (void *)&name);
    return status == dnnl_success && name ? name : "unknown";
}

size_t r2_primitive_scratchpad(const struct r2_primitive *primitive)
{
    return dnnl_memory_desc_get_size(pd_md(primitive, SCRATCHPAD));
}

const struct r2_weights_format *r2_primitive_weights(const struct r2_primitive *primitive)
{
    return &primitive->weights;
}

size_t r2_weights_format_size(const struct r2_weights_format *format)
{
    return dnnl_memory_desc_get_size(format->md);
}

bool r2_weights_format_equal(const struct r2_weights_format *a, const struct r2_weights_format *b)
{
    return dnnl_memory_desc_equal(a->md, b->md) != 0;
}

enum r2_status r2_weights_format_clone(const struct r2_weights_format *format,
                                       struct r2_weights_format **ret, struct r2_error *err)
{
    struct r2_weights_format *copy;
    R2_TRY(r2_alloc(1, sizeof *copy, "weights format", &copy, err));
    if (md_clone(&copy->md, format->md) != dnnl_success) {
        free(copy);
        return r2_fail(err, R2_NO_MEMORY, "no memory for a weights format");
    }
    *ret = copy;
    return R2_OK;
}

void r2_weights_format_destroy(struct r2_weights_format *format)
{
    if (!format) return;
    md_free(format->md);
    free(format);
}

/* --- calls --- */

struct r2_call {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    int count;
    dnnl_exec_arg_t args[OPERANDS];
};

void r2_call_destroy(struct r2_call *call)
{
    if (!call) return;
    for (int i = 0; i < call->count; i++) dnnl_memory_destroy(call->args[i].memory);
    if (call->stream) dnnl_stream_destroy(call->stream);
    free(call);
}

static enum r2_status call_bind(struct r2_call *call, int arg, md_view md, void *data,
                                struct r2_error *err)
{
    dnnl_engine_t engine = engine_get();
    dnnl_memory_t memory;
    R2_TRY(check(dnnl_memory_create(&memory, md, engine, data), "creating a memory object", err));
    call->args[call->count++] = (dnnl_exec_arg_t){arg, memory};
    return R2_OK;
}

static enum r2_status call_open(dnnl_primitive_t primitive, struct r2_call **ret,
                                struct r2_error *err)
{
    dnnl_engine_t engine = engine_get();
    struct r2_call *call;
    R2_TRY(r2_alloc(1, sizeof *call, "primitive call", &call, err));
    call->primitive = primitive;
    *ret = call;
    return check(dnnl_stream_create(&call->stream, engine, dnnl_stream_default_flags),
                 "creating a stream", err);
}

enum r2_status r2_call_create(const struct r2_primitive *primitive,
                              const struct r2_operands *operands, struct r2_call **ret,
                              struct r2_error *err)
{
    static const int args[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
                                       DNNL_ARG_SCRATCHPAD};
    void *const data[OPERANDS] = {operands->src, operands->weights, operands->bias, operands->dst,
                                  operands->scratchpad};
    struct r2_call *call = NULL;
    enum r2_status status = call_open(primitive->primitive, &call, err);
    for (int i = 0; status == R2_OK && i < OPERANDS; i++) {
        if (i == SCRATCHPAD && !r2_primitive_scratchpad(primitive)) continue;
        status = call_bind(call, args[i], pd_md(primitive, i), data[i], err);
    }
    if (status != R2_OK)
        r2_call_destroy(call);
    else
        *ret = call;
    return status;
}

enum r2_status r2_call_run(const struct r2_call *call, struct r2_error *err)
{
    R2_TRY(check(dnnl_primitive_execute(call->primitive, call->stream, call->count, call->args),
                 "running a primitive", err));
    return check(dnnl_stream_wait(call->stream), "waiting for a primitive", err);
}

/* Weights [out, in / groups, k, k] as [out, merged * in / groups, k, k]; the caller frees *ret. */
static enum r2_status merge_groups(const struct r2_primitive *primitive, const float *plain,
                                   float **ret, struct r2_error *err)
{
    const size_t row = primitive->row, wide = primitive->merged * row;
    R2_TRY(r2_alloc(primitive->out * wide, sizeof **ret, "weights of merged groups", ret, err));
    for (uint32_t i = 0; i < primitive->out; i++) {
        const uint32_t group = i / (primitive->out / primitive->groups);
        memcpy(*ret + i * wide + group % primitive->merged * row, plain + i * row,
               row * sizeof **ret);
    }
    return R2_OK;
}

static enum r2_status reorder_weights(const struct r2_primitive *primitive, const float *plain,
                                      void *packed, struct r2_error *err)
{
    dnnl_engine_t engine = engine_get();
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    struct r2_call *call = NULL;
    dnnl_status_t created = dnnl_reorder_primitive_desc_create(&pd, primitive->plain, engine,
                                                               primitive->weights.md, engine, NULL);
    if (created == dnnl_success) created = dnnl_primitive_create(&reorder, pd);
    enum r2_status status = check(created, "creating a reorder of weights", err);
    if (status == R2_OK) status = call_open(reorder, &call, err);
    if (status == R2_OK)
        status = call_bind(call, DNNL_ARG_FROM, primitive->plain, (void *)(uintptr_t)plain, err);
    if (status == R2_OK) status = call_bind(call, DNNL_ARG_TO, primitive->weights.md, packed, err);
    if (status == R2_OK) status = r2_call_run(call, err);
    r2_call_destroy(call);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return status;
}

enum r2_status r2_primitive_pack(const struct r2_primitive *primitive, const float *plain,
                                 void *packed, struct r2_error *err)
{
    if (primitive->merged < 2) return reorder_weights(primitive, plain, packed, err);
    float *merged;
    R2_TRY(merge_groups(primitive, plain, &merged, err));
    const enum r2_status status = reorder_weights(primitive, merged, packed, err);
    free(merged);
    return status;
}
