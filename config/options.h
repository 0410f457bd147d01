/*
 * Option tables: the one place where a named value from outside is checked.
 *
 * A table says for each option its name, type, range and default, and where in a plain struct the
 * value is stored. The same tables read daemon settings (command line, environment, JSON file), the
 * objects of model.json and the query parameters of HTTP requests:
 *
 *     struct spec { int64_t top_k; char *labels; };
 *     static const struct r2_option options[] = {
 *         {.name = "top_k", R2_FIELD(INT, struct spec, top_k), .min = 0, .max = 65536,
 *          .fallback = "5", .help = "classes to answer, 0 = all"},
 *         {.name = "labels", R2_FIELD(TEXT, struct spec, labels), .flags = R2_OPTION_OPTIONAL,
 *          .help = "labels file"},
 *     };
 *     static const struct r2_option_table table = R2_OPTION_TABLE(options, "key");
 *
 *     struct spec spec = {0};
 *     R2_TRY(r2_options_defaults(&table, &spec, err));
 *     R2_TRY(r2_options_read(&table, json, "model.json: heads.classify", &spec, err));
 *     ...
 *     r2_options_finish(&table, &spec);
 *
 * Unknown names and unacceptable values fail with R2_INVALID, broken JSON with R2_BAD_REQUEST; the
 * message names the option, the value and the rule. A call that fails leaves the struct as it was.
 */
#ifndef R2_CONFIG_OPTIONS_H
#define R2_CONFIG_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum {
    R2_LIST_MAX = 64,         /* items of a list */
    R2_OPTION_TEXT_MAX = 4096 /* bytes of one text value */
};

/* What an INT or FLOAT option holds when it is "auto". */
#define R2_AUTO (-1)

struct r2_ints {
    size_t count;
    int64_t items[R2_LIST_MAX];
};

struct r2_floats {
    size_t count;
    double items[R2_LIST_MAX];
};

/* The texts are owned. */
struct r2_texts {
    size_t count;
    char *items[R2_LIST_MAX];
};

/* The type of an option and of the field that holds it. A single value where a list is wanted is a
   list of one; as text, the items of a list are separated by commas. */
enum r2_option_type {
    R2_OPTION_BOOL,   /* bool */
    R2_OPTION_INT,    /* int64_t */
    R2_OPTION_FLOAT,  /* double, always finite */
    R2_OPTION_TEXT,   /* char *, owned, UTF-8 without control characters, never "" */
    R2_OPTION_CHOICE, /* int or an enum of its size: index into choices */
    R2_OPTION_INTS,   /* struct r2_ints */
    R2_OPTION_FLOATS, /* struct r2_floats */
    R2_OPTION_TEXTS,  /* struct r2_texts */
    R2_OPTION_OBJECT, /* json_t *, a counted reference to an object that its own table reads */
};

enum {
    R2_OPTION_OPTIONAL = 1, /* TEXT, OBJECT, lists: may be unset, which is NULL, an empty list, and
                               null in JSON; has no fallback */
    R2_OPTION_AUTO = 2,     /* INT, FLOAT: "auto" is accepted and stored as R2_AUTO */
    R2_OPTION_BYTES = 4,    /* INT: a size; 64k, 32MiB, "1 GiB" are accepted (powers of 1024) */
};

struct r2_option {
    const char *name; /* snake_case */
    enum r2_option_type type;
    unsigned flags; /* of the above */
    size_t offset;
    double min, max;             /* of a number or of each item, inclusive; both 0: any */
    size_t min_count, max_count; /* of a list; max_count 0: R2_LIST_MAX */
    const char *fallback;        /* default, as text; NULL without R2_OPTION_OPTIONAL: required */
    const char *const *choices;  /* NULL-terminated */
    /* TEXT, TEXTS: a further rule for each text; may be NULL. */
    enum r2_status (*check)(const char *text, struct r2_error *err);
    const char *metavar; /* placeholder in help ("DIR"); NULL: by type */
    const char *help;    /* one line, no full stop */
};

struct r2_option_table {
    const struct r2_option *options;
    size_t count;
    const char *what; /* what messages call one option: "setting", "key", "parameter" */
};

/* clang-format off */
#define R2_OPTION_TABLE(array, what_) {(array), sizeof(array) / sizeof((array)[0]), (what_)}
/* clang-format on */

/* Sets type and offset for a field, and does not compile when the field has another type. */
#define R2_FIELD(kind, struct_, member)                                                            \
    .type = R2_OPTION_##kind,                                                                      \
    .offset = offsetof(struct_, member) +                                                          \
              0 * sizeof(char[R2_FIELD_IS_##kind(__typeof__(((struct_ *)0)->member)) ? 1 : -1])
#define R2_FIELD_IS_BOOL(t) __builtin_types_compatible_p(t, bool)
#define R2_FIELD_IS_INT(t) __builtin_types_compatible_p(t, int64_t)
#define R2_FIELD_IS_FLOAT(t) __builtin_types_compatible_p(t, double)
#define R2_FIELD_IS_TEXT(t) __builtin_types_compatible_p(t, char *)
#define R2_FIELD_IS_CHOICE(t) (sizeof(t) == sizeof(int))
#define R2_FIELD_IS_INTS(t) __builtin_types_compatible_p(t, struct r2_ints)
#define R2_FIELD_IS_FLOATS(t) __builtin_types_compatible_p(t, struct r2_floats)
#define R2_FIELD_IS_TEXTS(t) __builtin_types_compatible_p(t, struct r2_texts)
#define R2_FIELD_IS_OBJECT(t) __builtin_types_compatible_p(t, json_t *)

/* How the name of an option is spelled: queue_depth, --queue-depth, RES2NETD_QUEUE_DEPTH. */
enum r2_option_spelling { R2_SPELL_KEY, R2_SPELL_FLAG, R2_SPELL_VARIABLE };

/* Sets every option to its default (required and optional ones to 0, NULL, an empty list) in a
   zeroed struct; fields that are not in the table are left alone. */
enum r2_status r2_options_defaults(const struct r2_option_table *table, void *object,
                                   struct r2_error *err);

/* Frees what options own and zeroes their fields; object may be NULL, zeroed or finished before. */
void r2_options_finish(const struct r2_option_table *table, void *object);

/* Sets the options that the JSON object gives; the others keep their value, but a required one must
   be there. `where` begins the messages ("model.json: heads.classify"). A null json is an object
   without keys. */
enum r2_status r2_options_read(const struct r2_option_table *table, json_t *json, const char *where,
                               void *object, struct r2_error *err);

/* Sets one option from text, by its key. Booleans are 1/0, true/false, yes/no, on/off; numbers are
   decimal with nothing before or after them. Required options are the caller's business here. */
enum r2_status r2_options_set(const struct r2_option_table *table, const char *name,
                              const char *text, void *object, struct r2_error *err);

/* The option of exactly that name in that spelling ("--queue-depth" as a flag), or NULL. */
const struct r2_option *r2_options_find(const struct r2_option_table *table,
                                        enum r2_option_spelling spelling, const char *name);

/* Fails with R2_INVALID: the name is unknown; with the nearest known one, or else all of them. */
enum r2_status r2_options_unknown(const struct r2_option_table *table,
                                  enum r2_option_spelling spelling, const char *name,
                                  struct r2_error *err);

/* Sets one option from text; `append` adds to a list instead of replacing it. Messages spell the
   name as told. */
enum r2_status r2_option_set(const struct r2_option *option, enum r2_option_spelling spelling,
                             const char *text, bool append, void *object, struct r2_error *err);

/* The values as a new JSON object in the order of the table, which r2_options_read reads back to
   the same; the caller decrefs. Objects are shared, not copied. Only memory can fail. */
enum r2_status r2_options_dump(const struct r2_option_table *table, const void *object,
                               json_t **ret, struct r2_error *err);

/* Adds a line for each option: "  --queue-depth N   default auto, 1..100000: requests ...". */
void r2_options_help(const struct r2_option_table *table, struct r2_text *text);

#endif
