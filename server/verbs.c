#include "server/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/quote.h"
#include "server/service.h"

static const struct r2_verb *const verbs[] = {&r2_verb_serve, &r2_verb_run,    &r2_verb_bench,
                                              &r2_verb_check, &r2_verb_health, &r2_verb_info};

int r2_complain(const struct r2_error *err)
{
    fprintf(stderr, "res2netd: %s\n", err->message);
    return R2_EXIT_FAILED;
}

static int complain_usage(const struct r2_error *err, const char *verb)
{
    fprintf(stderr, "res2netd: %s\nTry: res2netd %s%s--help\n", err->message, verb,
            *verb ? " " : "");
    return R2_EXIT_USAGE;
}

int r2_print_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(json);
    if (!text || puts(text) == EOF || fflush(stdout) != 0) {
        free(text);
        fprintf(stderr, "res2netd: the output could not be written\n");
        return R2_EXIT_FAILED;
    }
    free(text);
    return R2_EXIT_OK;
}

static int print(const struct r2_text *text)
{
    fputs(r2_text_view(text), stdout);
    return !text->failed && fflush(stdout) == 0 ? R2_EXIT_OK : R2_EXIT_FAILED;
}

static int print_help(void)
{
    struct r2_text text = {0};
    r2_text_add(&text, "res2netd serves a Res2Net trunk and its heads over HTTP.\n\n"
                       "Usage: res2netd VERB [OPTION...]\n\n");
    for (size_t i = 0; i < R2_COUNT(verbs); i++)
        r2_text_add(&text, "  %-8s %s\n", verbs[i]->name, verbs[i]->summary);
    r2_text_add(&text, "\nres2netd VERB --help explains a verb; res2netd --version says which "
                       "program this is.\n");
    int code = print(&text);
    r2_text_finish(&text);
    return code;
}

static int print_verb_help(const struct r2_verb *verb)
{
    struct r2_verb_table known;
    struct r2_text text = {0};
    r2_verb_options(verb, &known);
    r2_text_add(&text, "Usage: res2netd %s %s\n\n%s\n\nOptions:\n", verb->name, verb->usage,
                verb->summary);
    r2_options_help(&known.table, &text);
    int code = print(&text);
    r2_text_finish(&text);
    return code;
}

enum r2_status r2_args_settings(const struct r2_args *args, struct r2_settings *ret,
                                struct r2_error *err)
{
    const struct r2_command *command = args->command;
    return r2_settings_load(command->config, args->environment, command->settings,
                            command->setting_count, ret, err);
}

static int run_verb(const struct r2_verb *verb, int argc, char **argv, char *const *environment)
{
    struct r2_error err;
    struct r2_command command;
    struct r2_settings settings;
    if (r2_command_parse(verb, argc, argv, &command, &err) != R2_OK)
        return complain_usage(&err, verb->name);
    int code = R2_EXIT_USAGE;
    if (command.help) {
        code = print_verb_help(verb);
    } else if (r2_settings_load(command.config, environment, command.settings,
                                command.setting_count, &settings, &err) != R2_OK) {
        code = complain_usage(&err, verb->name);
    } else {
        struct r2_args args = {.settings = &settings,
                               .command = &command,
                               .environment = environment,
                               .own = command.own,
                               .files = command.files,
                               .file_count = command.file_count};
        if (verb->needs_model && !settings.model) {
            r2_fail(&err, R2_INVALID,
                    "%s: no model: give --model DIR, RES2NETD_MODEL, or \"model\" in the --config",
                    verb->name);
            code = complain_usage(&err, verb->name);
        } else {
            code = verb->run(&args);
        }
        r2_settings_finish(&settings);
    }
    r2_command_finish(verb, &command);
    return code;
}

static const char *verb_name(const void *from, size_t i)
{
    (void)from;
    return i < R2_COUNT(verbs) ? verbs[i]->name : NULL;
}

static int complain_verb(const char *word)
{
    struct r2_error err;
    const char *nearest = r2_text_nearest(word, verb_name, NULL);
    if (nearest)
        r2_fail(&err, R2_INVALID, "unknown verb %s; did you mean %s?", r2_quote(word).text,
                nearest);
    else
        r2_fail(&err, R2_INVALID, "unknown verb %s", r2_quote(word).text);
    return complain_usage(&err, "");
}

int r2_program_run(int argc, char **argv, char *const *environment)
{
    const char *word = argc > 1 ? argv[1] : "--help";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        int code = print_help();
        return argc > 1 ? code : R2_EXIT_USAGE;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("res2netd " R2_VERSION);
        return fflush(stdout) == 0 ? R2_EXIT_OK : R2_EXIT_FAILED;
    }
    for (size_t i = 0; i < R2_COUNT(verbs); i++)
        if (strcmp(verbs[i]->name, word) == 0)
            return run_verb(verbs[i], argc - 2, argv + 2, environment);
    return complain_verb(word);
}
