// SPDX-License-Identifier: MIT
// One line, drawn again ten times a second.
#include "inspect/meter.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"

enum { REDRAW_MS = 100 };

struct meter meter_make(const char *what)
{
    return (struct meter){.what = what, .is_terminal = isatty(STDERR_FILENO) && !options_terminal_is_dumb()};
}

void meter_show(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    struct meter *m = user;
    int64_t now = clock_monotonic_ns();
    bool is_due = now - m->drawn_ns >= REDRAW_MS * NS_PER_MS || done_bytes == total_bytes;
    if (!m->is_terminal || !is_due)
        return;
    m->drawn_ns = now;
    if (total_bytes > 0)
        fprintf(stderr, "\r%s: %3.0f%%  %.1f of %.1f MB\x1b[K", m->what,
                (double)done_bytes * 100 / (double)total_bytes, (double)done_bytes / 1e6,
                (double)total_bytes / 1e6);
    else
        fprintf(stderr, "\r%s: %.1f MB\x1b[K", m->what, (double)done_bytes / 1e6);
}

void meter_end(struct meter *m)
{
    if (m->drawn_ns != 0)
        fprintf(stderr, "\n");
    m->drawn_ns = 0;
}
