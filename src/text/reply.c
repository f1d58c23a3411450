// SPDX-License-Identifier: MIT
// The parser's machine: thinking first, if it is looked for, then content with calls in it. All text goes
// through `pending`; what could be the beginning of a tag stays there, and white space before it, until it is
// decided. A block that grows beyond all bounds is content.
#include "text/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "json/writer.h"
#include "text/reply_internal.h"

enum {
    MAX_PENDING_BYTES = 1 << 20,
    CHUNK_BYTES = 4096,
    MAX_BLOCK_BYTES = MAX_PENDING_BYTES - CHUNK_BYTES, // a longer block is none
    MAX_SPACE_BYTES = 4096,                            // as much white space waits for what comes behind it
    MAX_CALL_BYTES = 8 * MAX_PENDING_BYTES,            // six bytes for a '<', twenty for a ".1"
    EAGER_BYTES = 16 << 10, // a longer block is read again only when something ends
    MAX_MARKS = 32,
};

enum state {
    AT_START,      // white space and the opening tag, or content
    THINKING_HEAD, // behind the opening tag
    THINKING,
    THINKING_TAIL, // behind the closing tag
    CONTENT_HEAD,  // nothing was said yet: a call without tags may come
    CONTENT,
    CONTENT_TAIL, // behind a call
    BLOCK,
    BARE, // a block without opener
};

struct reply {
    struct reply_spec spec;
    const struct reply_row *row;
    json_t *tools;
    reply_part_fn *on_part;
    void *user;
    struct strbuf pending;
    enum state state;
    size_t opener_i;        // of a block
    size_t n_tried, n_seen; // bytes of it that were there when it was read last, when that was last asked
    uint32_t n_calls;
    bool at_end;
    char closing[REPLY_TAG_BYTES];
};

// ---- Parts ----
static void tell_text(struct reply *r, enum reply_kind kind, size_t n)
{
    struct reply_part part = {.kind = kind, .text = slice_make(r->pending.at, n)};
    if (n > 0)
        r->on_part(r->user, &part);
}

static void tell_call(struct reply *r, const json_t *call)
{
    struct strbuf arguments = STRBUF_INIT(MAX_CALL_BYTES);
    struct json_writer w = json_writer_make(&arguments);
    json_put_value(&w, json_object_get(call, "arguments"));
    struct reply_part part = {.kind = REPLY_CALL,
                              .call = {.index = r->n_calls,
                                       .id = json_slice(json_object_get(call, "id")),
                                       .name = json_slice(json_object_get(call, "name")),
                                       .arguments = strbuf_slice(&arguments),
                                       .wants_short_id = r->row->wants_short_id}};
    if (!arguments.overflow) {
        r->n_calls++;
        r->on_part(r->user, &part);
    }
    strbuf_fini(&arguments);
}

// ---- Marks ----
struct marks {
    const char *at[MAX_MARKS];
    size_t n, n_openers; // the first n_openers are openers
};

static void add_marks(struct marks *m, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n && words[i] != NULL; i++)
        m->at[m->n++] = words[i];
}

static bool hears_calls(const struct reply *r)
{
    return r->row->take != NULL && (r->tools != NULL || r->row->always);
}

static void add_openers(const struct reply *r, struct marks *m)
{
    if (!hears_calls(r))
        return;
    if (r->spec.tag[0] != 0 && strcmp(r->spec.tag, "{") != 0 && strcmp(r->spec.tag, "[") != 0)
        m->at[m->n++] = r->spec.tag;
    add_marks(m, r->row->openers, REPLY_MAX_OPENERS);
    m->n_openers = m->n;
}

// The first mark in the text, the longest where several begin; marks.n: none, or not decided. `*at`: where,
// or from where on the text could become one.
static size_t find_mark(const struct marks *m, struct slice text, bool at_end, size_t *at)
{
    size_t found = m->n, first = text.n;
    for (size_t i = 0; i < m->n; i++) {
        size_t where = reply_find(text, m->at[i]);
        if (where < first || (where < text.n && where == first && strlen(m->at[i]) > strlen(m->at[found]))) {
            first = where;
            found = i;
        }
    }
    size_t length = found < m->n ? strlen(m->at[found]) : 0;
    for (size_t i = 0; i < m->n && !at_end; i++) {
        if (found < m->n && strlen(m->at[i]) <= length)
            continue;
        size_t from = found < m->n ? first : text.n - MIN(text.n, strlen(m->at[i]) - 1);
        while (found == m->n && from < text.n && !reply_is_prefix_of(reply_behind(text, from), m->at[i]))
            from++;
        if (from < first || (found < m->n && reply_is_prefix_of(reply_behind(text, first), m->at[i]))) {
            first = from;
            found = m->n;
            length = 0;
        }
    }
    *at = first;
    return found;
}

static size_t drop_space_before(const struct reply *r, size_t n)
{
    size_t least = n - MIN(n, MAX_SPACE_BYTES);
    while (n > least && reply_is_one_of(r->pending.at[n - 1], " \t\r\n"))
        n--;
    return n;
}

// ---- The states: each step is true when it changed something ----
static bool enter(struct reply *r, enum state state)
{
    r->state = state;
    r->n_tried = r->n_seen = 0;
    return true;
}

static bool drop_space(struct reply *r)
{
    strbuf_drop_front(&r->pending, reply_count_space(strbuf_slice(&r->pending)));
    return r->pending.n > 0;
}

static bool at_start(struct reply *r)
{
    struct slice text = strbuf_slice(&r->pending);
    size_t n_space = reply_count_space(text);
    struct slice rest = reply_behind(text, n_space);
    if (r->spec.opening[0] == 0 || n_space > MAX_SPACE_BYTES)
        return enter(r, CONTENT_HEAD);
    if (slice_starts_with(rest, slice_of(r->spec.opening))) {
        strbuf_drop_front(&r->pending, n_space + strlen(r->spec.opening));
        return enter(r, THINKING_HEAD);
    }
    if (!r->at_end && (rest.n == 0 || reply_is_prefix_of(rest, r->spec.opening)))
        return false;
    return enter(r, CONTENT_HEAD);
}

// Where the prompt opened the tag, some models open it once more.
static bool head_of_thinking(struct reply *r)
{
    if (!drop_space(r))
        return false;
    struct slice text = strbuf_slice(&r->pending);
    if (r->spec.in_thinking && slice_starts_with(text, slice_of(r->spec.opening))) {
        strbuf_drop_front(&r->pending, strlen(r->spec.opening));
        r->spec.in_thinking = false;
        return true;
    }
    if (r->spec.in_thinking && !r->at_end && reply_is_prefix_of(text, r->spec.opening))
        return false;
    return enter(r, THINKING);
}

static bool in_thinking(struct reply *r)
{
    struct marks m = {0};
    size_t at;
    if (r->row->ends_thinking)
        add_openers(r, &m);
    m.at[m.n++] = r->closing;
    size_t found = find_mark(&m, strbuf_slice(&r->pending), r->at_end, &at);
    size_t n = drop_space_before(r, at);
    tell_text(r, REPLY_THINKING, n);
    if (found == m.n) {
        strbuf_drop_front(&r->pending, r->at_end ? at : n);
        return false;
    }
    strbuf_drop_front(&r->pending, at + (found == m.n - 1 ? strlen(r->closing) : 0));
    return enter(r, found == m.n - 1 ? THINKING_TAIL : CONTENT);
}

static bool tail_of_thinking(struct reply *r)
{
    return drop_space(r) && enter(r, CONTENT_HEAD);
}

// An answer without tags: only at its very beginning, and only what may be JSON.
static bool head_of_content(struct reply *r)
{
    struct slice text = strbuf_slice(&r->pending);
    size_t n_space = reply_count_space(text);
    struct slice rest = reply_behind(text, n_space);
    bool is_go_brace = strcmp(r->spec.tag, "{") == 0 || strcmp(r->spec.tag, "[") == 0;
    bool may_be_bare = hears_calls(r) && r->tools != NULL && (r->row->takes_bare_json || is_go_brace);
    if (!may_be_bare || n_space > MAX_SPACE_BYTES)
        return enter(r, CONTENT);
    if (rest.n == 0 && !r->at_end)
        return false;
    bool is_json =
        rest.n > 0 && (is_go_brace ? rest.at[0] == r->spec.tag[0] : reply_is_one_of(rest.at[0], "{[`"));
    return enter(r, is_json ? BARE : CONTENT);
}

static bool in_content(struct reply *r)
{
    struct marks m = {0};
    size_t at;
    add_openers(r, &m);
    if (hears_calls(r))
        add_marks(&m, r->row->closers, REPLY_MAX_CLOSERS);
    add_marks(&m, r->row->noise, REPLY_MAX_NOISE);
    size_t found = find_mark(&m, strbuf_slice(&r->pending), r->at_end, &at), n = at;
    bool is_over = found == m.n && r->at_end;
    if (hears_calls(r) && !r->row->keeps_space && !is_over)
        n = drop_space_before(r, at);
    tell_text(r, REPLY_CONTENT, n);
    strbuf_drop_front(&r->pending, found < m.n ? at + strlen(m.at[found]) : n);
    if (found >= m.n_openers)
        return found < m.n;
    r->opener_i = found;
    return enter(r, BLOCK);
}

// Whether reading the block again may give something: short ones always, long ones when something ends.
static bool is_worth_reading(struct reply *r, struct slice text)
{
    bool is_worth = r->at_end || text.n < EAGER_BYTES || text.n == MAX_BLOCK_BYTES;
    for (size_t i = r->n_seen; i < text.n && !is_worth; i++)
        is_worth = reply_is_one_of(text.at[i], "}])>");
    r->n_seen = text.n;
    return is_worth;
}

// Thinking in channels is closed by a tag of its own.
static bool take_header(struct reply *r, enum reply_took took)
{
    if (r->row->closing != NULL)
        snprintf(r->closing, sizeof r->closing, "%s", r->row->closing);
    return enter(r, took == REPLY_THINKS ? THINKING_HEAD : CONTENT);
}

static enum reply_took read_block(struct reply *r, struct reply_block *b)
{
    bool is_bare = r->state == BARE && r->row->takes_bare_json;
    size_t i;
    json_t *call;
    enum reply_took took = is_bare ? reply_take_bare(b) : r->row->take(b);
    if (took == REPLY_TAKEN)
        json_array_foreach(b->calls, i, call) tell_call(r, call);
    json_decref(b->calls);
    b->calls = NULL;
    bool is_over = b->at_end || b->text.n == MAX_BLOCK_BYTES;
    return took == REPLY_WAIT && is_over ? REPLY_NONE : took;
}

// At the end of an answer a block is read as if more came, then as all there is: what it says by itself does
// not depend on when it was read last. Nor does it on what has come behind MAX_BLOCK_BYTES.
static bool in_block(struct reply *r)
{
    struct slice text = slice_make(r->pending.at, MIN(r->pending.n, MAX_BLOCK_BYTES));
    if (!is_worth_reading(r, text))
        return false;
    struct reply_block b = {.row = r->row,
                            .text = text,
                            .opener_i = r->opener_i,
                            .tag = r->spec.tag,
                            .tools = r->tools,
                            .n_calls = r->n_calls,
                            .at_end = r->at_end && r->n_tried == text.n,
                            .calls = json_array()};
    r->n_tried = text.n;
    enum reply_took took = read_block(r, &b);
    if (took == REPLY_WAIT)
        return r->at_end;
    strbuf_drop_front(&r->pending, b.n_used);
    if (took == REPLY_NONE)
        return enter(r, CONTENT);
    if (took == REPLY_THINKS || took == REPLY_SPEAKS)
        return take_header(r, took);
    return enter(r, b.stays ? r->state : CONTENT_TAIL);
}

static bool step(struct reply *r)
{
    switch (r->state) {
    case AT_START:
        return at_start(r);
    case THINKING_HEAD:
        return head_of_thinking(r);
    case THINKING:
        return in_thinking(r);
    case THINKING_TAIL:
        return tail_of_thinking(r);
    case CONTENT_HEAD:
        return head_of_content(r);
    case CONTENT:
        return in_content(r);
    case CONTENT_TAIL:
        return drop_space(r) && enter(r, CONTENT);
    default:
        return in_block(r);
    }
}

static void run(struct reply *r)
{
    while ((r->pending.n > 0 || r->at_end) && step(r))
        ;
}

struct reply *reply_new(const struct reply_spec *s, json_t *tools, reply_part_fn *on_part, void *user)
{
    struct reply *r = xcalloc(1, sizeof *r);
    r->spec = *s;
    r->row = &reply_rows[s->family < reply_n_rows ? s->family : REPLY_PLAIN];
    r->tools = json_is_array(tools) ? json_incref(tools) : NULL;
    r->on_part = on_part;
    r->user = user;
    strbuf_init(&r->pending, MAX_PENDING_BYTES);
    memcpy(r->closing, s->closing, sizeof r->closing);
    if (r->row->begins_inside && hears_calls(r))
        r->state = BLOCK;
    else if (s->closing[0] == 0)
        r->state = CONTENT_HEAD;
    else
        r->state = s->in_thinking ? THINKING_HEAD : AT_START;
    return r;
}

void reply_free(struct reply *r)
{
    if (r == NULL)
        return;
    json_decref(r->tools);
    strbuf_fini(&r->pending);
    free(r);
}

void reply_push(struct reply *r, struct slice text)
{
    while (text.n > 0) {
        size_t n = MIN(text.n, CHUNK_BYTES);
        strbuf_push(&r->pending, text.at, n);
        text = reply_behind(text, n);
        run(r);
    }
}

void reply_finish(struct reply *r)
{
    r->at_end = true;
    run(r);
}

bool reply_is_thinking(const struct reply *r)
{
    return r->state < CONTENT_HEAD;
}
