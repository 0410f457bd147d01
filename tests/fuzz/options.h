/*
 * What holds of every object that an option table has filled.
 */
#ifndef R2_TESTS_FUZZ_OPTIONS_H
#define R2_TESTS_FUZZ_OPTIONS_H

#include "config/options.h"
#include "tests/fuzz/fuzz.h"

/* What was accepted can be written and is read back to the same. */
static inline void fuzz_options_check(const struct r2_option_table *table, const void *object,
                                      size_t size)
{
    struct r2_error err = {0};
    json_t *json = NULL, *json_again = NULL;
    void *again = calloc(1, size);
    FUZZ_MUST(again);
    FUZZ_MUST(r2_options_dump(table, object, &json, &err) == R2_OK);
    FUZZ_MUST(r2_options_read(table, json, "dump", again, &err) == R2_OK);
    FUZZ_MUST(r2_options_dump(table, again, &json_again, &err) == R2_OK);
    FUZZ_MUST(json_equal(json, json_again));
    json_decref(json);
    json_decref(json_again);
    r2_options_finish(table, again);
    free(again);
}

#endif
