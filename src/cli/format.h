// SPDX-License-Identifier: MIT
// How numbers and times are told to people, in Ollama's words. Pure. Private to the cli room.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { FORMAT_BYTES = 64 };

void format_size(uint64_t size_bytes, char out[FORMAT_BYTES]); // "1.3 GB", "274 MB": decimal
void format_when(int64_t then_ns, int64_t now_ns,
                 char out[FORMAT_BYTES]);                 // "3 minutes ago", "4 minutes from now", "Forever"
void format_duration(int64_t ns, char out[FORMAT_BYTES]); // Go's: "1m2.5s", "130.2ms"
// RFC 3339 with any zone and fraction, to nanoseconds since 1970; INT64_MIN for what is none or far out of
// range.
int64_t format_parse_time(const char *text);
