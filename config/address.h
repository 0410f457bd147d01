/*
 * Addresses to listen on: "127.0.0.1:8080", "[::1]:8080", "localhost:0", "unix:/run/res2netd.sock".
 */
#ifndef R2_CONFIG_ADDRESS_H
#define R2_CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum r2_address_kind { R2_ADDRESS_TCP, R2_ADDRESS_UNIX };

struct r2_address {
    enum r2_address_kind kind;
    bool v6;        /* TCP: host is an IPv6 address */
    char host[46];  /* TCP: numeric, without brackets ("localhost" is 127.0.0.1) */
    uint16_t port;  /* TCP; 0 = any free port */
    char path[108]; /* UNIX: as long as sun_path, NUL included */
};

/* R2_INVALID names the address and the rule that it breaks. Names are not looked up. */
enum r2_status r2_address_parse(const char *text, struct r2_address *ret, struct r2_error *err);

#endif
