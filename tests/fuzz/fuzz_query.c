/*
 * The parameters of a request, over a table with every type. A second line is one that stands in
 * the body: "name=value".
 */
#include "server/query.h"
#include "tests/fuzz/options.h"

struct params {
    bool on;
    int64_t top_k, workers, cache, any;
    double score, eps;
    char *text;
    int choice;
    struct r2_ints ints;
    struct r2_floats floats;
    struct r2_texts texts;
    json_t *object;
};

/* clang-format off */
static const char *const choices[] = {"bilinear", "bicubic", "nearest", NULL};
static const struct r2_option options[] = {
    {.name = "on", R2_FIELD(BOOL, struct params, on), .fallback = "false"},
    {.name = "top_k", R2_FIELD(INT, struct params, top_k), .min = 0, .max = 1000, .fallback = "5"},
    {.name = "workers", R2_FIELD(INT, struct params, workers), .flags = R2_OPTION_AUTO, .min = 1,
     .max = 64, .fallback = "auto"},
    {.name = "cache", R2_FIELD(INT, struct params, cache), .flags = R2_OPTION_BYTES, .min = 1024,
     .max = 1099511627776, .fallback = "1MiB"},
    {.name = "any", R2_FIELD(INT, struct params, any), .fallback = "0"},
    {.name = "score", R2_FIELD(FLOAT, struct params, score), .min = 0, .max = 1, .fallback = "0.5"},
    {.name = "eps", R2_FIELD(FLOAT, struct params, eps), .flags = R2_OPTION_AUTO,
     .fallback = "auto"},
    {.name = "text", R2_FIELD(TEXT, struct params, text), .flags = R2_OPTION_OPTIONAL},
    {.name = "choice", R2_FIELD(CHOICE, struct params, choice), .choices = choices,
     .fallback = "nearest"},
    {.name = "ints", R2_FIELD(INTS, struct params, ints), .min = 1, .max = 8192, .min_count = 1,
     .max_count = 3, .fallback = "1"},
    {.name = "floats", R2_FIELD(FLOATS, struct params, floats), .flags = R2_OPTION_OPTIONAL},
    {.name = "texts", R2_FIELD(TEXTS, struct params, texts), .flags = R2_OPTION_OPTIONAL},
    {.name = "object", R2_FIELD(OBJECT, struct params, object), .flags = R2_OPTION_OPTIONAL},
};
/* clang-format on */
static const struct r2_option_table table = R2_OPTION_TABLE(options, "parameter");

static void apply(const struct r2_query *query)
{
    struct params params = {0};
    struct r2_error err = {0};
    FUZZ_MUST(r2_options_defaults(&table, &params, &err) == R2_OK);
    for (size_t i = 0; i < query->count; i++)
        if (r2_options_set(&table, query->pairs[i].name, query->pairs[i].value, &params, &err))
            FUZZ_MUST(err.status == R2_INVALID && err.message[0]);
    fuzz_options_check(&table, &params, sizeof params);
    r2_options_finish(&table, &params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    struct r2_query query;
    char *text = fuzz_copy(data, size, true), *added = strchr(text, '\n');
    if (added) *added++ = 0;
    if (r2_query_parse(text, &query, &err) == R2_OK) {
        char *added_name = added, *equals = added ? strchr(added, '=') : NULL;
        if (equals) {
            *equals = 0; /* the value may hold NULs */
            added = equals + 1;
            struct r2_bytes value = {(uint8_t *)added, (size_t)(text + size - added)};
            r2_query_add(&query, added_name, value, &err);
        }
        apply(&query);
        r2_query_finish(&query);
    }
    FUZZ_MUST(err.status == R2_OK || err.message[0]);
    free(text);
    return 0;
}
