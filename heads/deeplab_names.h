/*
 * What libraries call the layers of a DeepLab, and what they compute with them.
 *
 * One table: a row is a form that a library has. Its name patterns are filled with the number of a
 * layer; its presets are what the keys of model.json default to.
 */
#ifndef R2_HEADS_DEEPLAB_NAMES_H
#define R2_HEADS_DEEPLAB_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "backbone/graph.h"
#include "backbone/weights.h"

/* Names of a convolution and of the batch norm, with ReLU, behind it; '#' stands for a number. Without
   norm (NULL) there is neither bias nor ReLU, and what has no names at all the form does not have. */
struct r2_layer_names {
    const char *conv, *norm;
};

/* A 3x3 convolution: in one step, or as a depthwise and a 1x1 one. */
struct r2_step_names {
    struct r2_layer_names whole, depthwise, pointwise;
};

struct r2_preset {
    const char *key, *value; /* of model.json, as text */
};

enum { R2_DEEPLAB_PRESETS = 10 };

struct r2_deeplab_form {
    const char *name;            /* for messages */
    const char *sign;            /* a tensor that tells it from the others */
    struct r2_step_names branch; /* one of the parallel convolutions; # counts them */
    struct r2_layer_names pool;  /* of the picture's mean; # is the number of branches */
    struct r2_layer_names fuse;
    struct r2_step_names refine; /* a 3x3 one behind that, before detail comes in */
    struct r2_layer_names low;
    struct r2_step_names decoder; /* # counts them */
    const char *last;
    bool dilated;                                 /* is never on a trunk of output stride 32 */
    bool corners_to_input;                        /* `align_corners` ends at the network's input */
    struct r2_preset presets[R2_DEEPLAB_PRESETS]; /* the last key is NULL where there are fewer */
};

/* The form of these weights; mmsegmentation's where none is recognised. */
const struct r2_deeplab_form *r2_deeplab_form_find(const struct r2_weights *weights,
                                                   const struct r2_naming *naming);

/* Writes the pattern with its number to ret [R2_GRAPH_NAME_SIZE]. */
void r2_deeplab_name(const char *pattern, uint32_t number, char *ret);

#endif
