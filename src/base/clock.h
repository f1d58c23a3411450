// SPDX-License-Identifier: MIT
// Time. The monotonic clock measures; the wall clock is only shown.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

// length_ns, at least 0, later; INT64_MAX, which never comes, for what lies beyond it.
static inline int64_t clock_after_ns(int64_t ns, int64_t length_ns)
{
    return length_ns < INT64_MAX - ns ? ns + length_ns : INT64_MAX;
}

int64_t clock_monotonic_ns(void);
int64_t clock_wall_ns(void); // since 1970, UTC
// RFC 3339 in UTC with nanoseconds, trailing zeros of the fraction dropped, as Go prints it ("...45.12Z").
void clock_format_rfc3339(int64_t wall_ns, char out[40]);
