/*
 * The weights of one part of a model: one or more safetensors files (shards), looked up by name
 * with the expected shape, under the names that published checkpoints use.
 */
#ifndef R2_BACKBONE_WEIGHTS_H
#define R2_BACKBONE_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "backbone/family.h"
#include "backbone/safetensors.h"
#include "base/error.h"

enum { R2_WEIGHTS_MAX_FILES = 64, R2_NAME_SIZE = 256 };

/* Borrows its files, so that trunk and heads can read one file. */
struct r2_weights {
    struct r2_safetensors *files[R2_WEIGHTS_MAX_FILES];
    size_t count;
};

/* R2_INVALID when a tensor of `file` already stands in another shard, or there are too many. */
enum r2_status r2_weights_add(struct r2_weights *weights, struct r2_safetensors *file,
                              struct r2_error *err);

/* NULL when there is none. */
struct r2_tensor_entry *r2_weights_find(const struct r2_weights *weights, const char *name);

/* Fails with R2_NOT_FOUND: the tensor is missing; lists the nearest names. */
enum r2_status r2_weights_missing(const struct r2_weights *weights, const char *name,
                                  struct r2_error *err);

/* The tensor of this name and shape, in a type that r2_tensor_read reads; marks it as taken.
   R2_NOT_FOUND lists the nearest names, R2_INVALID both shapes. */
enum r2_status r2_weights_take(const struct r2_weights *weights, const char *name, unsigned rank,
                               const uint64_t *dims, const struct r2_tensor_entry **ret,
                               struct r2_error *err);

/*
 * How a checkpoint names what the official code calls "layer1.0.conv1", "conv1.0", "bn1", "fc".
 *
 * Understood: the families of family.h under any prefix that all of the trunk shares: none (official
 * code, timm), "backbone." (mmpretrain, mmdetection), "encoder.model." (segmentation_models.pytorch),
 * "backbone.body." (maskrcnn-benchmark), "backbone.bottom_up." (detectron2), "base.resnet." (PoolNet), "module."; the
 * classifier as "fc." or "head.fc.".
 */
struct r2_naming {
    char prefix[R2_NAME_SIZE / 2];     /* of the trunk: "" or "backbone." ... */
    char classifier[R2_NAME_SIZE / 2]; /* "fc" or "head.fc" ... */
    enum r2_family family;
    char anchor[R2_NAME_SIZE]; /* the tensor that told which */
};

/* R2_NOT_FOUND when no tensor's name ends in the anchor of a family, R2_INVALID when two trunks have
   one, or the names are of two code bases. */
enum r2_status r2_naming_detect(const struct r2_weights *weights, struct r2_naming *ret,
                                struct r2_error *err);

/* Finds what the classifier is called in these weights ("fc" when none is there). */
void r2_naming_find_classifier(const struct r2_weights *weights, struct r2_naming *naming);

/* The file's name of the official tensor name; ret holds R2_NAME_SIZE bytes. Tensors of other heads
   than the classifier ("neck.fpn_convs.0.conv.weight") stand beside "backbone.", "encoder." or
   "base.resnet.", under what is in front of it. */
enum r2_status r2_naming_apply(const struct r2_naming *naming, const char *official, char *ret,
                               struct r2_error *err);

/* True for a tensor of the classifier under any of its names. */
bool r2_naming_is_classifier(const struct r2_naming *naming, const char *name);

/* Opens what a model needs and closes it: files are opened once however many parts read them. */
struct r2_weight_files {
    struct r2_safetensors *files[R2_WEIGHTS_MAX_FILES];
    size_t count;
};

/* Adds the file at `path`, opened now or earlier, to `weights`. */
enum r2_status r2_weight_files_open(struct r2_weight_files *files, const char *path,
                                    struct r2_weights *weights, struct r2_error *err);
void r2_weight_files_close(struct r2_weight_files *files);

/* R2_INVALID naming the tensors that nobody took, save num_batches_tracked, auxiliary heads, the
   projections of DLA that no output depends on, and the classifier of a file from which no classifier
   is read. namings [count]: of the trunks. */
enum r2_status r2_weight_files_check_taken(const struct r2_weight_files *files,
                                           const struct r2_naming *const *namings, size_t count,
                                           struct r2_error *err);

#endif
