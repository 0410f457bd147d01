/*
 * The daemon's settings: the bytes as the JSON of a config file, and as lines, of which those that
 * begin with "--" are the command line and the others the environment.
 */
#include "config/json.h"
#include "config/settings.h"
#include "tests/fuzz/options.h"

enum { LINES_MAX = 64 };

static void check(const struct r2_settings *settings)
{
    struct r2_error err = {0};
    struct r2_address address;
    FUZZ_MUST(settings->listen.count >= 1);
    for (size_t i = 0; i < settings->listen.count; i++)
        FUZZ_MUST(r2_address_parse(settings->listen.items[i], &address, &err) == R2_OK);
    fuzz_options_check(&r2_settings_table, settings, sizeof *settings);
}

static void read_file(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    struct r2_settings settings = {0};
    json_t *json;
    if (r2_json_parse((const char *)data, size, "file", &json, &err) != R2_OK) return;
    FUZZ_MUST(r2_options_defaults(&r2_settings_table, &settings, &err) == R2_OK);
    r2_options_read(&r2_settings_table, json, "file", &settings, &err);
    check(&settings); /* after a failure it is as it was */
    r2_settings_finish(&settings);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    char *environment[LINES_MAX + 1] = {0};
    struct r2_setting_arg args[LINES_MAX];
    size_t variables = 0, arg_count = 0;
    char *text = fuzz_copy(data, size, true), *rest = text, *line;
    while ((line = strsep(&rest, "\n")) && variables + arg_count < LINES_MAX) {
        char *equals = strchr(line, '=');
        if (strncmp(line, "--", 2) != 0) {
            environment[variables++] = line;
        } else if (equals) {
            *equals = 0;
            args[arg_count++] = (struct r2_setting_arg){line, equals + 1};
        }
    }
    if (r2_settings_load(NULL, environment, args, arg_count, &settings, &err) == R2_OK) {
        check(&settings);
        r2_settings_finish(&settings);
    } else {
        FUZZ_MUST(err.status == R2_INVALID && err.message[0]);
    }
    free(text);
    read_file(data, size);
    return 0;
}
