#include "config/settings.h"

#include <string.h>

#include "base/memory.h"
#include "config/json.h"

enum { CONFIG_FILE_MAX = 1 << 20 /* bytes */ };

static enum r2_status check_address(const char *text, struct r2_error *err)
{
    struct r2_address address;
    return r2_address_parse(text, &address, err);
}

static const char *const log_levels[R2_LOG_LEVEL_COUNT + 1] = {
    [R2_LOG_DEBUG] = "debug",
    [R2_LOG_INFO] = "info",
    [R2_LOG_WARN] = "warn",
    [R2_LOG_ERROR] = "error",
};
static const char *const log_formats[R2_LOG_FORMAT_COUNT + 1] = {
    [R2_LOG_AS_TEXT] = "text",
    [R2_LOG_AS_JSON] = "json",
};

#define KIB 1024.0
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define HOUR_MS 3600000.0

/* --help and res2netd.json keep this order. */
/* clang-format off */
static const struct r2_option options[] = {
    {.name = "listen", R2_FIELD(TEXTS, struct r2_settings, listen), .min_count = 1,
     .fallback = "127.0.0.1:8080", .check = check_address, .metavar = "ADDR:PORT",
     .help = "address to serve on, [v6]:PORT and unix:PATH too; may be repeated"},
    {.name = "model", R2_FIELD(TEXT, struct r2_settings, model), .flags = R2_OPTION_OPTIONAL,
     .metavar = "DIR", .help = "model directory"},
    {.name = "workers", R2_FIELD(INT, struct r2_settings, workers), .flags = R2_OPTION_AUTO,
     .min = 1, .max = 1024, .fallback = "auto", .help = "pictures computed at the same time"},
    {.name = "threads", R2_FIELD(INT, struct r2_settings, threads), .flags = R2_OPTION_AUTO,
     .min = 1, .max = 1024, .fallback = "auto", .help = "threads for one picture"},
    {.name = "queue_depth", R2_FIELD(INT, struct r2_settings, queue_depth),
     .flags = R2_OPTION_AUTO, .min = 1, .max = 100000, .fallback = "auto",
     .help = "requests that may wait; one more is answered 503"},
    {.name = "max_body", R2_FIELD(INT, struct r2_settings, max_body), .flags = R2_OPTION_BYTES,
     .min = KIB, .max = GIB, .fallback = "32MiB", .help = "bytes of a request's body, or of the picture in a JSON body"},
    {.name = "max_pixels", R2_FIELD(INT, struct r2_settings, max_pixels), .min = 1, .max = 1e9,
     .fallback = "50000000", .help = "pixels of a picture, checked before it is decoded"},
    {.name = "max_connections", R2_FIELD(INT, struct r2_settings, max_connections), .min = 1,
     .max = 1e6, .fallback = "1000", .help = "connections held at the same time"},
    {.name = "request_timeout_ms", R2_FIELD(INT, struct r2_settings, request_timeout_ms),
     .min = 0, .max = HOUR_MS, .fallback = "30000",
     .help = "time for an answer, 0 = no limit; X-Timeout-Ms can shorten it"},
    {.name = "upload_timeout_ms", R2_FIELD(INT, struct r2_settings, upload_timeout_ms), .min = 1,
     .max = HOUR_MS, .fallback = "30000", .help = "silence of a client that ends its upload"},
    {.name = "shutdown_timeout_ms", R2_FIELD(INT, struct r2_settings, shutdown_timeout_ms),
     .min = 0, .max = HOUR_MS, .fallback = "25000",
     .help = "time to finish accepted requests after SIGTERM"},
    {.name = "drain_delay_ms", R2_FIELD(INT, struct r2_settings, drain_delay_ms), .min = 0,
     .max = HOUR_MS, .fallback = "0",
     .help = "time to keep accepting after SIGTERM, while /readyz says no"},
    {.name = "plan_cache", R2_FIELD(INT, struct r2_settings, plan_cache),
     .flags = R2_OPTION_BYTES, .min = 0, .max = 1024 * GIB, .fallback = "256MiB",
     .help = "memory for plans of input shapes that are not in use"},
    {.name = "log_level", R2_FIELD(CHOICE, struct r2_settings, log_level), .choices = log_levels,
     .fallback = "info", .help = "least level that is logged"},
    {.name = "log_format", R2_FIELD(CHOICE, struct r2_settings, log_format),
     .choices = log_formats, .fallback = "text", .help = "form of a log line"},
};
/* clang-format on */

const struct r2_option_table r2_settings_table = R2_OPTION_TABLE(options, "setting");

void r2_settings_finish(struct r2_settings *settings)
{
    r2_options_finish(&r2_settings_table, settings);
}

static enum r2_status read_file(const char *path, struct r2_settings *settings,
                                struct r2_error *err)
{
    json_t *json;
    R2_TRY(r2_json_read(path, CONFIG_FILE_MAX, &json, err));
    enum r2_status status = r2_options_read(&r2_settings_table, json, path, settings, err);
    json_decref(json);
    return status;
}

static const char prefix[] = "RES2NETD_";

/* Kubernetes describes every Service of the namespace to every pod in variables named after it:
   with a Service called res2netd, RES2NETD_SERVICE_HOST, RES2NETD_SERVICE_PORT[_NAME],
   RES2NETD_PORT=tcp://... and RES2NETD_PORT_8080_TCP[_ADDR, _PORT, _PROTO]. They are no settings,
   and nobody wrote them: a Service called res2netd-blue adds BLUE_ after the prefix. */
static bool is_kubernetes_link(const char *name, size_t size, const char *value)
{
    char text[256];
    if (size >= sizeof text) return false;
    memcpy(text, name, size);
    text[size] = 0;
    if (strstr(text, "_SERVICE_HOST") || strstr(text, "_SERVICE_PORT")) return true;
    const char *port = strstr(text, "_PORT");
    if (!port) return false;
    port += strlen("_PORT");
    if (!*port) return strstr(value, "://");
    size_t digits = *port == '_' ? strspn(port + 1, "0123456789") : 0;
    if (!digits) return false;
    port += 1 + digits;
    return strncmp(port, "_TCP", 4) == 0 || strncmp(port, "_UDP", 4) == 0 ||
           strncmp(port, "_SCTP", 5) == 0;
}

static enum r2_status set_variable(const char *variable, struct r2_settings *settings,
                                   struct r2_error *err)
{
    const char *equals = strchr(variable, '=');
    if (strncmp(variable, prefix, sizeof prefix - 1) != 0 || !equals) return R2_OK;
    size_t size = (size_t)(equals - variable);
    R2_AUTOFREE char *name = NULL;
    R2_TRY(r2_alloc(size + 1, 1, "environment", &name, err));
    memcpy(name, variable, size);
    const struct r2_option *option = r2_options_find(&r2_settings_table, R2_SPELL_VARIABLE, name);
    if (option) return r2_option_set(option, R2_SPELL_VARIABLE, equals + 1, false, settings, err);
    if (is_kubernetes_link(name, size, equals + 1)) return R2_OK;
    r2_options_unknown(&r2_settings_table, R2_SPELL_VARIABLE, name, err);
    return r2_fail_in(err, "environment");
}

static enum r2_status set_arg(const struct r2_setting_arg *args, size_t i,
                              struct r2_settings *settings, struct r2_error *err)
{
    const struct r2_option *option =
        r2_options_find(&r2_settings_table, R2_SPELL_FLAG, args[i].name);
    if (!option) return r2_options_unknown(&r2_settings_table, R2_SPELL_FLAG, args[i].name, err);
    bool repeated = false; /* the first one replaces what the file or the environment said */
    for (size_t before = 0; before < i; before++)
        if (strcmp(args[before].name, args[i].name) == 0) repeated = true;
    return r2_option_set(option, R2_SPELL_FLAG, args[i].value, repeated, settings, err);
}

static enum r2_status load(const char *config_path, char *const *environment,
                           const struct r2_setting_arg *args, size_t arg_count,
                           struct r2_settings *settings, struct r2_error *err)
{
    R2_TRY(r2_options_defaults(&r2_settings_table, settings, err));
    if (config_path) R2_TRY(read_file(config_path, settings, err));
    for (size_t i = 0; environment && environment[i]; i++)
        R2_TRY(set_variable(environment[i], settings, err));
    for (size_t i = 0; i < arg_count; i++) R2_TRY(set_arg(args, i, settings, err));
    return R2_OK;
}

enum r2_status r2_settings_load(const char *config_path, char *const *environment,
                                const struct r2_setting_arg *args, size_t arg_count,
                                struct r2_settings *ret, struct r2_error *err)
{
    struct r2_settings settings = {0};
    enum r2_status status = load(config_path, environment, args, arg_count, &settings, err);
    if (status != R2_OK)
        r2_settings_finish(&settings);
    else
        *ret = settings;
    return status;
}
