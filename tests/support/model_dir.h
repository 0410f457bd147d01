/*
 * Model directories for tests: model.json, labels, and test weights of a Res2Net with a classifier.
 */
#ifndef R2_TESTS_MODEL_DIR_H
#define R2_TESTS_MODEL_DIR_H

#include "backbone/res2net.h"
#include "tests/support/test_weights.h"

/* What the small `custom` arch of these tests is; as C, and as keys of `backbone`. */
extern const struct r2_arch model_dir_arch;
#define MODEL_DIR_ARCH                                                                             \
    "\"arch\": \"custom\", \"layers\": [1, 1, 1, 1], \"planes\": [16, 16, 16, 16],"                \
    " \"base_width\": 64, \"scale\": 2, \"stem_channels\": 16"

/* Makes a new empty directory under /tmp; `ret` holds R2_MODEL_DIR_SIZE bytes. */
enum { R2_MODEL_DIR_SIZE = 64 };
enum r2_status model_dir_create(char *ret, struct r2_error *err);

/* Removes the directory and the files in it; not folders. */
void model_dir_remove(const char *dir);

enum r2_status model_dir_write(const char *dir, const char *name, const char *text,
                               struct r2_error *err);

/* Labels class0, class1, ... */
enum r2_status model_dir_labels(const char *dir, const char *name, uint32_t count,
                                struct r2_error *err);

struct model_dir_weights {
    const struct r2_arch *arch;
    enum r2_dialect dialect;
    uint32_t classes; /* 0: no fc */
    float scale;      /* of the classifier's weights */
    test_rename rename;
};

enum r2_status model_dir_weights(const char *dir, const char *name,
                                 const struct model_dir_weights *what, struct r2_error *err);

/* Fills an initialised graph: the trunk, "pooled" and, with classes, "logits" as outputs. */
void model_dir_graph(struct r2_graph *graph, const struct model_dir_weights *what);

/* The scale at which the logits of a fixed synthetic picture of this size have a standard deviation
 * of 2. */
enum r2_status model_dir_scale(const struct model_dir_weights *what, struct r2_extent picture,
                               float *ret, struct r2_error *err);

#endif
