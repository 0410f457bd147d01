/* What option tables accept; what they refuse is in test_options_errors.c. */
#include "config/options.h"

#include <math.h>

#include "base/memory.h"
#include "tests/config/sample.h"

Test(options, defaults)
{
    struct sample sample = sample_defaults();
    cr_expect_eq(sample.letterbox, false);
    cr_expect_eq(sample.top_k, 5);
    cr_expect_eq(sample.workers, R2_AUTO);
    cr_expect_eq(sample.cache, 1 << 20);
    cr_expect(fabs(sample.min_score - 0.05) < 1e-15);
    cr_expect(sample.eps == R2_AUTO);
    cr_expect_null(sample.labels);
    cr_expect_null(sample.file);
    cr_expect_eq(sample.filter, FILTER_BICUBIC);
    cr_expect(sample.crop.count == 1 && sample.crop.items[0] == 224);
    cr_expect_eq(sample.planes.count, 0);
    cr_expect(sample.mean.count == 3 && fabs(sample.mean.items[2] - 0.406) < 1e-15);
    cr_expect_eq(sample.weights.count, 2);
    cr_expect_str_eq(sample.weights.items[1], "b.safetensors");
    cr_expect_null(sample.input);
    sample_finish(&sample);
    cr_expect(sample.weights.count == 0 && !sample.weights.items[0]);
    sample_finish(&sample);
    r2_options_finish(&sample_table, NULL);
}

Test(options, a_wrong_default_is_a_fault_of_the_program)
{
    static const struct r2_option options[] = {
        {.name = "file", R2_FIELD(TEXT, struct sample, file), .fallback = "kept", .help = ""},
        {.name = "top_k", R2_FIELD(INT, struct sample, top_k), .max = 9, .fallback = "10"},
    };
    static const struct r2_option_table table = R2_OPTION_TABLE(options, "key");
    struct r2_error err = {0};
    struct sample sample = {0};
    EXPECT_FAIL(r2_options_defaults(&table, &sample, &err), err, R2_INTERNAL,
                "default of top_k: 10 is not in 0..9");
    cr_expect_null(sample.file);
}

Test(options, json_sets_every_type)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    ASSERT_OK(
        sample_read(&sample,
                    "{\"letterbox\": true, \"top_k\": 1000, \"workers\": 4, \"cache\": 4096,"
                    " \"any_int\": -9223372036854775808, \"min_score\": 1, \"eps\": 1e-5,"
                    " \"labels\": \"names.txt\", \"file\": \"gr\xC3\xBCn\","
                    " \"filter\": \"nearest\", \"crop\": [224, 256], \"planes\": [64, 128],"
                    " \"mean\": [0, -0.5, 10], \"weights\": [\"x\"], \"tags\": [\"a,b\", \"c\"],"
                    " \"input\": {\"crop\": 7}}",
                    &err),
        err);
    cr_expect_eq(sample.letterbox, true);
    cr_expect_eq(sample.top_k, 1000);
    cr_expect_eq(sample.workers, 4);
    cr_expect_eq(sample.cache, 4096);
    cr_expect_eq(sample.any_int, INT64_MIN);
    cr_expect(sample.min_score == 1 && sample.eps == 1e-5);
    cr_expect_str_eq(sample.labels, "names.txt");
    cr_expect_str_eq(sample.file, "gr\xC3\xBCn");
    cr_expect_eq(sample.filter, FILTER_NEAREST);
    cr_expect(sample.crop.count == 2 && sample.crop.items[1] == 256);
    cr_expect(sample.planes.count == 2 && sample.planes.items[0] == 64);
    cr_expect(sample.mean.items[1] == -0.5 && sample.mean.items[2] == 10);
    cr_expect_eq(sample.weights.count, 1);
    cr_expect_str_eq(sample.weights.items[0], "x");
    cr_expect_str_eq(sample.tags.items[0], "a,b");
    cr_expect_eq(json_integer_value(json_object_get(sample.input, "crop")), 7);
    sample_finish(&sample);
}

Test(options, json_keeps_what_it_does_not_give)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    ASSERT_OK(sample_read(&sample, "{\"file\": \"a\", \"top_k\": 7, \"labels\": \"l\"}", &err),
              err);
    ASSERT_OK(sample_read(&sample, "{\"file\": \"b\", \"workers\": \"auto\"}", &err), err);
    cr_expect_str_eq(sample.file, "b");
    cr_expect_eq(sample.top_k, 7);
    cr_expect_str_eq(sample.labels, "l");
    ASSERT_OK(sample_read(&sample,
                          "{\"file\": \"b\", \"labels\": null, \"planes\": null, \"input\": null}",
                          &err),
              err);
    cr_expect(!sample.labels && !sample.planes.count && !sample.input, "null unsets");
    sample_finish(&sample);
}

Test(options, one_value_is_a_list_of_one)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    ASSERT_OK(sample_read(&sample, "{\"file\": \"a\", \"crop\": 320, \"weights\": \"one\"}", &err),
              err);
    cr_expect(sample.crop.count == 1 && sample.crop.items[0] == 320);
    cr_expect_eq(sample.weights.count, 1);
    cr_expect_str_eq(sample.weights.items[0], "one");
    sample_finish(&sample);
}

Test(options, byte_sizes)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {{"1024", 1024},    {"2048B", 2048},       {"64k", 65536},
                 {"64K", 65536},    {"64KiB", 65536},      {"32MiB", 33554432},
                 {"32m", 33554432}, {"1 GiB", 1073741824}, {"1 mib", 1048576}};
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        char text[100];
        ASSERT_OK(r2_options_set(&sample_table, "cache", cases[i].text, &sample, &err), err);
        cr_expect_eq(sample.cache, cases[i].bytes, "%s", cases[i].text);
        snprintf(text, sizeof text, "{\"file\": \"a\", \"cache\": \"%s\"}", cases[i].text);
        sample.cache = 0;
        ASSERT_OK(sample_read(&sample, text, &err), err);
        cr_expect_eq(sample.cache, cases[i].bytes, "%s in JSON", cases[i].text);
    }
    sample_finish(&sample);
}

Test(options, text_sets_every_type)
{
    static const char *const yes[] = {"1", "true", "yes", "on", "TRUE"};
    static const char *const no[] = {"0", "false", "no", "off", "Off"};
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    for (size_t i = 0; i < R2_COUNT(yes); i++) {
        ASSERT_OK(r2_options_set(&sample_table, "letterbox", yes[i], &sample, &err), err);
        cr_expect(sample.letterbox, "%s", yes[i]);
        ASSERT_OK(r2_options_set(&sample_table, "letterbox", no[i], &sample, &err), err);
        cr_expect(!sample.letterbox, "%s", no[i]);
    }
    static const struct {
        const char *name, *text;
    } values[] = {{"top_k", "0"},          {"workers", "64"},      {"any_int", "-007"},
                  {"min_score", ".5"},     {"eps", "1E-3"},        {"labels", "a.txt,b"},
                  {"file", "f"},           {"filter", "bilinear"}, {"crop", "1,8192"},
                  {"mean", "1,-2.50,3e0"}, {"weights", "p,q,r"},   {"workers", "auto"},
                  {"eps", "auto"},         {"min_score", "1.0"}};
    for (size_t i = 0; i < R2_COUNT(values); i++)
        ASSERT_OK(r2_options_set(&sample_table, values[i].name, values[i].text, &sample, &err),
                  err);
    cr_expect(sample.top_k == 0 && sample.workers == R2_AUTO && sample.any_int == -7);
    cr_expect(sample.min_score == 1 && sample.eps == R2_AUTO);
    cr_expect_str_eq(sample.labels, "a.txt,b", "only lists are cut at commas");
    cr_expect_eq(sample.filter, FILTER_BILINEAR);
    cr_expect(sample.crop.count == 2 && sample.crop.items[1] == 8192);
    cr_expect(sample.mean.count == 3 && sample.mean.items[1] == -2.5);
    cr_expect(sample.weights.count == 3 && strcmp(sample.weights.items[2], "r") == 0);
    sample_finish(&sample);
}

Test(options, a_list_is_appended_to)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults();
    const struct r2_option *weights = r2_options_find(&sample_table, R2_SPELL_KEY, "weights");
    const struct r2_option *crop = r2_options_find(&sample_table, R2_SPELL_FLAG, "--crop");
    const struct r2_option *top_k =
        r2_options_find(&sample_table, R2_SPELL_VARIABLE, "RES2NETD_TOP_K");
    ASSERT_OK(r2_option_set(weights, R2_SPELL_KEY, "c,d", true, &sample, &err), err);
    cr_assert_eq(sample.weights.count, 4);
    cr_expect_str_eq(sample.weights.items[0], "a.safetensors");
    cr_expect_str_eq(sample.weights.items[3], "d");
    ASSERT_OK(r2_option_set(crop, R2_SPELL_FLAG, "256", true, &sample, &err), err);
    cr_expect(sample.crop.count == 2 && sample.crop.items[0] == 224 && sample.crop.items[1] == 256);
    EXPECT_FAIL(r2_option_set(crop, R2_SPELL_FLAG, "1", true, &sample, &err), err, R2_INVALID,
                "--crop: has 3 items, needs 1..2");
    cr_expect_eq(sample.crop.count, 2);
    ASSERT_OK(r2_option_set(top_k, R2_SPELL_VARIABLE, "9", true, &sample, &err), err);
    cr_expect_eq(sample.top_k, 9, "of one value the last counts");
    sample_finish(&sample);
}

Test(options, dump_reads_back_to_the_same)
{
    struct r2_error err = {0};
    struct sample sample = sample_defaults(), again = sample_defaults();
    json_t *dump = NULL, *second = NULL;
    ASSERT_OK(sample_read(&sample,
                          "{\"file\": \"f\", \"cache\": \"3MiB\", \"input\": {\"a\": [1]},"
                          " \"min_score\": 0.3, \"planes\": 4, \"tags\": [\"t\"]}",
                          &err),
              err);
    ASSERT_OK(r2_options_dump(&sample_table, &sample, &dump, &err), err);
    char *text = json_dumps(dump, JSON_COMPACT | JSON_REAL_PRECISION(15));
    cr_expect_str_eq(text, "{\"letterbox\":false,\"top_k\":5,\"workers\":\"auto\","
                           "\"cache\":\"3MiB\",\"any_int\":0,\"min_score\":0.3,\"eps\":\"auto\","
                           "\"labels\":null,\"file\":\"f\",\"filter\":\"bicubic\",\"crop\":[224],"
                           "\"planes\":[4],\"mean\":[0.485,0.456,0.406],"
                           "\"weights\":[\"a.safetensors\",\"b.safetensors\"],\"tags\":[\"t\"],"
                           "\"input\":{\"a\":[1]}}");
    free(text);
    ASSERT_OK(r2_options_read(&sample_table, dump, "dump", &again, &err), err);
    ASSERT_OK(r2_options_dump(&sample_table, &again, &second, &err), err);
    cr_expect(json_equal(dump, second));
    json_decref(dump);
    json_decref(second);
    sample_finish(&sample);
    sample_finish(&again);
}

Test(options, help)
{
    struct r2_text text = {0};
    r2_options_help(&sample_table, &text);
    cr_expect_not_null(strstr(text.data, "  --letterbox BOOL                   default false: pad"),
                       "%s", text.data);
    cr_expect_not_null(
        strstr(text.data, "--workers N                        default auto, 1..64: "));
    cr_expect_not_null(
        strstr(text.data, "--cache BYTES                      default 1MiB, 1KiB..1GiB: "));
    cr_expect_not_null(
        strstr(text.data, "--labels FILE                      no default: labels file\n"));
    cr_expect_not_null(
        strstr(text.data, "--file TEXT                        required: a required"));
    cr_expect_not_null(strstr(text.data, "--filter bilinear|bicubic|nearest  default bicubic: "));
    cr_expect_not_null(
        strstr(text.data, "--min-score X                      default 0.05, 0..1: "));
    r2_text_finish(&text);
}
