/*
 * A model made from what a golden's metadata say of a network: `backbone` and `head`, objects of
 * model.json, `tensors` and `scales` (named_weights.h), `size` of the input.
 */
#ifndef R2_TESTS_NETWORK_GOLDEN_H
#define R2_TESTS_NETWORK_GOLDEN_H

#include "heads/model_inside.h"
#include "tests/support/golden_file.h"
#include "tests/support/model_dir.h"

struct network_golden {
    struct golden_file file;
    const char *task, *type; /* of the model's one head */
    char dir[R2_MODEL_DIR_SIZE];
    struct r2_extent size;
};

/* Opens tests/golden/NAME and makes the model's directory with its weights. */
struct network_golden network_golden_open(const char *name, const char *task, const char *type);
void network_golden_close(struct network_golden *golden);

/* Writes the directory's model.json. `backbone` and `head` are merged over what the golden says; NULL:
   nothing. */
void network_golden_describe(const struct network_golden *golden, const char *backbone,
                             const char *head);

/* Likewise, and loads the model. NULL with the error where it is refused. */
struct r2_model *network_golden_load(const struct network_golden *golden, const char *backbone,
                                     const char *head, struct r2_error *err);

/* The load must fail with a message that has this part. */
void network_golden_refused(const struct network_golden *golden, const char *backbone,
                            const char *head, const char *part);

/* The error (golden_file_map_error) of such a model's TASK.logits for testweights.picture of the golden's
   size; `check`, not NULL, sees the logits, too. */
double network_golden_error(const struct network_golden *golden, const char *backbone,
                            const char *head,
                            void (*check)(const struct network_golden *golden,
                                          const struct r2_output_view *logits));

#endif
