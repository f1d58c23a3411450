// SPDX-License-Identifier: MIT
// libedit with our own reader of characters below it: that is where signals are noticed (they are blocked but
// for the wait, so none is lost), the placeholder is wiped, and the two keys that both arrive as a newline
// are told apart: the key Ctrl-J comes alone and adds a line; a newline at the end of a piece of text comes
// from a program that types, and is Enter.
#include "cli/line.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/mem.h"
#include "base/options.h"
#include "base/strbuf.h"
#include "base/utf8.h"

enum { HISTORY_LINES = 100, MAX_PASTE = 4 << 20, MAX_EDITED_BYTES = 16 << 20 };

volatile sig_atomic_t line_interrupted;
static volatile sig_atomic_t window_changed, was_continued;

static struct {
    EditLine *editor; // NULL: lines are read plainly
    History *history;
    char history_path[4200]; // "": kept in memory only
    bool keeps_history;
    const char *prompt, *placeholder;
    bool shows_placeholder, is_first;
    char chunk[256]; // read, not yet handed over
    size_t at, n;
    bool has_ended, was_interrupted;
    sigset_t open_mask; // signals as they were before ours were blocked
} line;

static void on_signal(int number)
{
    if (number == SIGINT)
        line_interrupted = 1;
    else if (number == SIGWINCH)
        window_changed = 1;
    else
        was_continued = 1;
}

// ---- Characters ----

static void hide_placeholder(void)
{
    if (line.shows_placeholder)
        fputs("\x1b[K", stdout);
    line.shows_placeholder = false;
    fflush(stdout);
}

static void show_placeholder(void)
{
    if (line.placeholder[0] == 0)
        return;
    const char *grey = options_no_color() ? "" : "\x1b[38;5;245m",
               *plain = options_no_color() ? "" : "\x1b[0m";
    printf("%s%s%s\x1b[%zuD", grey, line.placeholder, plain, strlen(line.placeholder));
    fflush(stdout);
    line.shows_placeholder = true;
}

// Waits for input with our signals let through. 0, or -1 when Ctrl-C came.
static int wait_for_input(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        if (line_interrupted)
            return -1;
        if (window_changed) {
            window_changed = 0;
            el_resize(line.editor);
        }
        if (was_continued) {
            was_continued = 0;
            el_set(line.editor, EL_PREP_TERM, 1);
            el_set(line.editor, EL_REFRESH);
        }
        int n = ppoll(&in, 1, NULL, &line.open_mask);
        if (n > 0 || (n < 0 && errno != EINTR))
            return 0;
    }
}

// The next byte, or -1 at the end or after Ctrl-C.
static int next_byte(void)
{
    if (line.at == line.n) {
        line.at = line.n = 0;
        if (wait_for_input() != 0) {
            line_interrupted = 0;
            line.was_interrupted = true;
            return -1;
        }
        ssize_t n = read(STDIN_FILENO, line.chunk, sizeof line.chunk);
        if (n <= 0) {
            line.has_ended = true;
            return -1;
        }
        line.n = (size_t)n;
    }
    bool follows_text = line.at > 0;
    unsigned char c = (unsigned char)line.chunk[line.at++];
    return c == '\n' && follows_text ? (int)'\r' : (int)c;
}

static int read_character(EditLine *editor, wchar_t *out)
{
    char bytes[4];
    uint32_t c = UTF8_INVALID;
    if (line.is_first)
        show_placeholder();
    line.is_first = false;
    int byte = next_byte();
    hide_placeholder();
    if (byte < 0)
        return line.was_interrupted ? (errno = EINTR, -1) : 0;
    bytes[0] = (char)byte;
    size_t n = 1;
    while (n < 4 && utf8_incomplete_tail(slice_make(bytes, n)) > 0) {
        byte = next_byte();
        if (byte < 0)
            break;
        bytes[n++] = (char)byte;
    }
    utf8_decode(bytes, n, &c);
    *out = (wchar_t)(c == UTF8_INVALID ? UTF8_REPLACEMENT : c);
    return 1;
}

// ---- Keys of our own ----

static unsigned char add_newline(EditLine *editor, wint_t key)
{
    return el_winsertstr(editor, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

// Everything up to the end mark of a bracketed paste, at once.
static unsigned char take_paste(EditLine *editor, wint_t key)
{
    static const wchar_t end[] = L"\x1b[201~";
    enum { END_LENGTH = 6 };
    size_t n = 0, capacity = 256;
    wchar_t *text = xmalloc(capacity * sizeof *text), c;
    while (n < MAX_PASTE && el_wgetc(editor, &c) == 1) {
        if (n + 2 > capacity) {
            capacity *= 2;
            text = xrealloc(text, capacity * sizeof *text);
        }
        text[n++] = c == L'\r' ? L'\n' : c;
        if (n >= END_LENGTH && wmemcmp(text + n - END_LENGTH, end, END_LENGTH) == 0) {
            n -= END_LENGTH;
            break;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) // two line ends in a row may be one of DOS
        if (text[i] >= 0x20 || text[i] == L'\n' || text[i] == L'\t')
            text[kept++] = text[i];
    text[kept] = 0;
    int rc = kept > 0 ? el_winsertstr(editor, text) : 0;
    free(text);
    return rc == 0 ? CC_REFRESH : CC_ERROR;
}

static char *read_back(const char *path)
{
    struct strbuf text = STRBUF_INIT(MAX_EDITED_BYTES);
    char piece[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return NULL;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        strbuf_push(&text, piece, n);
    fclose(f);
    while (text.n > 0 && text.at[text.n - 1] == '\n')
        strbuf_truncate(&text, text.n - 1);
    return strbuf_take(&text);
}

static void replace_line(EditLine *editor, const char *text)
{
    const LineInfoW *wide = el_wline(editor);
    int n = (int)(wide->lastchar - wide->buffer);
    el_cursor(editor, (int)(wide->lastchar - wide->cursor));
    el_deletestr(editor, n);
    if (text[0] != 0)
        el_insertstr(editor, text);
}

// Ctrl-G: the line in the person's editor.
static unsigned char edit_outside(EditLine *editor, wint_t key)
{
    char path[] = "/tmp/drover-prompt-XXXXXX";
    struct strbuf command = STRBUF_INIT(4096);
    const LineInfo *info = el_line(editor);
    int fd = mkostemp(path, O_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL)
        return CC_ERROR;
    fwrite(info->buffer, 1, (size_t)(info->lastchar - info->buffer), f);
    fclose(f);
    strbuf_printf(&command, "%s %s", options_editor(), path);
    el_set(editor, EL_PREP_TERM, 0);
    int rc = system(strbuf_text(&command));
    el_set(editor, EL_PREP_TERM, 1);
    char *text = rc == 0 ? read_back(path) : NULL;
    if (text != NULL)
        replace_line(editor, text);
    free(text);
    unlink(path);
    strbuf_fini(&command);
    return CC_REDISPLAY;
}

static const struct key {
    const char *keys, *command;
} keys[] = {
    {"^J", "drover-newline"},          {"\\e^M", "drover-newline"},  {"\\e[200~", "drover-paste"},
    {"^G", "drover-editor"},           {"^U", "vi-kill-line-prev"},  {"^W", "ed-delete-prev-word"},
    {"\\e[H", "ed-move-to-beg"},       {"\\e[F", "ed-move-to-end"},  {"\\eOH", "ed-move-to-beg"},
    {"\\eOF", "ed-move-to-end"},       {"\\e[1~", "ed-move-to-beg"}, {"\\e[4~", "ed-move-to-end"},
    {"\\e[3~", "ed-delete-next-char"}, {"\\e[1;5C", "em-next-word"}, {"\\e[1;5D", "ed-prev-word"},
};

// ---- Opening and closing ----

static const char *prompt_of(EditLine *editor)
{
    return line.prompt;
}

static void open_history(void)
{
    HistEvent event;
    char directory[4096];
    line.history = history_init();
    line.keeps_history = options_uint(OPT_NOHISTORY) == 0;
    history(line.history, &event, H_SETSIZE, HISTORY_LINES);
    history(line.history, &event, H_SETUNIQUE, 1);
    el_set(line.editor, EL_HIST, history, line.history);
    options_state_dir(directory);
    for (char *p = directory + 1; *p != 0; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(directory, 0700);
            *p = '/';
        }
    }
    mkdir(directory, 0700);
    snprintf(line.history_path, sizeof line.history_path, "%s/history", directory);
    if (line.keeps_history)
        history(line.history, &event, H_LOAD, line.history_path);
}

static void open_editor(void)
{
    line.editor = el_init("drover", stdin, stdout, stderr);
    if (line.editor == NULL)
        return;
    el_set(line.editor, EL_PROMPT, prompt_of);
    el_set(line.editor, EL_EDITOR, "emacs");
    el_set(line.editor, EL_SIGNAL, 0);
    el_set(line.editor, EL_SETTY, "-d", "-icrnl", "-inlcr", NULL); // Enter and Ctrl-J stay two keys
    el_set(line.editor, EL_GETCFN, read_character);
    // wide: these names are kept by pointer, narrow ones would be copied and leak
    el_wset(line.editor, EL_ADDFN, L"drover-newline", L"Add a line", add_newline);
    el_wset(line.editor, EL_ADDFN, L"drover-paste", L"Take pasted text", take_paste);
    el_wset(line.editor, EL_ADDFN, L"drover-editor", L"Open the editor", edit_outside);
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        el_set(line.editor, EL_BIND, keys[i].keys, keys[i].command, NULL);
    open_history();
}

void line_catch_interrupt(bool on)
{
    struct sigaction action = {.sa_handler = on ? on_signal : SIG_DFL}; // no SA_RESTART: a read ends
    line_interrupted = 0;
    sigaction(SIGINT, &action, NULL);
}

void line_open(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    line_catch_interrupt(true);
    if (options_terminal_is_dumb())
        return;
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    open_editor();
}

void line_close(void)
{
    if (line.history != NULL)
        history_end(line.history);
    if (line.editor != NULL)
        el_end(line.editor);
    line.editor = NULL;
    line.history = NULL;
}

// ---- Reading ----

// Of these only wait_for_input() hears.
static void block_signals(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGWINCH);
    sigaddset(&ours, SIGCONT);
    sigprocmask(SIG_BLOCK, &ours, &line.open_mask);
}

static enum line_end read_plainly(const char *prompt, char **text)
{
    size_t capacity = 0;
    block_signals();
    fputs(prompt, stdout);
    fflush(stdout);
    bool is_interrupted = wait_for_input() != 0; // the terminal gives whole lines
    sigprocmask(SIG_SETMASK, &line.open_mask, NULL);
    if (is_interrupted) {
        line_interrupted = 0;
        return LINE_INTERRUPTED;
    }
    ssize_t n = getline(text, &capacity, stdin);
    if (n < 0) {
        clearerr(stdin);
        free(*text);
        *text = NULL;
        return line_interrupted ? (line_interrupted = 0, LINE_INTERRUPTED) : LINE_END_OF_FILE;
    }
    if (n > 0 && (*text)[n - 1] == '\n')
        (*text)[n - 1] = 0;
    return LINE_READ;
}

enum line_end line_read(const char *prompt, const char *placeholder, char **text)
{
    int count = 0;
    *text = NULL;
    if (line.editor == NULL)
        return read_plainly(prompt, text);
    block_signals();
    line.prompt = prompt;
    line.placeholder = placeholder;
    line.is_first = true;
    line.has_ended = line.was_interrupted = false;
    fputs("\x1b[?2004h", stdout); // bracketed paste
    fflush(stdout);
    const char *typed = el_gets(line.editor, &count);
    fputs(line.was_interrupted || typed == NULL ? "\x1b[?2004l\n" : "\x1b[?2004l", stdout);
    fflush(stdout);
    sigprocmask(SIG_SETMASK, &line.open_mask, NULL);
    if (line.was_interrupted)
        return LINE_INTERRUPTED;
    if (typed == NULL || count <= 0)
        return LINE_END_OF_FILE;
    size_t n = (size_t)count;
    while (n > 0 && (typed[n - 1] == '\n' || typed[n - 1] == '\r'))
        n--;
    *text = xstrndup(typed, n);
    return LINE_READ;
}

void line_remember(const char *text)
{
    HistEvent event;
    if (line.history == NULL || !line.keeps_history || text[0] == 0)
        return;
    history(line.history, &event, H_ENTER, text);
    history(line.history, &event, H_SAVE, line.history_path);
}

void line_keep_history(bool on)
{
    line.keeps_history = on;
}
