#include "base/log.h"

#include <fcntl.h>

#include "tests/base/expect.h"

static const int64_t noon = 1769860800 * INT64_C(1000000000) + 123456789; /* 2026-01-31 12:00 */

static void expect_line(enum r2_log_format format, const struct r2_log_field *fields,
                        const char *wanted)
{
    char line[R2_LOG_LINE];
    size_t size = r2_log_line(line, format, noon, R2_LOG_INFO, "ready", fields);
    cr_expect_eq(size, strlen(line));
    cr_expect_str_eq(line, wanted, "\n  got    %s\n  wanted %s", line, wanted);
}

Test(log, line_as_text_and_as_json)
{
    const struct r2_log_field fields[] = {R2_LOG_TEXT("listen", "127.0.0.1:8080"),
                                          R2_LOG_COUNT("workers", 4), R2_LOG_MS("total", 1.5),
                                          R2_LOG_MS("queue", -1), R2_LOG_END};
    expect_line(R2_LOG_AS_TEXT, fields,
                "2026-01-31T12:00:00.123Z info ready listen=127.0.0.1:8080 workers=4 total=1.500");
    expect_line(R2_LOG_AS_JSON, fields,
                "{\"time\":\"2026-01-31T12:00:00.123Z\",\"level\":\"info\",\"event\":\"ready\","
                "\"listen\":\"127.0.0.1:8080\",\"workers\":4,\"total\":1.500}");
    const struct r2_log_field none[] = {R2_LOG_END};
    expect_line(R2_LOG_AS_TEXT, none, "2026-01-31T12:00:00.123Z info ready");
}

Test(log, a_value_cannot_start_a_line_or_a_field)
{
    const struct r2_log_field fields[] = {R2_LOG_TEXT("path", "/a\nx=\"1\" \\y\xFF"),
                                          R2_LOG_TEXT("empty", ""), R2_LOG_END};
    expect_line(R2_LOG_AS_TEXT, fields,
                "2026-01-31T12:00:00.123Z info ready path=\"/a?x=\\\"1\\\" \\\\y?\" empty=\"\"");
    expect_line(R2_LOG_AS_JSON, fields,
                "{\"time\":\"2026-01-31T12:00:00.123Z\",\"level\":\"info\",\"event\":\"ready\","
                "\"path\":\"/a?x=\\\"1\\\" \\\\y?\",\"empty\":\"\"}");
}

Test(log, a_long_line_loses_fields_but_not_its_shape)
{
    char line[R2_LOG_LINE], value[3 * R2_LOG_LINE];
    struct r2_log_field fields[R2_LOG_FIELDS + 1];
    memset(value, '"', sizeof value - 1); /* each one becomes two bytes */
    value[sizeof value - 1] = 0;
    for (size_t i = 0; i < R2_LOG_FIELDS; i++) fields[i] = R2_LOG_TEXT("name", value);
    fields[R2_LOG_FIELDS] = R2_LOG_END;
    size_t size = r2_log_line(line, R2_LOG_AS_JSON, noon, R2_LOG_ERROR, "long", fields);
    cr_expect_lt(size, R2_LOG_LINE - 1, "room for the newline");
    cr_expect_eq(size, strlen(line));
    cr_expect_str_eq(line + size - 4, "\\\"\"}");
}

Test(log, is_written_to_standard_error_from_its_level_on)
{
    char got[200] = "", *path = make_file("", 0);
    int fd = open(path, O_RDWR | O_CLOEXEC), saved = dup(STDERR_FILENO);
    cr_assert(fd >= 0 && saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    r2_log(R2_LOG_DEBUG, "hidden");
    r2_log_setup(R2_LOG_WARN, R2_LOG_AS_JSON);
    r2_log(R2_LOG_INFO, "hidden", R2_LOG_COUNT("n", 1));
    r2_log(R2_LOG_ERROR, "shown", R2_LOG_TEXT("why", "a b"), R2_LOG_COUNT("n", 2));
    cr_assert(dup2(saved, STDERR_FILENO) >= 0);
    ssize_t size = pread(fd, got, sizeof got - 1, 0);
    cr_assert_gt(size, 0);
    cr_expect_not_null(
        strstr(got, "\"level\":\"error\",\"event\":\"shown\",\"why\":\"a b\",\"n\":2}\n"), "%s",
        got);
    cr_expect_null(strstr(got, "hidden"));
    cr_expect(!r2_log_shows(R2_LOG_INFO) && r2_log_shows(R2_LOG_WARN));
    close(fd);
    close(saved);
    drop_file(path);
}
