#include "config/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "config/quote.h"

static const char unix_prefix[] = "unix:";

static enum r2_status refuse(struct r2_error *err, const char *text, const char *rule)
{
    return r2_fail(err, R2_INVALID, "%s is not an address: %s", r2_quote(text).text, rule);
}

static enum r2_status parse_unix(const char *text, struct r2_address *address, struct r2_error *err)
{
    const char *path = text + sizeof unix_prefix - 1;
    size_t size = strlen(path);
    if (!size) return refuse(err, text, "the path after unix: is missing");
    if (size >= sizeof address->path)
        return refuse(err, text, "a socket's path has at most 107 bytes");
    address->kind = R2_ADDRESS_UNIX;
    memcpy(address->path, path, size + 1);
    return R2_OK;
}

static bool parse_port(const char *text, uint16_t *ret)
{
    unsigned port = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 5 || text[digits]) return false;
    for (size_t i = 0; i < digits; i++) port = port * 10 + (unsigned)(text[i] - '0');
    if (port > UINT16_MAX) return false;
    *ret = (uint16_t)port;
    return true;
}

/* Splits at the last colon; an IPv6 address must be in brackets, or its own colons would count. */
static enum r2_status split_host(const char *text, struct r2_address *address,
                                 const char **ret_port, struct r2_error *err)
{
    const char *host = text, *colon = strrchr(text, ':');
    if (!colon) return refuse(err, text, "needs ADDR:PORT, [v6]:PORT or unix:PATH");
    size_t size = (size_t)(colon - text);
    address->v6 = text[0] == '[';
    if (address->v6) {
        if (size < 2 || colon[-1] != ']') return refuse(err, text, "needs [v6]:PORT");
        host++;
        size -= 2;
    } else if (memchr(text, ':', size)) {
        return refuse(err, text, "an IPv6 address stands in brackets, [v6]:PORT");
    }
    if (!size)
        return refuse(err, text,
                      "the host before the port is missing (every one is 0.0.0.0 or "
                      "[::])");
    if (size >= sizeof address->host) return refuse(err, text, "the host is too long");
    memcpy(address->host, host, size);
    *ret_port = colon + 1;
    return R2_OK;
}

static enum r2_status parse_tcp(const char *text, struct r2_address *address, struct r2_error *err)
{
    const char *port = NULL;
    struct in6_addr numeric; /* room for either kind */
    R2_TRY(split_host(text, address, &port, err));
    if (!parse_port(port, &address->port)) return refuse(err, text, "the port is not in 0..65535");
    if (!address->v6 && strcmp(address->host, "localhost") == 0)
        memcpy(address->host, "127.0.0.1", sizeof "127.0.0.1");
    if (inet_pton(address->v6 ? AF_INET6 : AF_INET, address->host, &numeric) != 1)
        return refuse(err, text,
                      address->v6 ? "the host in brackets is not an IPv6 address"
                                  : "the host is neither an IPv4 address nor localhost (names are "
                                    "not looked up)");
    return R2_OK;
}

enum r2_status r2_address_parse(const char *text, struct r2_address *ret, struct r2_error *err)
{
    struct r2_address address = {.kind = R2_ADDRESS_TCP};
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
        R2_TRY(parse_unix(text, &address, err));
    else
        R2_TRY(parse_tcp(text, &address, err));
    *ret = address;
    return R2_OK;
}
