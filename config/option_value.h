/*
 * One value of an option: read from text or JSON, checked against the option, written as JSON.
 * For config/options.c; messages here do not name the option, their caller does.
 */
#ifndef R2_CONFIG_OPTION_VALUE_H
#define R2_CONFIG_OPTION_VALUE_H

#include "config/options.h"

/* Laid out as the field of a struct is: r2_option_value_size bytes from the start. */
union r2_option_value {
    bool boolean;
    int64_t integer;
    double number;
    char *text;
    int choice;
    struct r2_ints ints;
    struct r2_floats floats;
    struct r2_texts texts;
    json_t *object;
};

size_t r2_option_value_size(enum r2_option_type type);
bool r2_option_is_list(enum r2_option_type type);

/* Frees what the value owns and zeroes it. */
void r2_option_value_finish(const struct r2_option *option, union r2_option_value *value);

/* Both make a new value in *ret, which is zeroed before. */
enum r2_status r2_option_value_from_text(const struct r2_option *option, const char *text,
                                         union r2_option_value *ret, struct r2_error *err);
enum r2_status r2_option_value_from_json(const struct r2_option *option, json_t *json,
                                         union r2_option_value *ret, struct r2_error *err);

/* Puts the items of `head` in front of those of a list; the texts of head are copied. */
enum r2_status r2_option_value_prepend(const struct r2_option *option,
                                       const union r2_option_value *head,
                                       union r2_option_value *value, struct r2_error *err);

/* A new reference, NULL when there is no memory. */
json_t *r2_option_value_to_json(const struct r2_option *option, const union r2_option_value *value);

/* A bound of the option as text: "100000", "0.5", "32MiB". */
struct r2_option_bound {
    char text[32];
};
struct r2_option_bound r2_option_bound(const struct r2_option *option, double bound);
bool r2_option_has_range(const struct r2_option *option);

#endif
