#include "server/json_picture.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/memory.h"
#include "config/json.h"
#include "config/quote.h"

static const char key[] = "image";
static const char where[] = "JSON body, without the text of \"image\"";

/* --- finding the text; whether all this is JSON is the JSON reader's question --- */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static size_t skip_spaces(struct r2_bytes json, size_t at)
{
    while (at < json.size && is_space(json.data[at])) at++;
    return at;
}

/* From the first byte of a string's text to its closing quote, or to the end. */
static size_t string_end(struct r2_bytes json, size_t at)
{
    while (at < json.size && json.data[at] != '"') at += json.data[at] == '\\' ? 2 : 1;
    return at < json.size ? at : json.size;
}

/* The text between the quotes of the first value that is a string under "image" in the outermost
   object; false when there is none. A second one stays, for the reader to refuse. */
static bool find_text(struct r2_bytes json, size_t *ret_start, size_t *ret_end)
{
    size_t depth = 0;
    for (size_t at = 0; at < json.size; at++) {
        uint8_t byte = json.data[at];
        if (byte == '{' || byte == '[') depth++;
        if ((byte == '}' || byte == ']') && depth) depth--;
        if (byte != '"') continue;
        size_t start = at + 1, end = string_end(json, start);
        at = end;
        if (depth != 1 || end - start != strlen(key) ||
            memcmp(json.data + start, key, strlen(key)) != 0)
            continue;
        size_t colon = skip_spaces(json, end + 1);
        if (colon >= json.size || json.data[colon] != ':') continue;
        size_t value = skip_spaces(json, colon + 1);
        if (value >= json.size || json.data[value] != '"') continue;
        *ret_start = value + 1;
        *ret_end = string_end(json, value + 1);
        return *ret_end < json.size;
    }
    return false;
}

/* --- the text --- */

/* Replaces escapes in place. Encoders write "/" as \/ and "+" as \u002B. False: not an escape of an
   ASCII character. */
static bool unescape(uint8_t *text, size_t *size)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    static const char hex[] = "0123456789abcdef";
    uint8_t *first = memchr(text, '\\', *size);
    if (!first) return true;
    size_t at = (size_t)(first - text), used = at;
    while (at < *size) {
        if (text[at] != '\\') {
            text[used++] = text[at++];
            continue;
        }
        if (*size - at < 2) return false;
        uint8_t letter = text[at + 1];
        const char *simple = letter ? strchr(letters, letter) : NULL;
        unsigned code = 0;
        if (!simple && (letter != 'u' || *size - at < 6)) return false;
        for (size_t i = 2; !simple && i < 6; i++) {
            uint8_t digit = text[at + i];
            const char *found = memchr(hex, digit >= 'A' && digit <= 'F' ? digit + 32 : digit, 16);
            if (!found) return false;
            code = code * 16 + (unsigned)(found - hex);
        }
        if (code > 0x7F) return false;
        text[used++] = simple ? (uint8_t)meanings[simple - letters] : (uint8_t)code;
        at += simple ? 2 : 6;
    }
    *size = used;
    return true;
}

/* Bytes of a data: URI in front of the base64; 0 when the text is no such URI. */
static enum r2_status skip_uri(const uint8_t *text, size_t size, size_t *ret, struct r2_error *err)
{
    static const char base64[] = ";base64";
    char head[128];
    *ret = 0;
    if (size < 5 || strncasecmp((const char *)text, "data:", 5) != 0) return R2_OK;
    size_t seen = size < sizeof head - 1 ? size : sizeof head - 1;
    memcpy(head, text, seen);
    head[seen] = 0;
    char *comma = memchr(head, ',', seen);
    if (comma) *comma = 0;
    size_t end = strlen(head);
    bool picture = strncasecmp(head + 5, "image/", 6) == 0 ||
                   strncasecmp(head + 5, "application/octet-stream;", 25) == 0;
    if (!comma || head + end != comma || !picture || end < sizeof base64 - 1 ||
        strcasecmp(head + end - (sizeof base64 - 1), base64) != 0)
        return r2_fail(err, R2_INVALID,
                       "JSON body: \"image\" begins with %s; a data: URI is accepted as "
                       "data:image/...;base64,...",
                       r2_quote(head).text);
    *ret = end + 1;
    return R2_OK;
}

static enum r2_status decode(uint8_t *text, size_t size, struct r2_bytes *ret, struct r2_error *err)
{
    size_t uri, decoded;
    if (!unescape(text, &size))
        return r2_fail(err, R2_BAD_REQUEST,
                       "JSON body: \"image\" has a backslash that escapes no ASCII character");
    R2_TRY(skip_uri(text, size, &uri, err));
    if (r2_base64_decode(text + uri, size - uri, text + uri, &decoded, err) != R2_OK)
        return r2_fail_in(err, "JSON body: \"image\"");
    *ret = (struct r2_bytes){text + uri, decoded};
    return R2_OK;
}

/* --- the object --- */

static enum r2_status parse_rest(struct r2_bytes json, size_t start, size_t end, json_t **ret,
                                 struct r2_error *err)
{
    size_t size = json.size - (end - start);
    R2_AUTOFREE char *rest = NULL;
    if (size > R2_JSON_REST_MAX && start == end)
        return r2_fail(err, R2_BAD_REQUEST,
                       "JSON body: %zu bytes and no text under the key \"image\"", size);
    if (size > R2_JSON_REST_MAX)
        return r2_fail(err, R2_TOO_LARGE,
                       "JSON body: %zu bytes beside the text of \"image\"; the limit is %d", size,
                       R2_JSON_REST_MAX);
    R2_TRY(r2_alloc(size + 1, 1, "JSON body", &rest, err));
    memcpy(rest, json.data, start);
    memcpy(rest + start, json.data + end, json.size - end);
    return r2_json_parse(rest, size, start == end ? "JSON body" : where, ret, err);
}

static enum r2_status check_image(json_t *object, bool cut, struct r2_error *err)
{
    json_t *image = json_object_get(object, key);
    const char *other = json_object_iter_key(json_object_iter(object));
    if (!image)
        return r2_fail(err, R2_BAD_REQUEST, "JSON body: there is no key \"image\"%s%s",
                       other ? "; there is " : "", other ? r2_quote(other).text : "");
    if (!json_is_string(image))
        return r2_fail(err, R2_INVALID,
                       "JSON body: \"image\" is %s; it has to be a string, the picture in base64",
                       r2_json_kind(image));
    /* Something in front of the key hid it, such as an escape in the key. */
    if (!cut && json_string_length(image))
        return r2_fail(err, R2_BAD_REQUEST, "JSON body: write the key \"image\" without escapes");
    return R2_OK;
}

enum r2_status r2_json_picture_read(uint8_t *data, size_t size, struct r2_bytes *ret_picture,
                                    json_t **ret_rest, struct r2_error *err)
{
    struct r2_bytes json = {data, size}, picture = {data, 0};
    size_t start = size, end = size;
    json_t *rest;
    bool found = find_text(json, &start, &end);
    if (!found) start = end = size;
    R2_TRY(parse_rest(json, start, end, &rest, err));
    enum r2_status status = check_image(rest, found, err);
    if (status == R2_OK && found) status = decode(data + start, end - start, &picture, err);
    if (status != R2_OK) {
        json_decref(rest);
        return status;
    }
    json_object_del(rest, key);
    *ret_picture = picture;
    *ret_rest = rest;
    return R2_OK;
}
