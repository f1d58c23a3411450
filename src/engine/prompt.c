// SPDX-License-Identifier: MIT
#include "engine/prompt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "json/json.h"
#include "text/conversation.h"

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
    enum think_mode think; // as the template in use allows: set, if it knows how
    struct prompt *out;
};

static void set_date(json_t *variables, const char *name, const char *format, int64_t now_s)
{
    char text[40];
    time_t now = (time_t)now_s;
    struct tm tm = {0};
    gmtime_r(&now, &tm);
    strftime(text, sizeof text, format, &tm);
    json_object_set_new(variables, name, json_string(text));
}

// What some templates want besides: dates, and the tools as one text.
static void set_common(const struct chat *c, json_t *variables)
{
    set_date(variables, "date_string", "%d %b %Y", c->r->now_s);
    set_date(variables, "datetime", "%b %d %Y", c->r->now_s);
    char *functions = c->tools != NULL ? json_dumps(c->tools, 0) : NULL;
    if (functions != NULL)
        json_object_set_new(variables, "functions", json_string(functions));
    free(functions);
}

// Templates of model files name it in three ways; a variable that the request has of its own stands.
static json_t *jinja_variables(const struct chat *c)
{
    json_t *variables = json_object();
    set_common(c, variables);
    if (c->think != THINK_UNSET) {
        json_object_set_new(variables, "enable_thinking", json_boolean(c->think == THINK_ON));
        json_object_set_new(variables, "thinking", json_boolean(c->think == THINK_ON));
    }
    if (c->think == THINK_ON && c->r->think_level[0] != 0)
        json_object_set_new(variables, "reasoning_effort", json_string(c->r->think_level));
    json_object_update(variables, c->variables);
    return variables;
}

static int render_once(const struct chat *c, const json_t *messages, bool as_texts, struct strbuf *out,
                       struct err *err)
{
    const struct tokenizer *t = c->source->tokenizer;
    json_t *spoken = conversation_messages(messages, as_texts), *variables = jinja_variables(c);
    json_t *tools = conversation_tools(c->tools);
    struct template_input in = {.messages = spoken,
                                .tools = tools,
                                .extra = variables,
                                .add_generation_prompt = true,
                                .bos_token = special_text(t, tokenizer_bos(t)),
                                .eos_token = special_text(t, tokenizer_eos(t)),
                                .now_s = c->r->now_s};
    int rc = template_render(c->used, &in, out, err);
    json_decref(spoken);
    json_decref(tools);
    json_decref(variables);
    return rc;
}

// Most templates take the arguments of calls as objects; those that fail with them take texts.
static int render_jinja(const struct chat *c, const json_t *messages, struct strbuf *out, struct err *err)
{
    struct err ignored = {0};
    int rc = render_once(c, messages, false, out, err);
    if (rc == 0 || !conversation_has_calls(messages))
        return rc;
    strbuf_reset(out);
    if (render_once(c, messages, true, out, &ignored) != 0)
        return -1;
    err_clear(err);
    return 0;
}

// The variable "suffix" (a text) is what Ollama's requests say besides.
static int render_go(const struct chat *c, const json_t *messages, struct strbuf *out, struct err *err)
{
    bool thinks = c->think == THINK_ON;
    struct gotmpl_input in = {.messages = messages,
                              .tools = c->tools,
                              .prompt = slice_make(c->r->prompt, c->r->prompt_bytes),
                              .suffix = json_slice(json_object_get(c->variables, "suffix")),
                              .is_think_set = c->think != THINK_UNSET,
                              .think = thinks,
                              .now_s = c->r->now_s};
    in.think_level = slice_of(!thinks ? "" : c->r->think_level[0] != 0 ? c->r->think_level : "medium");
    return gotmpl_render(c->go, &in, out, err);
}

// Puts what context_ids say in front, and the text into tokens behind them.
static void take_text(const struct chat *c, struct slice text)
{
    struct tokens *out = c->out->tokens;
    const struct tokenizer *t = c->source->tokenizer;
    const struct request *r = c->r;
    struct strbuf *shown = c->out->text;
    out->n = 0;
    if (shown != NULL)
        strbuf_reset(shown);
    for (size_t i = 0; i < r->n_context_ids; i++) {
        tokens_push(out, r->context_ids[i]);
        bool begins = i == 0 && r->context_ids[i] == tokenizer_bos(t); // is no text
        if (shown != NULL && !begins && r->context_ids[i] < tokenizer_n_tokens(t))
            strbuf_push_slice(shown, tokenizer_piece(t, r->context_ids[i], true));
    }
    if (shown != NULL)
        strbuf_push_slice(shown, text);
    encode_text(t, text, r->n_context_ids == 0 && !r->has_no_bos, r->is_plain, out);
}

static int render(const struct chat *c, const json_t *messages, struct err *err)
{
    struct strbuf text = STRBUF_INIT(MAX_PROMPT_BYTES);
    int rc = c->go != NULL ? render_go(c, messages, &text, err) : render_jinja(c, messages, &text, err);
    if (rc == 0 && text.overflow)
        rc = err_set(err, ERR_TOO_LARGE, "the rendered prompt is larger than %d MiB", MAX_PROMPT_BYTES >> 20);
    if (rc == 0) {
        reply_spec_see_prompt(&c->out->reply, strbuf_slice(&text));
        take_text(c, strbuf_slice(&text));
    }
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
static int drop_turns(const struct chat *c, uint32_t limit, struct err *err)
{
    size_t low = 1, high = 0, i;
    json_t *message;
    json_array_foreach(c->messages, i, message) high +=
        !is_system(message) && i + 1 < json_array_size(c->messages);
    for (;;) {
        size_t n_dropped = low < high ? (low + high) / 2 : high;
        json_t *kept = without_oldest(c->messages, n_dropped);
        int rc = render(c, kept, err);
        json_decref(kept);
        if (rc != 0 || low >= high)
            return rc;
        if (c->out->tokens->n < limit)
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
    return c->messages != NULL ? 0 : -1;
}

// What the request says, unless the template in use knows nothing of it; a model that can think does.
static void settle_thinking(struct chat *c)
{
    struct reply_spec *reply = &c->out->reply;
    c->think = c->r->think;
    if (c->think == THINK_UNSET && reply->closing[0] != 0)
        c->think = THINK_ON;
    if (c->think == THINK_OFF && c->go != NULL) // what it writes all the same is content, as Ollama has it
        reply_spec_forget_thinking(reply);
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
    if (c->tools != NULL && c->own == NULL && c->source->with_tools != NULL)
        model = c->source->with_tools;
    c->used = c->own != NULL ? c->own : model != NULL ? model : c->source->fallback;
    if (c->go != NULL)
        c->out->reply = reply_spec_of_go(c->go, slice_of(r->template_text));
    else
        c->out->reply = c->own != NULL ? reply_spec_of_jinja(slice_of(r->template_text)) : c->source->reply;
    c->out->reply.wants_calls = json_array_size(c->tools) > 0;
    settle_thinking(c);
    return 0;
}

static int build_chat(struct chat *c, uint32_t limit, struct err *err)
{
    if (open_chat(c, err) != 0 || choose_template(c, err) != 0 || render(c, c->messages, err) != 0)
        return -1;
    const struct tokens *out = c->out->tokens;
    size_t n = out->n;
    if (n < limit || c->r->truncate != TRUNCATE_OLD_TURNS)
        return 0;
    if (drop_turns(c, limit, err) != 0)
        return -1;
    c->out->n_truncated = (uint32_t)(n - out->n);
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

// Of a prompt that is sent as it is only thinking is looked for, with the tags of the stored template.
static int build_bare(struct chat *c, struct err *err)
{
    const struct request *r = c->r;
    struct reply_spec *reply = &c->out->reply;
    if (r->kind == PROMPT_RAW && r->template_text != NULL && r->template_kind == TEMPLATE_GO) {
        if (gotmpl_new(&c->go, slice_of(r->template_text), err) != 0)
            return -1;
        *reply = reply_spec_of_go(c->go, slice_of(r->template_text));
        reply_spec_forget_calls(reply);
        reply_spec_see_prompt(reply, slice_make(r->prompt, r->prompt_bytes));
        settle_thinking(c);
    }
    take_text(c, slice_make(r->prompt, r->prompt_bytes));
    return 0;
}

static int check_ids(const struct tokenizer *t, const struct tokens *ids, struct err *err)
{
    for (size_t i = 0; i < ids->n; i++)
        if (ids->at[i] >= tokenizer_n_tokens(t))
            return err_set(err, ERR_INVALID, "context holds id %u, the vocabulary has %u", ids->at[i],
                           tokenizer_n_tokens(t));
    return 0;
}

int prompt_build(const struct prompt_source *source, const struct request *r, uint32_t limit,
                 struct prompt *out, struct err *err)
{
    const struct tokenizer *t = source->tokenizer;
    struct tokens *tokens = out->tokens;
    struct chat c = {.source = source, .r = r, .out = out};
    bool is_bare = r->kind == PROMPT_RAW ||
                   (r->bare_without_template && source->template == NULL && r->template_text == NULL);
    int rc = is_bare ? build_bare(&c, err) : build_chat(&c, limit, err);
    if (rc == 0)
        rc = check_ids(t, tokens, err);
    if (rc == 0 && tokens->n == 0 &&
        r->task != TASK_TOKENIZE) // nothing at all: begin as the model begins a text
        tokens_push(tokens, tokenizer_bos(t) != TOKEN_NONE ? tokenizer_bos(t) : 0);
    if (rc == 0 && tokens->n >= limit && r->truncate == TRUNCATE_HEAD)
        keep_head_and_tail(tokens, limit, r->params.num_keep, &out->n_truncated);
    if (rc == 0 && tokens->n >= limit)
        rc = err_set(err, ERR_INVALID,
                     "the prompt has %zu tokens, the context length is %u: the prompt is too long by %zu",
                     tokens->n, limit, tokens->n - limit + 1);
    chat_fini(&c);
    return rc;
}
