// SPDX-License-Identifier: MIT
// The request's memory and its wire form: the fields in the order of the struct. What is decoded owns its
// memory; every length is checked against the bytes that are there before anything is allocated, so a message
// costs at most a small multiple of its own size.
#include "frames/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "frames/pack.h"

void request_init(struct request *r)
{
    *r = (struct request){.params = PARAMS_DEFAULT};
}

void request_fini(struct request *r)
{
    free(r->prompt);
    free(r->messages_json);
    free(r->tools_json);
    free(r->variables_json);
    free(r->template_text);
    free(r->context_ids);
    free(r->replay_ids);
    for (size_t i = 0; i < r->n_stops; i++)
        free(r->stops[i]);
    free(r->stops);
    free(r->biases);
    free(r->format_json);
    free(r->one_tool);
    for (size_t i = 0; i < r->n_inputs; i++)
        free(r->inputs[i].at);
    free(r->inputs);
    request_init(r);
}

void request_add_stop(struct request *r, const char *text, size_t n)
{
    assert(r->n_stops < PARAMS_MAX_STOPS && n <= PARAMS_MAX_STOP_BYTES);
    r->stops = xrealloc(r->stops, (r->n_stops + 1) * sizeof *r->stops);
    r->stops[r->n_stops++] = xstrndup(text, n);
}

void request_add_bias(struct request *r, uint32_t token_id, float bias)
{
    assert(r->n_biases < REQUEST_MAX_BIASES);
    r->biases = xrealloc(r->biases, (r->n_biases + 1) * sizeof *r->biases);
    r->biases[r->n_biases++] = (struct logit_bias){token_id, bias};
}

void request_add_input(struct request *r, const char *text, size_t n)
{
    if ((r->n_inputs & (r->n_inputs - 1)) == 0) // the capacity is the next power of two
        r->inputs = xrealloc(r->inputs, MAX(2 * r->n_inputs, 1ul) * sizeof *r->inputs);
    r->inputs[r->n_inputs++] = (struct request_text){xstrndup(text, n), n};
}

static void pack_params(struct strbuf *out, const struct params *p)
{
    pack_i32(out, p->num_ctx);
    pack_i32(out, p->num_predict);
    pack_i32(out, p->num_keep);
    pack_u64(out, p->seed);
    pack_f32(out, p->temperature);
    pack_i32(out, p->top_k);
    pack_f32(out, p->top_p);
    pack_f32(out, p->min_p);
    pack_f32(out, p->typical_p);
    pack_i32(out, p->repeat_last_n);
    pack_f32(out, p->repeat_penalty);
    pack_f32(out, p->presence_penalty);
    pack_f32(out, p->frequency_penalty);
    pack_bool(out, p->logprobs);
    pack_i32(out, p->top_logprobs);
    pack_bool(out, p->ignore_eos);
}

static void unpack_params(struct cursor *c, struct params *p)
{
    p->num_ctx = cursor_i32(c);
    p->num_predict = cursor_i32(c);
    p->num_keep = cursor_i32(c);
    p->seed = cursor_u64(c);
    p->temperature = cursor_f32(c);
    p->top_k = cursor_i32(c);
    p->top_p = cursor_f32(c);
    p->min_p = cursor_f32(c);
    p->typical_p = cursor_f32(c);
    p->repeat_last_n = cursor_i32(c);
    p->repeat_penalty = cursor_f32(c);
    p->presence_penalty = cursor_f32(c);
    p->frequency_penalty = cursor_f32(c);
    p->logprobs = unpack_bool(c);
    p->top_logprobs = cursor_i32(c);
    p->ignore_eos = unpack_bool(c);
    if (p->top_logprobs < 0 || p->top_logprobs > PARAMS_MAX_TOP_LOGPROBS)
        c->failed = true;
}

static void pack_ids(struct strbuf *out, const uint32_t *ids, size_t n)
{
    pack_u32(out, (uint32_t)n);
    strbuf_push(out, ids, n * sizeof *ids);
}

void request_encode(const struct request *r, struct strbuf *out)
{
    pack_u64(out, r->id);
    pack_u8(out, (uint8_t)r->task);
    pack_u8(out, (uint8_t)r->kind);
    if (r->prompt == NULL)
        pack_u32(out, PACK_ABSENT);
    else
        pack_bytes(out, r->prompt, r->prompt_bytes);
    pack_text(out, r->messages_json);
    pack_text(out, r->tools_json);
    pack_u8(out, (uint8_t)r->think);
    pack_text(out, r->think_level);
    pack_text(out, r->variables_json);
    pack_text(out, r->template_text);
    pack_u8(out, (uint8_t)r->template_kind);
    pack_bool(out, r->template_yields);
    pack_bool(out, r->bare_without_template);
    pack_bool(out, r->is_plain);
    pack_bool(out, r->has_no_bos);
    pack_u32(out, (uint32_t)r->n_inputs);
    for (size_t i = 0; i < r->n_inputs; i++)
        pack_bytes(out, r->inputs[i].at, r->inputs[i].n);
    pack_ids(out, r->context_ids, r->n_context_ids);
    pack_ids(out, r->replay_ids, r->n_replay_ids);
    pack_u8(out, (uint8_t)r->truncate);
    pack_params(out, &r->params);
    pack_u32(out, (uint32_t)r->n_stops);
    for (size_t i = 0; i < r->n_stops; i++)
        pack_text(out, r->stops[i]);
    pack_u32(out, (uint32_t)r->n_biases);
    for (size_t i = 0; i < r->n_biases; i++) {
        pack_u32(out, r->biases[i].token_id);
        pack_f32(out, r->biases[i].bias);
    }
    pack_text(out, r->format_json);
    pack_bool(out, r->must_call);
    pack_bool(out, r->one_call);
    pack_text(out, r->one_tool);
    pack_i64(out, r->now_s);
}

// A terminated copy; NULL when absent. `n_bytes` NULL: the text must hold no NUL.
static char *unpack_copy(struct cursor *c, size_t *n_bytes)
{
    uint32_t n = cursor_u32(c);
    if (c->failed || n == PACK_ABSENT)
        return NULL;
    const char *bytes = cursor_take(c, n);
    if (bytes == NULL)
        return NULL;
    if (n_bytes == NULL && memchr(bytes, 0, n) != NULL) {
        c->failed = true;
        return NULL;
    }
    char *copy = mem_try_alloc(n + 1ul, 1);
    if (copy == NULL) {
        c->failed = true;
        return NULL;
    }
    memcpy(copy, bytes, n);
    if (n_bytes != NULL)
        *n_bytes = n;
    return copy;
}

static uint32_t *unpack_ids(struct cursor *c, size_t *n)
{
    uint32_t count = unpack_count(c, sizeof(uint32_t));
    *n = 0;
    if (count == 0)
        return NULL;
    uint32_t *ids = mem_try_alloc(count, sizeof *ids);
    if (ids == NULL) {
        c->failed = true;
        return NULL;
    }
    memcpy(ids, cursor_take(c, count * sizeof *ids), count * sizeof *ids);
    *n = count;
    return ids;
}

static void unpack_stops(struct cursor *c, struct request *r)
{
    uint32_t count = unpack_count(c, sizeof(uint32_t));
    if (count > PARAMS_MAX_STOPS)
        c->failed = true;
    for (uint32_t i = 0; i < count && !c->failed; i++) {
        struct slice text = cursor_bytes(c, cursor_u32(c));
        if (text.n > PARAMS_MAX_STOP_BYTES || (text.n > 0 && memchr(text.at, 0, text.n) != NULL))
            c->failed = true;
        else if (!c->failed)
            request_add_stop(r, text.at, text.n);
    }
}

static void unpack_inputs(struct cursor *c, struct request *r)
{
    uint32_t count = unpack_count(c, sizeof(uint32_t));
    for (uint32_t i = 0; i < count && !c->failed; i++) {
        struct slice text = cursor_bytes(c, cursor_u32(c));
        if (!c->failed)
            request_add_input(r, text.n ? text.at : "", text.n);
    }
}

static void unpack_biases(struct cursor *c, struct request *r)
{
    uint32_t count = unpack_count(c, sizeof(struct logit_bias));
    if (count > REQUEST_MAX_BIASES)
        c->failed = true;
    for (uint32_t i = 0; i < count && !c->failed; i++) {
        uint32_t id = cursor_u32(c);
        request_add_bias(r, id, cursor_f32(c));
    }
}

int request_decode(struct request *r, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    request_init(r);
    r->id = cursor_u64(&c);
    uint8_t task = cursor_u8(&c), kind = cursor_u8(&c);
    r->prompt = unpack_copy(&c, &r->prompt_bytes);
    r->messages_json = unpack_copy(&c, NULL);
    r->tools_json = unpack_copy(&c, NULL);
    uint8_t think = cursor_u8(&c);
    unpack_text_into(&c, r->think_level, sizeof r->think_level);
    r->variables_json = unpack_copy(&c, NULL);
    r->template_text = unpack_copy(&c, NULL);
    uint8_t template_kind = cursor_u8(&c);
    r->template_yields = unpack_bool(&c);
    r->bare_without_template = unpack_bool(&c);
    r->is_plain = unpack_bool(&c);
    r->has_no_bos = unpack_bool(&c);
    unpack_inputs(&c, r);
    r->context_ids = unpack_ids(&c, &r->n_context_ids);
    r->replay_ids = unpack_ids(&c, &r->n_replay_ids);
    uint8_t truncate = cursor_u8(&c);
    unpack_params(&c, &r->params);
    unpack_stops(&c, r);
    unpack_biases(&c, r);
    r->format_json = unpack_copy(&c, NULL);
    r->must_call = unpack_bool(&c);
    r->one_call = unpack_bool(&c);
    r->one_tool = unpack_copy(&c, NULL);
    r->now_s = unpack_i64(&c);
    if (!unpack_is_whole(&c) || task > TASK_EMBED || kind > PROMPT_MESSAGES || template_kind > TEMPLATE_GO ||
        truncate > TRUNCATE_TAIL || think > THINK_ON) {
        request_fini(r);
        return err_set(err, ERR_FORMAT, "broken request message");
    }
    r->task = (enum request_task)task;
    r->kind = (enum prompt_kind)kind;
    r->think = (enum think_mode)think;
    r->template_kind = (enum template_kind)template_kind;
    r->truncate = (enum truncate_mode)truncate;
    return 0;
}

struct request *request_copy(const struct request *r)
{
    struct strbuf bytes = STRBUF_INIT(SIZE_MAX / 2);
    struct request *copy = xcalloc(1, sizeof *copy);
    request_encode(r, &bytes);
    int rc = request_decode(copy, bytes.at, bytes.n, NULL);
    assert(rc == 0);
    (void)rc;
    strbuf_fini(&bytes);
    return copy;
}

static size_t text_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

size_t request_bytes(const struct request *r)
{
    size_t sum = sizeof *r + (r->prompt != NULL ? r->prompt_bytes + 1 : 0) + text_bytes(r->messages_json) +
                 text_bytes(r->tools_json) + text_bytes(r->variables_json) + text_bytes(r->template_text) +
                 text_bytes(r->format_json) + text_bytes(r->one_tool) +
                 (r->n_context_ids + r->n_replay_ids) * sizeof(uint32_t) + r->n_stops * sizeof(char *);
    for (size_t i = 0; i < r->n_stops; i++)
        sum += text_bytes(r->stops[i]);
    for (size_t i = 0; i < r->n_inputs; i++)
        sum += sizeof r->inputs[i] + r->inputs[i].n + 1;
    return sum + r->n_biases * sizeof *r->biases;
}
