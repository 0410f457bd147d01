#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static socklen_t fill(const struct r2_address *address, union socket_address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (address->kind == R2_ADDRESS_UNIX) {
        ret->local.sun_family = AF_UNIX;
        memcpy(ret->local.sun_path, address->path, sizeof ret->local.sun_path);
        return sizeof ret->local;
    }
    if (address->v6) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(address->port);
        inet_pton(AF_INET6, address->host, &ret->v6.sin6_addr);
        return sizeof ret->v6;
    }
    ret->v4.sin_family = AF_INET;
    ret->v4.sin_port = htons(address->port);
    inet_pton(AF_INET, address->host, &ret->v4.sin_addr);
    return sizeof ret->v4;
}

static void show(const struct r2_address *address, uint16_t port, char ret[R2_SHOWN_ADDRESS])
{
    if (address->kind == R2_ADDRESS_UNIX)
        snprintf(ret, R2_SHOWN_ADDRESS, "unix:%s", address->path);
    else
        snprintf(ret, R2_SHOWN_ADDRESS, address->v6 ? "[%s]:%u" : "%s:%u", address->host, port);
}

static uint16_t real_port(int fd, const struct r2_address *address)
{
    union socket_address bound;
    socklen_t size = sizeof bound;
    if (address->kind == R2_ADDRESS_UNIX || getsockname(fd, &bound.any, &size) != 0)
        return address->port;
    return ntohs(address->v6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

/* The file of a daemon that was killed: nobody answers behind it. */
static bool is_stale(const union socket_address *at, socklen_t size)
{
    struct stat info;
    if (lstat(at->local.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool stale = connect(fd, &at->any, size) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int open_socket(const struct r2_address *address)
{
    int on = 1;
    union socket_address at;
    socklen_t size = fill(address, &at);
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (address->kind == R2_ADDRESS_UNIX) {
        if (is_stale(&at, size)) unlink(address->path);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (address->v6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, &at.any, size) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

enum r2_status r2_listen_open(const struct r2_address *address, int *ret_fd,
                              char ret_shown[R2_SHOWN_ADDRESS], struct r2_error *err)
{
    char shown[R2_SHOWN_ADDRESS];
    int fd = open_socket(address);
    if (fd < 0) {
        int failure = errno;
        show(address, address->port, shown);
        return r2_fail(err, R2_IO, "listen: %s: %s", shown, strerror(failure));
    }
    show(address, real_port(fd, address), ret_shown);
    *ret_fd = fd;
    return R2_OK;
}

void r2_listen_remove(const struct r2_address *address)
{
    if (address->kind == R2_ADDRESS_UNIX) unlink(address->path);
}

enum r2_status r2_listen_connect(const struct r2_address *address, int timeout_ms, int *ret_fd,
                                 struct r2_error *err)
{
    char shown[R2_SHOWN_ADDRESS];
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    struct r2_address target = *address;
    union socket_address at;
    if (strcmp(target.host, "0.0.0.0") == 0) strcpy(target.host, "127.0.0.1");
    if (strcmp(target.host, "::") == 0) strcpy(target.host, "::1");
    socklen_t size = fill(&target, &at);
    show(&target, target.port, shown);
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return r2_fail(err, R2_IO, "%s: %s", shown, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* connect() too */
    if (connect(fd, &at.any, size) != 0) {
        r2_fail(err, R2_IO, "%s: %s", shown,
                errno == EINPROGRESS ? "no answer in time" : strerror(errno));
        close(fd);
        return err->status;
    }
    *ret_fd = fd;
    return R2_OK;
}
