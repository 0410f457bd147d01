/*
 * The daemon's settings, from one table: defaults < config file < environment < command line.
 *
 * Each has one name in three places: "queue_depth" in the file, RES2NETD_QUEUE_DEPTH,
 * --queue-depth. An unknown one is an error in all three.
 */
#ifndef R2_CONFIG_SETTINGS_H
#define R2_CONFIG_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "config/address.h"
#include "config/options.h"

struct r2_settings {
    struct r2_texts listen; /* at least one; each is accepted by r2_address_parse */
    char *model;            /* directory, relative to the working directory; NULL = not set */
    int64_t workers;        /* R2_AUTO or 1..1024 */
    int64_t threads;        /* per worker; R2_AUTO or 1..1024 */
    int64_t queue_depth;    /* R2_AUTO or 1..100000 */
    int64_t max_body;       /* bytes */
    int64_t max_pixels;     /* of a decoded picture */
    int64_t max_connections;
    int64_t request_timeout_ms; /* 0 = none */
    int64_t upload_timeout_ms;  /* >= 1 */
    int64_t shutdown_timeout_ms;
    int64_t drain_delay_ms;
    int64_t plan_cache; /* bytes */
    enum r2_log_level log_level;
    enum r2_log_format log_format;
};

/* For --help (r2_options_help) and dumps (r2_options_dump). */
extern const struct r2_option_table r2_settings_table;

/* One "--name value" or "--name=value" of the command line. */
struct r2_setting_arg {
    const char *name; /* as typed, with its dashes: "--queue-depth" */
    const char *value;
};

/* Loads the settings; the caller finishes *ret, which need not be initialised. `config_path` may be
   NULL; `environment` is environ-like, may be NULL, and only its RES2NETD_ variables count. On the
   command line a repeated list ("--listen") grows, of another repeated setting the last wins. */
enum r2_status r2_settings_load(const char *config_path, char *const *environment,
                                const struct r2_setting_arg *args, size_t arg_count,
                                struct r2_settings *ret, struct r2_error *err);

void r2_settings_finish(struct r2_settings *settings);

#endif
