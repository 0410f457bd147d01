#include "server/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/quote.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct r2_bytes cut(struct r2_bytes bytes, size_t from, size_t to)
{
    return (struct r2_bytes){bytes.data + from, to - from};
}

static struct r2_bytes trim(struct r2_bytes bytes)
{
    size_t from = 0, to = bytes.size;
    while (from < to && is_blank(bytes.data[from])) from++;
    while (to > from && is_blank(bytes.data[to - 1])) to--;
    return cut(bytes, from, to);
}

static bool is_word(struct r2_bytes bytes, const char *word)
{
    return bytes.size == strlen(word) &&
           strncasecmp((const char *)bytes.data, word, bytes.size) == 0;
}

/* Offset of the needle from `from` on, or the size of the bytes. Not memmem, of which every call
   looks through all the bytes when a sanitizer watches it. */
static size_t find(struct r2_bytes bytes, size_t from, const char *needle, size_t size)
{
    while (from < bytes.size && bytes.size - from >= size) {
        const uint8_t *first = memchr(bytes.data + from, needle[0], bytes.size - from - size + 1);
        if (!first) break;
        if (memcmp(first, needle, size) == 0) return (size_t)(first - bytes.data);
        from = (size_t)(first - bytes.data) + 1;
    }
    return bytes.size;
}

/* --- header values: what; name=value; name="quoted value" --- */

enum found { FOUND, END, BROKEN };

/* Takes "; name=value" off the front. In a quoted value a backslash keeps the quote behind it from
   ending the value; the view has both as they are written. */
static enum found take_parameter(struct r2_bytes *rest, struct r2_bytes *name,
                                 struct r2_bytes *value)
{
    struct r2_bytes text = trim(*rest);
    while (text.size && text.data[0] == ';') text = trim(cut(text, 1, text.size));
    if (!text.size) return END;
    size_t at = 0, from;
    while (at < text.size && text.data[at] != '=' && text.data[at] != ';') at++;
    if (at == text.size || text.data[at] == ';') return BROKEN;
    *name = trim(cut(text, 0, at));
    text = trim(cut(text, at + 1, text.size));
    bool quoted = text.size && text.data[0] == '"';
    from = at = quoted ? 1 : 0;
    while (at < text.size && text.data[at] != (quoted ? '"' : ';'))
        at += quoted && text.data[at] == '\\' && at + 1 < text.size ? 2 : 1;
    if (quoted && at >= text.size) return BROKEN;
    *value = quoted ? cut(text, from, at) : trim(cut(text, from, at));
    *rest = trim(cut(text, quoted ? at + 1 : at, text.size));
    return name->size && (!rest->size || rest->data[0] == ';') ? FOUND : BROKEN;
}

/* The one parameter of that name; END when there is none, BROKEN also when there are two. */
static enum found find_parameter(struct r2_bytes rest, const char *wanted, struct r2_bytes *ret)
{
    struct r2_bytes name, value;
    enum found result = END, next;
    while ((next = take_parameter(&rest, &name, &value)) == FOUND) {
        if (!is_word(name, wanted)) continue;
        if (result == FOUND) return BROKEN;
        *ret = value;
        result = FOUND;
    }
    return next == BROKEN ? BROKEN : result;
}

static bool is_boundary(struct r2_bytes boundary)
{
    static const char marks[] = "'()+_,-./:=? ";
    if (boundary.size < 1 || boundary.size > R2_BOUNDARY_MAX) return false;
    for (size_t i = 0; i < boundary.size; i++) {
        uint8_t byte = boundary.data[i];
        bool alphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                            (byte >= 'a' && byte <= 'z');
        if (!alphanumeric && (!byte || !strchr(marks, byte))) return false;
    }
    return boundary.data[boundary.size - 1] != ' ';
}

enum r2_status r2_multipart_boundary(const char *content_type, char ret[R2_BOUNDARY_MAX + 1],
                                     struct r2_error *err)
{
    size_t type_size = strcspn(content_type, ";");
    struct r2_bytes boundary = {0};
    struct r2_bytes rest = {(const uint8_t *)content_type + type_size,
                            strlen(content_type) - type_size};
    enum found found = find_parameter(rest, "boundary", &boundary);
    if (found != FOUND)
        return r2_fail(err, R2_BAD_REQUEST, "Content-Type %s %s", r2_quote(content_type).text,
                       found == END ? "names no boundary (multipart/form-data; boundary=...)"
                                    : "is malformed");
    if (!is_boundary(boundary))
        return r2_fail(err, R2_BAD_REQUEST,
                       "Content-Type %s: a boundary has 1 to %d characters, which are letters, "
                       "digits and '()+_,-./:=? with no space at the end",
                       r2_quote(content_type).text, R2_BOUNDARY_MAX);
    memcpy(ret, boundary.data, boundary.size);
    ret[boundary.size] = 0;
    return R2_OK;
}

/* --- delimiters --- */

struct delimiter {
    size_t start; /* of its CRLF */
    size_t end;   /* behind its line */
    bool final;
};

/* Does a line that begins with the boundary, of which `at` is the end, end as a delimiter does? One
   that goes on is a longer boundary, of a body inside this one, or content. */
static bool ends_delimiter(struct r2_bytes body, size_t at, struct delimiter *ret)
{
    ret->final = body.size - at >= 2 && body.data[at] == '-' && body.data[at + 1] == '-';
    if (ret->final) {
        ret->end = at + 2;
        return ret->end == body.size || is_blank(body.data[ret->end]) ||
               body.data[ret->end] == '\r' || body.data[ret->end] == '\n';
    }
    while (at < body.size && is_blank(body.data[at])) at++;
    ret->end = at + 2;
    return body.size - at >= 2 && body.data[at] == '\r' && body.data[at + 1] == '\n';
}

/* The next delimiter whose CRLF begins at or after `from`. */
static bool find_delimiter(struct r2_bytes body, size_t from, const char *line, size_t line_size,
                           struct delimiter *ret)
{
    for (size_t at = from; (at = find(body, at, line, line_size)) < body.size; at++) {
        ret->start = at;
        if (ends_delimiter(body, at + line_size, ret)) return true;
    }
    return false;
}

/* The first one need not follow a line. */
static bool find_first(struct r2_bytes body, const char *line, size_t line_size,
                       struct delimiter *ret)
{
    ret->start = 0;
    if (body.size >= line_size - 2 && memcmp(body.data, line + 2, line_size - 2) == 0 &&
        ends_delimiter(body, line_size - 2, ret))
        return true;
    return find_delimiter(body, 0, line, line_size, ret);
}

/* --- parts --- */

static enum r2_status read_disposition(struct r2_bytes value, size_t number, struct r2_part *part,
                                       struct r2_error *err)
{
    size_t size = 0;
    while (size < value.size && value.data[size] != ';') size++;
    if (!is_word(trim(cut(value, 0, size)), "form-data"))
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: the Content-Disposition of part %zu is not form-data",
                       number);
    enum found found = find_parameter(cut(value, size, value.size), "name", &part->name);
    if (found == FOUND) return R2_OK;
    return r2_fail(err, R2_BAD_REQUEST, "multipart body: the Content-Disposition of part %zu %s",
                   number, found == END ? "has no name" : "is malformed");
}

static enum r2_status read_header(struct r2_bytes line, size_t number, struct r2_part *part,
                                  bool *disposed, struct r2_error *err)
{
    size_t colon = find(line, 0, ":", 1);
    if (colon == line.size || !colon || is_blank(line.data[0]))
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: part %zu has a header line without \"name: value\"",
                       number);
    struct r2_bytes name = trim(cut(line, 0, colon));
    struct r2_bytes value = trim(cut(line, colon + 1, line.size));
    if (is_word(name, "Content-Transfer-Encoding")) part->encoding = value;
    if (!is_word(name, "Content-Disposition")) return R2_OK;
    if (*disposed)
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: part %zu has two headers Content-Disposition", number);
    *disposed = true;
    return read_disposition(value, number, part, err);
}

/* `block` is what stands between two delimiters, and the CRLF of the second. */
static enum r2_status read_part(struct r2_bytes block, size_t number, struct r2_part *part,
                                struct r2_error *err)
{
    bool disposed = false;
    struct r2_bytes head = block;
    if (head.size > R2_PART_HEAD_MAX + 4) head.size = R2_PART_HEAD_MAX + 4;
    bool none = head.size >= 2 && memcmp(head.data, "\r\n", 2) == 0;
    size_t end = none ? 0 : find(head, 0, "\r\n\r\n", 4);
    if (!none && end == head.size && block.size > head.size)
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: the headers of part %zu are longer than %d bytes", number,
                       R2_PART_HEAD_MAX);
    if (!none && end == head.size)
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: part %zu has no empty line behind its headers", number);
    *part = (struct r2_part){.name = cut(block, 0, 0), .encoding = cut(block, 0, 0)};
    for (size_t at = 0; at < end;) {
        size_t stop = find(head, at, "\r\n", 2);
        R2_TRY(read_header(cut(head, at, stop), number, part, &disposed, err));
        at = stop + 2;
    }
    if (!disposed)
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: part %zu has no header Content-Disposition", number);
    /* Without content, the CRLF of the delimiter may be that of the empty line. */
    size_t from = end + 4, to = block.size - 2;
    part->content = from < to ? cut(block, from, to) : cut(block, 0, 0);
    return R2_OK;
}

enum r2_status r2_multipart_parse(struct r2_bytes body, const char *boundary,
                                  struct r2_part ret[R2_PARTS_MAX], size_t *ret_count,
                                  struct r2_error *err)
{
    char line[R2_BOUNDARY_MAX + 8];
    struct delimiter at, next;
    size_t count = 0;
    size_t size = (size_t)snprintf(line, sizeof line, "\r\n--%.*s", R2_BOUNDARY_MAX, boundary);
    if (!body.size || !find_first(body, line, size, &at))
        return r2_fail(err, R2_BAD_REQUEST,
                       "multipart body: there is no line \"--%s\", which the boundary of "
                       "Content-Type asks for; lines end with CRLF",
                       boundary);
    for (; !at.final; at = next) {
        if (count == R2_PARTS_MAX)
            return r2_fail(err, R2_BAD_REQUEST, "multipart body: more than %d parts", R2_PARTS_MAX);
        if (!find_delimiter(body, at.end - 2, line, size, &next))
            return r2_fail(err, R2_BAD_REQUEST,
                           "multipart body: it ends in part %zu, before the final boundary "
                           "\"--%s--\"",
                           count + 1, boundary);
        R2_TRY(read_part(cut(body, at.end, next.start + 2), count + 1, &ret[count], err));
        count++;
    }
    *ret_count = count;
    return R2_OK;
}
