/*
 * oneDNN primitives behind a small interface: the only place that knows oneDNN, and so the only
 * place that knows how its generations 2.x (Debian 12) and 3.x (Debian 13) differ.
 *
 * Feature maps are f32, channels-last: [batch, height, width, channels], dense. Primitives are
 * immutable and shared between threads (scratchpads belong to the caller); a call binds one to
 * memory and belongs to one thread. A primitive is made for the number of threads that
 * r2_threads_use set before, and must run with the same.
 */
#ifndef R2_BACKBONE_ENGINE_H
#define R2_BACKBONE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backbone/graph.h"
#include "base/error.h"

struct r2_primitive;
struct r2_weights_format;
struct r2_call;

/* The library's version ("2.6.3") and the instruction set that it uses ("avx512_core_bf16");
 * static. */
const char *r2_engine_version(void);
const char *r2_engine_isa(void);

struct r2_conv_shape {
    struct r2_conv conv; /* names unused */
    uint32_t batch;
    uint32_t in; /* channels */
    struct r2_extent src, dst;
    bool sum; /* adds to what dst holds before the ReLU */
};

/* A 3x3 convolution of stride 1 by Winograd's algorithm, F(4x4, 3x3), where this oneDNN and
   processor have it: about twice as fast, for one picture in blocks of 16 channels, [channels / 16,
   height, width, 16], padded with zeros. *ret is NULL when it cannot be had. Source: Lavin and
   Gray, "Fast Algorithms for Convolutional Neural Networks", 2016. */
enum r2_status r2_primitive_winograd(const struct r2_conv_shape *shape, struct r2_primitive **ret,
                                     struct r2_error *err);

enum r2_status r2_primitive_conv(const struct r2_conv_shape *shape, struct r2_primitive **ret,
                                 struct r2_error *err);

struct r2_linear_shape {
    struct r2_linear linear; /* name unused */
    uint32_t batch;
    uint32_t in; /* channels */
};

/* src [batch, window, in] to dst [batch, out]; the rows of weights are [window, in] too. */
enum r2_status r2_primitive_linear(const struct r2_linear_shape *shape, struct r2_primitive **ret,
                                   struct r2_error *err);
void r2_primitive_destroy(struct r2_primitive *primitive);

/* oneDNN's name of the implementation ("brgconv:avx512_core"); "ref" in it means a slow fallback.
 */
const char *r2_primitive_implementation(const struct r2_primitive *primitive);
size_t r2_primitive_scratchpad(const struct r2_primitive *primitive); /* bytes */

/* The packed form of its weights; borrowed. */
const struct r2_weights_format *r2_primitive_weights(const struct r2_primitive *primitive);
size_t r2_weights_format_size(const struct r2_weights_format *format); /* bytes */
bool r2_weights_format_equal(const struct r2_weights_format *a, const struct r2_weights_format *b);
enum r2_status r2_weights_format_clone(const struct r2_weights_format *format,
                                       struct r2_weights_format **ret, struct r2_error *err);
void r2_weights_format_destroy(struct r2_weights_format *format);

/* Reorders plain weights, [out, in / groups, k, k] or [out, window, in], into `packed`. */
enum r2_status r2_primitive_pack(const struct r2_primitive *primitive, const float *plain,
                                 void *packed, struct r2_error *err);

struct r2_operands {
    void *src, *dst;
    void *weights;    /* packed; only read */
    void *bias;       /* [out]; only read */
    void *scratchpad; /* NULL when r2_primitive_scratchpad is 0 */
};

/* The operands and the primitive must outlive the call. */
enum r2_status r2_call_create(const struct r2_primitive *primitive,
                              const struct r2_operands *operands, struct r2_call **ret,
                              struct r2_error *err);
void r2_call_destroy(struct r2_call *call);

/* Computes, on the calling thread and its OpenMP team; returns when done. */
enum r2_status r2_call_run(const struct r2_call *call, struct r2_error *err);

#endif
