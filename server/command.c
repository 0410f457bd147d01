/*
 * A verb's part of the command line.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/quote.h"
#include "server/verbs.h"

static const struct r2_option config_option = {
    .name = "config",
    .type = R2_OPTION_TEXT,
    .flags = R2_OPTION_OPTIONAL,
    .metavar = "FILE",
    .help = "read settings from this JSON file; variables RES2NETD_... and options win over it"};
static const struct r2_option help_option = {
    .name = "help", .type = R2_OPTION_BOOL, .fallback = "0", .metavar = "", .help = "show this"};

static bool takes_setting(const struct r2_verb *verb, const char *name)
{
    if (!verb->settings) return true;
    for (size_t i = 0; verb->settings[i]; i++)
        if (strcmp(verb->settings[i], name) == 0) return true;
    return false;
}

static void add(struct r2_verb_table *table, size_t *count, const struct r2_option *option)
{
    if (*count < R2_VERB_OPTIONS) table->options[(*count)++] = *option;
}

void r2_verb_options(const struct r2_verb *verb, struct r2_verb_table *ret)
{
    size_t count = 0;
    for (size_t i = 0; verb->own && i < verb->own->count; i++)
        add(ret, &count, &verb->own->options[i]);
    add(ret, &count, &config_option);
    for (size_t i = 0; i < r2_settings_table.count; i++)
        if (takes_setting(verb, r2_settings_table.options[i].name))
            add(ret, &count, &r2_settings_table.options[i]);
    add(ret, &count, &help_option);
    ret->table = (struct r2_option_table){ret->options, count, "option"};
}

/* Splits "--name=value" and finds the value of "--name value"; *at moves on when it is taken. */
static enum r2_status take_value(const struct r2_option *option, bool takes_none, char *equals,
                                 int argc, char **argv, int *at, const char **ret,
                                 struct r2_error *err)
{
    if (equals) {
        *ret = equals + 1;
    } else if (takes_none) {
        *ret = "1";
    } else {
        if (*at + 1 >= argc)
            return r2_fail(err, R2_INVALID, "%s needs a value: %s", argv[*at], option->help);
        *ret = argv[++*at];
    }
    return R2_OK;
}

static enum r2_status set_flag(const struct r2_verb *verb, const struct r2_verb_table *known,
                               int argc, char **argv, int *at, struct r2_command *command,
                               struct r2_error *err)
{
    char *name = argv[*at], *equals = strchr(name, '=');
    const char *value = NULL;
    if (equals) *equals = 0; /* argv is the program's own to change */
    const struct r2_option *option = r2_options_find(&known->table, R2_SPELL_FLAG, name);
    if (!option) return r2_options_unknown(&known->table, R2_SPELL_FLAG, name, err);
    const struct r2_option *own =
        verb->own ? r2_options_find(verb->own, R2_SPELL_FLAG, name) : NULL;
    bool is_setting = !own && r2_options_find(&r2_settings_table, R2_SPELL_FLAG, name);
    bool takes_none = option->type == R2_OPTION_BOOL && !is_setting;
    R2_TRY(take_value(option, takes_none, equals, argc, argv, at, &value, err));
    if (own) return r2_option_set(own, R2_SPELL_FLAG, value, false, command->own, err);
    if (is_setting) {
        if (command->setting_count == R2_VERB_OPTIONS)
            return r2_fail(err, R2_INVALID, "more than %d options", R2_VERB_OPTIONS);
        command->settings[command->setting_count++] = (struct r2_setting_arg){name, value};
    } else if (strcmp(option->name, config_option.name) == 0) {
        command->config = value;
    } else {
        command->help = true;
    }
    return R2_OK;
}

static enum r2_status check_files(const struct r2_verb *verb, const struct r2_command *command,
                                  struct r2_error *err)
{
    if (command->help) return R2_OK;
    if (command->file_count > verb->max_files)
        return r2_fail(err, R2_INVALID, "%s: %s is one argument too many", verb->name,
                       r2_quote(command->files[verb->max_files]).text);
    if (command->file_count < verb->min_files)
        return r2_fail(err, R2_INVALID, "%s: an argument is missing: res2netd %s %s", verb->name,
                       verb->name, verb->usage);
    return R2_OK;
}

static enum r2_status parse(const struct r2_verb *verb, int argc, char **argv,
                            struct r2_command *command, struct r2_error *err)
{
    struct r2_verb_table known;
    bool only_files = false;
    r2_verb_options(verb, &known);
    command->files = argv;
    if (verb->own) {
        R2_TRY(r2_alloc(1, verb->own_size, "options", &command->own, err));
        R2_TRY(r2_options_defaults(verb->own, command->own, err));
    }
    for (int i = 0; i < argc; i++) {
        bool is_flag = !only_files && argv[i][0] == '-' && argv[i][1];
        if (is_flag && strcmp(argv[i], "--") == 0)
            only_files = true;
        else if (is_flag && strcmp(argv[i], "-h") == 0)
            command->help = true;
        else if (is_flag)
            R2_TRY(set_flag(verb, &known, argc, argv, &i, command, err));
        else
            command->files[command->file_count++] = argv[i];
    }
    return check_files(verb, command, err);
}

enum r2_status r2_command_parse(const struct r2_verb *verb, int argc, char **argv,
                                struct r2_command *ret, struct r2_error *err)
{
    struct r2_command command = {0};
    enum r2_status status = parse(verb, argc, argv, &command, err);
    if (status != R2_OK)
        r2_command_finish(verb, &command);
    else
        *ret = command;
    return status;
}

void r2_command_finish(const struct r2_verb *verb, struct r2_command *command)
{
    if (command->own) r2_options_finish(verb->own, command->own);
    free(command->own);
    command->own = NULL;
}
