// SPDX-License-Identifier: MIT
// The wire form of events: kind, id, then the fields of that kind. Counts stand in front of what they count,
// so that decoding sizes its scratch memory (aligned arrays: ids, log-probabilities, their best lists) once,
// before it hands out a pointer into it.
#include "frames/event.h"

#include <string.h>

#include "base/mem.h"
#include "frames/pack.h"

enum { LOGPROB_WIRE_BYTES = 12 }; // id, value, length of the token's bytes: the least one takes

static void pack_logprob(struct strbuf *out, const struct logprob *l)
{
    pack_u32(out, l->token_id);
    pack_f32(out, l->logprob);
    pack_bytes(out, l->bytes.at, l->bytes.n);
}

static void pack_reply(struct strbuf *out, const struct reply_form *r)
{
    pack_u8(out, r->family);
    pack_bool(out, r->in_thinking);
    pack_bytes(out, r->opening.at, r->opening.n);
    pack_bytes(out, r->closing.at, r->closing.n);
    pack_bytes(out, r->tag.at, r->tag.n);
}

static void unpack_reply(struct cursor *c, struct reply_form *r)
{
    r->family = cursor_u8(c);
    r->in_thinking = unpack_bool(c);
    r->opening = cursor_bytes(c, cursor_u32(c));
    r->closing = cursor_bytes(c, cursor_u32(c));
    r->tag = cursor_bytes(c, cursor_u32(c));
}

static void pack_tokens(const struct event *e, struct strbuf *out)
{
    uint32_t n_top = 0;
    for (uint32_t i = 0; i < e->n_logprobs; i++)
        n_top += e->logprobs[i].n_top;
    pack_u32(out, e->n_ids);
    strbuf_push(out, e->ids, e->n_ids * sizeof *e->ids);
    pack_bytes(out, e->text.at, e->text.n);
    pack_u32(out, e->n_logprobs);
    pack_u32(out, n_top);
    for (uint32_t i = 0; i < e->n_logprobs; i++) {
        pack_logprob(out, &e->logprobs[i].chosen);
        pack_u32(out, e->logprobs[i].n_top);
        for (uint32_t k = 0; k < e->logprobs[i].n_top; k++)
            pack_logprob(out, &e->logprobs[i].top[k]);
    }
}

void event_encode(const struct event *e, struct strbuf *out)
{
    pack_u8(out, (uint8_t)e->kind);
    pack_u64(out, e->request_id);
    switch (e->kind) {
    case EVENT_PROMPT:
        pack_u32(out, e->n_cached);
        pack_u32(out, e->n_truncated);
        pack_reply(out, &e->reply);
        pack_u32(out, e->n_prompt);
        strbuf_push(out, e->prompt_ids, e->n_prompt * sizeof *e->prompt_ids);
        break;
    case EVENT_VECTOR:
        pack_u32(out, e->input_i);
        pack_u32(out, e->n_prompt);
        pack_u32(out, e->n_truncated);
        pack_u32(out, e->n_vector);
        strbuf_push(out, e->vector, e->n_vector * sizeof *e->vector);
        break;
    case EVENT_TOKENS:
        pack_tokens(e, out);
        break;
    case EVENT_DONE:
        pack_u8(out, (uint8_t)e->reason);
        pack_u32(out, e->stop_i);
        pack_u32(out, e->n_prompt);
        pack_u32(out, e->n_cached);
        pack_u32(out, e->n_truncated);
        pack_u32(out, e->n_generated);
        pack_i64(out, e->prompt_ns);
        pack_i64(out, e->generate_ns);
        break;
    case EVENT_ERROR:
        pack_u32(out, e->error.code);
        pack_text(out, e->error.message);
        break;
    case EVENT_WAITING:
    case EVENT_KIND_COUNT:
        break;
    }
}

// Zeroed memory at the end of scratch, whose start is aligned for every type. NULL when its cap is reached.
static void *claim(struct strbuf *scratch, size_t n_bytes)
{
    static const char zeros[1024];
    strbuf_reset(scratch);
    for (size_t left = n_bytes; left > 0;) {
        size_t part = MIN(left, sizeof zeros);
        strbuf_push(scratch, zeros, part);
        left -= part;
    }
    return scratch->overflow ? NULL : scratch->at;
}

static void unpack_prompt(struct event *e, struct cursor *c, struct strbuf *scratch)
{
    e->n_cached = cursor_u32(c);
    e->n_truncated = cursor_u32(c);
    unpack_reply(c, &e->reply);
    e->n_prompt = unpack_count(c, sizeof(uint32_t));
    if (e->n_prompt == 0)
        return;
    size_t n_bytes = e->n_prompt * sizeof(uint32_t);
    uint32_t *ids = claim(scratch, n_bytes);
    const void *bytes = cursor_take(c, n_bytes);
    if (ids == NULL || bytes == NULL) {
        c->failed = true;
        return;
    }
    memcpy(ids, bytes, n_bytes);
    e->prompt_ids = ids;
}

static void unpack_vector(struct event *e, struct cursor *c, struct strbuf *scratch)
{
    e->input_i = cursor_u32(c);
    e->n_prompt = cursor_u32(c);
    e->n_truncated = cursor_u32(c);
    e->n_vector = unpack_count(c, sizeof(float));
    size_t n_bytes = e->n_vector * sizeof(float);
    const void *bytes = cursor_take(c, n_bytes);
    float *vector = n_bytes > 0 && bytes != NULL ? claim(scratch, n_bytes) : NULL;
    if (vector == NULL) { // also when empty: no model makes such
        c->failed = true;
        return;
    }
    e->vector = memcpy(vector, bytes, n_bytes);
}

static void unpack_logprob(struct cursor *c, struct logprob *l)
{
    l->token_id = cursor_u32(c);
    l->logprob = cursor_f32(c);
    l->bytes = cursor_bytes(c, cursor_u32(c));
}

// `tops` has room for n_top entries over all tokens.
static void unpack_logprobs(struct cursor *c, struct token_logprobs *list, uint32_t n, struct logprob *tops,
                            uint32_t n_top)
{
    for (uint32_t i = 0; i < n && !c->failed; i++) {
        unpack_logprob(c, &list[i].chosen);
        list[i].n_top = cursor_u32(c);
        if (list[i].n_top > n_top) {
            c->failed = true;
            return;
        }
        list[i].top = tops;
        for (uint32_t k = 0; k < list[i].n_top; k++)
            unpack_logprob(c, &tops[k]);
        tops += list[i].n_top;
        n_top -= list[i].n_top;
    }
    if (n_top != 0)
        c->failed = true;
}

static void unpack_tokens(struct event *e, struct cursor *c, struct strbuf *scratch)
{
    e->n_ids = unpack_count(c, sizeof(uint32_t));
    const void *ids = cursor_take(c, e->n_ids * sizeof(uint32_t));
    e->text = cursor_bytes(c, cursor_u32(c));
    uint32_t n = unpack_count(c, LOGPROB_WIRE_BYTES), n_top = unpack_count(c, LOGPROB_WIRE_BYTES);
    if (c->failed)
        return;
    size_t list_bytes = n * sizeof(struct token_logprobs), top_bytes = n_top * sizeof(struct logprob);
    char *memory = claim(scratch, list_bytes + top_bytes + e->n_ids * sizeof(uint32_t));
    if (list_bytes + top_bytes + e->n_ids == 0)
        return;
    if (memory == NULL) {
        c->failed = true;
        return;
    }
    struct token_logprobs *list = (struct token_logprobs *)(void *)memory;
    e->n_logprobs = n;
    e->logprobs = list;
    if (e->n_ids > 0)
        e->ids = memcpy(memory + list_bytes + top_bytes, ids, e->n_ids * sizeof(uint32_t));
    unpack_logprobs(c, list, n, (struct logprob *)(void *)(memory + list_bytes), n_top);
}

static void unpack_done(struct event *e, struct cursor *c)
{
    uint8_t reason = cursor_u8(c);
    if (reason > DONE_UNLOAD)
        c->failed = true;
    e->reason = (enum done_reason)reason;
    e->stop_i = cursor_u32(c);
    e->n_prompt = cursor_u32(c);
    e->n_cached = cursor_u32(c);
    e->n_truncated = cursor_u32(c);
    e->n_generated = cursor_u32(c);
    e->prompt_ns = unpack_i64(c);
    e->generate_ns = unpack_i64(c);
}

int event_decode(struct event *e, const void *bytes, size_t n, struct strbuf *scratch, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    *e = (struct event){0};
    uint8_t kind = cursor_u8(&c);
    e->request_id = cursor_u64(&c);
    e->kind = (enum event_kind)kind;
    if (kind == EVENT_PROMPT) {
        unpack_prompt(e, &c, scratch);
    } else if (kind == EVENT_VECTOR) {
        unpack_vector(e, &c, scratch);
    } else if (kind == EVENT_TOKENS) {
        unpack_tokens(e, &c, scratch);
    } else if (kind == EVENT_DONE) {
        unpack_done(e, &c);
    } else if (kind == EVENT_ERROR) {
        uint32_t code = cursor_u32(&c);
        unpack_text_into(&c, e->error.message, sizeof e->error.message);
        if (code == ERR_NONE || code >= ERR_CODE_COUNT)
            c.failed = true;
        e->error.code = (enum err_code)code;
    } else {
        c.failed = true;
    }
    if (!unpack_is_whole(&c)) {
        *e = (struct event){0};
        return err_set(err, ERR_FORMAT, "broken event message");
    }
    return 0;
}
