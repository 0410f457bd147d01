/* The `backbone` object of model.json: variants by name, custom by numbers, and what is refused. */
#include "backbone/arch.h"

#include "base/memory.h"
#include "config/json.h"
#include "tests/base/expect.h"

#define CUSTOM "\"arch\": \"custom\", \"weights\": \"w\", "
#define SMALL CUSTOM "\"layers\": [1, 1, 1, 1], \"base_width\": 26, \"scale\": 4"

/* Reads `{keys}`. */
static enum r2_status read_keys(const char *keys, struct r2_backbone_options *ret,
                                struct r2_error *err)
{
    char text[1024];
    json_t *json;
    int size = snprintf(text, sizeof text, "{%s}", keys);
    cr_assert(size > 0 && (size_t)size < sizeof text);
    ASSERT_OK(r2_json_parse(text, (size_t)size, "test", &json, err), *err);
    enum r2_status status = r2_backbone_options_read(json, ret, err);
    json_decref(json);
    return status;
}

static struct r2_backbone_options read_good(const char *keys)
{
    struct r2_error err = {0};
    struct r2_backbone_options options;
    ASSERT_OK(read_keys(keys, &options, &err), err);
    return options;
}

static void expect_refused(const char *keys, enum r2_status status, const char *message)
{
    struct r2_error err = {0};
    struct r2_backbone_options options = {.scale = 77};
    char wanted[R2_ERROR_SIZE];
    snprintf(wanted, sizeof wanted, "model.json: backbone: %s", message);
    EXPECT_FAIL(read_keys(keys, &options, &err), err, status, wanted);
    cr_expect_eq(options.scale, 77, "untouched on failure");
}

Test(arch, published)
{
    static const struct {
        const char *name;
        struct r2_arch arch;
    } variants[] = {
        {"res2net50_48w_2s",
         {{3, 4, 6, 3},
          {64, 128, 256, 512},
          48,
          2,
          1,
          64,
          R2_STEM_7X7,
          R2_DOWNSAMPLE_CONV,
          32,
          R2_FIRST_HALF,
          false}},
        {"res2net50_14w_8s",
         {{3, 4, 6, 3},
          {64, 128, 256, 512},
          14,
          8,
          1,
          64,
          R2_STEM_7X7,
          R2_DOWNSAMPLE_CONV,
          32,
          R2_FIRST_HALF,
          false}},
        {"res2net101_26w_4s",
         {{3, 4, 23, 3},
          {64, 128, 256, 512},
          26,
          4,
          1,
          64,
          R2_STEM_7X7,
          R2_DOWNSAMPLE_CONV,
          32,
          R2_FIRST_HALF,
          false}},
        {"res2next50",
         {{3, 4, 6, 3},
          {64, 128, 256, 512},
          4,
          4,
          8,
          64,
          R2_STEM_7X7,
          R2_DOWNSAMPLE_CONV,
          32,
          R2_FIRST_HALF,
          false}},
        {"res2net152_v1b_26w_4s",
         {{3, 8, 36, 3},
          {64, 128, 256, 512},
          26,
          4,
          1,
          64,
          R2_STEM_DEEP,
          R2_DOWNSAMPLE_AVG,
          32,
          R2_FIRST_HALF,
          false}},
    };
    struct r2_error err = {0};
    struct r2_arch arch;
    for (size_t i = 0; i < R2_COUNT(variants); i++) {
        ASSERT_OK(r2_arch_find(variants[i].name, &arch, &err), err);
        cr_expect_eq(memcmp(&arch, &variants[i].arch, sizeof arch), 0, "%s", variants[i].name);
    }
    for (size_t i = 0; r2_arch_name(i); i++)
        ASSERT_OK(r2_arch_find(r2_arch_name(i), &arch, &err), err);
    cr_expect_null(r2_arch_name(1000));
}

/* timm's names and the short ones mean the same networks. */
Test(arch, other_names)
{
    static const char *const same[][3] = {
        {"res2net50", "res2net50_26w_4s", NULL},
        {"res2net101", "res2net101_26w_4s", NULL},
        {"res2next50", "res2next50_4s", NULL},
        {"res2net50_v1b", "res2net50_v1b_26w_4s", "res2net50d"},
        {"res2net101_v1b", "res2net101_v1b_26w_4s", "res2net101d"},
        {"res2net152_v1b", "res2net152_v1b_26w_4s", NULL},
    };
    struct r2_error err = {0};
    for (size_t i = 0; i < R2_COUNT(same); i++) {
        struct r2_arch first, other;
        ASSERT_OK(r2_arch_find(same[i][0], &first, &err), err);
        for (size_t k = 1; k < 3 && same[i][k]; k++) {
            ASSERT_OK(r2_arch_find(same[i][k], &other, &err), err);
            cr_expect_eq(memcmp(&first, &other, sizeof first), 0, "%s", same[i][k]);
        }
    }
}

Test(arch, unknown_names)
{
    struct r2_error err = {0};
    struct r2_arch arch;
    EXPECT_FAIL(r2_arch_find("res2net50_26w_5s", &arch, &err), err, R2_NOT_FOUND,
                "arch 'res2net50_26w_5s' is unknown; did you mean 'res2net50_26w_4s'?");
    EXPECT_FAIL(r2_arch_find("costum", &arch, &err), err, R2_NOT_FOUND,
                "arch 'costum' is unknown; did you mean 'custom'?");
    EXPECT_FAIL(r2_arch_find("Res2Net", &arch, &err), err, R2_NOT_FOUND,
                "arch 'Res2Net' is unknown; known are res2net50_26w_4s and its kin, custom");
    expect_refused("\"arch\": \"res2net50b\", \"weights\": \"w\"", R2_NOT_FOUND,
                   "arch 'res2net50b' is unknown; did you mean 'res2net50'?");
}

Test(arch, widths)
{
    static const struct {
        const char *name;
        uint32_t widths[R2_STAGES];
    } cases[] = {{"res2net50", {26, 52, 104, 208}},
                 {"res2net50_14w_8s", {14, 28, 56, 112}},
                 {"res2net50_48w_2s", {48, 96, 192, 384}},
                 {"res2next50", {32, 64, 128, 256}}};
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_arch arch;
        ASSERT_OK(r2_arch_find(cases[i].name, &arch, &err), err);
        for (unsigned s = 0; s < R2_STAGES; s++)
            cr_expect_eq(r2_arch_width(&arch, s), cases[i].widths[s], "%s", cases[i].name);
    }
    /* rounded down before the groups multiply it */
    struct r2_arch odd = {.planes = {24, 40, 63, 64}, .base_width = 26, .groups = 2};
    cr_expect(r2_arch_width(&odd, 0) == 18 && r2_arch_width(&odd, 1) == 32 &&
              r2_arch_width(&odd, 2) == 50 && r2_arch_width(&odd, 3) == 52);
}

Test(arch, options_and_defaults)
{
    struct r2_backbone_options options =
        read_good("\"arch\": \"res2net50d\", \"weights\": [\"a\", \"b\"]");
    cr_expect_str_eq(options.arch_name, "res2net50d");
    cr_expect(options.weights.count == 2 && strcmp(options.weights.items[1], "b") == 0);
    cr_expect_eq(options.dialect, R2_DIALECT_AUTO);
    cr_expect_eq(options.bn_eps, 1e-5);
    cr_expect_eq(options.arch.stem, R2_STEM_DEEP);
    cr_expect_eq(options.arch.layers[2], 6);
    r2_options_finish(&r2_backbone_table, &options);
    options = read_good("\"arch\": \"res2net50\", \"weights\": \"w\", \"dialect\": \"mmdet\","
                        " \"bn_eps\": 0.001, \"precision\": \"f32\"");
    cr_expect(options.dialect == R2_DIALECT_MMDET && options.bn_eps == 0.001);
    r2_options_finish(&r2_backbone_table, &options);
    options = read_good("\"arch\": \"res2net50\", \"weights\": \"w\", \"dialect\": \"official\"");
    cr_expect_eq(options.dialect, R2_DIALECT_OFFICIAL);
    r2_options_finish(&r2_backbone_table, &options);
}

Test(arch, custom)
{
    struct r2_backbone_options options = read_good(SMALL);
    const struct r2_arch defaults = {
        {1, 1, 1, 1}, {64, 128, 256, 512}, 26,   4, 1, 64, R2_STEM_7X7, R2_DOWNSAMPLE_CONV,
        32,           R2_FIRST_HALF,       false};
    cr_expect_eq(memcmp(&options.arch, &defaults, sizeof defaults), 0);
    r2_options_finish(&r2_backbone_table, &options);
    options =
        read_good(CUSTOM "\"layers\": [1, 2, 64, 4], \"planes\": [16, 24, 32, 4096],"
                         " \"base_width\": 64, \"scale\": 16, \"groups\": 2, \"stem\": \"deep\","
                         " \"downsample\": \"avg\", \"stem_channels\": 32");
    const struct r2_arch all = {{1, 2, 64, 4},
                                {16, 24, 32, 4096},
                                64,
                                16,
                                2,
                                32,
                                R2_STEM_DEEP,
                                R2_DOWNSAMPLE_AVG,
                                32,
                                R2_FIRST_HALF,
                                false};
    cr_expect_eq(memcmp(&options.arch, &all, sizeof all), 0);
    r2_options_finish(&r2_backbone_table, &options);
}

Test(arch, custom_refusals)
{
    static const struct {
        const char *keys, *message;
    } cases[] = {
        {CUSTOM "\"base_width\": 26, \"scale\": 4", "arch custom needs layers, a list of 4"},
        {CUSTOM "\"layers\": [1, 1, 1, 1], \"scale\": 4", "arch custom needs base_width"},
        {CUSTOM "\"layers\": [1, 1, 1, 1], \"base_width\": 26",
         "scale is 0, arch custom needs 2..16"},
        {CUSTOM "\"layers\": [1, 1, 1, 1], \"base_width\": 26, \"scale\": 1",
         "scale is 1, arch custom needs 2..16"},
        {CUSTOM "\"layers\": [1, 1, 1, 1], \"base_width\": 26, \"scale\": 17",
         "scale: 17 is not in 0..16"},
        {CUSTOM "\"layers\": [1, 1, 1], \"base_width\": 26, \"scale\": 4",
         "layers: has 3 items, needs 4"},
        {CUSTOM "\"layers\": [1, 1, 0, 1], \"base_width\": 26, \"scale\": 4",
         "layers: item 3: 0 is not in 1..64"},
        {CUSTOM "\"layers\": [1, 1, 65, 1], \"base_width\": 26, \"scale\": 4",
         "layers: item 3: 65 is not in 1..64"},
        {SMALL ", \"planes\": [64, 128]", "planes: has 2 items, needs 4"},
        {SMALL ", \"planes\": [64, 128, 256, 4097]", "planes: item 4: 4097 is not in 1..4096"},
        {SMALL ", \"planes\": [2, 128, 256, 512]",
         "stage 1 has slices of 0 channels, allowed are 1..8192"},
        {SMALL ", \"groups\": 1024", "stage 1 has slices of 26624 channels, allowed are 1..8192"},
        {SMALL ", \"stem\": \"deep\", \"stem_channels\": 1",
         "stem_channels is 1, a deep stem needs 2 or more"},
        {SMALL ", \"stem\": \"7x8\"",
         "stem: \"7x8\" is not one of 7x7, deep, did you mean \"7x7\"?"},
        {SMALL ", \"downsample\": \"max\"", "downsample: \"max\" is not one of conv, avg"},
        {SMALL ", \"output_stride\": 24", "output_stride is 24, must be 8, 16 or 32"},
        {SMALL ", \"output_stride\": 4", "output_stride: 4 is not in 8..32"},
        {SMALL ", \"first_dilation\": \"none\"",
         "first_dilation: \"none\" is not one of half, full"},
        {SMALL ", \"stem_channels\": 1025", "stem_channels: 1025 is not in 0..1024"},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++)
        expect_refused(cases[i].keys, R2_INVALID, cases[i].message);
}

Test(arch, published_ones_take_no_numbers)
{
    static const struct {
        const char *key, *value;
    } keys[] = {{"layers", "[3, 4, 6, 3]"},
                {"planes", "[64, 128, 256, 512]"},
                {"base_width", "26"},
                {"scale", "4"},
                {"groups", "1"},
                {"stem", "\"7x7\""},
                {"downsample", "\"conv\""},
                {"stem_channels", "64"}};
    for (size_t i = 0; i < R2_COUNT(keys); i++) {
        char text[256], message[256];
        snprintf(text, sizeof text, "\"arch\": \"res2net50\", \"weights\": \"w\", \"%s\": %s",
                 keys[i].key, keys[i].value);
        snprintf(message, sizeof message,
                 "key '%s' goes with arch custom only, arch is 'res2net50'", keys[i].key);
        expect_refused(text, R2_INVALID, message);
    }
}

Test(arch, refusals)
{
    expect_refused("\"weights\": \"w\"", R2_INVALID, "key \"arch\" is missing");
    expect_refused("\"arch\": \"res2net50\"", R2_INVALID, "key \"weights\" is missing");
    expect_refused("\"arch\": \"res2net50\", \"weights\": []", R2_INVALID,
                   "weights: has 0 items, needs 1..64");
    expect_refused("\"arch\": \"res2net50\", \"weights\": \"w\", \"wieghts\": \"v\"", R2_INVALID,
                   "unknown key \"wieghts\", did you mean \"weights\"?");
    expect_refused("\"arch\": \"res2net50\", \"weights\": \"w\", \"precision\": \"bf-16\"",
                   R2_INVALID,
                   "precision: \"bf-16\" is not one of f32, bf16, int8, did you mean \"bf16\"?");
    expect_refused("\"arch\": \"res2net50\", \"weights\": \"w\", \"bn_eps\": 0", R2_INVALID,
                   "bn_eps: 0 is not in 1e-12..1");
    expect_refused("\"arch\": \"res2net50\", \"weights\": \"w\", \"dialect\": \"paddle\"",
                   R2_INVALID, "dialect: \"paddle\" is not one of official, mmdet, auto");
}
