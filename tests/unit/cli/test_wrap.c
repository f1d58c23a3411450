// SPDX-License-Identifier: MIT
// What a terminal of a given width shows: the bytes written are played on a small screen, which knows the two
// sequences that wrapping uses.
#include "../test.h"

#include "cli/table.h"
#include "cli/wrap.h"

enum { ROWS = 40, COLUMNS = 120 };

static char shown[ROWS * (COLUMNS + 1)];

// Plays ASCII, "\n", ESC [ n D and ESC [ K; the rows land in `shown`, joined by '\n', blanks at their ends
// dropped.
static void play(const char *bytes, size_t width)
{
    static char screen[ROWS][COLUMNS + 1];
    size_t row = 0, column = 0, n = 0;
    memset(screen, ' ', sizeof screen);
    for (const char *p = bytes; *p; p++) {
        if (*p == '\n') {
            row++;
            column = 0;
        } else if (*p == '\x1b') {
            size_t count = strtoul(p + 2, (char **)&p, 10);
            if (*p == 'D')
                column -= count;
            else
                memset(screen[row] + column, ' ', COLUMNS - column);
        } else {
            assert_true(column < width); // never beyond the edge
            screen[row][column++] = *p;
        }
    }
    for (size_t r = 0; r <= row; r++) {
        size_t length = COLUMNS;
        while (length > 0 && screen[r][length - 1] == ' ')
            length--;
        memcpy(shown + n, screen[r], length);
        n += length;
        shown[n++] = r == row ? 0 : '\n';
    }
}

// Pushes `text` in pieces of `step` bytes.
static char *wrapped(const char *text, size_t columns, size_t step, bool is_terminal)
{
    char *bytes = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&bytes, &n);
    struct wrap w;
    wrap_init(&w, out, is_terminal, columns);
    for (size_t i = 0, length = strlen(text); i < length; i += step)
        wrap_push(&w, slice_make(text + i, length - i < step ? length - i : step));
    fclose(out);
    return bytes;
}

static void words_move_to_the_next_line(void **state)
{
    static const struct {
        const char *text, *shown;
    } table[] = {{"hello", "hello"},
                 {"hello world", "hello\nworld"},
                 {"hello to all the people", "hello to\nall the\npeople"},
                 {"one\ntwo\n\nthree", "one\ntwo\n\nthree"},
                 {"abcdefghijklmnopqrstuvwxyz", "abcdefghi\njklmnopqr\nstuvwxyz"},
                 {"ab cdefghijklmnop", "ab\ncdefghijk\nlmnop"},
                 {"123456789 x", "123456789\nx"},
                 {"", ""}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t step = 1; step < 30; step += 3) {
            char *bytes = wrapped(table[i].text, 10, step, true);
            play(bytes, 9);
            assert_string_equal(shown, table[i].shown);
            free(bytes);
        }
    }
}

static void a_pipe_gets_every_byte(void **state)
{
    const char *text = "a very long line that would not fit\x1b[31m\ttab \x01 end";
    char *bytes = wrapped(text, 10, 7, false);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void a_terminal_is_not_steered(void **state)
{
    char *bytes = wrapped("a\x1b]0;title\x07"
                          "b\rc\r\nd\x7F\xC2\x9B"
                          "e\xFF",
                          0, 100, true);
    assert_string_equal(bytes, "a\xEF\xBF\xBD]0;title\xEF\xBF\xBD"
                               "b\xEF\xBF\xBD"
                               "c\nd\xEF\xBF\xBD\xEF\xBF\xBD"
                               "e\xEF\xBF\xBD");
    free(bytes);
}

static void wide_characters_count_twice(void **state)
{
    char *bytes = wrapped("\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C\xE4\xBD\xA0", 10, 3,
                          true); // five characters, nine columns
    assert_string_equal(bytes, "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C\n\xE4\xBD\xA0");
    free(bytes);
    assert_int_equal(wrap_width(slice_of("a\xE4\xBD\xA0"
                                         "e\xCC\x81")),
                     4);
    assert_int_equal(wrap_width(slice_of("")), 0);
}

static void a_table_is_aligned(void **state)
{
    static const char *const cells[] = {"NAME",   "ID",           "SIZE", "a:latest", "0123456789ab",
                                        "1.3 GB", "\xE4\xBD\xA0", "x",    ""};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct table t;
    table_init(&t, 3);
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        table_add(&t, cells[i]);
    table_print(&t, "  ", out);
    fclose(out);
    assert_string_equal(text, "  NAME        ID              SIZE\n"
                              "  a:latest    0123456789ab    1.3 GB\n"
                              "  \xE4\xBD\xA0          x               \n");
    free(text);
    table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_move_to_the_next_line), cmocka_unit_test(a_pipe_gets_every_byte),
        cmocka_unit_test(a_terminal_is_not_steered), cmocka_unit_test(wide_characters_count_twice),
        cmocka_unit_test(a_table_is_aligned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
