#include "server/body.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"
#include "config/json.h"
#include "config/quote.h"
#include "image/decode.h"
#include "server/job.h"
#include "server/json_picture.h"
#include "server/routes.h"

enum { NAME_MAX_BYTES = 64 /* no parameter has a longer name */ };

static const char image[] = "image";

static const struct {
    const char *name;
    enum r2_body_kind kind;
} types[] = {
    {"image/jpeg", R2_BODY_PICTURE},
    {"image/png", R2_BODY_PICTURE},
    {"image/webp", R2_BODY_PICTURE},
    {"application/octet-stream", R2_BODY_PICTURE},
    {"multipart/form-data", R2_BODY_MULTIPART},
    {"application/json", R2_BODY_JSON},
};

enum r2_status r2_body_form_read(const char *content_type, struct r2_body_form *ret,
                                 struct r2_error *err)
{
    struct r2_body_form form = {.kind = R2_BODY_PICTURE};
    size_t size = content_type ? strcspn(content_type, "; \t") : 0, i = 0;
    while (i < R2_COUNT(types) &&
           (strlen(types[i].name) != size || strncasecmp(types[i].name, content_type, size) != 0))
        i++;
    if (content_type && i == R2_COUNT(types))
        return r2_fail(err, R2_UNSUPPORTED,
                       "Content-Type %s is not accepted; send the picture (%s) itself as "
                       "image/jpeg, image/png, image/webp or application/octet-stream, as the part "
                       "\"image\" of multipart/form-data, or as application/json "
                       "{\"image\": \"<base64>\"}",
                       r2_quote(content_type).text, r2_format_list());
    if (content_type) form.kind = types[i].kind;
    if (form.kind == R2_BODY_MULTIPART)
        R2_TRY(r2_multipart_boundary(content_type, form.boundary, err));
    *ret = form;
    return R2_OK;
}

size_t r2_body_limit(const struct r2_body_form *form, size_t max_body)
{
    return form->kind == R2_BODY_JSON ? max_body + max_body / 2 + R2_JSON_REST_MAX : max_body;
}

enum r2_status r2_body_too_large(const struct r2_body_form *form, size_t max_body, uint64_t size,
                                 struct r2_error *err)
{
    char many[32] = "more", limit[96];
    if (size) snprintf(many, sizeof many, "%llu", (unsigned long long)size);
    if (form->kind == R2_BODY_JSON)
        snprintf(limit, sizeof limit, "%zu are accepted as JSON, for max_body %zu",
                 r2_body_limit(form, max_body), max_body);
    else
        snprintf(limit, sizeof limit, "the limit max_body is %zu", max_body);
    return r2_fail(err, R2_TOO_LARGE, "the body has %s bytes%s; %s", many,
                   size ? "" : " than are accepted", limit);
}

const char *r2_body_place(const struct r2_body_form *form)
{
    static const char *const places[] = {
        [R2_BODY_PICTURE] = "body",
        [R2_BODY_MULTIPART] = "part \"image\"",
        [R2_BODY_JSON] = "value of \"image\"",
    };
    return places[form->kind];
}

/* --- multipart --- */

static bool has_name(const struct r2_part *part, const char *name)
{
    return part->name.size == strlen(name) && memcmp(part->name.data, name, part->name.size) == 0;
}

static enum r2_status fail_missing(const struct r2_part *parts, size_t count, struct r2_error *err)
{
    char name[NAME_MAX_BYTES + 1];
    R2_CLEANUP(r2_text_finish) struct r2_text names = {0};
    for (size_t i = 0; i < count && i < 8; i++) {
        r2_text_printable((const char *)parts[i].name.data, parts[i].name.size, name, sizeof name);
        r2_text_add(&names, "%s\"%s\"", i ? ", " : "", name);
    }
    return r2_fail(err, R2_BAD_REQUEST,
                   "multipart body: no part has the name \"image\"; there %s %s%s",
                   count == 1 ? "is" : "are", count ? r2_text_view(&names) : "no parts",
                   count > 8 ? ", ..." : "");
}

/* RFC 7578 deprecates other encodings; no client of ours is known to use one. */
static enum r2_status check_encoding(struct r2_bytes encoding, struct r2_error *err)
{
    static const char *const plain[] = {"", "binary", "8bit", "7bit"};
    char shown[64];
    for (size_t i = 0; i < R2_COUNT(plain); i++)
        if (encoding.size == strlen(plain[i]) &&
            strncasecmp((const char *)encoding.data, plain[i], encoding.size) == 0)
            return R2_OK;
    r2_text_printable((const char *)encoding.data, encoding.size, shown, sizeof shown);
    return r2_fail(err, R2_UNSUPPORTED,
                   "multipart body: the part \"image\" has Content-Transfer-Encoding %s; binary is "
                   "accepted",
                   r2_quote(shown).text);
}

static enum r2_status add_part(struct r2_job *job, const struct r2_part *part, struct r2_error *err)
{
    char name[NAME_MAX_BYTES + 1];
    if (part->name.size > NAME_MAX_BYTES || memchr(part->name.data, 0, part->name.size))
        return R2_OK;
    memcpy(name, part->name.data, part->name.size);
    name[part->name.size] = 0;
    if (!r2_routes_know_parameter(job, name)) return R2_OK;
    return r2_query_add(&job->query, name, part->content, err);
}

static enum r2_status unpack_multipart(struct r2_job *job, struct r2_bytes *ret,
                                       struct r2_error *err)
{
    struct r2_part parts[R2_PARTS_MAX];
    const struct r2_part *found = NULL;
    size_t count;
    R2_TRY(r2_multipart_parse(r2_buffer_view(&job->body), job->form.boundary, parts, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!has_name(&parts[i], image)) {
            R2_TRY(add_part(job, &parts[i], err));
        } else if (found) {
            return r2_fail(err, R2_BAD_REQUEST,
                           "multipart body: parts %zu and %zu both have the name \"image\"",
                           (size_t)(found - parts) + 1, i + 1);
        } else {
            found = &parts[i];
        }
    }
    if (!found) return fail_missing(parts, count, err);
    R2_TRY(check_encoding(found->encoding, err));
    *ret = found->content;
    return R2_OK;
}

/* --- JSON --- */

/* Appends a value as the query string would have it. */
static enum r2_status print_value(const char *name, const json_t *value, struct r2_text *text,
                                  struct r2_error *err)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        r2_text_add_bytes(text, json_string_value(value), json_string_length(value));
        return R2_OK;
    case JSON_INTEGER:
        r2_text_add(text, "%lld", (long long)json_integer_value(value));
        return R2_OK;
    case JSON_REAL: r2_text_add(text, "%.17g", json_real_value(value)); return R2_OK;
    case JSON_TRUE: r2_text_add(text, "1"); return R2_OK;
    case JSON_FALSE: r2_text_add(text, "0"); return R2_OK;
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_NULL: break;
    }
    return r2_fail(err, R2_INVALID,
                   "JSON body: %s is or holds %s; a parameter is a string, a number, a boolean or "
                   "a list of those",
                   r2_quote(name).text, r2_json_kind(value));
}

static enum r2_status add_member(struct r2_job *job, const char *name, const json_t *value,
                                 struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text text = {0};
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    for (size_t i = 0; i < count; i++) {
        if (i) r2_text_add(&text, ",");
        R2_TRY(
            print_value(name, json_is_array(value) ? json_array_get(value, i) : value, &text, err));
    }
    if (text.failed) return r2_fail(err, R2_NO_MEMORY, "no memory for a parameter");
    return r2_query_add(&job->query, name,
                        (struct r2_bytes){(const uint8_t *)r2_text_view(&text), text.size}, err);
}

static enum r2_status unpack_json(struct r2_job *job, struct r2_bytes *ret, struct r2_error *err)
{
    json_t *rest, *value;
    const char *name;
    struct r2_bytes picture;
    R2_TRY(r2_json_picture_read(job->body.data, job->body.size, &picture, &rest, err));
    enum r2_status status = R2_OK;
    json_object_foreach(rest, name, value)
    {
        status = add_member(job, name, value, err);
        if (status != R2_OK) break;
    }
    json_decref(rest);
    if (status == R2_OK) *ret = picture;
    return status;
}

enum r2_status r2_body_unpack(struct r2_job *job, size_t max_body, struct r2_error *err)
{
    struct r2_bytes picture = r2_buffer_view(&job->body);
    size_t count = job->query.count;
    if (!picture.size) return r2_fail(err, R2_INVALID, "the body is empty");
    if (job->form.kind == R2_BODY_MULTIPART) R2_TRY(unpack_multipart(job, &picture, err));
    if (job->form.kind == R2_BODY_JSON) R2_TRY(unpack_json(job, &picture, err));
    if (!picture.size)
        return r2_fail(err, R2_INVALID, "the %s is empty", r2_body_place(&job->form));
    if (picture.size > max_body)
        return r2_fail(err, R2_TOO_LARGE, "the picture has %zu bytes; the limit max_body is %zu",
                       picture.size, max_body);
    if (job->query.count > count) R2_TRY(r2_routes_apply(job, err));
    job->picture = picture;
    return R2_OK;
}
