/*
 * The program's log: one line an event, on standard error, as text or as JSON.
 *
 * Only the program (server/) logs; libraries return errors. A line leaves in one write(), so that
 * threads do not mix theirs, and every value is escaped: what a client sends cannot start a line or
 * a field of its own. A line longer than R2_LOG_LINE bytes loses its last fields, never its shape.
 *
 *     r2_log(R2_LOG_INFO, "ready", R2_LOG_TEXT("listen", address), R2_LOG_COUNT("workers", 4));
 *     2026-01-31T12:00:00.123Z info ready listen=127.0.0.1:8080 workers=4
 *     {"time":"2026-01-31T12:00:00.123Z","level":"info","event":"ready","listen":"127.0.0.1:8080",
 *      "workers":4}                                               (one line)
 */
#ifndef R2_BASE_LOG_H
#define R2_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of the settings log_level and log_format. A level shows itself and what follows. */
enum r2_log_level { R2_LOG_DEBUG, R2_LOG_INFO, R2_LOG_WARN, R2_LOG_ERROR, R2_LOG_LEVEL_COUNT };
enum r2_log_format { R2_LOG_AS_TEXT, R2_LOG_AS_JSON, R2_LOG_FORMAT_COUNT };

enum { R2_LOG_LINE = 4096, R2_LOG_FIELDS = 32 };

struct r2_log_field {
    const char *name; /* NULL ends a list; lower case, from the program, never from a client */
    const char *text; /* NULL: the number counts */
    double number;    /* negative milliseconds are "not measured": the field is left out */
    int decimals;
};

#define R2_LOG_TEXT(name, value) ((struct r2_log_field){(name), (value), 0, 0})
#define R2_LOG_COUNT(name, value) ((struct r2_log_field){(name), NULL, (double)(value), 0})
#define R2_LOG_MS(name, value) ((struct r2_log_field){(name), NULL, (value), 3})
#define R2_LOG_END ((struct r2_log_field){NULL, NULL, 0, 0})

/* Before any thread starts; text at level info until then. */
void r2_log_setup(enum r2_log_level level, enum r2_log_format format);

bool r2_log_shows(enum r2_log_level level);

/* Writes the line when the level is shown; `fields` ends with R2_LOG_END. */
void r2_log_fields(enum r2_log_level level, const char *event, const struct r2_log_field *fields);

/* The same with the fields as arguments (struct r2_log_field by value, R2_LOG_END last). */
void r2_log_write(enum r2_log_level level, const char *event, ...);

/* r2_log(level, event, fields...) */
#define r2_log(level, ...) r2_log_write((level), __VA_ARGS__, R2_LOG_END)

/* What r2_log_fields writes, without the newline, into ret (for tests and other sinks); `time_ns`
   is nanoseconds since 1970. Returns the length. */
size_t r2_log_line(char ret[R2_LOG_LINE], enum r2_log_format format, int64_t time_ns,
                   enum r2_log_level level, const char *event, const struct r2_log_field *fields);

#endif
