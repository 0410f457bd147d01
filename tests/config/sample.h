/*
 * A table with an option of every type.
 */
#ifndef R2_TESTS_CONFIG_SAMPLE_H
#define R2_TESTS_CONFIG_SAMPLE_H

#include "config/json.h"
#include "config/options.h"
#include "tests/base/expect.h"

enum filter { FILTER_BILINEAR, FILTER_BICUBIC, FILTER_NEAREST };

struct sample {
    int before; /* not in the table */
    bool letterbox;
    int64_t top_k, workers, cache, any_int;
    double min_score, eps;
    char *labels, *file;
    enum filter filter;
    struct r2_ints crop, planes;
    struct r2_floats mean;
    struct r2_texts weights, tags;
    json_t *input;
    int after; /* not in the table */
};

static const char *const sample_filters[] = {"bilinear", "bicubic", "nearest", NULL};

static inline enum r2_status sample_check(const char *text, struct r2_error *err)
{
    return strcmp(text, "bad.txt") == 0 ? r2_fail(err, R2_INVALID, "bad.txt is bad") : R2_OK;
}

static const struct r2_option sample_options[] = {
    {.name = "letterbox",
     R2_FIELD(BOOL, struct sample, letterbox),
     .fallback = "false",
     .help = "pad to a square"},
    {.name = "top_k",
     R2_FIELD(INT, struct sample, top_k),
     .min = 0,
     .max = 1000,
     .fallback = "5",
     .help = "classes to answer"},
    {.name = "workers",
     R2_FIELD(INT, struct sample, workers),
     .flags = R2_OPTION_AUTO,
     .min = 1,
     .max = 64,
     .fallback = "auto",
     .help = "workers"},
    {.name = "cache",
     R2_FIELD(INT, struct sample, cache),
     .flags = R2_OPTION_BYTES,
     .min = 1024,
     .max = 1073741824,
     .fallback = "1MiB",
     .help = "bytes kept"},
    {.name = "any_int", R2_FIELD(INT, struct sample, any_int), .fallback = "0", .help = "any"},
    {.name = "min_score",
     R2_FIELD(FLOAT, struct sample, min_score),
     .min = 0,
     .max = 1,
     .fallback = "0.05",
     .help = "least score"},
    {.name = "eps",
     R2_FIELD(FLOAT, struct sample, eps),
     .flags = R2_OPTION_AUTO,
     .min = 1e-9,
     .max = 1,
     .fallback = "auto",
     .help = "epsilon"},
    {.name = "labels",
     R2_FIELD(TEXT, struct sample, labels),
     .flags = R2_OPTION_OPTIONAL,
     .check = sample_check,
     .metavar = "FILE",
     .help = "labels file"},
    {.name = "file", R2_FIELD(TEXT, struct sample, file), .help = "a required text"},
    {.name = "filter",
     R2_FIELD(CHOICE, struct sample, filter),
     .choices = sample_filters,
     .fallback = "bicubic",
     .help = "filter"},
    {.name = "crop",
     R2_FIELD(INTS, struct sample, crop),
     .min = 1,
     .max = 8192,
     .min_count = 1,
     .max_count = 2,
     .fallback = "224",
     .help = "centre crop"},
    {.name = "planes",
     R2_FIELD(INTS, struct sample, planes),
     .flags = R2_OPTION_OPTIONAL,
     .min = 1,
     .max = 4096,
     .help = "widths"},
    {.name = "mean",
     R2_FIELD(FLOATS, struct sample, mean),
     .min = -10,
     .max = 10,
     .min_count = 3,
     .max_count = 3,
     .fallback = "0.485,0.456,0.406",
     .help = "mean"},
    {.name = "weights",
     R2_FIELD(TEXTS, struct sample, weights),
     .min_count = 1,
     .fallback = "a.safetensors,b.safetensors",
     .help = "shards"},
    {.name = "tags",
     R2_FIELD(TEXTS, struct sample, tags),
     .flags = R2_OPTION_OPTIONAL,
     .check = sample_check,
     .help = "tags"},
    {.name = "input",
     R2_FIELD(OBJECT, struct sample, input),
     .flags = R2_OPTION_OPTIONAL,
     .help = "input"},
};

static const struct r2_option_table sample_table = R2_OPTION_TABLE(sample_options, "key");

static inline struct sample sample_defaults(void)
{
    struct r2_error err = {0};
    struct sample sample = {.before = 11, .after = 22};
    ASSERT_OK(r2_options_defaults(&sample_table, &sample, &err), err);
    return sample;
}

static inline void sample_finish(struct sample *sample)
{
    cr_expect(sample->before == 11 && sample->after == 22, "fields outside the table");
    r2_options_finish(&sample_table, sample);
}

/* Reads a JSON text into the sample. */
static inline enum r2_status sample_read(struct sample *sample, const char *text,
                                         struct r2_error *err)
{
    json_t *json = NULL;
    R2_TRY(r2_json_parse(text, strlen(text), "text", &json, err));
    enum r2_status status = r2_options_read(&sample_table, json, "here", sample, err);
    json_decref(json);
    return status;
}

#endif
