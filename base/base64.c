#include "base/base64.h"

#include <stdbool.h>

enum { SPACE = 0x40, PAD = 0x41, BAD = 0x80, NOT_A_DIGIT = 0xC0 };

void r2_base64_encode(struct r2_bytes bytes, struct r2_text *ret)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { PIECE = 3 * 1024 };
    char text[PIECE / 3 * 4];
    for (size_t first = 0; first < bytes.size; first += PIECE) {
        const size_t end = bytes.size - first < PIECE ? bytes.size : first + PIECE;
        size_t used = 0;
        for (size_t i = first; i < end; i += 3) {
            const size_t left = end - i; /* below 3 only where the bytes end */
            const uint32_t group = (uint32_t)bytes.data[i] << 16 |
                                   (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                                   (left > 2 ? bytes.data[i + 2] : 0);
            text[used++] = digits[group >> 18];
            text[used++] = digits[group >> 12 & 63];
            text[used++] = left > 1 ? digits[group >> 6 & 63] : '=';
            text[used++] = left > 2 ? digits[group & 63] : '=';
        }
        r2_text_add_bytes(ret, text, used);
    }
}

/* What a byte stands for: 0..63, or SPACE, PAD, BAD. */
static uint8_t value_of(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') return (uint8_t)(byte - 'A');
    if (byte >= 'a' && byte <= 'z') return (uint8_t)(byte - 'a' + 26);
    if (byte >= '0' && byte <= '9') return (uint8_t)(byte - '0' + 52);
    switch (byte) {
    case '+': return 62;
    case '/': return 63;
    case '=': return PAD;
    case ' ':
    case '\t':
    case '\n':
    case '\r': return SPACE;
    default: return BAD;
    }
}

static enum r2_status fail_at(size_t at, uint8_t byte, struct r2_error *err)
{
    bool shown = byte > 0x20 && byte < 0x7F;
    if (byte == '-' || byte == '_')
        return r2_fail(err, R2_BAD_REQUEST,
                       "base64: character %zu is '%c'; the alphabet is the standard one, with + "
                       "and / (not the one for URLs)",
                       at + 1, byte);
    return r2_fail(err, R2_BAD_REQUEST,
                   shown ? "base64: character %zu is '%c'" : "base64: character %zu is 0x%02X",
                   at + 1, byte);
}

/* The end of the text: padding, from `at` on, and white space. */
static enum r2_status check_padding(const uint8_t *text, size_t size, size_t at, unsigned digits,
                                    struct r2_error *err)
{
    size_t pads = 0;
    for (; at < size; at++) {
        uint8_t value = value_of(text[at]);
        if (value == PAD)
            pads++;
        else if (value != SPACE)
            return r2_fail(err, R2_BAD_REQUEST,
                           "base64: character %zu follows the padding '=', which ends the text",
                           at + 1);
    }
    if (digits == 1)
        return r2_fail(err, R2_BAD_REQUEST,
                       "base64: one character is left over after whole groups of 4; the text is "
                       "cut off or damaged");
    if (pads && (!digits || pads + digits != 4))
        return r2_fail(err, R2_BAD_REQUEST,
                       "base64: %zu times '=' after %u characters of the last group of 4", pads,
                       digits);
    return R2_OK;
}

enum r2_status r2_base64_decode(const uint8_t *text, size_t size, uint8_t *ret, size_t *ret_size,
                                struct r2_error *err)
{
    uint8_t values[256];
    uint32_t bits = 0;
    unsigned digits = 0; /* of the group of 4 that is being read */
    size_t at = 0, used = 0;
    for (size_t i = 0; i < 256; i++) values[i] = value_of((uint8_t)i);
    while (at < size) {
        if (!digits && size - at >= 4) {
            uint8_t a = values[text[at]], b = values[text[at + 1]], c = values[text[at + 2]],
                    d = values[text[at + 3]];
            if (!((a | b | c | d) & NOT_A_DIGIT)) {
                uint32_t group = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
                ret[used++] = (uint8_t)(group >> 16);
                ret[used++] = (uint8_t)(group >> 8);
                ret[used++] = (uint8_t)group;
                at += 4;
                continue;
            }
        }
        uint8_t value = values[text[at]];
        if (value == PAD) break;
        if (value == BAD) return fail_at(at, text[at], err);
        at++;
        if (value == SPACE) continue;
        bits = bits << 6 | value;
        if (++digits < 4) continue;
        ret[used++] = (uint8_t)(bits >> 16);
        ret[used++] = (uint8_t)(bits >> 8);
        ret[used++] = (uint8_t)bits;
        digits = 0;
    }
    R2_TRY(check_padding(text, size, at, digits, err));
    if (digits == 2) ret[used++] = (uint8_t)(bits >> 4);
    if (digits == 3) {
        ret[used++] = (uint8_t)(bits >> 10);
        ret[used++] = (uint8_t)(bits >> 2);
    }
    *ret_size = used;
    return R2_OK;
}
