/*
 * What the unit tests of base/ and config/ share.
 */
#ifndef R2_TESTS_BASE_EXPECT_H
#define R2_TESTS_BASE_EXPECT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

/* The call must fail with that status and exactly that message. */
#define EXPECT_FAIL(call, err_, wanted, text)                                                      \
    do {                                                                                           \
        enum r2_status got_ = (call);                                                              \
        cr_expect(got_ == (wanted) && (err_).status == (wanted),                                   \
                  "%s: status %s, error %s, not %s", #call, r2_status_name(got_),                  \
                  r2_status_name((err_).status), r2_status_name(wanted));                          \
        cr_expect_str_eq((err_).message, (text), "%s:\n  got    %s\n  wanted %s", #call,           \
                         (err_).message, (text));                                                  \
    } while (0)

#define ASSERT_OK(call, err_) cr_assert((call) == R2_OK, "%s: %s", #call, (err_).message)

/* Writes a new temporary file and gives its path, which the caller unlinks and frees. */
static inline char *make_file(const void *data, size_t size)
{
    char *path = strdup("/tmp/r2-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
    return path;
}

static inline void drop_file(char *path)
{
    unlink(path);
    free(path);
}

#endif
