#include "config/option_value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/json.h"
#include "config/quote.h"

/* Where a list keeps its count and item i, and the type of the items. */
struct list {
    enum r2_option_type item_type;
    size_t *count;
    void *item;
};

static struct list list_at(enum r2_option_type type, union r2_option_value *value, size_t i)
{
    if (type == R2_OPTION_INTS)
        return (struct list){R2_OPTION_INT, &value->ints.count, &value->ints.items[i]};
    if (type == R2_OPTION_FLOATS)
        return (struct list){R2_OPTION_FLOAT, &value->floats.count, &value->floats.items[i]};
    return (struct list){R2_OPTION_TEXT, &value->texts.count, &value->texts.items[i]};
}

bool r2_option_is_list(enum r2_option_type type)
{
    return type == R2_OPTION_INTS || type == R2_OPTION_FLOATS || type == R2_OPTION_TEXTS;
}

size_t r2_option_value_size(enum r2_option_type type)
{
    static const size_t sizes[] = {
        [R2_OPTION_BOOL] = sizeof(bool),
        [R2_OPTION_INT] = sizeof(int64_t),
        [R2_OPTION_FLOAT] = sizeof(double),
        [R2_OPTION_TEXT] = sizeof(char *),
        [R2_OPTION_CHOICE] = sizeof(int),
        [R2_OPTION_INTS] = sizeof(struct r2_ints),
        [R2_OPTION_FLOATS] = sizeof(struct r2_floats),
        [R2_OPTION_TEXTS] = sizeof(struct r2_texts),
        [R2_OPTION_OBJECT] = sizeof(json_t *),
    };
    return sizes[type];
}

void r2_option_value_finish(const struct r2_option *option, union r2_option_value *value)
{
    if (option->type == R2_OPTION_TEXT) free(value->text);
    if (option->type == R2_OPTION_OBJECT) json_decref(value->object);
    if (option->type == R2_OPTION_TEXTS)
        for (size_t i = 0; i < value->texts.count; i++) free(value->texts.items[i]);
    memset(value, 0, r2_option_value_size(option->type));
}

/* ---- Ranges ---- */

bool r2_option_has_range(const struct r2_option *option)
{
    return option->min < option->max || option->min > 0 || option->max < 0;
}

static const char units[] = "KMGT";

struct r2_option_bound r2_option_bound(const struct r2_option *option, double bound)
{
    struct r2_option_bound text;
    size_t unit = 0;
    if (option->flags & R2_OPTION_BYTES) {
        int64_t bytes = (int64_t)bound;
        for (; unit < sizeof units - 1 && bytes && bytes % 1024 == 0; unit++) bytes /= 1024;
        if (unit) snprintf(text.text, sizeof text.text, "%" PRId64 "%ciB", bytes, units[unit - 1]);
    }
    if (!unit) snprintf(text.text, sizeof text.text, "%.15g", bound);
    return text;
}

static enum r2_status out_of_range(const struct r2_option *option, const char *shown,
                                   struct r2_error *err)
{
    if (!r2_option_has_range(option))
        return r2_fail(err, R2_INVALID, "%s is too large a number", shown);
    return r2_fail(err, R2_INVALID, "%s is not in %s..%s%s", shown,
                   r2_option_bound(option, option->min).text,
                   r2_option_bound(option, option->max).text,
                   option->flags & R2_OPTION_AUTO ? " and not auto" : "");
}

static enum r2_status check_int(const struct r2_option *option, int64_t value, int64_t *ret,
                                struct r2_error *err)
{
    /* Bounds are far below 2^53, so that they are exact as integers. */
    bool inside = value >= (int64_t)option->min && value <= (int64_t)option->max;
    if (r2_option_has_range(option) && !inside) {
        char shown[24];
        snprintf(shown, sizeof shown, "%" PRId64, value);
        return out_of_range(option, shown, err);
    }
    *ret = value;
    return R2_OK;
}

static enum r2_status check_float(const struct r2_option *option, double value, double *ret,
                                  struct r2_error *err)
{
    char shown[32];
    snprintf(shown, sizeof shown, "%.15g", value);
    if (!isfinite(value)) return r2_fail(err, R2_INVALID, "%s is not a finite number", shown);
    if (r2_option_has_range(option) && !(value >= option->min && value <= option->max))
        return out_of_range(option, shown, err);
    *ret = value;
    return R2_OK;
}

static enum r2_status check_text(const struct r2_option *option, const char *text, char **ret,
                                 struct r2_error *err)
{
    size_t size = strlen(text);
    if (!size) return r2_fail(err, R2_INVALID, "must not be empty");
    if (size > R2_OPTION_TEXT_MAX)
        return r2_fail(err, R2_INVALID, "%s is longer than %d bytes", r2_quote(text).text,
                       R2_OPTION_TEXT_MAX);
    char *copy = malloc(size + 1);
    if (!copy) return r2_fail(err, R2_NO_MEMORY, "no memory for a text of %zu bytes", size);
    enum r2_status status = R2_OK;
    r2_text_printable(text, size, copy, size + 1);
    if (memcmp(copy, text, size) != 0)
        status = r2_fail(err, R2_INVALID, "%s must be UTF-8 without control characters",
                         r2_quote(text).text);
    else if (option->check)
        status = option->check(text, err);
    if (status != R2_OK)
        free(copy);
    else
        *ret = copy;
    return status;
}

static const char *choice_name(const void *from, size_t i)
{
    return ((const char *const *)from)[i];
}

static enum r2_status check_choice(const struct r2_option *option, const char *text, int *ret,
                                   struct r2_error *err)
{
    struct r2_text known = {0};
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            r2_text_finish(&known);
            *ret = i;
            return R2_OK;
        }
        r2_text_add(&known, "%s%s", i ? ", " : "", option->choices[i]);
    }
    const char *nearest = r2_text_nearest(text, choice_name, option->choices);
    r2_fail(err, R2_INVALID, "%s is not one of %s%s%s%s", r2_quote(text).text, r2_text_view(&known),
            nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    r2_text_finish(&known);
    return err->status;
}

/* ---- From text ---- */

static enum r2_status bool_from_text(const char *text, bool *ret, struct r2_error *err)
{
    static const char *const names[2][4] = {{"0", "false", "no", "off"},
                                            {"1", "true", "yes", "on"}};
    for (size_t truth = 0; truth < 2; truth++)
        for (size_t i = 0; i < 4; i++)
            if (strcasecmp(text, names[truth][i]) == 0) {
                *ret = truth;
                return R2_OK;
            }
    return r2_fail(err, R2_INVALID,
                   "%s is not a boolean: 1 or 0, true or false, yes or no, on or off",
                   r2_quote(text).text);
}

/* The factor of "", "B", "k", "K", "KiB" and so on, 0 when it is none. "MB" is refused: half of the
   world means 10^6 by it. */
static int64_t unit_factor(const char *suffix)
{
    int64_t factor = 1;
    if (*suffix == ' ' && suffix[1]) suffix++;
    if (!*suffix || strcmp(suffix, "B") == 0) return 1;
    for (const char *unit = units; *unit; unit++) {
        factor *= 1024;
        if (strncasecmp(suffix, unit, 1) == 0)
            return !suffix[1] || strcasecmp(suffix + 1, "iB") == 0 ? factor : 0;
    }
    return 0;
}

static enum r2_status int_from_text(const struct r2_option *option, const char *text, int64_t *ret,
                                    struct r2_error *err)
{
    bool is_auto = option->flags & R2_OPTION_AUTO, is_bytes = option->flags & R2_OPTION_BYTES;
    if (is_auto && strcmp(text, "auto") == 0) {
        *ret = R2_AUTO;
        return R2_OK;
    }
    char *end = NULL;
    size_t sign = *text == '-', digits = strspn(text + sign, "0123456789");
    errno = 0;
    int64_t value = strtoll(text, &end, 10), factor = 1;
    bool overflow = errno == ERANGE;
    if (digits) factor = is_bytes ? unit_factor(end) : !*end;
    if (!digits || !factor)
        return r2_fail(err, R2_INVALID, "%s is not %s%s", r2_quote(text).text,
                       is_bytes ? "a size in bytes such as 1048576, 64k, 32MiB" : "an integer",
                       is_auto ? " or auto" : "");
    if (overflow || __builtin_mul_overflow(value, factor, &value))
        return out_of_range(option, r2_quote(text).text, err);
    return check_int(option, value, ret, err);
}

/* Decimal only: strtod would take blanks, hexadecimal, inf and nan as well. */
static bool is_decimal(const char *text)
{
    static const char digits[] = "0123456789";
    text += *text == '-';
    size_t whole = strspn(text, digits), part = 0;
    text += whole;
    if (*text == '.') {
        part = strspn(text + 1, digits);
        text += 1 + part;
    }
    if (!whole && !part) return false;
    if (*text != 'e' && *text != 'E') return !*text;
    text++;
    text += *text == '-' || *text == '+';
    return *text && !text[strspn(text, digits)];
}

static enum r2_status float_from_text(const struct r2_option *option, const char *text, double *ret,
                                      struct r2_error *err)
{
    bool is_auto = option->flags & R2_OPTION_AUTO;
    if (is_auto && strcmp(text, "auto") == 0) {
        *ret = R2_AUTO;
        return R2_OK;
    }
    if (!is_decimal(text))
        return r2_fail(err, R2_INVALID, "%s is not a number%s", r2_quote(text).text,
                       is_auto ? " or auto" : "");
    return check_float(option, strtod(text, NULL), ret, err);
}

static enum r2_status item_from_text(const struct r2_option *option, enum r2_option_type type,
                                     const char *text, void *ret, struct r2_error *err)
{
    switch (type) {
    case R2_OPTION_BOOL: return bool_from_text(text, ret, err);
    case R2_OPTION_INT: return int_from_text(option, text, ret, err);
    case R2_OPTION_FLOAT: return float_from_text(option, text, ret, err);
    case R2_OPTION_TEXT: return check_text(option, text, ret, err);
    case R2_OPTION_CHOICE: return check_choice(option, text, ret, err);
    default: return r2_fail(err, R2_INVALID, "is an object, which only JSON can give");
    }
}

/* ---- From JSON ---- */

static enum r2_status wrong_kind(const json_t *json, const char *wanted, struct r2_error *err)
{
    bool scalar = !json_is_object(json) && !json_is_array(json) && !json_is_null(json);
    char *text = scalar ? json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    char shown[96] = "";
    if (text) r2_text_printable(text, strlen(text), shown, sizeof shown);
    free(text);
    return r2_fail(err, R2_INVALID, "%s%s%s%s is not %s", shown, *shown ? " (" : "",
                   r2_json_kind(json), *shown ? ")" : "", wanted);
}

static enum r2_status item_from_json(const struct r2_option *option, enum r2_option_type type,
                                     json_t *json, void *ret, struct r2_error *err)
{
    bool is_auto = option->flags & R2_OPTION_AUTO, is_bytes = option->flags & R2_OPTION_BYTES;
    const char *text = json_string_value(json);
    switch (type) {
    case R2_OPTION_BOOL:
        if (!json_is_boolean(json)) return wrong_kind(json, "true or false", err);
        *(bool *)ret = json_is_true(json);
        return R2_OK;
    case R2_OPTION_INT:
        if (json_is_integer(json)) return check_int(option, json_integer_value(json), ret, err);
        if (text && (is_bytes || (is_auto && strcmp(text, "auto") == 0)))
            return int_from_text(option, text, ret, err);
        return wrong_kind(json, is_auto ? "an integer or \"auto\"" : "an integer", err);
    case R2_OPTION_FLOAT:
        if (json_is_number(json)) return check_float(option, json_number_value(json), ret, err);
        if (text && is_auto && strcmp(text, "auto") == 0)
            return float_from_text(option, text, ret, err);
        return wrong_kind(json, is_auto ? "a number or \"auto\"" : "a number", err);
    case R2_OPTION_TEXT:
        return text ? check_text(option, text, ret, err) : wrong_kind(json, "a string", err);
    case R2_OPTION_CHOICE:
        return text ? check_choice(option, text, ret, err) : wrong_kind(json, "a string", err);
    default:
        if (!json_is_object(json)) return wrong_kind(json, "an object", err);
        *(json_t **)ret = json_incref(json);
        return R2_OK;
    }
}

/* ---- Values ---- */

static enum r2_status check_count(const struct r2_option *option, size_t count,
                                  struct r2_error *err)
{
    size_t least = option->min_count;
    size_t most = option->max_count ? option->max_count : R2_LIST_MAX;
    if (count >= least && count <= most) return R2_OK;
    if (least == most) return r2_fail(err, R2_INVALID, "has %zu items, needs %zu", count, least);
    return r2_fail(err, R2_INVALID, "has %zu items, needs %zu..%zu", count, least, most);
}

static enum r2_status list_from_text(const struct r2_option *option, const char *text,
                                     union r2_option_value *value, struct r2_error *err)
{
    size_t count = 1;
    for (const char *at = text; *at; at++) count += *at == ',';
    R2_TRY(check_count(option, count, err));
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(text, ",");
        char *item = strndup(text, size);
        if (!item) return r2_fail(err, R2_NO_MEMORY, "no memory for a text of %zu bytes", size);
        struct list list = list_at(option->type, value, i);
        enum r2_status status = item_from_text(option, list.item_type, item, list.item, err);
        free(item);
        if (status != R2_OK) return count > 1 ? r2_fail_in(err, "item %zu", i + 1) : status;
        *list.count = i + 1;
        text += size + 1;
    }
    return R2_OK;
}

static enum r2_status list_from_json(const struct r2_option *option, json_t *json,
                                     union r2_option_value *value, struct r2_error *err)
{
    bool is_array = json_is_array(json);
    size_t count = is_array ? json_array_size(json) : 1;
    R2_TRY(check_count(option, count, err));
    for (size_t i = 0; i < count; i++) {
        json_t *item = is_array ? json_array_get(json, i) : json;
        struct list list = list_at(option->type, value, i);
        enum r2_status status = item_from_json(option, list.item_type, item, list.item, err);
        if (status != R2_OK) return is_array ? r2_fail_in(err, "item %zu", i + 1) : status;
        *list.count = i + 1;
    }
    return R2_OK;
}

enum r2_status r2_option_value_from_text(const struct r2_option *option, const char *text,
                                         union r2_option_value *ret, struct r2_error *err)
{
    memset(ret, 0, sizeof *ret);
    enum r2_status status = r2_option_is_list(option->type)
                                ? list_from_text(option, text, ret, err)
                                : item_from_text(option, option->type, text, ret, err);
    if (status != R2_OK) r2_option_value_finish(option, ret);
    return status;
}

enum r2_status r2_option_value_from_json(const struct r2_option *option, json_t *json,
                                         union r2_option_value *ret, struct r2_error *err)
{
    memset(ret, 0, sizeof *ret);
    if (json_is_null(json) && option->flags & R2_OPTION_OPTIONAL) return R2_OK;
    enum r2_status status = r2_option_is_list(option->type)
                                ? list_from_json(option, json, ret, err)
                                : item_from_json(option, option->type, json, ret, err);
    if (status != R2_OK) r2_option_value_finish(option, ret);
    return status;
}

enum r2_status r2_option_value_prepend(const struct r2_option *option,
                                       const union r2_option_value *head,
                                       union r2_option_value *value, struct r2_error *err)
{
    union r2_option_value joined, tail = *value;
    memcpy(&joined, head, sizeof joined);
    size_t first = *list_at(option->type, &joined, 0).count;
    size_t more = *list_at(option->type, &tail, 0).count;
    R2_TRY(check_count(option, first + more, err));
    for (size_t i = 0; option->type == R2_OPTION_TEXTS && i < first; i++) {
        joined.texts.items[i] = strdup(head->texts.items[i]);
        if (joined.texts.items[i]) continue;
        joined.texts.count = i;
        r2_option_value_finish(option, &joined);
        return r2_fail(err, R2_NO_MEMORY, "no memory for a list");
    }
    for (size_t i = 0; i < more; i++) {
        struct list to = list_at(option->type, &joined, first + i);
        memcpy(to.item, list_at(option->type, &tail, i).item, r2_option_value_size(to.item_type));
    }
    *list_at(option->type, &joined, 0).count = first + more;
    *value = joined; /* the texts of tail moved along */
    return R2_OK;
}

static json_t *item_to_json(const struct r2_option *option, enum r2_option_type type,
                            const void *value)
{
    switch (type) {
    case R2_OPTION_BOOL: return json_boolean(*(const bool *)value);
    case R2_OPTION_INT: {
        int64_t number = *(const int64_t *)value;
        if (option->flags & R2_OPTION_AUTO && number == R2_AUTO) return json_string("auto");
        if (!(option->flags & R2_OPTION_BYTES) || number % 1024 || !number)
            return json_integer(number);
        return json_string(r2_option_bound(option, (double)number).text);
    }
    case R2_OPTION_FLOAT:
        if (option->flags & R2_OPTION_AUTO && *(const double *)value == R2_AUTO)
            return json_string("auto");
        return json_real(*(const double *)value);
    case R2_OPTION_TEXT: {
        const char *text = *(char *const *)value;
        return text ? json_string(text) : json_null();
    }
    case R2_OPTION_CHOICE: return json_string(option->choices[*(const int *)value]);
    default: {
        json_t *object = *(json_t *const *)value;
        return object ? json_incref(object) : json_null();
    }
    }
}

json_t *r2_option_value_to_json(const struct r2_option *option, const union r2_option_value *value)
{
    if (!r2_option_is_list(option->type)) return item_to_json(option, option->type, value);
    union r2_option_value copy = *value;
    size_t count = *list_at(option->type, &copy, 0).count;
    if (!count && option->flags & R2_OPTION_OPTIONAL) return json_null();
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        struct list list = list_at(option->type, &copy, i);
        if (json_array_append_new(array, item_to_json(option, list.item_type, list.item)) == 0)
            continue;
        json_decref(array);
        return NULL;
    }
    return array;
}
