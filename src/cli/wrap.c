// SPDX-License-Identifier: MIT
// Words are written as they come, so that a stream is seen at once; a word that meets the edge is erased and
// written again on the next line. The last column stays empty, so the cursor never waits beyond the edge.
#include "cli/wrap.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { LEAST_COLUMNS = 10, TAB_COLUMNS = 8 };

static size_t width_of(uint32_t code_point)
{
    if (code_point == UTF8_INVALID)
        return 1;
    int width = utf8proc_charwidth((utf8proc_int32_t)code_point);
    return width > 0 ? (size_t)width : 0;
}

size_t wrap_width(struct slice text)
{
    size_t width = 0, i = 0;
    while (i < text.n) {
        uint32_t c;
        i += utf8_decode(text.at + i, text.n - i, &c);
        width += width_of(c);
    }
    return width;
}

size_t wrap_terminal_columns(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

void wrap_init(struct wrap *w, FILE *out, bool is_terminal, size_t n_columns)
{
    *w = (struct wrap){.out = out, .is_terminal = is_terminal, .ends_line = true};
    wrap_resize(w, n_columns);
}

void wrap_resize(struct wrap *w, size_t n_columns)
{
    w->limit = w->is_terminal && n_columns >= LEAST_COLUMNS ? n_columns - 1 : 0;
}

static void end_line(struct wrap *w)
{
    putc('\n', w->out);
    w->column = w->word_bytes = w->word_width = 0;
}

static void end_word(struct wrap *w)
{
    w->word_bytes = w->word_width = 0;
}

static void push_blank(struct wrap *w, char c)
{
    size_t width = c == '\t' ? TAB_COLUMNS - w->column % TAB_COLUMNS : 1;
    if (w->limit > 0 && w->column + width > w->limit) {
        end_line(w);
        return;
    }
    putc(c, w->out);
    w->column += width;
    end_word(w);
}

// Makes room for a character of this width.
static void break_line(struct wrap *w, size_t width)
{
    bool can_move = w->word_width > 0 && w->word_width < w->column && w->word_width + width <= w->limit;
    if (!can_move) {
        end_line(w);
        return;
    }
    fprintf(w->out, "\x1b[%zuD\x1b[K\n", w->word_width);
    fwrite(w->word, 1, w->word_bytes, w->out);
    w->column = w->word_width;
}

static void push_character(struct wrap *w, const char *at, size_t n, size_t width)
{
    if (w->limit > 0 && w->column + width > w->limit)
        break_line(w, width);
    fwrite(at, 1, n, w->out);
    w->column += width;
    bool breaks_anywhere = width == 2; // East Asian text has no blanks
    if (breaks_anywhere || w->word_bytes + n > sizeof w->word) {
        end_word(w);
        return;
    }
    memcpy(w->word + w->word_bytes, at, n);
    w->word_bytes += n;
    w->word_width += width;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == UTF8_INVALID;
}

void wrap_push(struct wrap *w, struct slice text)
{
    if (text.n == 0)
        return;
    w->wrote = true;
    w->ends_line = text.at[text.n - 1] == '\n';
    if (!w->is_terminal) {
        fwrite(text.at, 1, text.n, w->out);
        return;
    }
    for (size_t i = 0, n; i < text.n; i += n) {
        uint32_t c;
        n = utf8_decode(text.at + i, text.n - i, &c);
        if (c == '\n')
            end_line(w);
        else if (c == ' ' || c == '\t')
            push_blank(w, (char)c);
        else if (c == '\r' && i + n < text.n && text.at[i + n] == '\n')
            continue;
        else if (is_control(c))
            push_character(w, "\xEF\xBF\xBD", 3, 1);
        else
            push_character(w, text.at + i, n, width_of(c));
    }
}

void wrap_flush(struct wrap *w)
{
    fflush(w->out);
}

void wrap_print(FILE *out, struct slice text)
{
    struct wrap w;
    wrap_init(&w, out, isatty(fileno(out)), 0);
    wrap_push(&w, text);
}
