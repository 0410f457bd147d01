/*
 * Sockets to listen on.
 */
#ifndef R2_SERVER_LISTEN_H
#define R2_SERVER_LISTEN_H

#include "base/error.h"
#include "config/address.h"

enum { R2_SHOWN_ADDRESS = 128 };

/* Binds and listens; gives the descriptor (close-on-exec, non-blocking) and, in `ret_shown`, the
   address with the real port. A UNIX socket file that nobody serves any more is replaced. R2_IO:
   "listen: 127.0.0.1:8080: Address already in use". */
enum r2_status r2_listen_open(const struct r2_address *address, int *ret_fd,
                              char ret_shown[R2_SHOWN_ADDRESS], struct r2_error *err);

/* Removes what the file system keeps of it. */
void r2_listen_remove(const struct r2_address *address);

/* Connects to an address that somebody else serves, within timeout_ms for the connection and for
   each later read and write. An address for all interfaces is asked on this machine. */
enum r2_status r2_listen_connect(const struct r2_address *address, int timeout_ms, int *ret_fd,
                                 struct r2_error *err);

#endif
