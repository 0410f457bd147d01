#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

static const char *const level_names[R2_LOG_LEVEL_COUNT] = {
    [R2_LOG_DEBUG] = "debug",
    [R2_LOG_INFO] = "info",
    [R2_LOG_WARN] = "warn",
    [R2_LOG_ERROR] = "error",
};

/* Atomic: a reload changes them while other threads log. */
static atomic_int log_level = R2_LOG_INFO, log_format = R2_LOG_AS_TEXT;

/* A line that grows piece by piece; a piece that does not fit is refused whole. */
struct line {
    char *data;
    size_t size;
};

/* Kept free at the end: `..."}` of a JSON line. */
enum { RESERVE = 8, LONGEST_VALUE = 1024 };

void r2_log_setup(enum r2_log_level level, enum r2_log_format format)
{
    atomic_store(&log_level, (int)level);
    atomic_store(&log_format, (int)format);
}

bool r2_log_shows(enum r2_log_level level)
{
    return (int)level >= atomic_load(&log_level);
}

static bool add(struct line *line, const char *piece)
{
    size_t size = strlen(piece);
    if (line->size + size + RESERVE > R2_LOG_LINE) return false;
    memcpy(line->data + line->size, piece, size + 1);
    line->size += size;
    return true;
}

/* The value between quotes, escaped as JSON needs it; printable text has no control characters. */
static void quote(const char *text, char *ret)
{
    *ret++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') *ret++ = '\\';
        *ret++ = *text;
    }
    *ret++ = '"';
    *ret = 0;
}

/* A text log leaves plain words bare. */
static bool is_plain(const char *text)
{
    return *text && !text[strcspn(text, " \"\\=")];
}

static void format_value(const struct r2_log_field *field, bool json,
                         char ret[LONGEST_VALUE * 2 + 3])
{
    char shown[LONGEST_VALUE];
    if (!field->text) {
        snprintf(ret, LONGEST_VALUE, "%.*f", field->decimals, field->number);
        return;
    }
    r2_text_printable(field->text, strlen(field->text), shown, sizeof shown);
    if (!json && is_plain(shown))
        memcpy(ret, shown, strlen(shown) + 1);
    else
        quote(shown, ret);
}

static void format_time(int64_t time_ns, char ret[40])
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t size = strftime(ret, 30, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret + size, 40 - size, ".%03dZ", (int)(time_ns / 1000000 % 1000));
}

size_t r2_log_line(char ret[R2_LOG_LINE], enum r2_log_format format, int64_t time_ns,
                   enum r2_log_level level, const char *event, const struct r2_log_field *fields)
{
    bool json = format == R2_LOG_AS_JSON;
    struct line line = {ret, 0};
    char time[40], value[LONGEST_VALUE * 2 + 3], head[160];
    char piece[LONGEST_VALUE * 2 + 100];
    format_time(time_ns, time);
    snprintf(head, sizeof head,
             json ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"" : "%s %s %s", time,
             level_names[level], event);
    add(&line, head);
    for (; fields->name; fields++) {
        if (!fields->text && fields->decimals && fields->number < 0) continue;
        format_value(fields, json, value);
        snprintf(piece, sizeof piece, json ? ",\"%s\":%s" : " %s=%s", fields->name, value);
        if (!add(&line, piece)) break;
    }
    if (json) line.data[line.size++] = '}';
    line.data[line.size] = 0;
    return line.size;
}

void r2_log_fields(enum r2_log_level level, const char *event, const struct r2_log_field *fields)
{
    char line[R2_LOG_LINE];
    struct timespec now;
    if (!r2_log_shows(level)) return;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    size_t size = r2_log_line(line, (enum r2_log_format)atomic_load(&log_format), time_ns, level,
                              event, fields);
    line[size++] = '\n';
    /* A log that nobody can take (a full disk, a closed pipe) must not stop the service. */
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written;
}

void r2_log_write(enum r2_log_level level, const char *event, ...)
{
    struct r2_log_field fields[R2_LOG_FIELDS + 1];
    size_t count = 0;
    if (!r2_log_shows(level)) return;
    va_list args;
    va_start(args, event);
    while (count < R2_LOG_FIELDS) {
        fields[count] = va_arg(args, struct r2_log_field);
        if (!fields[count].name) break;
        count++;
    }
    va_end(args);
    fields[count] = R2_LOG_END;
    r2_log_fields(level, event, fields);
}
