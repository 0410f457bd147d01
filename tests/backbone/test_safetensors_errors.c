/* What a safetensors file must not be, and what is said then. */
#include "backbone/safetensors.h"

#include <inttypes.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/tensor_file.h"

static void expect_refused(struct r2_bytes bytes, const char *message)
{
    struct r2_error err = {0};
    struct r2_safetensors file = {0};
    char wanted[R2_ERROR_SIZE];
    snprintf(wanted, sizeof wanted, "t: %s", message);
    EXPECT_FAIL(r2_safetensors_parse(bytes, "t", &file, &err), err, R2_INVALID, wanted);
    cr_expect(!file.path && !file.entries && !file.count, "untouched on failure");
}

/* A header and 8 bytes of data. */
static void expect_header_refused(const char *header, const char *message)
{
    struct tensor_file made = {0};
    expect_refused(tensor_file_raw(&made, strlen(header), header, "12345678", 8), message);
    tensor_file_finish(&made);
}

/* One entry "w" of these parts. */
static void expect_entry_refused(const char *dtype, const char *shape, const char *offsets,
                                 const char *message)
{
    char header[512], wanted[R2_ERROR_SIZE];
    snprintf(header, sizeof header, "{\"w\": {\"dtype\": %s, \"shape\": %s, \"data_offsets\": %s}}",
             dtype, shape, offsets);
    snprintf(wanted, sizeof wanted, "tensor 'w': %s", message);
    expect_header_refused(header, wanted);
}

Test(safetensors_errors, too_short)
{
    static const uint8_t bytes[8] = {0};
    for (size_t size = 0; size < 8; size++) {
        char text[96];
        snprintf(text, sizeof text, "%zu bytes are too few for a safetensors file", size);
        expect_refused((struct r2_bytes){size ? bytes : NULL, size}, text);
    }
}

Test(safetensors_errors, header_length)
{
    static const struct {
        uint64_t size;
        const char *message;
    } cases[] = {
        {3, "the header length 3 is over the file's 10 bytes"},
        {16777216, "the header length 16777216 is over the file's 10 bytes"},
        {16777217, "the header length 16777217 is over the limit of 16777216"},
        {UINT64_C(1) << 32, "the header length 4294967296 is over the limit of 16777216"},
        {INT64_MAX, "the header length 9223372036854775807 is over the limit of 16777216"},
        {(uint64_t)INT64_MAX + 1,
         "the header length 9223372036854775808 is over the limit of 16777216"},
        {UINT64_MAX - 7, "the header length 18446744073709551608 is over the limit of 16777216"},
        {UINT64_MAX, "the header length 18446744073709551615 is over the limit of 16777216"},
    };
    struct tensor_file made = {0};
    for (size_t i = 0; i < R2_COUNT(cases); i++)
        expect_refused(tensor_file_raw(&made, cases[i].size, "{}", "", 0), cases[i].message);
    tensor_file_finish(&made);
}

Test(safetensors_errors, broken_json)
{
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"", "header: line 1, column 0: '[' or '{' expected near end of file"},
        {"{", "header: line 1, column 1: string or '}' expected near end of file"},
        {"[]", "header: an array is not a JSON object"},
        {"7", "header: an integer is not a JSON object"},
        {"{} {}", "header: line 1, column 4: end of file expected near '{'"},
        {"{\"a\": {}, \"a\": {}}", "header: line 1, column 13: duplicate object key near '\"a\"'"},
        {"{\"\xFF\": {}}", "header: line 1, column 2: unable to decode byte 0xff near '\"'"},
        {"{\"a\\u0000b\": {}}",
         "header: line 1, column 11: NUL byte in object key not supported near '\"a\\u0000b\"'"},
    };
    for (size_t i = 1; i < R2_COUNT(cases); i++)
        expect_header_refused(cases[i].header, cases[i].message);
    struct tensor_file made = {0};
    struct r2_error err = {0};
    struct r2_safetensors file = {0};
    cr_expect_eq(r2_safetensors_parse(tensor_file_raw(&made, 0, "", "", 0), "t", &file, &err),
                 R2_INVALID, "an empty header");
    R2_AUTOFREE char *deep = calloc(1, 5001);
    memset(deep, '[', 5000);
    cr_expect_eq(r2_safetensors_parse(tensor_file_raw(&made, 5000, deep, "", 0), "t", &file, &err),
                 R2_INVALID, "deep nesting");
    cr_expect_not_null(strstr(err.message, "maximum parsing depth reached"), "%s", err.message);
    tensor_file_finish(&made);
}

Test(safetensors_errors, metadata)
{
    expect_header_refused("{\"__metadata__\": {\"a\": \"b\", \"n\": 1}}",
                          "__metadata__ holds 'n', which is not a text");
    expect_header_refused("{\"__metadata__\": []}", "__metadata__ is not an object");
    expect_header_refused("{\"__metadata__\": null}", "__metadata__ is not an object");
}

Test(safetensors_errors, names)
{
    struct tensor_file made = {0};
    struct r2_error err = {0};
    struct r2_safetensors file = {0};
    char name[514];
    memset(name, 'n', sizeof name);
    name[513] = 0;
    tensor_file_add(&made, name, "F32", "[0]", "", 0);
    expect_refused(tensor_file_bytes(&made), "a tensor's name has 513 bytes, allowed are 1 to 512");
    tensor_file_finish(&made);
    made = (struct tensor_file){0};
    name[512] = 0;
    tensor_file_add(&made, name, "F32", "[0]", "", 0);
    ASSERT_OK(r2_safetensors_parse(tensor_file_bytes(&made), "t", &file, &err), err);
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
    expect_header_refused("{\"\": {\"dtype\": \"F32\", \"shape\": [], \"data_offsets\": [0, 4]}}",
                          "a tensor's name has 0 bytes, allowed are 1 to 512");
}

Test(safetensors_errors, entries)
{
    static const char message[] = "tensor 'w': is not an object of dtype, shape and data_offsets";
    expect_header_refused("{\"w\": 1}", message);
    expect_header_refused("{\"w\": []}", message);
    expect_header_refused("{\"w\": {}}", message);
    expect_header_refused("{\"w\": {\"dtype\": \"F32\", \"shape\": [2]}}", message);
    expect_header_refused("{\"w\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8],"
                          " \"more\": 1}}",
                          message);
    expect_header_refused("{\"w\": {\"dtype\": \"F32\", \"shape\": [2], \"offsets\": [0, 8]}}",
                          "tensor 'w': data_offsets is not [begin, end]");
}

Test(safetensors_errors, dtypes)
{
    expect_entry_refused("\"F31\"", "[2]", "[0, 8]", "dtype 'F31' is not known");
    expect_entry_refused("\"f32\"", "[2]", "[0, 8]", "dtype 'f32' is not known");
    expect_entry_refused("\"\"", "[2]", "[0, 8]", "dtype '' is not known");
    expect_entry_refused("32", "[2]", "[0, 8]", "dtype is not a text");
    expect_entry_refused("null", "[2]", "[0, 8]", "dtype is not a text");
}

Test(safetensors_errors, shapes)
{
    static const char *const dims[] = {"-1",    "2.0",  "1e30", "9223372036854775808e0",
                                       "\"2\"", "null", "[2]"};
    for (size_t i = 0; i < R2_COUNT(dims); i++) {
        char shape[64];
        snprintf(shape, sizeof shape, "[2, %s]", dims[i]);
        expect_entry_refused("\"F32\"", shape, "[0, 8]",
                             "dimension 1 is not a whole number from 0");
    }
    expect_entry_refused("\"F32\"", "2", "[0, 8]", "shape is not an array");
    expect_entry_refused("\"F32\"", "{}", "[0, 8]", "shape is not an array");
    expect_entry_refused("\"F32\"", "[1, 1, 1, 1, 1, 1, 1, 1, 2]", "[0, 8]",
                         "has 9 dimensions, the limit is 8");
    expect_entry_refused("\"F32\"", "[4294967296, 4294967296]", "[0, 8]",
                         "the product of its dimensions is over 2^64");
    expect_entry_refused("\"F32\"", "[9223372036854775807, 3]", "[0, 8]",
                         "the product of its dimensions is over 2^64");
    expect_entry_refused("\"F32\"", "[4611686018427387906]", "[0, 8]",
                         "its shape needs 4 x 4611686018427387906 bytes, data_offsets give 8");
    expect_entry_refused("\"F32\"", "[3]", "[0, 8]",
                         "its shape needs 4 x 3 bytes, data_offsets give 8");
    expect_entry_refused("\"F32\"", "[]", "[0, 8]",
                         "its shape needs 4 x 1 bytes, data_offsets give 8");
    expect_entry_refused("\"F16\"", "[2]", "[0, 8]",
                         "its shape needs 2 x 2 bytes, data_offsets give 8");
    expect_entry_refused("\"F32\"", "[0]", "[0, 8]",
                         "its shape needs 4 x 0 bytes, data_offsets give 8");
}

/* jansson takes no integer from 2^63 on. */
Test(safetensors_errors, integers_past_63_bits)
{
    expect_header_refused(
        "{\"w\": {\"dtype\": \"F32\", \"shape\": [9223372036854775808], \"data_offsets\": [0, 8]}}",
        "header: line 1, column 52: too big integer near '9223372036854775808'");
    expect_header_refused("{\"w\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, "
                          "18446744073709551624]}}",
                          "header: line 1, column 77: too big integer near '18446744073709551624'");
}

Test(safetensors_errors, offsets)
{
    static const char *const lists[] = {"[0]",
                                        "[0, 4, 8]",
                                        "[]",
                                        "8",
                                        "[-4, 4]",
                                        "[0, -8]",
                                        "[0.0, 8]",
                                        "[0, 8.0]",
                                        "[0, 1e30]",
                                        "[0, \"8\"]",
                                        "{\"begin\": 0, \"end\": 8}"};
    for (size_t i = 0; i < R2_COUNT(lists); i++)
        expect_entry_refused("\"F32\"", "[2]", lists[i], "data_offsets is not [begin, end]");
    expect_entry_refused("\"F32\"", "[2]", "[4, 12]",
                         "data_offsets [4, 12] leave the 8 bytes of data");
    expect_entry_refused("\"F32\"", "[2]", "[8, 0]",
                         "data_offsets [8, 0] leave the 8 bytes of data");
    expect_entry_refused("\"F32\"", "[0]", "[9, 9]",
                         "data_offsets [9, 9] leave the 8 bytes of data");
    expect_entry_refused(
        "\"U8\"", "[1]", "[9223372036854775806, 9223372036854775807]",
        "data_offsets [9223372036854775806, 9223372036854775807] leave the 8 bytes of data");
}

Test(safetensors_errors, cover)
{
    static const char two[] =
        "{\"a\": {\"dtype\": \"U8\", \"shape\": [%d], \"data_offsets\": [%d, %d]},"
        " \"b\": {\"dtype\": \"U8\", \"shape\": [%d], \"data_offsets\": [%d, %d]}}";
    static const struct {
        int a[2], b[2];
        const char *message;
    } cases[] = {
        {{0, 5}, {4, 8}, "tensors 'a' and 'b' overlap"},
        {{0, 8}, {0, 8}, "tensors '"},
        {{0, 8}, {2, 4}, "tensors 'a' and 'b' overlap"},
        {{0, 8}, {4, 4}, "tensors 'a' and 'b' overlap"}, /* empty, but inside another */
        {{4, 8}, {0, 3}, "1 bytes before tensor 'a' belong to no tensor"},
        {{1, 4}, {4, 8}, "1 bytes before tensor 'a' belong to no tensor"},
        {{0, 4}, {4, 6}, "the last 2 bytes belong to no tensor"},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        const int *a = cases[i].a, *b = cases[i].b;
        char header[256];
        struct tensor_file made = {0};
        struct r2_error err = {0};
        struct r2_safetensors file = {0};
        int size =
            snprintf(header, sizeof header, two, a[1] - a[0], a[0], a[1], b[1] - b[0], b[0], b[1]);
        struct r2_bytes bytes = tensor_file_raw(&made, (uint64_t)size, header, "12345678", 8);
        cr_expect_eq(r2_safetensors_parse(bytes, "t", &file, &err), R2_INVALID);
        cr_expect_eq(strncmp(err.message + 3, cases[i].message, strlen(cases[i].message)), 0,
                     "%s\n  not %s", err.message, cases[i].message);
        tensor_file_finish(&made);
    }
    expect_header_refused("{}", "the last 8 bytes belong to no tensor");
}

/* Every prefix of a good file is refused; so is every file with one byte more. Each is parsed from
   memory of just its size, so that ASan sees a read past the end. */
Test(safetensors_errors, truncation)
{
    static const uint16_t halves[] = {1, 2, 3, 4};
    static const uint64_t tracked = 9;
    struct tensor_file made = {0};
    tensor_file_add(&made, "layer1.0.bn1.num_batches_tracked", "I64", "[]", &tracked, 8);
    tensor_file_add(&made, "a", "F16", "[2, 2]", halves, sizeof halves);
    tensor_file_add(&made, "b", "BF16", "[4]", halves, sizeof halves);
    r2_text_add(&made.header, ", \"__metadata__\": {\"format\": \"pt\"}");
    struct r2_bytes whole = tensor_file_bytes(&made);
    for (size_t size = 0; size <= whole.size + 1; size++) {
        struct r2_error err = {0};
        struct r2_safetensors file = {0};
        R2_AUTOFREE uint8_t *copy = calloc(1, size ? size : 1);
        memcpy(copy, whole.data, size < whole.size ? size : whole.size);
        enum r2_status status =
            r2_safetensors_parse((struct r2_bytes){copy, size}, "t", &file, &err);
        cr_expect_eq(status, size == whole.size ? R2_OK : R2_INVALID, "%zu of %zu bytes: %s", size,
                     whole.size, err.message);
        if (status == R2_OK) r2_safetensors_close(&file);
    }
    tensor_file_finish(&made);
}

/* Every byte of the header in turn becomes something else: no crash, and what is accepted can be
 * read. */
Test(safetensors_errors, changed_bytes)
{
    static const uint16_t halves[] = {1, 2, 3, 4};
    static const char others[] = {0, '0', '9', '"', '-', '{', ']', ' ', (char)0xFF};
    struct tensor_file made = {0};
    tensor_file_add(&made, "a", "F16", "[2, 2]", halves, sizeof halves);
    tensor_file_add(&made, "b", "BF16", "[4]", halves, sizeof halves);
    struct r2_bytes whole = tensor_file_bytes(&made);
    R2_AUTOFREE uint8_t *copy = malloc(whole.size);
    for (size_t at = 0; at < whole.size; at++) {
        memcpy(copy, whole.data, whole.size);
        for (size_t k = 0; k < R2_COUNT(others); k++) {
            struct r2_error err = {0};
            struct r2_safetensors file = {0};
            float values[8];
            copy[at] = (uint8_t)others[k];
            if (r2_safetensors_parse((struct r2_bytes){copy, whole.size}, "t", &file, &err) !=
                R2_OK) {
                cr_expect_eq(err.status, R2_INVALID, "%s", err.message);
                continue;
            }
            for (size_t i = 0; i < file.count; i++)
                if (file.entries[i].dtype != R2_DTYPE_OTHER && file.entries[i].count <= 8)
                    r2_tensor_read(&file.entries[i], values);
            r2_safetensors_close(&file);
        }
    }
    tensor_file_finish(&made);
}
