// SPDX-License-Identifier: MIT
// Read a message, send it, print the answer, again. A message is a line, or everything between two """.
// Ctrl-C stops the answer and nothing else.
#include "cli/repl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/api.h"
#include "cli/line.h"
#include "cli/slash.h"

enum { MAX_MESSAGE_BYTES = 32 << 20 };

static const char *const quotes = "\"\"\"";

enum open { OPEN_NOTHING, OPEN_MESSAGE, OPEN_SYSTEM };

struct repl {
    struct chat *chat;
    enum open open;     // what """ began and has not ended yet
    struct strbuf text; // so far
    bool leaves;
};

static bool ends_with_quotes(const char *text)
{
    size_t n = strlen(text);
    return n >= 3 && strcmp(text + n - 3, quotes) == 0;
}

static void send_message(struct repl *r)
{
    struct err err = {0};
    line_interrupted = 0;
    int rc = chat_send(r->chat, strbuf_slice(&r->text), &err);
    if (rc != 0 && err.code != ERR_CANCELLED)
        api_fail(&err);
    line_interrupted = 0;
    printf("\n");
}

static void finish(struct repl *r)
{
    enum open open = r->open;
    r->open = OPEN_NOTHING;
    line_remember(strbuf_text(&r->text));
    if (open == OPEN_SYSTEM) {
        chat_set_system(r->chat, strbuf_text(&r->text));
        printf("Set system message.\n");
    } else if (r->text.n > 0) {
        send_message(r);
    }
    strbuf_reset(&r->text);
}

// A line within """ ... """.
static void continue_text(struct repl *r, const char *text)
{
    size_t n = strlen(text);
    bool is_last = ends_with_quotes(text);
    strbuf_push(&r->text, text, is_last ? n - 3 : n);
    if (is_last)
        finish(r);
    else
        strbuf_push_char(&r->text, '\n');
}

static void begin_text(struct repl *r, const char *text)
{
    r->open = OPEN_MESSAGE;
    continue_text(r, text + 3);
}

static void run_command(struct repl *r, const char *text)
{
    char *begun = NULL;
    line_remember(text);
    switch (slash_run(r->chat, text, &begun)) {
    case SLASH_LEAVE:
        r->leaves = true;
        break;
    case SLASH_OPEN_SYSTEM:
        r->open = OPEN_SYSTEM;
        strbuf_push_text(&r->text, begun);
        strbuf_push_char(&r->text, '\n');
        break;
    case SLASH_DONE:
        break;
    }
    free(begun);
    fflush(stdout);
}

static void take_line(struct repl *r, const char *text)
{
    const char *trimmed = text + strspn(text, " \t");
    bool is_single_line = strchr(text, '\n') == NULL;
    if (r->open != OPEN_NOTHING) {
        continue_text(r, text);
    } else if (strncmp(text, quotes, 3) == 0) {
        begin_text(r, text);
    } else if (trimmed[0] == '/' && is_single_line) {
        run_command(r, trimmed);
    } else if (trimmed[0] != 0) {
        strbuf_push_text(&r->text, text);
        finish(r);
    }
}

int repl_run(struct chat *c)
{
    struct repl r = {.chat = c, .text = STRBUF_INIT(MAX_MESSAGE_BYTES)};
    c->cancel = &line_interrupted;
    line_open();
    while (!r.leaves) {
        char *text = NULL;
        bool is_open = r.open != OPEN_NOTHING;
        enum line_end end =
            line_read(is_open ? "... " : ">>> ", is_open ? "" : "Send a message (/? for help)", &text);
        if (end == LINE_END_OF_FILE)
            break;
        if (end == LINE_INTERRUPTED) {
            if (!is_open)
                printf("Use Ctrl-D or /bye to leave.\n");
            r.open = OPEN_NOTHING;
            strbuf_reset(&r.text);
        } else {
            take_line(&r, text);
        }
        free(text);
    }
    line_close();
    strbuf_fini(&r.text);
    return 0;
}
