// SPDX-License-Identifier: MIT
// Listening sockets.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

// A non-blocking listening TCP socket on an address or name ("" or NULL: all interfaces, IPv4 and IPv6). -1
// on failure: ERR_CONFLICT when the address is in use, ERR_INVALID when it is none of this machine.
int listen_tcp(const char *host, uint16_t port, struct err *err);
// A Unix socket at `path`, for owner and group (0660); a dead socket file that is left there is replaced, one
// that somebody answers on is ERR_CONFLICT.
int listen_unix(const char *path, struct err *err);
// What a listening socket is bound to; the port is 0 and loopback true for a Unix socket.
void listen_describe(int fd, uint16_t *port, bool *is_loopback);
