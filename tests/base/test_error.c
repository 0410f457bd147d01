#include "base/error.h"
#include "tests/base/expect.h"

Test(error, names_every_status)
{
    for (int i = 0; i < R2_STATUS_COUNT; i++) {
        const char *name = r2_status_name((enum r2_status)i);
        cr_expect(name && strcmp(name, "unknown") != 0, "status %d has no name", i);
        for (int j = 0; j < i; j++) cr_expect_str_neq(name, r2_status_name((enum r2_status)j));
    }
    cr_expect_str_eq(r2_status_name(R2_BAD_REQUEST), "bad_request");
    cr_expect_str_eq(r2_status_name(R2_STATUS_COUNT), "unknown");
    cr_expect_str_eq(r2_status_name((enum r2_status) - 1), "unknown");
}

Test(error, fail_writes_status_and_message)
{
    struct r2_error err = {0};
    cr_expect_eq(r2_fail(&err, R2_IO, "%s: %d", "file", 7), R2_IO);
    cr_expect_eq(err.status, R2_IO);
    cr_expect_str_eq(err.message, "file: 7");
}

Test(error, fail_in_puts_context_in_front)
{
    struct r2_error err = {0};
    r2_fail(&err, R2_INVALID, "0 is not in 1..5");
    cr_expect_eq(r2_fail_in(&err, "heads.%s", "classify"), R2_INVALID);
    cr_expect_str_eq(err.message, "heads.classify: 0 is not in 1..5");
}

Test(error, arguments_may_be_the_message_itself)
{
    struct r2_error err = {0};
    r2_fail(&err, R2_INVALID, "inner");
    r2_fail(&err, R2_IO, "outer (%s)", err.message);
    cr_expect_str_eq(err.message, "outer (inner)");
}

Test(error, long_messages_are_cut_to_fit)
{
    struct r2_error err = {0};
    char text[2 * R2_ERROR_SIZE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    r2_fail(&err, R2_IO, "%s", text);
    cr_expect_eq(strlen(err.message), R2_ERROR_SIZE - 1);
    r2_fail_in(&err, "%s", text);
    cr_expect_eq(strlen(err.message), R2_ERROR_SIZE - 1);
}

static enum r2_status try_both(enum r2_status first, int *reached, struct r2_error *err)
{
    R2_TRY(first == R2_OK ? R2_OK : r2_fail(err, first, "first"));
    *reached = 1;
    return R2_OK;
}

Test(error, try_returns_at_the_first_failure)
{
    struct r2_error err = {0};
    int reached = 0;
    EXPECT_FAIL(try_both(R2_BUSY, &reached, &err), err, R2_BUSY, "first");
    cr_expect_eq(reached, 0);
    ASSERT_OK(try_both(R2_OK, &reached, &err), err);
    cr_expect_eq(reached, 1);
}
