#include "config/json.h"

#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

enum r2_status r2_json_parse(const char *data, size_t size, const char *where, json_t **ret,
                             struct r2_error *err)
{
    json_error_t broken;
    json_t *json = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &broken);
    if (!json) {
        char text[sizeof broken.text]; /* it quotes the input */
        r2_text_printable(broken.text, strlen(broken.text), text, sizeof text);
        return r2_fail(err, R2_BAD_REQUEST, "%s: line %d, column %d: %s", where, broken.line,
                       broken.column, text);
    }
    if (!json_is_object(json)) {
        r2_fail(err, R2_BAD_REQUEST, "%s: %s is not a JSON object", where, r2_json_kind(json));
        json_decref(json);
        return err->status;
    }
    *ret = json;
    return R2_OK;
}

enum r2_status r2_json_read(const char *path, size_t limit, json_t **ret, struct r2_error *err)
{
    struct r2_buffer buffer = {0};
    R2_TRY(r2_file_read(path, limit, &buffer, err));
    enum r2_status status = r2_json_parse((const char *)buffer.data, buffer.size, path, ret, err);
    r2_buffer_finish(&buffer);
    return status;
}

const char *r2_json_kind(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "unknown";
}
