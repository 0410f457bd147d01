#include "base/base64.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct r2_error err;

/* In memory of exactly the text's size, in place, so that a sanitizer sees every byte too many. */
static enum r2_status decode(const char *text, size_t size, char *ret, size_t *ret_size)
{
    uint8_t *copy = malloc(size + !size);
    cr_assert(copy);
    memcpy(copy, text, size);
    enum r2_status status = r2_base64_decode(copy, size, copy, ret_size, &err);
    if (status == R2_OK) memcpy(ret, copy, *ret_size);
    free(copy);
    return status;
}

static char digit(unsigned value)
{
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[value & 63];
}

/* The plain way; returns the length. */
static size_t encode(const uint8_t *data, size_t size, bool pad, char *ret)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)data[i] << 16;
        if (left > 1) group |= (unsigned)data[i + 1] << 8;
        if (left > 2) group |= data[i + 2];
        for (size_t c = 0; c < 4; c++) {
            if (c <= left)
                ret[used++] = digit(group >> (18 - 6 * c));
            else if (pad)
                ret[used++] = '=';
        }
    }
    return used;
}

Test(base64, what_is_accepted)
{
    static const struct {
        const char *text, *bytes;
    } cases[] = {
        /* RFC 4648, section 10, with padding and without */
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
        {"Zg", "f"},
        {"Zm8", "fo"},
        {"Zm9vYg", "foob"},
        /* white space */
        {" \t\r\n", ""},
        {"Zm9v\r\nYmFy\r\n", "foobar"},
        {"Z m 9 v\nY\tm F\ry", "foobar"},
        {"Zm9vYg = \n=\n", "foob"},
        {"Zm9vY\ng", "foob"},
        /* both marks, and unused bits that are not 0 */
        {"+/+/", "\xFB\xFF\xBF"},
        {"Zh==", "f"},
    };
    char bytes[64];
    size_t size;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(decode(cases[i].text, strlen(cases[i].text), bytes, &size), R2_OK, "%s: %s",
                     cases[i].text, err.message);
        cr_expect_eq(size, strlen(cases[i].bytes), "%s: %zu", cases[i].text, size);
        cr_expect_eq(memcmp(bytes, cases[i].bytes, size), 0, "%s", cases[i].text);
    }
}

Test(base64, what_is_refused)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"Z", "one character is left over"},
        {"Zm9vY", "one character is left over"},
        {"Z===", "one character is left over"},
        {"Zg=", "1 times '='"},
        {"Zm8==", "2 times '='"},
        {"Zm9v=", "1 times '='"},
        {"Zm9v====", "4 times '='"},
        {"=", "1 times '='"},
        {"Zg==Zg==", "character 5 follows the padding"},
        {"Zm8=\n-", "character 6 follows the padding"},
        {"Zm9-", "character 4 is '-'; the alphabet is the standard one"},
        {"_m9v", "character 1 is '_'; the alphabet is the standard one"},
        {"Zm9v.", "character 5 is '.'"},
        {"Zm9v\x01", "character 5 is 0x01"},
        {"Zm9v\xC3\xA9", "character 5 is 0xC3"},
        {"Zm9v\\n", "character 5 is '\\'"},
    };
    char bytes[64];
    size_t size = 77;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum r2_status status = decode(cases[i].text, strlen(cases[i].text), bytes, &size);
        cr_expect_eq(status, R2_BAD_REQUEST, "%s", cases[i].text);
        cr_expect(strstr(err.message, cases[i].says), "%s: %s", cases[i].text, err.message);
        cr_expect_eq(size, 77, "untouched");
    }
    cr_expect_eq(decode("Zm9v\0", 5, bytes, &size), R2_BAD_REQUEST, "a NUL is not the end");
}

Test(base64, every_length_comes_back)
{
    enum { MOST = 300 };
    uint8_t data[MOST];
    char text[MOST * 2], wrapped[MOST * 3], bytes[MOST * 2];
    for (size_t i = 0; i < MOST; i++) data[i] = (uint8_t)(i * 167 + (i >> 3));
    for (size_t size = 0; size <= MOST; size++) {
        for (int pad = 0; pad < 2; pad++) {
            size_t length = encode(data, size, pad, text), lines = 0, got;
            cr_assert_eq(decode(text, length, bytes, &got), R2_OK, "%zu: %s", size, err.message);
            cr_assert(got == size && memcmp(bytes, data, size) == 0, "%zu", size);
            cr_expect_leq(size, r2_base64_room(length));
            /* lines of 17, which is no multiple of 4 */
            for (size_t i = 0; i < length; i++) {
                wrapped[lines++] = text[i];
                if (i % 17 == 16) wrapped[lines++] = '\n';
            }
            cr_assert_eq(decode(wrapped, lines, bytes, &got), R2_OK, "%zu: %s", size, err.message);
            cr_assert(got == size && memcmp(bytes, data, size) == 0, "%zu", size);
        }
    }
}

Test(base64, every_byte_is_either_a_digit_or_not)
{
    char text[4] = "AAAA", bytes[4];
    size_t size, accepted = 0;
    for (int byte = 0; byte < 256; byte++) {
        text[1] = (char)byte;
        if (decode(text, 4, bytes, &size) == R2_OK && size == 3) accepted++;
    }
    cr_expect_eq(accepted, 64);
}

Test(base64, is_written_as_rfc_4648_says)
{
    static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t size = 0; size < sizeof texts / sizeof *texts; size++) {
        struct r2_text text = {0};
        r2_base64_encode((struct r2_bytes){(const uint8_t *)"foobar", size}, &text);
        cr_expect_str_eq(r2_text_view(&text), texts[size]);
        r2_text_finish(&text);
    }
}

Test(base64, what_is_written_is_read_back)
{
    for (size_t size = 3070; size < 3076; size++) {
        uint8_t data[3076], back[3 * 1026 + 3];
        size_t back_size = 0;
        struct r2_text text = {0};
        for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i * i >> 3);
        r2_base64_encode((struct r2_bytes){data, size}, &text);
        cr_expect_eq(text.size, (size + 2) / 3 * 4);
        cr_assert_eq(
            r2_base64_decode((const uint8_t *)text.data, text.size, back, &back_size, &err), R2_OK,
            "%s", err.message);
        cr_expect(back_size == size && memcmp(back, data, size) == 0, "%zu bytes", size);
        r2_text_finish(&text);
    }
}
