// SPDX-License-Identifier: MIT
#include "engine/prompt.h"

#include <string.h>

#include "base/mem.h"
#include "json/json.h"

enum { MAX_PROMPT_BYTES = 64 << 20 };

static void encode_text(const struct tokenizer *t, struct slice text, bool with_bos, bool is_plain,
                        struct tokens *out)
{
    if (with_bos && tokenizer_adds_bos(t) && tokenizer_bos(t) != TOKEN_NONE) {
        struct slice bos = tokenizer_text(t, tokenizer_bos(t));
        tokens_push(out, tokenizer_bos(t));
        if (bos.n > 0 && !is_plain && slice_starts_with(text, bos)) // the template wrote it too
            text = slice_make(text.at + bos.n, text.n - bos.n);
    }
    tokenizer_encode(t, text, !is_plain, out);
}

static struct slice special_text(const struct tokenizer *t, uint32_t id)
{
    return id == TOKEN_NONE ? slice_make("", 0) : tokenizer_text(t, id);
}

struct chat {
    const struct prompt_source *source;
    const struct request *r;
    struct gotmpl *go;           // own; NULL: a Jinja template is used
    struct template *own;        // own; the request's Jinja template, or NULL
    const struct template *used; // own, the model's or the fallback
    json_t *messages, *tools, *variables;
    struct strbuf *text; // where the prompt's text goes too, or NULL
};

static int render_jinja(const struct chat *c, const json_t *messages, struct strbuf *out, struct err *err)
{
    const struct tokenizer *t = c->source->tokenizer;
    struct template_input in = {.messages = messages,
                                .tools = c->tools,
                                .extra = c->variables,
                                .add_generation_prompt = true,
                                .bos_token = special_text(t, tokenizer_bos(t)),
                                .eos_token = special_text(t, tokenizer_eos(t)),
                                .now_s = c->r->now_s};
    return template_render(c->used, &in, out, err);
}

// The variables "suffix" (a text) and "think" (true, false or a level) are what Ollama's requests say
// besides.
static int render_go(const struct chat *c, const json_t *messages, struct strbuf *out, struct err *err)
{
    const json_t *think = json_object_get(c->variables, "think");
    struct gotmpl_input in = {.messages = messages,
                              .tools = c->tools,
                              .prompt = slice_make(c->r->prompt, c->r->prompt_bytes),
                              .suffix = json_slice(json_object_get(c->variables, "suffix")),
                              .is_think_set = think != NULL,
                              .think = json_is_true(think) || json_is_string(think),
                              .now_s = c->r->now_s};
    in.think_level = json_is_string(think) ? json_slice(think) : slice_of(in.think ? "medium" : "");
    return gotmpl_render(c->go, &in, out, err);
}

// Puts what context_ids say in front, and the text into tokens behind them.
static void take_text(const struct chat *c, struct slice text, struct tokens *out)
{
    const struct tokenizer *t = c->source->tokenizer;
    const struct request *r = c->r;
    if (c->text != NULL)
        strbuf_reset(c->text);
    for (size_t i = 0; i < r->n_context_ids; i++) {
        tokens_push(out, r->context_ids[i]);
        bool begins = i == 0 && r->context_ids[i] == tokenizer_bos(t); // is no text
        if (c->text != NULL && !begins && r->context_ids[i] < tokenizer_n_tokens(t))
            strbuf_push_slice(c->text, tokenizer_piece(t, r->context_ids[i], true));
    }
    if (c->text != NULL)
        strbuf_push_slice(c->text, text);
    encode_text(t, text, r->n_context_ids == 0 && !r->has_no_bos, r->is_plain, out);
}

static int render(const struct chat *c, const json_t *messages, struct tokens *out, struct err *err)
{
    struct strbuf text = STRBUF_INIT(MAX_PROMPT_BYTES);
    int rc = c->go != NULL ? render_go(c, messages, &text, err) : render_jinja(c, messages, &text, err);
    if (rc == 0 && text.overflow)
        rc = err_set(err, ERR_TOO_LARGE, "the rendered prompt is larger than %d MiB", MAX_PROMPT_BYTES >> 20);
    if (rc == 0)
        take_text(c, strbuf_slice(&text), out);
    strbuf_fini(&text);
    return rc;
}

static bool is_system(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role != NULL && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0);
}

// Messages without the oldest n_dropped turns; system messages and the last message always stay.
static json_t *without_oldest(const json_t *messages, size_t n_dropped)
{
    json_t *kept = json_array();
    size_t i, last = json_array_size(messages) - 1;
    json_t *message;
    json_array_foreach((json_t *)messages, i, message)
    {
        if (n_dropped > 0 && i != last && !is_system(message))
            n_dropped--;
        else
            json_array_append(kept, message);
    }
    return kept;
}

// The fewest oldest turns whose absence makes the prompt fit, by halving.
static int drop_turns(const struct chat *c, uint32_t limit, struct tokens *out, struct err *err)
{
    size_t low = 1, high = 0, i;
    json_t *message;
    json_array_foreach(c->messages, i, message) high +=
        !is_system(message) && i + 1 < json_array_size(c->messages);
    for (;;) {
        size_t n_dropped = low < high ? (low + high) / 2 : high;
        json_t *kept = without_oldest(c->messages, n_dropped);
        out->n = 0;
        int rc = render(c, kept, out, err);
        json_decref(kept);
        if (rc != 0 || low >= high)
            return rc;
        if (out->n < limit)
            high = n_dropped;
        else
            low = n_dropped + 1;
    }
}

static int open_chat(struct chat *c, struct err *err)
{
    const struct request *r = c->r;
    c->messages = json_parse(slice_of(r->messages_json ? r->messages_json : "[]"), err);
    if (c->messages != NULL && r->tools_json != NULL &&
        (c->tools = json_parse(slice_of(r->tools_json), err)) == NULL)
        return -1;
    if (c->messages != NULL && r->variables_json != NULL &&
        (c->variables = json_parse(slice_of(r->variables_json), err)) == NULL)
        return -1;
    if (c->messages != NULL && !json_is_array(c->messages))
        return err_set(err, ERR_INVALID, "messages must be an array");
    size_t i;
    json_t *message;
    // What the model thought in earlier turns is for Ollama's templates; those of model files know no such
    // member.
    json_array_foreach(c->messages, i, message) if (c->go == NULL) json_object_del(message, "thinking");
    return c->messages != NULL ? 0 : -1;
}

// The request's template, else the model's, else the fallback. A stored Go template may stand back.
static int choose_template(struct chat *c, struct err *err)
{
    const struct request *r = c->r;
    const struct template *model = c->source->template;
    if (r->template_text != NULL && r->template_kind == TEMPLATE_GO) {
        if (gotmpl_new(&c->go, slice_of(r->template_text), err) != 0)
            return -1;
        if (r->template_yields && model != NULL &&
            traits_choose_jinja(GO_TEMPLATE_AUTOMATIC, traits_of_go(c->go), c->source->traits)) {
            gotmpl_free(c->go);
            c->go = NULL;
        }
    } else if (r->template_text != NULL && template_new(&c->own, slice_of(r->template_text), err) != 0) {
        return -1;
    }
    c->used = c->own != NULL ? c->own : model != NULL ? model : c->source->fallback;
    return 0;
}

static int build_chat(struct chat *c, uint32_t limit, struct tokens *out, uint32_t *n_truncated,
                      struct err *err)
{
    if (open_chat(c, err) != 0 || render(c, c->messages, out, err) != 0)
        return -1;
    size_t n = out->n;
    if (n < limit || c->r->truncate != TRUNCATE_OLD_TURNS)
        return 0;
    if (drop_turns(c, limit, out, err) != 0)
        return -1;
    *n_truncated = (uint32_t)(n - out->n);
    return 0;
}

// Keeps num_keep tokens at the front and the tail, so that half of the rest of the context is free for the
// answer.
static void keep_head_and_tail(struct tokens *t, uint32_t limit, int32_t num_keep, uint32_t *n_truncated)
{
    uint32_t keep = num_keep < 0 ? limit - 1 : MIN((uint32_t)num_keep, limit - 1);
    uint32_t total = MIN(limit - MAX((limit - keep) / 2, 1), limit - 1);
    uint32_t tail = total > keep ? total - keep : 0;
    memmove(t->at + keep, t->at + t->n - tail, tail * sizeof *t->at);
    *n_truncated = (uint32_t)t->n - (keep + tail);
    t->n = keep + tail;
}

static void chat_fini(struct chat *c)
{
    gotmpl_free(c->go);
    template_free(c->own);
    json_decref(c->messages);
    json_decref(c->tools);
    json_decref(c->variables);
}

int prompt_detokenize(const struct prompt_source *source, const struct request *r, struct strbuf *text,
                      struct err *err)
{
    for (size_t i = 0; i < r->n_context_ids; i++) {
        if (r->context_ids[i] >= tokenizer_n_tokens(source->tokenizer))
            return err_set(err, ERR_INVALID, "%u is no token id, the vocabulary has %u", r->context_ids[i],
                           tokenizer_n_tokens(source->tokenizer));
        strbuf_push_slice(text, tokenizer_piece(source->tokenizer, r->context_ids[i], true));
    }
    return 0;
}

int prompt_encode_input(const struct prompt_source *source, struct slice text, uint32_t limit, bool cuts,
                        struct tokens *out, uint32_t *n_truncated, struct err *err)
{
    const struct tokenizer *t = source->tokenizer;
    bool adds_eos = tokenizer_adds_eos(t) && tokenizer_eos(t) != TOKEN_NONE;
    encode_text(t, text, true, false, out);
    uint32_t most = limit - MIN(limit, (uint32_t)adds_eos);
    *n_truncated = out->n > most ? (uint32_t)out->n - most : 0;
    if (*n_truncated > 0 && !cuts)
        return err_set(err, ERR_INVALID, "the input length exceeds the context length");
    out->n -= *n_truncated;
    if (adds_eos)
        tokens_push(out, tokenizer_eos(t));
    if (out->n == 0) // no text, and no token that stands around one
        tokens_push(out, tokenizer_bos(t) != TOKEN_NONE ? tokenizer_bos(t) : 0);
    return 0;
}

int prompt_build(const struct prompt_source *source, const struct request *r, uint32_t limit,
                 struct tokens *out, uint32_t *n_truncated, struct strbuf *text, struct err *err)
{
    struct chat c = {.source = source, .r = r, .text = text};
    int rc = 0;
    *n_truncated = 0;
    bool is_bare = r->kind == PROMPT_RAW ||
                   (r->bare_without_template && source->template == NULL && r->template_text == NULL);
    if (is_bare)
        take_text(&c, slice_make(r->prompt, r->prompt_bytes), out);
    else if (choose_template(&c, err) != 0 || build_chat(&c, limit, out, n_truncated, err) != 0)
        rc = -1;
    for (size_t i = 0; i < out->n && rc == 0; i++)
        if (out->at[i] >= tokenizer_n_tokens(source->tokenizer))
            rc = err_set(err, ERR_INVALID, "context holds id %u, the vocabulary has %u", out->at[i],
                         tokenizer_n_tokens(source->tokenizer));
    if (rc == 0 && out->n == 0 &&
        r->task != TASK_TOKENIZE) // nothing at all: begin as the model begins a text
        tokens_push(out,
                    tokenizer_bos(source->tokenizer) != TOKEN_NONE ? tokenizer_bos(source->tokenizer) : 0);
    if (rc == 0 && out->n >= limit && r->truncate == TRUNCATE_HEAD)
        keep_head_and_tail(out, limit, r->params.num_keep, n_truncated);
    if (rc == 0 && out->n >= limit)
        rc = err_set(err, ERR_INVALID,
                     "the prompt has %zu tokens, the context length is %u: the prompt is too long by %zu",
                     out->n, limit, out->n - limit + 1);
    chat_fini(&c);
    return rc;
}
