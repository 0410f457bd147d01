#include "config/settings.h"

#include "base/memory.h"
#include "config/json.h"
#include "tests/base/expect.h"

static enum r2_status load(const char *path, const char *const *variables,
                           const struct r2_setting_arg *args, size_t count, struct r2_settings *ret,
                           struct r2_error *err)
{
    char *environment[16] = {0};
    for (size_t i = 0; variables && variables[i]; i++) environment[i] = strdup(variables[i]);
    enum r2_status status = r2_settings_load(path, environment, args, count, ret, err);
    for (size_t i = 0; environment[i]; i++) free(environment[i]);
    return status;
}

static json_t *dump(const struct r2_settings *settings)
{
    struct r2_error err = {0};
    json_t *json = NULL;
    ASSERT_OK(r2_options_dump(&r2_settings_table, settings, &json, &err), err);
    return json;
}

Test(settings, defaults)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    ASSERT_OK(r2_settings_load(NULL, NULL, NULL, 0, &settings, &err), err);
    cr_expect_eq(settings.listen.count, 1);
    cr_expect_str_eq(settings.listen.items[0], "127.0.0.1:8080");
    cr_expect_null(settings.model);
    cr_expect(settings.workers == R2_AUTO && settings.threads == R2_AUTO);
    cr_expect_eq(settings.queue_depth, R2_AUTO);
    cr_expect_eq(settings.max_body, 32 << 20);
    cr_expect_eq(settings.max_pixels, 50000000);
    cr_expect_eq(settings.max_connections, 1000);
    cr_expect_eq(settings.request_timeout_ms, 30000);
    cr_expect_eq(settings.upload_timeout_ms, 30000);
    cr_expect_eq(settings.shutdown_timeout_ms, 25000);
    cr_expect_eq(settings.drain_delay_ms, 0);
    cr_expect_eq(settings.plan_cache, 256 << 20);
    cr_expect(settings.log_level == R2_LOG_INFO && settings.log_format == R2_LOG_AS_TEXT);
    r2_settings_finish(&settings);
    r2_settings_finish(&settings);
    r2_settings_finish(NULL);
}

/* config/res2netd.json is documentation: it must say what the table says, all of it, in its order. */
Test(settings, res2netd_json_agrees_with_the_table)
{
    struct r2_error err = {0};
    struct r2_settings defaults, from_file;
    json_t *file = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/config/res2netd.json", getenv("R2_SOURCE_ROOT"));
    ASSERT_OK(r2_settings_load(NULL, NULL, NULL, 0, &defaults, &err), err);
    ASSERT_OK(r2_settings_load(path, NULL, NULL, 0, &from_file, &err), err);
    ASSERT_OK(r2_json_read(path, 1 << 20, &file, &err), err);
    json_t *wanted = dump(&defaults), *got = dump(&from_file);
    cr_expect(json_equal(wanted, got), "every value is the default");
    cr_expect(json_equal(wanted, file), "every setting is written, as it is dumped");
    size_t i = 0;
    const char *key;
    json_t *value;
    json_object_foreach(file, key, value)
    {
        cr_assert_lt(i, r2_settings_table.count);
        cr_expect_str_eq(key, r2_settings_table.options[i++].name);
    }
    cr_expect_eq(i, r2_settings_table.count);
    json_decref(wanted);
    json_decref(got);
    json_decref(file);
    r2_settings_finish(&defaults);
    r2_settings_finish(&from_file);
}

Test(settings, command_line_beats_environment_beats_file)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    static const char text[] = "{\"workers\": 1, \"threads\": 1, \"queue_depth\": 1,"
                               " \"listen\": \"0.0.0.0:1\", \"model\": \"from/file\"}";
    static const char *const variables[] = {"PATH=/bin",
                                            "RES2NETD_THREADS=2",
                                            "RES2NET_X=1",
                                            "RES2NETD_QUEUE_DEPTH=2",
                                            "RES2NETD_LISTEN=[::]:2,unix:/tmp/s",
                                            NULL};
    static const struct r2_setting_arg args[] = {{"--queue-depth", "3"}};
    char *path = make_file(text, sizeof text - 1);
    ASSERT_OK(load(path, variables, args, 1, &settings, &err), err);
    cr_expect_eq(settings.workers, 1);
    cr_expect_eq(settings.threads, 2);
    cr_expect_eq(settings.queue_depth, 3);
    cr_expect_str_eq(settings.model, "from/file");
    cr_expect_eq(settings.listen.count, 2);
    cr_expect_str_eq(settings.listen.items[1], "unix:/tmp/s");
    cr_expect_eq(settings.max_connections, 1000);
    r2_settings_finish(&settings);
    drop_file(path);
}

Test(settings, repeated_on_the_command_line)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    static const char *const variables[] = {"RES2NETD_LISTEN=0.0.0.0:9", NULL};
    static const struct r2_setting_arg args[] = {{"--listen", "127.0.0.1:1"},
                                                 {"--workers", "1"},
                                                 {"--listen", "[::1]:2,unix:s"},
                                                 {"--workers", "2"}};
    ASSERT_OK(load(NULL, variables, args, R2_COUNT(args), &settings, &err), err);
    cr_assert_eq(settings.listen.count, 3, "the first one replaces, the others add");
    cr_expect_str_eq(settings.listen.items[0], "127.0.0.1:1");
    cr_expect_str_eq(settings.listen.items[2], "unix:s");
    cr_expect_eq(settings.workers, 2, "the last one wins");
    r2_settings_finish(&settings);
}

static void expect_variable_refused(const char *variable, const char *message)
{
    struct r2_error err = {0};
    struct r2_settings settings = {.max_body = 77};
    const char *const variables[] = {variable, NULL};
    EXPECT_FAIL(load(NULL, variables, NULL, 0, &settings, &err), err, R2_INVALID, message);
    cr_expect_eq(settings.max_body, 77, "untouched");
}

Test(settings, environment_is_checked)
{
    expect_variable_refused("RES2NETD_WORKERS=0",
                            "RES2NETD_WORKERS: 0 is not in 1..1024 and not auto");
    expect_variable_refused("RES2NETD_WORKERS=",
                            "RES2NETD_WORKERS: \"\" is not an integer or auto");
    expect_variable_refused("RES2NETD_QUEUEDEPTH=5",
                            "environment: unknown setting \"RES2NETD_QUEUEDEPTH\", did you mean "
                            "\"RES2NETD_QUEUE_DEPTH\"?");
    expect_variable_refused("RES2NETD_workers=5",
                            "environment: unknown setting \"RES2NETD_workers\", did you mean "
                            "\"RES2NETD_WORKERS\"?");
    expect_variable_refused("RES2NETD_LISTEN=localhost",
                            "RES2NETD_LISTEN: \"localhost\" is not an address: needs ADDR:PORT, "
                            "[v6]:PORT or unix:PATH");
}

/* A pod beside a Service called res2netd gets these; they must not stop the daemon. */
Test(settings, service_links_of_kubernetes_are_no_settings)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    static const char *const links[] = {"RES2NETD_SERVICE_HOST=10.0.0.7",
                                        "RES2NETD_SERVICE_PORT=80",
                                        "RES2NETD_SERVICE_PORT_HTTP=80",
                                        "RES2NETD_PORT=tcp://10.0.0.7:80",
                                        "RES2NETD_PORT_80_TCP=tcp://10.0.0.7:80",
                                        "RES2NETD_PORT_80_TCP_ADDR=10.0.0.7",
                                        "RES2NETD_PORT_80_TCP_PROTO=tcp",
                                        "RES2NETD_PORT_80_TCP_PORT=80",
                                        "RES2NETD_BLUE_SERVICE_HOST=10.0.0.8",
                                        "RES2NETD_BLUE_PORT=tcp://10.0.0.8:80",
                                        NULL};
    ASSERT_OK(load(NULL, links, NULL, 0, &settings, &err), err);
    r2_settings_finish(&settings);

    /* what a person writes is still refused */
    const char *const variables[] = {"RES2NETD_PORT=8080", NULL};
    cr_expect_eq(load(NULL, variables, NULL, 0, &settings, &err), R2_INVALID);
    cr_expect_not_null(strstr(err.message, "environment: unknown setting \"RES2NETD_PORT\"; known: "
                                           "RES2NETD_LISTEN, RES2NETD_MODEL, "),
                       "%s", err.message);
}

static void expect_arg_refused(const char *name, const char *value, const char *message)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    const struct r2_setting_arg args[] = {{"--model", "kept/until/the/failure"}, {name, value}};
    EXPECT_FAIL(load(NULL, NULL, args, 2, &settings, &err), err, R2_INVALID, message);
}

Test(settings, command_line_is_checked)
{
    expect_arg_refused("--queue-depht", "5",
                       "unknown setting \"--queue-depht\", did you mean \"--queue-depth\"?");
    expect_arg_refused("--queue_depth", "5",
                       "unknown setting \"--queue_depth\", did you mean \"--queue-depth\"?");
    expect_arg_refused("-workers", "5",
                       "unknown setting \"-workers\", did you mean \"--workers\"?");
    expect_arg_refused("--queue-depth", "100001",
                       "--queue-depth: 100001 is not in 1..100000 and not auto");
    expect_arg_refused("--max-body", "2GiB", "--max-body: 2147483648 is not in 1KiB..1GiB");
    expect_arg_refused("--log-level", "warning",
                       "--log-level: \"warning\" is not one of debug, info, warn, error");
    expect_arg_refused(
        "--listen", "127.0.0.1:1,8080",
        "--listen: item 2: \"8080\" is not an address: needs ADDR:PORT, [v6]:PORT or "
        "unix:PATH");
}

Test(settings, what_is_not_built_yet_is_unknown)
{
    static const char *const later[] = {"--precision", "--cors-origin", "--api-keys-file",
                                        "--tls-cert",  "--tls-key",     "--rate-limit"};
    for (size_t i = 0; i < R2_COUNT(later); i++) {
        struct r2_error err = {0};
        struct r2_settings settings;
        struct r2_setting_arg arg = {later[i], "x"};
        cr_expect_eq(load(NULL, NULL, &arg, 1, &settings, &err), R2_INVALID, "%s", later[i]);
        cr_expect(strncmp(err.message, "unknown setting ", 16) == 0, "%s", err.message);
    }
}

static void expect_file_refused(const char *text, enum r2_status status, const char *message)
{
    struct r2_error err = {0};
    struct r2_settings settings;
    char wanted[R2_ERROR_SIZE], *path = make_file(text, strlen(text));
    snprintf(wanted, sizeof wanted, "%s: %s", path, message);
    EXPECT_FAIL(load(path, NULL, NULL, 0, &settings, &err), err, status, wanted);
    drop_file(path);
}

Test(settings, file_is_checked)
{
    expect_file_refused("{\"workers\": 5, \"worker\": 5}", R2_INVALID,
                        "unknown setting \"worker\", did you mean \"workers\"?");
    expect_file_refused("{\"listen\": []}", R2_INVALID, "listen: has 0 items, needs 1..64");
    expect_file_refused("{\"workers\": 5", R2_BAD_REQUEST,
                        "line 1, column 13: '}' expected near end of file");
    expect_file_refused("{\"workers\": 5, \"workers\": 6}", R2_BAD_REQUEST,
                        "line 1, column 24: duplicate object key near '\"workers\"'");
    struct r2_error err = {0};
    struct r2_settings settings;
    EXPECT_FAIL(load("/nonexistent/r2.json", NULL, NULL, 0, &settings, &err), err, R2_NOT_FOUND,
                "/nonexistent/r2.json: No such file or directory");
}

Test(settings, every_setting_has_help)
{
    struct r2_text text = {0};
    r2_options_help(&r2_settings_table, &text);
    size_t lines = 0;
    for (const char *at = text.data; (at = strchr(at, '\n')); at++) lines++;
    cr_expect_eq(lines, r2_settings_table.count);
    cr_expect_not_null(strstr(text.data, "default auto, 1..100000: requests that may wait"));
    r2_text_finish(&text);
}
