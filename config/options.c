#include "config/options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/json.h"
#include "config/option_value.h"
#include "config/quote.h"

static const char flag_prefix[] = "--", variable_prefix[] = "RES2NETD_";

enum { NAME_SIZE = 128 };

struct spelled {
    char text[NAME_SIZE];
};

static struct spelled spell(const char *key, enum r2_option_spelling spelling)
{
    struct spelled name = {""};
    snprintf(name.text, sizeof name.text, "%s%s",
             spelling == R2_SPELL_FLAG       ? flag_prefix
             : spelling == R2_SPELL_VARIABLE ? variable_prefix
                                             : "",
             key);
    for (char *at = name.text; *at && spelling != R2_SPELL_KEY; at++)
        if (spelling == R2_SPELL_VARIABLE)
            *at = (char)toupper((unsigned char)*at);
        else if (*at == '_')
            *at = '-';
    return name;
}

/* What a name in that spelling would be as a key, for "did you mean"; it may be no key at all. */
static struct spelled unspell(const char *name, enum r2_option_spelling spelling)
{
    struct spelled key = {""};
    if (spelling == R2_SPELL_FLAG) name += strspn(name, "-");
    if (spelling == R2_SPELL_VARIABLE &&
        strncmp(name, variable_prefix, sizeof variable_prefix - 1) == 0)
        name += sizeof variable_prefix - 1;
    snprintf(key.text, sizeof key.text, "%s", name);
    for (char *at = key.text; *at; at++)
        *at = (char)(*at == '-' ? '_' : tolower((unsigned char)*at));
    return key;
}

/* ---- Names ---- */

const struct r2_option *r2_options_find(const struct r2_option_table *table,
                                        enum r2_option_spelling spelling, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(spell(table->options[i].name, spelling).text, name) == 0)
            return &table->options[i];
    return NULL;
}

static const char *option_name(const void *from, size_t i)
{
    const struct r2_option_table *table = from;
    return i < table->count ? table->options[i].name : NULL;
}

enum r2_status r2_options_unknown(const struct r2_option_table *table,
                                  enum r2_option_spelling spelling, const char *name,
                                  struct r2_error *err)
{
    struct spelled key = unspell(name, spelling);
    const char *nearest = r2_text_nearest(key.text, option_name, table);
    if (nearest)
        return r2_fail(err, R2_INVALID, "unknown %s %s, did you mean \"%s\"?", table->what,
                       r2_quote(name).text, spell(nearest, spelling).text);
    struct r2_text known = {0};
    for (size_t i = 0; i < table->count; i++)
        r2_text_add(&known, "%s%s",
                    i ? ", " : "; known: ", spell(table->options[i].name, spelling).text);
    r2_fail(err, R2_INVALID, "unknown %s %s%s", table->what, r2_quote(name).text,
            table->count ? r2_text_view(&known) : ", there are none");
    r2_text_finish(&known);
    return err->status;
}

/* ---- Fields ---- */

static void load(const struct r2_option *option, const void *object, union r2_option_value *value)
{
    memcpy(value, (const char *)object + option->offset, r2_option_value_size(option->type));
}

/* Moves the value into its field, which first frees what it owns. */
static void store(const struct r2_option *option, union r2_option_value *value, void *object)
{
    union r2_option_value old;
    load(option, object, &old);
    r2_option_value_finish(option, &old);
    memcpy((char *)object + option->offset, value, r2_option_value_size(option->type));
    memset(value, 0, sizeof *value);
}

/* A value for each option, all made before any is stored: a failure leaves the struct as it was. */
struct batch {
    const struct r2_option_table *table;
    struct batch_item *items; /* [table->count] */
};

struct batch_item {
    bool given;
    union r2_option_value value;
};

static enum r2_status batch_init(struct batch *batch, const struct r2_option_table *table,
                                 struct r2_error *err)
{
    batch->table = table;
    return r2_alloc(table->count, sizeof *batch->items, "options", &batch->items, err);
}

/* Stores the values when the status so far is R2_OK, drops them otherwise. */
static enum r2_status batch_finish(struct batch *batch, enum r2_status status, void *object)
{
    for (size_t i = 0; i < batch->table->count; i++) {
        if (!batch->items[i].given) continue;
        if (status == R2_OK)
            store(&batch->table->options[i], &batch->items[i].value, object);
        else
            r2_option_value_finish(&batch->table->options[i], &batch->items[i].value);
    }
    free(batch->items);
    return status;
}

static enum r2_status batch_defaults(struct batch *batch, struct r2_error *err)
{
    for (size_t i = 0; i < batch->table->count; i++) {
        const struct r2_option *option = &batch->table->options[i];
        if (option->fallback &&
            r2_option_value_from_text(option, option->fallback, &batch->items[i].value, err)) {
            if (err->status != R2_NO_MEMORY) err->status = R2_INTERNAL; /* the table is wrong */
            return r2_fail_in(err, "default of %s", option->name);
        }
        batch->items[i].given = true; /* without a default: zero */
    }
    return R2_OK;
}

enum r2_status r2_options_defaults(const struct r2_option_table *table, void *object,
                                   struct r2_error *err)
{
    struct batch batch;
    R2_TRY(batch_init(&batch, table, err));
    return batch_finish(&batch, batch_defaults(&batch, err), object);
}

void r2_options_finish(const struct r2_option_table *table, void *object)
{
    if (!object) return;
    for (size_t i = 0; i < table->count; i++) {
        union r2_option_value zero = {0};
        store(&table->options[i], &zero, object);
    }
}

/* ---- From outside ---- */

static enum r2_status batch_read(struct batch *batch, json_t *json, struct r2_error *err)
{
    const struct r2_option_table *table = batch->table;
    const char *name;
    json_t *given;
    json_object_foreach(json, name, given)
    {
        const struct r2_option *option = r2_options_find(table, R2_SPELL_KEY, name);
        if (!option) return r2_options_unknown(table, R2_SPELL_KEY, name, err);
        size_t i = (size_t)(option - table->options);
        if (r2_option_value_from_json(option, given, &batch->items[i].value, err) != R2_OK)
            return r2_fail_in(err, "%s", option->name);
        batch->items[i].given = true;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct r2_option *option = &table->options[i];
        bool required = !option->fallback && !(option->flags & R2_OPTION_OPTIONAL);
        if (required && !batch->items[i].given)
            return r2_fail(err, R2_INVALID, "%s \"%s\" is missing", table->what, option->name);
    }
    return R2_OK;
}

enum r2_status r2_options_read(const struct r2_option_table *table, json_t *json, const char *where,
                               void *object, struct r2_error *err)
{
    struct batch batch;
    if (json && !json_is_object(json))
        return r2_fail(err, R2_INVALID, "%s: %s is not an object", where, r2_json_kind(json));
    R2_TRY(batch_init(&batch, table, err));
    enum r2_status status = batch_read(&batch, json, err);
    if (status != R2_OK) r2_fail_in(err, "%s", where);
    return batch_finish(&batch, status, object);
}

enum r2_status r2_option_set(const struct r2_option *option, enum r2_option_spelling spelling,
                             const char *text, bool append, void *object, struct r2_error *err)
{
    union r2_option_value value, old;
    enum r2_status status = r2_option_value_from_text(option, text, &value, err);
    if (status == R2_OK && append && r2_option_is_list(option->type)) {
        load(option, object, &old);
        status = r2_option_value_prepend(option, &old, &value, err);
        if (status != R2_OK) r2_option_value_finish(option, &value);
    }
    if (status != R2_OK) return r2_fail_in(err, "%s", spell(option->name, spelling).text);
    store(option, &value, object);
    return R2_OK;
}

enum r2_status r2_options_set(const struct r2_option_table *table, const char *name,
                              const char *text, void *object, struct r2_error *err)
{
    const struct r2_option *option = r2_options_find(table, R2_SPELL_KEY, name);
    if (!option) return r2_options_unknown(table, R2_SPELL_KEY, name, err);
    return r2_option_set(option, R2_SPELL_KEY, text, false, object, err);
}

/* ---- To outside ---- */

enum r2_status r2_options_dump(const struct r2_option_table *table, const void *object,
                               json_t **ret, struct r2_error *err)
{
    json_t *json = json_object();
    bool ok = json;
    for (size_t i = 0; ok && i < table->count; i++) {
        const struct r2_option *option = &table->options[i];
        union r2_option_value value = {0};
        load(option, object, &value);
        ok = json_object_set_new(json, option->name, r2_option_value_to_json(option, &value)) == 0;
    }
    if (!ok) {
        json_decref(json);
        return r2_fail(err, R2_NO_MEMORY, "no memory for JSON");
    }
    *ret = json;
    return R2_OK;
}

/* "--queue-depth N" */
static void add_usage(const struct r2_option *option, struct r2_text *text)
{
    static const char *const metavars[] = {
        [R2_OPTION_BOOL] = "BOOL",    [R2_OPTION_INT] = "N",          [R2_OPTION_FLOAT] = "X",
        [R2_OPTION_TEXT] = "TEXT",    [R2_OPTION_CHOICE] = "CHOICE",  [R2_OPTION_INTS] = "N,...",
        [R2_OPTION_FLOATS] = "X,...", [R2_OPTION_TEXTS] = "TEXT,...", [R2_OPTION_OBJECT] = "JSON",
    };
    const char *metavar = option->flags & R2_OPTION_BYTES ? "BYTES" : metavars[option->type];
    r2_text_add(text, "%s ", spell(option->name, R2_SPELL_FLAG).text);
    if (option->metavar || option->type != R2_OPTION_CHOICE) {
        r2_text_add(text, "%s", option->metavar ? option->metavar : metavar);
        return;
    }
    for (size_t i = 0; option->choices[i]; i++)
        r2_text_add(text, "%s%s", i ? "|" : "", option->choices[i]);
}

void r2_options_help(const struct r2_option_table *table, struct r2_text *text)
{
    size_t width = 0;
    for (size_t pass = 0; pass < 2; pass++) /* the first one measures */
        for (size_t i = 0; i < table->count; i++) {
            const struct r2_option *option = &table->options[i];
            struct r2_text usage = {0};
            add_usage(option, &usage);
            if (usage.size > width) width = usage.size;
            if (pass) {
                r2_text_add(text, "  %-*s  %s%s", (int)width, r2_text_view(&usage),
                            option->fallback ? "default " : "",
                            option->fallback                     ? option->fallback
                            : option->flags & R2_OPTION_OPTIONAL ? "no default"
                                                                 : "required");
                if (r2_option_has_range(option))
                    r2_text_add(text, ", %s..%s", r2_option_bound(option, option->min).text,
                                r2_option_bound(option, option->max).text);
                r2_text_add(text, ": %s\n", option->help);
            }
            r2_text_finish(&usage);
        }
}
