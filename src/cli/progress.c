// SPDX-License-Identifier: MIT
// Rows are kept and drawn again from the first one on. The rate is that of the last seconds, so that time
// left follows what the network does now.
#include "cli/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/strbuf.h"
#include "cli/format.h"

enum { REDRAW_MS = 100, MAX_ROWS = 512, WINDOW_S = 5, MAX_DRAWN_BYTES = 1 << 20 };

struct row {
    char *text;
    bool is_bar, is_printed;
    uint64_t total, completed;
    uint64_t mark_bytes, older_bytes; // completed at the last mark and at the one before
    int64_t mark_ns, older_ns;
};

struct progress {
    bool is_terminal;
    struct row *rows;
    size_t n, n_drawn;
    int64_t drawn_ns;
    unsigned frame;
};

struct progress *progress_new(void)
{
    struct progress *p = xcalloc(1, sizeof *p);
    p->is_terminal = isatty(STDERR_FILENO) && !options_terminal_is_dumb();
    return p;
}

// ---- Drawing ----

static unsigned terminal_size(unsigned *n_rows)
{
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 1;
    *n_rows = is_known ? size.ws_row : 24;
    return is_known ? size.ws_col : 80;
}

static double rate_of(const struct row *r, int64_t now)
{
    double seconds = (double)(now - r->older_ns) / 1e9;
    return r->completed > r->older_bytes && seconds > 0.2 ? (double)(r->completed - r->older_bytes) / seconds
                                                          : 0;
}

static void push_left(struct strbuf *out, uint64_t seconds)
{
    if (seconds >= 3600)
        strbuf_printf(out, "%uh%um", (unsigned)MIN(seconds / 3600, (uint64_t)99),
                      (unsigned)(seconds / 60 % 60));
    else if (seconds >= 60)
        strbuf_printf(out, "%um%us", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
    else
        strbuf_printf(out, "%us", (unsigned)seconds);
}

static void push_numbers(struct strbuf *out, const struct row *r, int64_t now)
{
    char total[FORMAT_BYTES], done[FORMAT_BYTES], speed[FORMAT_BYTES];
    double rate = rate_of(r, now);
    format_size(r->total, total);
    if (r->completed >= r->total) {
        strbuf_printf(out, " %s", total);
        return;
    }
    format_size(r->completed, done);
    strbuf_printf(out, " %s/%s", done, total);
    if (rate > 0) {
        format_size((uint64_t)rate, speed);
        strbuf_printf(out, "  %s/s  ", speed);
        push_left(out, (uint64_t)((double)(r->total - r->completed) / rate) + 1);
    }
}

static void push_bar(struct strbuf *out, const struct row *r, unsigned width, int64_t now)
{
    struct strbuf numbers = STRBUF_INIT(512), head = STRBUF_INIT(1024);
    unsigned percent = r->total > 0 ? (unsigned)((double)r->completed * 100 / (double)r->total) : 100;
    strbuf_printf(&head, "%s: %3u%% ", r->text, percent);
    push_numbers(&numbers, r, now);
    size_t used = head.n + numbers.n + 3;
    size_t room = width > used ? MIN((size_t)width - used, (size_t)60) : 0, full = room * percent / 100;
    strbuf_push_slice(out, strbuf_slice(&head));
    strbuf_push_text(out, "\u2595");
    for (size_t i = 0; i < room; i++)
        strbuf_push_text(out, i < full ? "\u2588" : " ");
    strbuf_push_text(out, "\u258f");
    strbuf_push_slice(out, strbuf_slice(&numbers));
    strbuf_fini(&numbers);
    strbuf_fini(&head);
}

static void draw(struct progress *p, bool is_last)
{
    static const char *const frames[] = {"\u280b", "\u2819", "\u2839", "\u2838", "\u283c",
                                         "\u2834", "\u2826", "\u2827", "\u2807", "\u280f"};
    struct strbuf out = STRBUF_INIT(MAX_DRAWN_BYTES);
    unsigned n_screen;
    int64_t now = clock_monotonic_ns();
    unsigned width = terminal_size(&n_screen);
    size_t first = p->n > n_screen - 1 ? p->n - (n_screen - 1) : 0;
    if (p->n_drawn > 0)
        strbuf_printf(&out, "\x1b[%zuA", p->n_drawn);
    strbuf_push_char(&out, '\r');
    for (size_t i = first; i < p->n; i++) {
        const struct row *r = &p->rows[i];
        strbuf_push_text(&out, "\x1b[K");
        if (r->is_bar)
            push_bar(&out, r, width, now);
        else
            strbuf_printf(&out, "%.*s %s", (int)MIN(strlen(r->text), (size_t)(width > 4 ? width - 3 : 1)),
                          r->text, is_last || i + 1 < p->n ? "" : frames[p->frame % COUNT_OF(frames)]);
        strbuf_push_char(&out, '\n');
    }
    p->n_drawn = p->n - first;
    p->drawn_ns = now;
    p->frame++;
    fputs(strbuf_text(&out), stderr);
    fflush(stderr);
    strbuf_fini(&out);
}

static void print_once(struct row *r)
{
    char size[FORMAT_BYTES];
    if (r->is_printed || (r->is_bar && r->completed < r->total))
        return;
    r->is_printed = true;
    if (r->is_bar) {
        format_size(r->total, size);
        fprintf(stderr, "%s: 100%% %s\n", r->text, size);
    } else {
        fprintf(stderr, "%s\n", r->text);
    }
}

static void show(struct progress *p, struct row *r, bool is_new)
{
    if (!p->is_terminal)
        print_once(r);
    else if (is_new || clock_monotonic_ns() - p->drawn_ns >= REDRAW_MS * NS_PER_MS ||
             (r->is_bar && r->completed >= r->total))
        draw(p, false);
}

// ---- Rows ----

static struct row *add(struct progress *p, const char *text)
{
    if (p->n == MAX_ROWS) { // nobody reads more: the oldest scrolls away
        free(p->rows[0].text);
        memmove(p->rows, p->rows + 1, (p->n - 1) * sizeof p->rows[0]);
        p->n--;
    }
    p->rows = xrealloc(p->rows, (p->n + 1) * sizeof p->rows[0]);
    p->rows[p->n] = (struct row){.text = xstrdup(text)};
    for (char *c = p->rows[p->n].text; *c != 0; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) // a server's words do not move the cursor
            *c = ' ';
    return &p->rows[p->n++];
}

void progress_say(struct progress *p, const char *text)
{
    if (p->n > 0 && !p->rows[p->n - 1].is_bar && strcmp(p->rows[p->n - 1].text, text) == 0)
        return;
    show(p, add(p, text), true);
}

void progress_bar(struct progress *p, const char *text, uint64_t total, uint64_t completed)
{
    size_t i = p->n;
    int64_t now = clock_monotonic_ns();
    while (i > 0 && !(p->rows[i - 1].is_bar && strcmp(p->rows[i - 1].text, text) == 0))
        i--;
    bool is_new = i == 0;
    struct row *r = is_new ? add(p, text) : &p->rows[i - 1];
    if (is_new) {
        r->is_bar = true;
        r->mark_bytes = r->older_bytes = completed;
        r->mark_ns = r->older_ns = now;
    } else if (now - r->mark_ns >= WINDOW_S * NS_PER_S) {
        r->older_bytes = r->mark_bytes;
        r->older_ns = r->mark_ns;
        r->mark_bytes = r->completed;
        r->mark_ns = now;
    }
    r->total = total;
    r->completed = MIN(completed, total);
    show(p, r, is_new);
}

void progress_end(struct progress *p)
{
    if (p == NULL)
        return;
    if (p->is_terminal && p->n > 0)
        draw(p, true);
    for (size_t i = 0; i < p->n; i++)
        free(p->rows[i].text);
    free(p->rows);
    free(p);
}
