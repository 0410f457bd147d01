/*
 * A golden file: what PyTorch computed, and in the metadata what it computed that from.
 */
#ifndef R2_TESTS_GOLDEN_FILE_H
#define R2_TESTS_GOLDEN_FILE_H

#include <jansson.h>

#include "backbone/safetensors.h"
#include "backbone/session.h"

struct golden_file {
    struct r2_safetensors tensors;
    json_t *metadata;
};

/* tests/golden/NAME. What is missing in a golden file fails the test. */
struct golden_file golden_file_open(const char *name);
void golden_file_close(struct golden_file *file);

const char *golden_file_meta(const struct golden_file *file, const char *key);

/* F32 data of a tensor; its number of elements to ret_count. */
const float *golden_file_data(const struct golden_file *file, const char *name, size_t *ret_count);

/* max|a - b| / max|b| over what the golden keeps of the map `name`: fixed positions of its values,
   and sums of its channels. */
double golden_file_map_error(const struct golden_file *file, const char *name,
                             const struct r2_output_view *view);

#endif
