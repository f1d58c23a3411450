// SPDX-License-Identifier: MIT
// How many connections each address has. An IPv4 address counts as itself (mapped too), an IPv6 address by
// its first 64 bits, which is what one customer has at least; clients of Unix sockets are not counted. Any
// thread.
#pragma once

#include <sys/socket.h>

enum { PEERS_ADDRESS_BYTES = 46 };

struct peers;

struct peers *peers_new(void);
void peers_free(struct peers *p); // NULL is allowed
// One connection more, or fewer; returns how many it has now. 0 for addresses that are not counted.
int peers_enter(struct peers *p, const struct sockaddr *address);
int peers_leave(struct peers *p, const struct sockaddr *address);
int peers_count(struct peers *p, const struct sockaddr *address);
// "127.0.0.1" (mapped ones too), "::1", "unix".
void peers_format(const struct sockaddr *address, char out[PEERS_ADDRESS_BYTES]);
