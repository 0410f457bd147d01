/* What option tables refuse, and what they say. */
#include "base/memory.h"
#include "tests/config/sample.h"

static const char known[] = "; known: letterbox, top_k, workers, cache, any_int, min_score, eps, "
                            "labels, file, filter, crop, "
                            "planes, mean, weights, tags, input";

struct refused {
    const char *name, *value, *message;
};

/* Each value must be refused with the message, and leave the sample as it was. */
static void expect_refused(bool as_json, const struct refused *cases, size_t count)
{
    struct sample sample = sample_defaults();
    struct r2_error err = {0};
    json_t *before = NULL, *after = NULL;
    ASSERT_OK(r2_options_dump(&sample_table, &sample, &before, &err), err);
    for (size_t i = 0; i < count; i++) {
        char text[6000], wanted[R2_ERROR_SIZE];
        /* "any_int" and the file come first: they must not be stored either */
        snprintf(text, sizeof text, "{\"any_int\": 5, \"file\": \"new\", \"%s\": %s}",
                 cases[i].name, cases[i].value);
        snprintf(wanted, sizeof wanted, "%s%s", as_json ? "here: " : "", cases[i].message);
        enum r2_status status =
            as_json ? sample_read(&sample, text, &err)
                    : r2_options_set(&sample_table, cases[i].name, cases[i].value, &sample, &err);
        cr_expect(status == R2_INVALID && err.status == R2_INVALID, "%s: %s gives %s",
                  cases[i].name, cases[i].value, r2_status_name(status));
        cr_expect_str_eq(err.message, wanted, "%s:\n  got    %s\n  wanted %s", cases[i].value,
                         err.message, wanted);
    }
    ASSERT_OK(r2_options_dump(&sample_table, &sample, &after, &err), err);
    cr_expect(json_equal(before, after), "a refused value must change nothing");
    json_decref(before);
    json_decref(after);
    sample_finish(&sample);
}

Test(options_errors, json_values)
{
    static const struct refused cases[] = {
        {"letterbox", "1", "letterbox: 1 (an integer) is not true or false"},
        {"letterbox", "\"yes\"", "letterbox: \"yes\" (a string) is not true or false"},
        {"top_k", "1001", "top_k: 1001 is not in 0..1000"},
        {"top_k", "-1", "top_k: -1 is not in 0..1000"},
        {"top_k", "9223372036854775807", "top_k: 9223372036854775807 is not in 0..1000"},
        {"top_k", "5.5", "top_k: 5.5 (a real number) is not an integer"},
        {"top_k", "\"5\"", "top_k: \"5\" (a string) is not an integer"},
        {"top_k", "true", "top_k: true (a boolean) is not an integer"},
        {"top_k", "null", "top_k: null is not an integer"},
        {"top_k", "[5]", "top_k: an array is not an integer"},
        {"top_k", "\"auto\"", "top_k: \"auto\" (a string) is not an integer"},
        {"workers", "0", "workers: 0 is not in 1..64 and not auto"},
        {"workers", "-1", "workers: -1 is not in 1..64 and not auto"},
        {"workers", "\"many\"", "workers: \"many\" (a string) is not an integer or \"auto\""},
        {"cache", "1023", "cache: 1023 is not in 1KiB..1GiB"},
        {"cache", "\"2 GiB\"", "cache: 2147483648 is not in 1KiB..1GiB"},
        {"cache", "\"1MB\"", "cache: \"1MB\" is not a size in bytes such as 1048576, 64k, 32MiB"},
        {"min_score", "1.5", "min_score: 1.5 is not in 0..1"},
        {"min_score", "-1e-9", "min_score: -1e-09 is not in 0..1"},
        {"min_score", "\"0.5\"", "min_score: \"0.5\" (a string) is not a number"},
        {"eps", "\"tiny\"", "eps: \"tiny\" (a string) is not a number or \"auto\""},
        {"eps", "0", "eps: 0 is not in 1e-09..1 and not auto"},
        {"labels", "7", "labels: 7 (an integer) is not a string"},
        {"labels", "{}", "labels: an object is not a string"},
        {"labels", "\"\"", "labels: must not be empty"},
        {"labels", "\"a\\nb\"", "labels: \"a?b\" must be UTF-8 without control characters"},
        {"labels", "\"bad.txt\"", "labels: bad.txt is bad"},
        {"filter", "\"bicubc\"",
         "filter: \"bicubc\" is not one of bilinear, bicubic, nearest, did you mean \"bicubic\"?"},
        {"filter", "\"lanczos\"", "filter: \"lanczos\" is not one of bilinear, bicubic, nearest"},
        {"filter", "0", "filter: 0 (an integer) is not a string"},
        {"crop", "[]", "crop: has 0 items, needs 1..2"},
        {"crop", "[1,2,3]", "crop: has 3 items, needs 1..2"},
        {"crop", "[1,0]", "crop: item 2: 0 is not in 1..8192"},
        {"crop", "0", "crop: 0 is not in 1..8192"},
        {"crop", "[\"1\"]", "crop: item 1: \"1\" (a string) is not an integer"},
        {"crop", "{\"h\": 1}", "crop: an object is not an integer"},
        {"crop", "null", "crop: null is not an integer"},
        {"mean", "[1, 2]", "mean: has 2 items, needs 3"},
        {"mean", "0.5", "mean: has 1 items, needs 3"},
        {"mean", "[1, 2, 11]", "mean: item 3: 11 is not in -10..10"},
        {"weights", "[]", "weights: has 0 items, needs 1..64"},
        {"weights", "[\"a\", \"\"]", "weights: item 2: must not be empty"},
        {"weights", "[\"a\", [\"b\"]]", "weights: item 2: an array is not a string"},
        {"tags", "[\"a\", \"bad.txt\"]", "tags: item 2: bad.txt is bad"},
        {"input", "[]", "input: an array is not an object"},
        {"input", "\"x\"", "input: \"x\" (a string) is not an object"},
    };
    expect_refused(true, cases, R2_COUNT(cases));
}

Test(options_errors, texts)
{
    static const struct refused cases[] = {
        {"letterbox", "maybe",
         "letterbox: \"maybe\" is not a boolean: 1 or 0, true or false, yes or no, on or off"},
        {"top_k", "", "top_k: \"\" is not an integer"},
        {"top_k", "5x", "top_k: \"5x\" is not an integer"},
        {"top_k", " 5", "top_k: \" 5\" is not an integer"},
        {"top_k", "5 ", "top_k: \"5 \" is not an integer"},
        {"top_k", "+5", "top_k: \"+5\" is not an integer"},
        {"top_k", "-", "top_k: \"-\" is not an integer"},
        {"top_k", "0x5", "top_k: \"0x5\" is not an integer"},
        {"top_k", "5.0", "top_k: \"5.0\" is not an integer"},
        {"top_k", "5k", "top_k: \"5k\" is not an integer"},
        {"top_k", "auto", "top_k: \"auto\" is not an integer"},
        {"top_k", "1001", "top_k: 1001 is not in 0..1000"},
        {"top_k", "9223372036854775808", "top_k: \"9223372036854775808\" is not in 0..1000"},
        {"any_int", "9223372036854775808",
         "any_int: \"9223372036854775808\" is too large a number"},
        {"any_int", "-9223372036854775809",
         "any_int: \"-9223372036854775809\" is too large a number"},
        {"workers", "Auto", "workers: \"Auto\" is not an integer or auto"},
        {"workers", "-1", "workers: -1 is not in 1..64 and not auto"},
        {"cache", "64kb", "cache: \"64kb\" is not a size in bytes such as 1048576, 64k, 32MiB"},
        {"cache", "64  k", "cache: \"64  k\" is not a size in bytes such as 1048576, 64k, 32MiB"},
        {"cache", "64 ", "cache: \"64 \" is not a size in bytes such as 1048576, 64k, 32MiB"},
        {"cache", "1.5MiB", "cache: \"1.5MiB\" is not a size in bytes such as 1048576, 64k, 32MiB"},
        {"cache", "8388608TiB", "cache: \"8388608TiB\" is not in 1KiB..1GiB"},
        {"cache", "-1k", "cache: -1024 is not in 1KiB..1GiB"},
        {"min_score", "nan", "min_score: \"nan\" is not a number"},
        {"min_score", "inf", "min_score: \"inf\" is not a number"},
        {"min_score", "-Infinity", "min_score: \"-Infinity\" is not a number"},
        {"min_score", "1e999", "min_score: inf is not a finite number"},
        {"min_score", "0x1p-1", "min_score: \"0x1p-1\" is not a number"},
        {"min_score", "0.5f", "min_score: \"0.5f\" is not a number"},
        {"min_score", " 0.5", "min_score: \" 0.5\" is not a number"},
        {"min_score", "1e", "min_score: \"1e\" is not a number"},
        {"min_score", ".", "min_score: \".\" is not a number"},
        {"min_score", "", "min_score: \"\" is not a number"},
        {"min_score", "2", "min_score: 2 is not in 0..1"},
        {"eps", "x", "eps: \"x\" is not a number or auto"},
        {"labels", "", "labels: must not be empty"},
        {"labels", "a\xFF", "labels: \"a?\" must be UTF-8 without control characters"},
        {"filter", "Nearest",
         "filter: \"Nearest\" is not one of bilinear, bicubic, nearest, did you mean \"nearest\"?"},
        {"crop", "", "crop: \"\" is not an integer"},
        {"crop", "1,", "crop: item 2: \"\" is not an integer"},
        {"crop", "1,2,3", "crop: has 3 items, needs 1..2"},
        {"crop", "1, 2", "crop: item 2: \" 2\" is not an integer"},
        {"weights", "a,,b", "weights: item 2: must not be empty"},
        {"tags", "a,bad.txt", "tags: item 2: bad.txt is bad"},
        {"input", "{}", "input: is an object, which only JSON can give"},
        {"topk", "5", "unknown key \"topk\", did you mean \"top_k\"?"},
    };
    expect_refused(false, cases, R2_COUNT(cases));
}

Test(options_errors, unknown_keys_name_the_nearest_or_all)
{
    struct refused cases[] = {
        {"min-score", "1", "unknown key \"min-score\", did you mean \"min_score\"?"},
        {"Labels", "1", "unknown key \"Labels\", did you mean \"labels\"?"},
        {"wieghts", "1", "unknown key \"wieghts\", did you mean \"weights\"?"},
        {"precision", "1", NULL},
        {"", "1", NULL},
    };
    char precision[R2_ERROR_SIZE], empty[R2_ERROR_SIZE];
    snprintf(precision, sizeof precision, "unknown key \"precision\"%s", known);
    snprintf(empty, sizeof empty, "unknown key \"\"%s", known);
    cases[3].message = precision;
    cases[4].message = empty;
    expect_refused(true, cases, R2_COUNT(cases));
}

Test(options_errors, unknown_names_in_other_spellings)
{
    struct r2_error err = {0};
    EXPECT_FAIL(r2_options_unknown(&sample_table, R2_SPELL_FLAG, "--min_score", &err), err,
                R2_INVALID, "unknown key \"--min_score\", did you mean \"--min-score\"?");
    EXPECT_FAIL(r2_options_unknown(&sample_table, R2_SPELL_VARIABLE, "RES2NETD_WORKER", &err), err,
                R2_INVALID, "unknown key \"RES2NETD_WORKER\", did you mean \"RES2NETD_WORKERS\"?");
    cr_expect_null(r2_options_find(&sample_table, R2_SPELL_FLAG, "--min_score"));
    cr_expect_null(r2_options_find(&sample_table, R2_SPELL_FLAG, "min-score"));
    cr_expect_null(r2_options_find(&sample_table, R2_SPELL_KEY, "--min-score"));
    cr_expect_null(r2_options_find(&sample_table, R2_SPELL_VARIABLE, "RES2NETD_min_score"));
    static const struct r2_option_table nothing = {NULL, 0, "parameter"};
    EXPECT_FAIL(r2_options_set(&nothing, "x", "1", NULL, &err), err, R2_INVALID,
                "unknown parameter \"x\", there are none");
}

Test(options_errors, required_keys)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    EXPECT_FAIL(sample_read(&sample, "{\"top_k\": 6}", &err), err, R2_INVALID,
                "here: key \"file\" is missing");
    EXPECT_FAIL(r2_options_read(&sample_table, NULL, "here", &sample, &err), err, R2_INVALID,
                "here: key \"file\" is missing");
    cr_expect_eq(sample.top_k, 5);
    sample_finish(&sample);
}

Test(options_errors, only_an_object_is_read)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    json_t *array = json_array();
    EXPECT_FAIL(r2_options_read(&sample_table, array, "model.json: backbone", &sample, &err), err,
                R2_INVALID, "model.json: backbone: an array is not an object");
    json_decref(array);
    sample_finish(&sample);
}

Test(options_errors, duplicate_keys)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    EXPECT_FAIL(sample_read(&sample, "{\"file\": \"a\", \"file\": \"b\"}", &err), err,
                R2_BAD_REQUEST, "text: line 1, column 20: duplicate object key near '\"file\"'");
    sample_finish(&sample);
}

Test(options_errors, long_values_are_cut_in_messages)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    char text[R2_OPTION_TEXT_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    cr_expect_eq(r2_options_set(&sample_table, "file", text, &sample, &err), R2_INVALID);
    cr_expect_not_null(strstr(err.message, "xxx...\" is longer than 4096 bytes"), "%s",
                       err.message);
    cr_expect_lt(strlen(err.message), 200);
    text[sizeof text - 2] = 0;
    ASSERT_OK(r2_options_set(&sample_table, "file", text, &sample, &err), err);
    cr_expect_eq(r2_options_set(&sample_table, text, "1", &sample, &err), R2_INVALID);
    cr_expect_lt(strlen(err.message), 400);
    for (size_t i = 1; i < 200; i += 2) text[i] = ',';
    cr_expect_eq(r2_options_set(&sample_table, "weights", text, &sample, &err), R2_INVALID);
    cr_expect_str_eq(err.message, "weights: has 101 items, needs 1..64");
    sample_finish(&sample);
}
