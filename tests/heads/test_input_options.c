/* The `input` object of a head: what every key does, what is refused, and what is told of it. */
#include "heads/input_options.h"

#include "base/memory.h"
#include "config/json.h"
#include "tests/base/expect.h"

static enum r2_status read_text(const char *text, struct r2_input_spec *ret, struct r2_error *err)
{
    json_t *json;
    ASSERT_OK(r2_json_parse(text, strlen(text), "test", &json, err), *err);
    enum r2_status status = r2_input_read(json, ret, err);
    json_decref(json);
    return status;
}

/* Reads, and checks that what is told of the spec reads back to the same. */
static struct r2_input_spec read_good(const char *text)
{
    struct r2_error err = {0};
    struct r2_input_spec spec, again;
    ASSERT_OK(read_text(text, &spec, &err), err);
    json_t *described = r2_input_describe(&spec);
    cr_assert_not_null(described);
    ASSERT_OK(r2_input_read(described, &again, &err), err);
    cr_expect(r2_input_spec_equal(&spec, &again), "%s", text);
    cr_expect(spec.mode == again.mode && spec.filter == again.filter && spec.like == again.like);
    for (size_t i = 0; i < 3; i++)
        cr_expect(spec.mean[i] == again.mean[i] && spec.std[i] == again.std[i], "%s", text);
    json_decref(described);
    return spec;
}

static void expect_refused(const char *text, enum r2_status status, const char *message)
{
    struct r2_error err = {0};
    struct r2_input_spec spec = {.pad_multiple = 77};
    EXPECT_FAIL(read_text(text, &spec, &err), err, status, message);
    cr_expect_eq(spec.pad_multiple, 77, "untouched on failure");
}

Test(input_options, without_an_object)
{
    struct r2_error err = {0};
    struct r2_input_spec spec = {0}, wanted = r2_input_spec_default();
    ASSERT_OK(r2_input_read(NULL, &spec, &err), err);
    cr_expect(r2_input_spec_equal(&spec, &wanted));
    cr_expect(spec.mode == R2_RESIZE_SHORTER && spec.size[0] == 256 && spec.crop[0] == 224 &&
              spec.crop[1] == 224);
    json_t *described = r2_input_describe(&spec);
    char *text = json_dumps(described, JSON_COMPACT | JSON_REAL_PRECISION(4));
    cr_expect_str_eq(text,
                     "{\"resize\":{\"mode\":\"shorter\",\"filter\":\"bilinear\",\"like\":\"pil\","
                     "\"size\":256},\"letterbox\":false,\"pad_multiple\":1,\"color\":\"rgb\","
                     "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225],\"crop\":[224,224]}",
                     "%s", text);
    free(text);
    json_decref(described);
}

Test(input_options, defaults)
{
    struct r2_input_spec spec = read_good("{}");
    cr_expect(spec.mode == R2_RESIZE_NONE);
    cr_expect(!spec.crop[0] && !spec.crop[1] && !spec.letterbox && !spec.bgr);
    cr_expect(spec.pad_multiple == 1 && spec.mean[0] == 0.485f && spec.std[2] == 0.225f);
    spec = read_good("{\"resize\": {}}");
    cr_expect(spec.mode == R2_RESIZE_NONE && spec.filter == R2_FILTER_BILINEAR);
    spec = read_good("{\"resize\": null, \"crop\": null}");
    cr_expect(spec.mode == R2_RESIZE_NONE && !spec.crop[0]);
}

Test(input_options, resize)
{
    static const struct {
        const char *text;
        enum r2_resize_mode mode;
        uint32_t size[2];
    } cases[] = {
        {"{\"resize\": {\"mode\": \"none\"}}", R2_RESIZE_NONE, {0, 0}},
        {"{\"resize\": {\"mode\": \"exact\", \"size\": [100, 200]}}", R2_RESIZE_EXACT, {100, 200}},
        {"{\"resize\": {\"mode\": \"exact\", \"size\": 299}}", R2_RESIZE_EXACT, {299, 299}},
        {"{\"resize\": {\"mode\": \"shorter\", \"size\": 256}}", R2_RESIZE_SHORTER, {256, 0}},
        {"{\"resize\": {\"mode\": \"shorter\", \"size\": [1]}}", R2_RESIZE_SHORTER, {1, 0}},
        {"{\"resize\": {\"mode\": \"longer\", \"size\": 8192}}", R2_RESIZE_LONGER, {8192, 0}},
        {"{\"resize\": {\"mode\": \"fit\", \"size\": [800, 1333]}}", R2_RESIZE_FIT, {800, 1333}},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_input_spec spec = read_good(cases[i].text);
        cr_expect(spec.mode == cases[i].mode && spec.size[0] == cases[i].size[0] &&
                      spec.size[1] == cases[i].size[1],
                  "%s", cases[i].text);
    }
}

Test(input_options, filters)
{
    static const struct {
        const char *name;
        enum r2_filter filter;
    } filters[] = {{"nearest", R2_FILTER_NEAREST},
                   {"bilinear", R2_FILTER_BILINEAR},
                   {"bicubic", R2_FILTER_BICUBIC}};
    for (size_t i = 0; i < R2_COUNT(filters); i++) {
        char text[128];
        snprintf(text, sizeof text,
                 "{\"resize\": {\"mode\": \"shorter\", \"size\": 9, \"filter\": \"%s\", \"like\": "
                 "\"pil\"}}",
                 filters[i].name);
        cr_expect_eq(read_good(text).filter, filters[i].filter, "%s", filters[i].name);
    }
}

Test(input_options, every_key)
{
    struct r2_input_spec spec =
        read_good("{\"crop\": [100, 200], \"pad_multiple\": 32, \"color\": \"bgr\","
                  " \"mean\": [0, 0.5, -10], \"std\": [1, 0.00392156862745098, 1000]}");
    cr_expect(spec.crop[0] == 100 && spec.crop[1] == 200 && spec.pad_multiple == 32 && spec.bgr);
    cr_expect(spec.mean[1] == 0.5f && spec.mean[2] == -10 && spec.std[1] == 0.00392156862745098f &&
              spec.std[2] == 1000);
    spec = read_good("{\"std\": [1e-6, 1, 1]}"); /* of which the float is less than the double */
    cr_expect_eq(spec.std[0], 1e-6f);
    spec = read_good("{\"crop\": 224}");
    cr_expect(spec.crop[0] == 224 && spec.crop[1] == 224);
    spec = read_good("{\"letterbox\": true, \"color\": \"rgb\", \"pad_multiple\": 1024}");
    cr_expect(spec.letterbox && !spec.bgr && spec.pad_multiple == 1024);
}

Test(input_options, refusals)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"crops\": 1}", "input: unknown key \"crops\", did you mean \"crop\"?"},
        {"{\"resize\": 256}", "input: resize: 256 (an integer) is not an object"},
        {"{\"resize\": {\"sise\": 256}}", "input: resize: unknown key \"sise\", did you mean \"size\"?"},
        {"{\"resize\": {\"mode\": \"shortest\", \"size\": 256}}",
         "input: resize: mode: \"shortest\" is not one of none, exact, shorter, longer, fit, within, did you mean "
         "\"shorter\"?"},
        {"{\"resize\": {\"size\": 256}}", "input: resize: mode 'none' takes 0 sizes, size has 1"},
        {"{\"resize\": {\"mode\": \"shorter\"}}",
         "input: resize: mode 'shorter' takes 1 sizes, size has 0"},
        {"{\"resize\": {\"mode\": \"shorter\", \"size\": [1, 2]}}",
         "input: resize: mode 'shorter' takes 1 sizes, size has 2"},
        {"{\"resize\": {\"mode\": \"fit\", \"size\": 800}}",
         "input: resize: mode 'fit' takes 2 sizes, size has 1"},
        {"{\"resize\": {\"mode\": \"exact\"}}", "input: resize: mode 'exact' takes 2 sizes, size has 0"},
        {"{\"resize\": {\"mode\": \"exact\", \"size\": [1, 2, 3]}}",
         "input: resize: size: has 3 items, needs 0..2"},
        {"{\"resize\": {\"mode\": \"shorter\", \"size\": 0}}", "input: resize: size: 0 is not in 1..8192"},
        {"{\"resize\": {\"mode\": \"shorter\", \"size\": 8193}}",
         "input: resize: size: 8193 is not in 1..8192"},
        {"{\"resize\": {\"mode\": \"fit\", \"size\": [9, 8]}}",
         "input: input resize fit is [9, 8]: the short side must come first"},
        {"{\"resize\": {\"filter\": \"lanczos\"}}",
         "input: resize: filter: \"lanczos\" is not one of nearest, bilinear, bicubic"},
        {"{\"crop\": [0, 5]}", "input: crop: item 1: 0 is not in 1..8192"},
        {"{\"crop\": [1, 2, 3]}", "input: crop: has 3 items, needs 0..2"},
        {"{\"letterbox\": 1}", "input: letterbox: 1 (an integer) is not true or false"},
        {"{\"letterbox\": true, \"crop\": 9}",
         "input: input has crop and letterbox: only one can be used"},
        {"{\"pad_multiple\": 0}", "input: pad_multiple: 0 is not in 1..1024"},
        {"{\"pad_multiple\": 1025}", "input: pad_multiple: 1025 is not in 1..1024"},
        {"{\"color\": \"bgrx\"}",
         "input: color: \"bgrx\" is not one of rgb, bgr, did you mean \"bgr\"?"},
        {"{\"mean\": [0, 0]}", "input: mean: has 2 items, needs 3"},
        {"{\"mean\": [0, 0, 11]}", "input: mean: item 3: 11 is not in -10..10"},
        {"{\"std\": [1, 0, 1]}", "input: std: item 2: 0 is not in 1e-06..1000"},
        {"{\"std\": 1}", "input: std: has 1 items, needs 3"},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++)
        expect_refused(cases[i].text, R2_INVALID, cases[i].message);
    expect_refused("{\"resize\": {\"mode\": \"shorter\", \"size\": 9, \"filter\": \"bicubic\", "
                   "\"like\": \"opencv\"}}",
                   R2_UNSUPPORTED,
                   "input: input filter bicubic is not supported like opencv; supported: nearest, "
                   "bilinear, or like pil");
}
