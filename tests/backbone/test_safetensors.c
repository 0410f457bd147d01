/* safetensors files: what is read, what is refused and with which words. */
#include "backbone/safetensors.h"

#include <inttypes.h>
#include <math.h>

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/tensor_file.h"

/* --- good files ---------------------------------------------------------------------------------
 */

static struct r2_safetensors parse(struct r2_bytes bytes)
{
    struct r2_error err = {0};
    struct r2_safetensors file = {0};
    ASSERT_OK(r2_safetensors_parse(bytes, "t", &file, &err), err);
    return file;
}

static const struct r2_tensor_entry *entry_of(const struct r2_safetensors *file, const char *name)
{
    const struct r2_tensor_entry *entry = r2_safetensors_find(file, name);
    cr_assert_not_null(entry, "%s", name);
    cr_expect_str_eq(entry->name, name);
    return entry;
}

static void expect_bits(const struct r2_tensor_entry *entry, const uint32_t *bits, size_t count)
{
    R2_AUTOFREE float *values = calloc(count + 1, sizeof *values);
    cr_assert_eq(entry->count, count);
    r2_tensor_read(entry, values);
    for (size_t i = 0; i < count; i++) {
        uint32_t got;
        memcpy(&got, &values[i], sizeof got);
        cr_expect_eq(got, bits[i], "%s[%zu]: %08" PRIx32 ", not %08" PRIx32, entry->name, i, got,
                     bits[i]);
    }
    cr_expect(values[count] == 0, "%s: written past its end", entry->name);
}

Test(safetensors, f32)
{
    static const uint32_t bits[] = {0x3F800000, 0x80000000, 0x00000001,
                                    0x7F800000, 0xFFC00001, 0x7F7FFFFF};
    struct tensor_file made = {0};
    tensor_file_add(&made, "w", "F32", "[2, 3]", bits, sizeof bits);
    struct r2_safetensors file = parse(tensor_file_bytes(&made));
    const struct r2_tensor_entry *entry = entry_of(&file, "w");
    cr_expect_eq(file.count, 1);
    cr_expect_str_eq(file.path, "t");
    cr_expect_eq(entry->dtype, R2_DTYPE_F32);
    cr_expect(entry->rank == 2 && entry->dims[0] == 2 && entry->dims[1] == 3);
    cr_expect_eq(entry->data.size, 24);
    cr_expect_not(entry->taken);
    expect_bits(entry, bits, 6);
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
}

Test(safetensors, f16)
{
    static const uint16_t halves[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03FF,
                                      0x0400, 0x3C00, 0xC000, 0x7BFF, 0x7C00,
                                      0xFC00, 0x7E00, 0x7C01, 0xFFFF, 0x3555};
    static const uint32_t bits[] = {0x00000000, 0x80000000, 0x33800000, 0xB3800000, 0x387FC000,
                                    0x38800000, 0x3F800000, 0xC0000000, 0x477FE000, 0x7F800000,
                                    0xFF800000, 0x7FC00000, 0x7F802000, 0xFFFFE000, 0x3EAAA000};
    struct tensor_file made = {0};
    tensor_file_add(&made, "h", "F16", "[15]", halves, sizeof halves);
    struct r2_safetensors file = parse(tensor_file_bytes(&made));
    cr_expect_eq(entry_of(&file, "h")->dtype, R2_DTYPE_F16);
    expect_bits(entry_of(&file, "h"), bits, R2_COUNT(bits));
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
}

Test(safetensors, every_half)
{
    struct tensor_file made = {0};
    R2_AUTOFREE uint16_t *halves = calloc(65536, sizeof *halves);
    R2_AUTOFREE float *values = calloc(65536, sizeof *values);
    for (size_t i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    tensor_file_add(&made, "h", "F16", "[256, 256]", halves, 2 * 65536);
    struct r2_safetensors file = parse(tensor_file_bytes(&made));
    r2_tensor_read(entry_of(&file, "h"), values);
    for (int i = 0; i < 65536; i++) {
        int exponent = i >> 10 & 31, mantissa = i & 1023;
        double wanted = exponent == 31 ? (mantissa ? NAN : INFINITY)
                        : exponent     ? ldexp(1024 + mantissa, exponent - 25)
                                       : ldexp(mantissa, -24);
        bool same = isnan(wanted) ? isnan(values[i]) : fabs((double)values[i]) == wanted;
        cr_assert(same && (signbit(values[i]) != 0) == (i > 32767), "half %04x: %g", (unsigned)i,
                  (double)values[i]);
    }
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
}

Test(safetensors, bf16)
{
    static const uint16_t halves[] = {0x3F80, 0x8000, 0x0001, 0x7F80, 0xFFC1, 0x4049};
    static const uint32_t bits[] = {0x3F800000, 0x80000000, 0x00010000,
                                    0x7F800000, 0xFFC10000, 0x40490000};
    struct tensor_file made = {0};
    tensor_file_add(&made, "b", "BF16", "[6, 1, 1, 1]", halves, sizeof halves);
    struct r2_safetensors file = parse(tensor_file_bytes(&made));
    cr_expect_eq(entry_of(&file, "b")->dtype, R2_DTYPE_BF16);
    expect_bits(entry_of(&file, "b"), bits, R2_COUNT(bits));
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
}

Test(safetensors, scalars_empty_tensors_and_other_types)
{
    static const uint64_t eight[8] = {7};
    static const uint32_t one = 0x3F800000;
    static const struct {
        const char *dtype;
        size_t size;
    } types[] = {{"F64", 8}, {"I64", 8}, {"I32", 4}, {"I16", 2},  {"I8", 1},      {"U64", 8},
                 {"U32", 4}, {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    struct tensor_file made = {0};
    tensor_file_add(&made, "bn1.num_batches_tracked", "I64", "[]", eight, 8);
    tensor_file_add(&made, "scalar", "F32", "[]", &one, 4);
    tensor_file_add(&made, "empty", "F32", "[3, 0, 2]", "", 0);
    tensor_file_add(&made, "deep", "F32", "[1, 1, 1, 1, 1, 1, 1, 1]", &one, 4);
    for (size_t i = 0; i < R2_COUNT(types); i++)
        tensor_file_add(&made, types[i].dtype, types[i].dtype, "[3]", eight, 3 * types[i].size);
    struct r2_safetensors file = parse(tensor_file_bytes(&made));
    cr_expect_eq(file.count, 4 + R2_COUNT(types));
    const struct r2_tensor_entry *tracked = entry_of(&file, "bn1.num_batches_tracked");
    cr_expect(tracked->dtype == R2_DTYPE_OTHER && tracked->rank == 0 && tracked->count == 1);
    expect_bits(entry_of(&file, "scalar"), &one, 1);
    expect_bits(entry_of(&file, "empty"), NULL, 0);
    cr_expect_eq(entry_of(&file, "deep")->rank, 8);
    for (size_t i = 0; i < R2_COUNT(types); i++)
        cr_expect_eq(entry_of(&file, types[i].dtype)->dtype, R2_DTYPE_OTHER, "%s", types[i].dtype);
    for (size_t i = 1; i < file.count; i++)
        cr_expect_lt(strcmp(file.entries[i - 1].name, file.entries[i].name), 0, "sorted by name");
    cr_expect_null(r2_safetensors_find(&file, "scala"));
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
}

Test(safetensors, metadata_and_nothing_else)
{
    static const char *const headers[] = {"{}", "{\"__metadata__\": {}}",
                                          "{\"__metadata__\": {\"format\": \"pt\", \"\": \"\"}}  ",
                                          " {}"};
    struct tensor_file made = {0};
    for (size_t i = 0; i < R2_COUNT(headers); i++) {
        struct r2_safetensors file =
            parse(tensor_file_raw(&made, strlen(headers[i]), headers[i], "", 0));
        cr_expect_eq(file.count, 0, "%s", headers[i]);
        cr_expect_null(r2_safetensors_find(&file, "__metadata__"));
        r2_safetensors_close(&file);
        r2_safetensors_close(&file);
    }
    r2_safetensors_close(NULL);
    tensor_file_finish(&made);
}

/* Header lengths of every remainder put the data at odd addresses. */
Test(safetensors, data_at_odd_addresses)
{
    static const uint32_t bits[] = {0x40490FDB, 0xC2F6E979, 0x00000003};
    static const uint16_t halves[] = {0x3F80, 0x4049, 0xC2F6};
    static const uint32_t wide[] = {0x3F800000, 0x40490000, 0xC2F60000};
    for (size_t pad = 0; pad < 8; pad++) {
        struct tensor_file made = {0};
        tensor_file_add(&made, "pad", "U8", "[1]", "\1", 1);
        tensor_file_add(&made, "f", "F32", "[3]", bits, sizeof bits);
        tensor_file_add(&made, "b", "BF16", "[3]", halves, sizeof halves);
        r2_text_add(&made.header, "%*s", (int)pad, "");
        struct r2_safetensors file = parse(tensor_file_bytes(&made));
        expect_bits(entry_of(&file, "f"), bits, 3);
        expect_bits(entry_of(&file, "b"), wide, 3);
        r2_safetensors_close(&file);
        tensor_file_finish(&made);
    }
}

Test(safetensors, order_in_the_header_is_free)
{
    static const char header[] =
        "{\"z\": {\"shape\": [1], \"data_offsets\": [4, 8], \"dtype\": \"F32\"},"
        " \"e\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [4, 4]},"
        " \"a\": {\"data_offsets\": [0, 4], \"dtype\": \"F32\", \"shape\": [1]}}";
    static const uint32_t bits[] = {0x3F800000, 0x40000000};
    struct tensor_file made = {0};
    struct r2_safetensors file = parse(tensor_file_raw(&made, strlen(header), header, bits, 8));
    expect_bits(entry_of(&file, "a"), &bits[0], 1);
    expect_bits(entry_of(&file, "z"), &bits[1], 1);
    r2_safetensors_close(&file);
    tensor_file_finish(&made);
}

Test(safetensors, from_a_path)
{
    static const uint32_t one = 0x3F800000;
    struct r2_error err = {0};
    struct tensor_file made = {0};
    struct r2_safetensors file = {0};
    char *path = make_file("", 0);
    char text[128];
    tensor_file_add(&made, "w", "F32", "[1]", &one, 4);
    ASSERT_OK(tensor_file_write(&made, path, &err), err);
    ASSERT_OK(r2_safetensors_open(path, &file, &err), err);
    cr_expect_str_eq(file.path, path);
    expect_bits(entry_of(&file, "w"), &one, 1);
    r2_safetensors_close(&file);
    cr_assert_eq(truncate(path, 3), 0);
    snprintf(text, sizeof text, "%s: 3 bytes are too few for a safetensors file", path);
    EXPECT_FAIL(r2_safetensors_open(path, &file, &err), err, R2_INVALID, text);
    cr_expect(!file.path && !file.entries, "untouched on failure");
    drop_file(path);
    cr_expect_eq(r2_safetensors_open("/tmp/r2-no-such-file", &file, &err), R2_NOT_FOUND, "%s",
                 err.message);
    tensor_file_finish(&made);
}

Test(safetensors, shape_texts)
{
    static const uint64_t dims[] = {26, 26, 3, 3, UINT64_MAX};
    char text[32], tight[8];
    r2_tensor_shape_text(0, dims, text, sizeof text);
    cr_expect_str_eq(text, "scalar");
    r2_tensor_shape_text(1, dims, text, sizeof text);
    cr_expect_str_eq(text, "26");
    r2_tensor_shape_text(4, dims, text, sizeof text);
    cr_expect_str_eq(text, "26x26x3x3");
    r2_tensor_shape_text(5, dims, text, sizeof text);
    cr_expect_str_eq(text, "26x26x3x3x18446744073709551615");
    r2_tensor_shape_text(5, dims, tight, sizeof tight);
    cr_expect_str_eq(tight, "26x26x3");
}
