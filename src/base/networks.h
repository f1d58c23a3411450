// SPDX-License-Identifier: MIT
// Lists of addresses and networks as people write them: "127.0.0.1, 10.0.0.0/8, ::1, fd00::/8, unix".
#pragma once

#include <stdbool.h>

#include "base/err.h"

// ERR_INVALID names the entry that is none. An empty list is fine.
int networks_check(const char *list, struct err *err);
// Whether an address is in a checked list. "unix" is the address of all clients of Unix sockets.
bool networks_contain(const char *list, const char *address);
