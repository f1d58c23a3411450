// SPDX-License-Identifier: MIT
// `drover top`: a picture each second until 'q' or Ctrl-C. On a terminal that knows how, on a screen of its
// own, which is left as it was found whatever ends it; on a dumb one, one picture below the other; on
// anything else, and with --once, a single one. Signals only set flags; the loop looks at them.
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "cli/api.h"
#include "cli/top_frame.h"

#define ENTER_SCREEN "\033[?1049h\033[?25l"
#define LEAVE_SCREEN "\033[?25h\033[?1049l"
#define HOME         "\033[H"
#define END_OF_LINE  "\033[K\n"
#define CLEAR_BELOW  "\033[J"

enum { RECENT = 20, ONCE_MS = 500, MAX_INTERVAL_S = 3600 };

const struct args_flag cli_top_flags[] = {
    {"once", '1', ARGS_SWITCH, NULL, "print one picture and end"},
    {"interval", 'i', ARGS_UINT, "SECONDS", "between two pictures; else 1"},
    {NULL}};

static volatile sig_atomic_t is_ended, is_changed;

static void on_signal(int number)
{
    if (number == SIGWINCH || number == SIGCONT)
        is_changed = 1;
    else
        is_ended = number;
}

struct screen {
    bool is_dumb;
    bool has_keys; // stdin is a terminal, its settings are kept
    struct termios kept;
};

static void set_keys(const struct screen *s)
{
    struct termios raw = s->kept;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); // Ctrl-C stays a signal
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (s->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void enter(struct screen *s)
{
    struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART: waiting ends
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    s->is_dumb = options_terminal_is_dumb();
    s->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->kept) == 0;
    set_keys(s);
    if (!s->is_dumb)
        fputs(ENTER_SCREEN, stdout);
}

static void leave(const struct screen *s)
{
    if (!s->is_dumb)
        fputs(LEAVE_SCREEN, stdout);
    fflush(stdout);
    if (s->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &s->kept);
}

static struct top_size read_size(void)
{
    struct winsize w = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0)
        return (struct top_size){80, 24};
    return (struct top_size){w.ws_col, w.ws_row};
}

static void draw(const struct screen *s, const struct top_sample *now, const struct top_sample *before,
                 const struct err *err)
{
    struct top_size size = read_size();
    const char *line_end = s->is_dumb ? "\n" : END_OF_LINE;
    size.rows = s->is_dumb ? 0 : size.rows - 1; // the last line stays empty: nothing scrolls
    fputs(s->is_dumb ? "\n" : HOME, stdout);
    if (err->code != ERR_NONE)
        fprintf(stdout, "Error: %s%s", err->message, line_end);
    else
        top_frame_print(stdout, now, before, size, line_end);
    if (!s->is_dumb)
        fputs(CLEAR_BELOW, stdout);
    fflush(stdout);
}

// Until the time has passed, the window has changed, a key or a signal came. True: it is over.
static bool wait_for_keys(const struct screen *s, int64_t until_ns)
{
    while (!is_ended && !is_changed) {
        struct pollfd fd = {.fd = s->has_keys ? STDIN_FILENO : -1, .events = POLLIN};
        int64_t left_ms = (until_ns - clock_monotonic_ns() + NS_PER_MS - 1) / NS_PER_MS;
        char key;
        if (left_ms <= 0)
            return false;
        if (poll(&fd, 1, (int)MIN(left_ms, (int64_t)MAX_INTERVAL_S * 1000)) <= 0 || fd.revents == 0)
            continue;
        ssize_t n = read(STDIN_FILENO, &key, 1);
        if (n == 0 || (n == 1 && (key == 'q' || key == 'Q')) || (n < 0 && errno != EINTR))
            return true;
    }
    if (is_changed)
        set_keys(s); // the shell may have changed them meanwhile
    is_changed = 0;
    return is_ended != 0;
}

static void swap(struct top_sample *a, struct top_sample *b)
{
    struct top_sample kept = *a;
    *a = *b;
    *b = kept;
}

static int watch(int64_t interval_ns)
{
    struct screen screen = {0};
    struct top_sample now = {0}, before = {0};
    struct err err = {0};
    if (top_sample_read(&now, RECENT, &err) != 0)
        return api_fail(&err);
    enter(&screen);
    for (;;) {
        int64_t drawn_ns = clock_monotonic_ns();
        draw(&screen, &now, &before, &err);
        if (wait_for_keys(&screen, drawn_ns + interval_ns))
            break;
        swap(&now, &before);
        err_clear(&err); // a server that is away may come back
        top_sample_read(&now, RECENT, &err);
    }
    leave(&screen);
    top_sample_fini(&now);
    top_sample_fini(&before);
    return is_ended ? 128 + (int)is_ended : 0;
}

static int print_once(void)
{
    struct top_sample now = {0}, before = {0};
    struct top_size size = {0};
    struct err err = {0};
    if (top_sample_read(&before, RECENT, &err) == 0) {
        poll(NULL, 0, ONCE_MS); // rates need two readings
        top_sample_read(&now, RECENT, &err);
    }
    if (err.code == ERR_NONE)
        top_frame_print(stdout, &now, &before, size, "\n");
    top_sample_fini(&now);
    top_sample_fini(&before);
    return err.code == ERR_NONE ? 0 : api_fail(&err);
}

int cli_top(const struct args *a)
{
    uint64_t seconds = args_uint(a, "interval", 1);
    if (args_has(a, "once") || !isatty(STDOUT_FILENO))
        return print_once();
    return watch((int64_t)MIN(MAX(seconds, (uint64_t)1), (uint64_t)MAX_INTERVAL_S) * NS_PER_S);
}
