#include "base/bytes.h"

#include <sys/stat.h>

#include "tests/base/expect.h"

Test(buffer, grows_by_appending)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    for (int i = 0; i < 20000; i++) {
        uint8_t byte = (uint8_t)i;
        ASSERT_OK(r2_buffer_append(&buffer, &byte, 1, &err), err);
    }
    ASSERT_OK(r2_buffer_append(&buffer, NULL, 0, &err), err);
    struct r2_bytes view = r2_buffer_view(&buffer);
    cr_assert_eq(view.size, 20000);
    for (size_t i = 0; i < view.size; i++) cr_assert_eq(view.data[i], (uint8_t)i);
    r2_buffer_finish(&buffer);
    cr_expect(!buffer.data && !buffer.size && !buffer.capacity);
    r2_buffer_finish(&buffer);
    r2_buffer_finish(NULL);
}

Test(buffer, never_passes_its_limit)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {.limit = 5000};
    uint8_t data[5000] = {1, 2, 3};
    ASSERT_OK(r2_buffer_append(&buffer, data, 4990, &err), err);
    cr_expect_eq(r2_buffer_append(&buffer, data, 11, &err), R2_TOO_LARGE);
    cr_expect_not_null(strstr(err.message, " bytes are over the limit of 5000"), "%s", err.message);
    cr_expect_eq(buffer.size, 4990, "nothing is appended");
    ASSERT_OK(r2_buffer_append(&buffer, data, 10, &err), err);
    cr_expect_eq(buffer.size, 5000);
    cr_expect_leq(buffer.capacity, 5000);
    cr_expect_eq(r2_buffer_append(&buffer, data, SIZE_MAX, &err), R2_TOO_LARGE, "no overflow");
    EXPECT_FAIL(r2_buffer_reserve(&buffer, 5001, &err), err, R2_TOO_LARGE,
                "5001 bytes are over the limit of 5000");
    r2_buffer_finish(&buffer);
}

Test(buffer, reserved_room_does_not_move)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    ASSERT_OK(r2_buffer_reserve(&buffer, 10000, &err), err);
    const uint8_t *data = buffer.data;
    for (int i = 0; i < 100; i++) ASSERT_OK(r2_buffer_append(&buffer, buffer.data, 0, &err), err);
    uint8_t part[100] = {7};
    for (int i = 0; i < 100; i++) ASSERT_OK(r2_buffer_append(&buffer, part, 100, &err), err);
    cr_expect_eq(buffer.data, data);
    r2_buffer_finish(&buffer);
}

Test(file, is_read_whole_with_a_nul_behind)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    char *path = make_file("a\0b\n", 4);
    ASSERT_OK(r2_file_read(path, 4, &buffer, &err), err);
    cr_expect_eq(buffer.size, 4);
    cr_expect(memcmp(buffer.data, "a\0b\n", 5) == 0);
    r2_buffer_finish(&buffer);
    drop_file(path);

    path = make_file("", 0);
    ASSERT_OK(r2_file_read(path, 0, &buffer, &err), err);
    cr_expect(buffer.size == 0 && buffer.data[0] == 0);
    r2_buffer_finish(&buffer);
    drop_file(path);
}

Test(file, over_the_limit_is_refused)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    char wanted[100], *path = make_file("12345", 5);
    snprintf(wanted, sizeof wanted, "%s: 5 bytes are over the limit of 4", path);
    EXPECT_FAIL(r2_file_read(path, 4, &buffer, &err), err, R2_TOO_LARGE, wanted);
    cr_expect_null(buffer.data);
    drop_file(path);
}

Test(file, missing_directory_and_device_are_refused)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    struct r2_mapping mapping = {0};
    EXPECT_FAIL(r2_file_read("/nonexistent/file", 10, &buffer, &err), err, R2_NOT_FOUND,
                "/nonexistent/file: No such file or directory");
    EXPECT_FAIL(r2_file_map("/nonexistent/file", &mapping, &err), err, R2_NOT_FOUND,
                "/nonexistent/file: No such file or directory");
    EXPECT_FAIL(r2_file_read("/tmp", 10, &buffer, &err), err, R2_INVALID,
                "/tmp: is not a regular file");
    EXPECT_FAIL(r2_file_map("/dev/zero", &mapping, &err), err, R2_INVALID,
                "/dev/zero: is not a regular file");
    EXPECT_FAIL(r2_file_read("/dev/null/x", 10, &buffer, &err), err, R2_IO,
                "/dev/null/x: Not a directory");
    cr_expect(!buffer.data && !mapping.bytes.data);
}

Test(file, fifo_does_not_hang, .timeout = 5)
{
    struct r2_error err = {0};
    struct r2_buffer buffer = {0};
    char wanted[100], *path = make_file("", 0);
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    snprintf(wanted, sizeof wanted, "%s: is not a regular file", path);
    EXPECT_FAIL(r2_file_read(path, 10, &buffer, &err), err, R2_INVALID, wanted);
    drop_file(path);
}

Test(file, is_mapped)
{
    struct r2_error err = {0};
    struct r2_mapping mapping = {0};
    char *path = make_file("mapped", 6);
    ASSERT_OK(r2_file_map(path, &mapping, &err), err);
    drop_file(path); /* the mapping stays */
    cr_expect(mapping.bytes.size == 6 && memcmp(mapping.bytes.data, "mapped", 6) == 0);
    r2_mapping_finish(&mapping);
    cr_expect(!mapping.bytes.data && !mapping.bytes.size);
    r2_mapping_finish(&mapping);
    r2_mapping_finish(NULL);

    path = make_file("", 0);
    ASSERT_OK(r2_file_map(path, &mapping, &err), err);
    cr_expect(!mapping.bytes.data && !mapping.bytes.size, "an empty file is an empty view");
    r2_mapping_finish(&mapping);
    drop_file(path);
}
