#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_WORD = 255 };

void r2_text_finish(struct r2_text *text)
{
    if (!text) return;
    free(text->data);
    *text = (struct r2_text){0};
}

static bool reserve(struct r2_text *text, size_t more)
{
    if (text->failed) return false;
    size_t wanted = text->size + more + 1;
    if (wanted <= text->capacity) return true;
    size_t capacity = text->capacity * 2 > wanted ? text->capacity * 2 : wanted + 64;
    char *data = realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void r2_text_add_bytes(struct r2_text *text, const char *data, size_t size)
{
    if (!reserve(text, size)) return;
    if (size) memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = 0;
}

void r2_text_add(struct r2_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size >= 0 && reserve(text, (size_t)size)) {
        vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

const char *r2_text_view(const struct r2_text *text)
{
    return text->data ? text->data : "";
}

size_t r2_text_distance(const char *a, const char *b)
{
    size_t row[LONGEST_WORD + 1];
    size_t size_a = strlen(a), size_b = strlen(b);
    if (size_a > LONGEST_WORD || size_b > LONGEST_WORD) return SIZE_MAX;
    for (size_t j = 0; j <= size_b; j++) row[j] = j;
    for (size_t i = 1; i <= size_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= size_b; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[size_b];
}

const char *r2_text_nearest(const char *word, const char *(*name)(const void *from, size_t i),
                            const void *from)
{
    const char *best = NULL, *candidate;
    size_t limit = strlen(word) / 3;
    if (limit < 1) limit = 1;
    for (size_t i = 0; (candidate = name(from, i)); i++) {
        size_t distance = r2_text_distance(word, candidate);
        if (distance > limit) continue;
        best = candidate;
        if (distance == 0) break;
        limit = distance - 1;
    }
    return best;
}

/* Length of the UTF-8 character at text, 0 when it is not one (overlong forms and surrogates too).
 */
static size_t utf8_length(const unsigned char *text, size_t size)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    if (text[0] < 0x80) return 1;
    for (size_t form = 0; form < 3; form++) {
        size_t length = form + 2;
        if ((text[0] & forms[form].mask) != forms[form].lead) continue;
        if (size < length) return 0;
        uint32_t code = text[0] & (unsigned char)~forms[form].mask;
        for (size_t i = 1; i < length; i++) {
            if ((text[i] & 0xC0) != 0x80) return 0;
            code = code << 6 | (text[i] & 0x3F);
        }
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        return code >= forms[form].least && code <= 0x10FFFF && !surrogate ? length : 0;
    }
    return 0;
}

void r2_text_printable(const char *text, size_t size, char *ret, size_t ret_size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t length = utf8_length(bytes + i, size - i);
        bool shown = length > 1 || (length == 1 && bytes[i] >= 0x20 && bytes[i] != 0x7F);
        size_t wanted = shown ? length : 1;
        if (used + wanted + 1 > ret_size) break;
        if (shown)
            memcpy(ret + used, text + i, length);
        else
            ret[used] = '?';
        used += wanted;
        i += length ? length : 1;
    }
    if (ret_size) ret[used] = 0;
}
