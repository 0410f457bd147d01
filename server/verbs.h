/*
 * The command line: verbs, their options, and how they are read.
 */
#ifndef R2_SERVER_VERBS_H
#define R2_SERVER_VERBS_H

#include <stddef.h>

#include "base/error.h"
#include "config/options.h"
#include "config/settings.h"

/* Exit codes. */
enum { R2_EXIT_OK = 0, R2_EXIT_FAILED = 1, R2_EXIT_USAGE = 2 };

enum { R2_VERB_OPTIONS = 64 /* of one verb, with settings */ };

/* What a verb is called with; all borrowed. */
struct r2_args {
    const struct r2_settings *settings;
    const struct r2_command *command;
    char *const *environment;
    const void *own; /* the verb's own options, NULL when it has none */
    char *const *files;
    size_t file_count;
};

/* Reads the settings anew, from the same places; the caller finishes them. */
enum r2_status r2_args_settings(const struct r2_args *args, struct r2_settings *ret,
                                struct r2_error *err);

struct r2_verb {
    const char *name;
    const char *usage;           /* what follows the name: "[OPTION...] IMAGE..." */
    const char *summary;         /* one line */
    const char *const *settings; /* those that it takes as flags, NULL-terminated; NULL: all */
    const struct r2_option_table *own; /* may be NULL */
    size_t own_size;                   /* of the struct that `own` fills */
    size_t min_files, max_files;
    bool needs_model;
    int (*run)(const struct r2_args *args); /* exit code */
};

extern const struct r2_verb r2_verb_serve, r2_verb_run, r2_verb_bench, r2_verb_check,
    r2_verb_health, r2_verb_info;

/* The program, from its arguments to its exit code. */
int r2_program_run(int argc, char **argv, char *const *environment);

/* "res2netd: message" on standard error, in one write; returns R2_EXIT_FAILED. */
int r2_complain(const struct r2_error *err);

/* Prints JSON, indented, on standard output. Takes the reference. */
int r2_print_json(json_t *json);

/* All options of a verb as one table, for help and messages. */
struct r2_verb_table {
    struct r2_option options[R2_VERB_OPTIONS];
    struct r2_option_table table; /* of the above */
};
void r2_verb_options(const struct r2_verb *verb, struct r2_verb_table *ret);

/* A command line taken apart; texts are borrowed from argv. */
struct r2_command {
    bool help;
    const char *config;
    struct r2_setting_arg settings[R2_VERB_OPTIONS];
    size_t setting_count;
    char **files; /* argv's own, the files moved to its front */
    size_t file_count;
    void *own; /* owned; r2_command_finish */
};

/* R2_INVALID for a usage that is wrong. `argv` is what follows the verb. */
enum r2_status r2_command_parse(const struct r2_verb *verb, int argc, char **argv,
                                struct r2_command *ret, struct r2_error *err);
void r2_command_finish(const struct r2_verb *verb, struct r2_command *command);

#endif
