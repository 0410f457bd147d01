/*
 * A model directory: model.json, and the paths in it.
 */
#ifndef R2_CONFIG_MODEL_FILE_H
#define R2_CONFIG_MODEL_FILE_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

enum { R2_MODEL_HEADS_MAX = 16 };

/* model.json as far as its frame goes: what is in `backbone` and in a head is read by the option
   tables of those who build them. */
struct r2_model_file {
    char *dir;         /* as given */
    char *name;        /* "demo" */
    char *version;     /* "1" */
    json_t *root;      /* owned; the whole file */
    json_t *backbone;  /* borrowed from root */
    size_t head_count; /* in the order of the file; 0 is a model for embeddings only */
    struct r2_model_head {
        const char *task; /* borrowed; [a-z_]+ */
        const char *type; /* borrowed */
        json_t *object;   /* owned; the head's keys without `type` */
    } heads[R2_MODEL_HEADS_MAX];
};

/* Reads DIR/model.json (at most 1 MiB); the caller finishes *ret. R2_NOT_FOUND when the directory
   or the file is missing, R2_BAD_REQUEST for broken JSON, R2_INVALID for what it says. */
enum r2_status r2_model_file_read(const char *dir, struct r2_model_file *ret, struct r2_error *err);

void r2_model_file_finish(struct r2_model_file *file);

/* DIR/relative, to be freed. R2_INVALID for an absolute path and for one with a ".." component, so
   that a model cannot name files outside its directory. */
enum r2_status r2_model_path(const char *dir, const char *relative, char **ret,
                             struct r2_error *err);

/* The names of a model's classes. */
struct r2_labels {
    size_t count;
    char **names; /* [count], owned; UTF-8 without control characters, not empty */
};

/* Reads a text file with one name a line, the first being index 0: at most 1 MiB and 65,536 names;
   CRLF, a byte order mark and a missing last newline are tolerated; the caller finishes *ret.
   R2_NOT_FOUND, R2_TOO_LARGE, R2_INVALID (names the line). */
enum r2_status r2_labels_read(const char *path, struct r2_labels *ret, struct r2_error *err);

void r2_labels_finish(struct r2_labels *labels);

#endif
