// SPDX-License-Identifier: MIT
// How far a copy is, on stderr, if that is a terminal. Private to the inspect room.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct meter {
    const char *what;
    bool is_terminal;
    int64_t drawn_ns;
};

struct meter meter_make(const char *what); // "copying"
void meter_show(void *meter, uint64_t done_bytes,
                uint64_t total_bytes); // store_progress_fn; total 0: unknown
void meter_end(struct meter *m);
