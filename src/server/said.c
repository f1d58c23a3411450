// SPDX-License-Identifier: MIT
// From a model's raw words to the pieces that dialects write: content, thinking, calls of tools. The parser
// is text/reply.h; how the answer is to be read came with the prompt's event. Log-probabilities go with the
// first piece of their event, or alone.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "server/generate.h"
#include "server/kept.h"

enum { ID_BYTES = 8, SHORT_ID_BYTES = 9, MAX_CALLS = 4096 };

static void copy_tag(char out[REPLY_TAG_BYTES], struct slice tag)
{
    size_t n = MIN(tag.n, REPLY_TAG_BYTES - 1ul);
    if (n > 0)
        memcpy(out, tag.at, n);
    out[n] = 0;
}

static void draw_letters(char *out, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char bytes[16] = {0};
    if (getrandom(bytes, n, 0) != (ssize_t)n)
        memset(bytes, 0, n);
    for (size_t i = 0; i < n; i++)
        out[i] = letters[bytes[i] % (sizeof letters - 1)];
    out[n] = 0;
}

static char *call_id(const struct reply_call *call)
{
    char id[32] = "call_";
    if (call->id.n > 0)
        return xstrndup(call->id.at, call->id.n);
    draw_letters(call->wants_short_id ? id : id + 5, call->wants_short_id ? SHORT_ID_BYTES : ID_BYTES);
    return xstrdup(id);
}

static void say(struct choice *c, struct piece *piece)
{
    struct generation *g = c->g;
    if (g->event != NULL) {
        piece->logprobs = g->event->logprobs;
        piece->n_logprobs = g->ask.logprobs ? g->event->n_logprobs : 0;
        g->event = NULL;
    }
    c->has_thought |= piece->thinking.n > 0;
    if (!g->ask.stream || g->dialect->keeps_text) {
        strbuf_push_slice(&c->text, piece->text);
        strbuf_push_slice(&c->thinking, piece->thinking);
        kept_push(c->logprobs, piece->logprobs, piece->n_logprobs);
    }
    if (g->ask.stream)
        g->dialect->write_piece(g, piece, &g->out);
    c->n_pieces++;
}

static void say_call(struct choice *c, const struct reply_call *call)
{
    if (c->n_calls == MAX_CALLS)
        return;
    c->calls = xrealloc(c->calls, (c->n_calls + 1) * sizeof *c->calls);
    struct tool_call *kept = &c->calls[c->n_calls++];
    *kept = (struct tool_call){call->index, call_id(call), xstrndup(call->name.at, call->name.n),
                               xstrndup(call->arguments.at, call->arguments.n)};
    say(c, &(struct piece){.text = slice_of(""), .thinking = slice_of(""), .calls = kept, .n_calls = 1});
}

static void on_part(void *user, const struct reply_part *part)
{
    struct piece piece = {.text = slice_of(""), .thinking = slice_of("")};
    const struct choice *c = user;
    if (c->g->ask.one_call && c->n_calls > 0) // the answer is over with its one call
        return;
    if (part->kind == REPLY_CALL) {
        say_call(user, &part->call);
        return;
    }
    if (part->kind == REPLY_THINKING)
        piece.thinking = part->text;
    else
        piece.text = part->text;
    say(user, &piece);
}

void said_open(struct choice *c, const struct reply_form *form)
{
    struct reply_spec spec = {.family = form->family, .in_thinking = form->in_thinking};
    if (c->reply != NULL || c->g->ask.task != TASK_GENERATE)
        return;
    copy_tag(spec.opening, form->opening);
    copy_tag(spec.closing, form->closing);
    copy_tag(spec.tag, form->tag);
    c->reply = reply_new(&spec, c->g->ask.tools, on_part, c);
}

void said_take(struct choice *c, const struct event *e)
{
    struct generation *g = c->g;
    struct piece piece = {.text = c->reply ? slice_of("") : e->text, .thinking = slice_of("")};
    bool was_thinking = c->reply && reply_is_thinking(c->reply);
    g->event = e;
    if (c->reply)
        reply_push(c->reply, e->text);
    if (was_thinking && (c->has_thought || reply_is_thinking(c->reply)))
        c->n_thought += e->n_ids;
    if (g->event && (piece.text.n > 0 || (g->ask.logprobs && e->n_logprobs > 0)))
        say(c, &piece);
    g->event = NULL;
}

void said_finish(struct choice *c)
{
    if (c->reply)
        reply_finish(c->reply);
}

void said_fini(struct choice *c)
{
    for (uint32_t i = 0; i < c->n_calls; i++) {
        free(c->calls[i].id);
        free(c->calls[i].name);
        free(c->calls[i].arguments);
    }
    free(c->calls);
    json_decref(c->items);
    reply_free(c->reply);
    strbuf_fini(&c->text);
    strbuf_fini(&c->thinking);
}
