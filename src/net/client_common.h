// SPDX-License-Identifier: MIT
// What every request of ours has in common, for the files that use libcurl. Private to the net room.
#pragma once

#include <curl/curl.h>

// URL, protocols, no signals, our name; no proxy for loopback addresses.
void client_set_common(CURL *easy, const char *url);
