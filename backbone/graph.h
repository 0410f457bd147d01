/*
 * A network as a list of calls on value ids: what is computed, not how.
 *
 * A value is a feature map [channels, height, width] of one picture; ids are given in order of
 * creation and 0 is no value. Names are those of the tensors in the weights ("layer1.0.conv1");
 * layers may share theirs. Layouts, fusion, batches and memory are the plan's business; the graph
 * says only conv, deconv, pool, resize, split, concat, add, gate, linear.
 *
 * A call that cannot be carried out (no memory, values that do not fit) returns value 0, calls on
 * value 0 return 0, and r2_graph_check tells the first error, so that a network is written without
 * a check a line.
 */
#ifndef R2_BACKBONE_GRAPH_H
#define R2_BACKBONE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef uint32_t r2_value;

enum { R2_GRAPH_MAX_INPUTS = 16, R2_GRAPH_NAME_SIZE = 96 };

enum r2_op {
    R2_OP_INPUT,
    R2_OP_CONV,
    R2_OP_POOL,
    R2_OP_GLOBAL_POOL, /* mean over all positions: [channels, 1, 1] */
    R2_OP_RESIZE,
    R2_OP_SLICE,
    R2_OP_CONCAT,
    R2_OP_ADD,
    R2_OP_LINEAR,
    R2_OP_DECONV,
    R2_OP_GATE
};

/* 2-D convolution with a square kernel. Weight tensor: name.weight [out, in / groups, k, k].
   With `norm`, the batch normalisation norm.{weight,bias,running_mean,running_var} follows it and
   the convolution has no bias of its own; without, name.bias [out] unless it is `plain`. */
struct r2_conv {
    const char *name, *norm;
    uint32_t out;
    uint32_t kernel, stride, pad;
    uint32_t dilation; /* 1 = dense; 0 is read as 1 */
    uint32_t groups;   /* 0 is read as 1 */
    bool relu;
    bool sigmoid; /* 1 / (1 + exp(-x)) at the end */
    bool plain; /* without norm: neither has it a bias */
};

/* A transposed 2-D convolution with a square kernel: each cell adds its kernel to the result, stride
   cells apart, of which pad are cut off at each border. Weight tensor: name.weight [in, out, k, k];
   norm and bias as of a convolution. */
struct r2_deconv {
    const char *name, *norm;
    uint32_t out;
    uint32_t kernel, stride, pad;
    bool relu;
};

enum r2_pool_kind {
    R2_POOL_MAX,
    R2_POOL_AVG,         /* padding counts: always divided by kernel^2 */
    R2_POOL_AVG_EXCLUDE, /* divided by the number of cells inside the picture */
    R2_POOL_AVG_ADAPTIVE /* to kernel x kernel cells whatever the size, as PyTorch's
                            AdaptiveAvgPool2d: cell i of n is the mean of cells floor(i * in / n) to
                            ceil((i + 1) * in / n); stride 1, no padding */
};

struct r2_pool {
    enum r2_pool_kind kind;
    uint32_t kernel, stride, pad;
    uint32_t
        pad_end; /* more padding below and on the right: 1 keeps the size at kernel 2, stride 1 */
    bool ceil;   /* output size rounded up, as PyTorch's ceil_mode does it */
};

/* Height and width of a value for one input size. */
struct r2_extent {
    uint32_t height, width;
};

/* Which cells of the source make one of the result; as torch.nn.functional.interpolate does it. */
enum r2_sampling {
    R2_SAMPLE_NEAREST,         /* cell floor(i * in / out) */
    R2_SAMPLE_BILINEAR,        /* between cell centres; align_corners False */
    R2_SAMPLE_BILINEAR_CORNERS /* the corner cells stay where they are; align_corners True */
};

/* A fully connected layer over all cells of a map. Weight tensor: name.weight [out, in * height *
   width], each row flattened as [channels, height, width]; name.bias [out]. */
struct r2_linear {
    const char *name;
    uint32_t out;
    struct r2_extent window; /* cells that the map must have; 0 x 0 is read as 1 x 1 */
    bool relu;
};

static inline bool r2_op_has_weights(enum r2_op op)
{
    return op == R2_OP_CONV || op == R2_OP_DECONV || op == R2_OP_LINEAR;
}

struct r2_node {
    enum r2_op op;
    uint32_t part; /* 0 = trunk, 1 + i = the nodes of head i; for timing */
    r2_value output;
    uint32_t input_count;
    r2_value inputs[R2_GRAPH_MAX_INPUTS];
    char name[R2_GRAPH_NAME_SIZE], norm[R2_GRAPH_NAME_SIZE]; /* "" = none */
    struct r2_conv conv; /* DECONV too; names are in name, norm */
    struct r2_pool pool;
    struct r2_linear linear;   /* likewise */
    enum r2_sampling sampling; /* RESIZE */
    r2_value like;             /* RESIZE: whose height and width; not read */
    uint32_t first;            /* SLICE: first channel */
    bool relu;                 /* ADD, GATE */
};

struct r2_output {
    r2_value value;
    char name[R2_GRAPH_NAME_SIZE];
};

struct r2_graph {
    struct r2_node *nodes;
    size_t node_count, node_capacity;
    uint32_t *channels; /* of value id */
    size_t value_count, value_capacity;
    struct r2_output *outputs;
    size_t output_count, output_capacity;
    uint32_t part;
    bool traced;           /* what r2_graph_trace names is readable, too */
    struct r2_error error; /* the first one */
};

void r2_graph_init(struct r2_graph *graph);
void r2_graph_finish(struct r2_graph *graph);

/* Nodes added from now on belong to this part. */
void r2_graph_set_part(struct r2_graph *graph, uint32_t part);

/* The one input of the network, created first. */
r2_value r2_graph_input(struct r2_graph *graph, uint32_t channels);
r2_value r2_graph_conv(struct r2_graph *graph, r2_value x, const struct r2_conv *conv);
r2_value r2_graph_deconv(struct r2_graph *graph, r2_value x, const struct r2_deconv *deconv);
r2_value r2_graph_pool(struct r2_graph *graph, r2_value x, const struct r2_pool *pool);
r2_value r2_graph_global_pool(struct r2_graph *graph, r2_value x);

/* Channels [first, first + count) of x. */
r2_value r2_graph_slice(struct r2_graph *graph, r2_value x, uint32_t first, uint32_t count);
r2_value r2_graph_concat(struct r2_graph *graph, const r2_value *values, uint32_t count);

/* a + b, then max(0, .) with relu. */
r2_value r2_graph_add(struct r2_graph *graph, r2_value a, r2_value b, bool relu);

/* x * gate + b, then max(0, .) with relu; gate is [channels, 1, 1]. */
r2_value r2_graph_gate(struct r2_graph *graph, r2_value x, r2_value gate, r2_value b, bool relu);

/* x in the height and width of `like`, whose cells do not matter. */
r2_value r2_graph_resize(struct r2_graph *graph, r2_value x, r2_value like,
                         enum r2_sampling sampling);

/* weight * x + bias, then max(0, .) with relu: [out, 1, 1]. */
r2_value r2_graph_linear(struct r2_graph *graph, r2_value x, const struct r2_linear *linear);

/* Makes a value readable after a run, under this name. */
void r2_graph_output(struct r2_graph *graph, r2_value value, const char *name);

/* The same in a graph that is traced, and nothing in another: names what one may want to look at. A
   name that is an output already stays that. */
void r2_graph_trace(struct r2_graph *graph, r2_value value, const char *name);

/* Index of a named output, or -1. */
int r2_graph_find_output(const struct r2_graph *graph, const char *name);

uint32_t r2_graph_channels(const struct r2_graph *graph, r2_value value);

/* The first error, or R2_OK. */
enum r2_status r2_graph_check(const struct r2_graph *graph, struct r2_error *err);

/* Fills ret[id] for every value (value_count of them). R2_INVALID where the picture is too small
   for a layer, or a value is larger than 2^31 elements. */
enum r2_status r2_graph_extents(const struct r2_graph *graph, struct r2_extent input,
                                struct r2_extent *ret, struct r2_error *err);

/* Multiply-accumulates of one node (convolutions and linear; 0 for others). */
uint64_t r2_graph_macs(const struct r2_graph *graph, const struct r2_node *node,
                       const struct r2_extent *extents);

/* Its parameters as papers count them: weights, biases, and two a channel of a batch norm. */
uint64_t r2_graph_parameters(const struct r2_graph *graph, const struct r2_node *node);

#endif
