#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

void r2_buffer_finish(struct r2_buffer *buffer)
{
    if (!buffer) return;
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = buffer->capacity = 0;
}

enum r2_status r2_buffer_reserve(struct r2_buffer *buffer, size_t size, struct r2_error *err)
{
    if (buffer->limit && size > buffer->limit)
        return r2_fail(err, R2_TOO_LARGE, "%zu bytes are over the limit of %zu", size,
                       buffer->limit);
    if (size <= buffer->capacity) return R2_OK;
    uint8_t *data = realloc(buffer->data, size);
    if (!data) return r2_fail(err, R2_NO_MEMORY, "no memory for a buffer of %zu bytes", size);
    buffer->data = data;
    buffer->capacity = size;
    return R2_OK;
}

enum r2_status r2_buffer_append(struct r2_buffer *buffer, const void *data, size_t size,
                                struct r2_error *err)
{
    size_t wanted;
    if (!r2_size_add(buffer->size, size, &wanted)) wanted = SIZE_MAX;
    if (wanted > buffer->capacity) {
        size_t grown = buffer->capacity < SIZE_MAX / 2 ? buffer->capacity * 2 : wanted;
        if (grown < 4096) grown = 4096;
        if (grown < wanted) grown = wanted;
        if (buffer->limit && grown > buffer->limit)
            grown = wanted > buffer->limit ? wanted : buffer->limit;
        R2_TRY(r2_buffer_reserve(buffer, grown, err));
    }
    if (size) memcpy(buffer->data + buffer->size, data, size);
    buffer->size = wanted;
    return R2_OK;
}

/* Opens a regular file for reading and gives its size. */
static enum r2_status open_regular(const char *path, int *ret_fd, size_t *ret_size,
                                   struct r2_error *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return r2_fail(err, errno == ENOENT ? R2_NOT_FOUND : R2_IO, "%s: %s", path,
                       strerror(errno));
    if (fstat(fd, &info) != 0) {
        r2_fail(err, R2_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        r2_fail(err, R2_INVALID, "%s: is not a regular file", path);
    } else {
        *ret_fd = fd;
        *ret_size = (size_t)info.st_size;
        return R2_OK;
    }
    close(fd);
    return err->status;
}

static enum r2_status read_all(int fd, const char *path, size_t size, uint8_t *data,
                               struct r2_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, data + done, size - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return r2_fail(err, R2_IO, "%s: %s", path, strerror(errno));
        if (got == 0) return r2_fail(err, R2_IO, "%s: became shorter while it was read", path);
        done += (size_t)got;
    }
    return R2_OK;
}

enum r2_status r2_file_read(const char *path, size_t limit, struct r2_buffer *ret,
                            struct r2_error *err)
{
    int fd = -1;
    size_t size = 0;
    R2_TRY(open_regular(path, &fd, &size, err));
    struct r2_buffer buffer = {0};
    enum r2_status status =
        size > limit ? r2_fail(err, R2_TOO_LARGE, "%s: %zu bytes are over the limit of %zu", path,
                               size, limit)
                     : r2_buffer_reserve(&buffer, size + 1, err);
    if (status == R2_OK) status = read_all(fd, path, size, buffer.data, err);
    close(fd);
    if (status != R2_OK) {
        r2_buffer_finish(&buffer);
        return status;
    }
    buffer.data[size] = 0;
    buffer.size = size;
    *ret = buffer;
    return R2_OK;
}

enum r2_status r2_file_write(const char *path, struct r2_bytes bytes, struct r2_error *err)
{
    FILE *file = fopen(path, "we");
    if (!file) return r2_fail(err, R2_IO, "%s: %s", path, strerror(errno));
    bool written = fwrite(bytes.data, 1, bytes.size, file) == bytes.size;
    int write_errno = errno;
    if (fclose(file) == 0 && written) return R2_OK;
    return r2_fail(err, R2_IO, "%s: %s", path, strerror(written ? errno : write_errno));
}

enum r2_status r2_file_map(const char *path, struct r2_mapping *ret, struct r2_error *err)
{
    int fd = -1;
    size_t size = 0;
    R2_TRY(open_regular(path, &fd, &size, err));
    void *data = NULL;
    if (size) data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int map_errno = errno;
    close(fd);
    if (data == MAP_FAILED) return r2_fail(err, R2_IO, "%s: %s", path, strerror(map_errno));
    ret->bytes = (struct r2_bytes){data, size};
    return R2_OK;
}

void r2_mapping_finish(struct r2_mapping *mapping)
{
    if (!mapping || !mapping->bytes.data) return;
    munmap((void *)(uintptr_t)mapping->bytes.data, mapping->bytes.size);
    mapping->bytes = (struct r2_bytes){0};
}
