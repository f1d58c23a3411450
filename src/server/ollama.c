// SPDX-License-Identifier: MIT
// Members that /api/generate and /api/chat write alike. As in Go, a member with the value zero is left out.
#include "server/ollama.h"

#include "base/clock.h"
#include "server/logprobs.h"

void ollama_write_head(struct json_writer *w, const struct generation *g)
{
    char now[40];
    clock_format_rfc3339(clock_wall_ns(), now);
    json_member_text(w, "model", g->ask.model);
    json_member_text(w, "created_at", now);
}

void ollama_write_reason(struct json_writer *w, const struct generation *g)
{
    json_member_text(w, "done_reason", generate_reason_text(g->at->reason));
}

static void member_unless_zero(struct json_writer *w, const char *key, int64_t value)
{
    if (value > 0)
        json_member_int(w, key, value);
}

static bool has_metrics(const struct generation *g)
{
    return g->at->reason == DONE_STOP || g->at->reason == DONE_LENGTH;
}

void ollama_write_metrics(struct json_writer *w, const struct generation *g)
{
    if (!has_metrics(g))
        return;
    json_member_int(w, "total_duration", generate_elapsed_ns(g));
    member_unless_zero(w, "load_duration", g->prompt_ns ? g->prompt_ns - g->start_ns : 0);
    member_unless_zero(w, "prompt_eval_count", g->n_prompt);
    member_unless_zero(w, "prompt_eval_duration", g->prompt_eval_ns);
    member_unless_zero(w, "eval_count", g->n_generated);
    member_unless_zero(w, "eval_duration", g->eval_ns);
}

void ollama_write_own(struct json_writer *w, const struct generation *g)
{
    if (!has_metrics(g))
        return;
    member_unless_zero(w, "truncated", g->n_truncated);
    if (g->has_drawn_seed)
        json_member_int(w, "seed", (int64_t)g->seed);
}

void ollama_write_rendered(struct json_writer *w, const struct piece *prompt)
{
    json_member_bool(w, "done", false);
    json_key(w, "_debug_info");
    json_begin_object(w);
    json_member_slice(w, "rendered_template", prompt->text);
    json_end_object(w);
    json_end_object(w);
}

void ollama_write_logprobs(struct json_writer *w, const struct piece *p)
{
    if (p->n_logprobs == 0)
        return;
    json_key(w, "logprobs");
    logprobs_write(w, p->logprobs, p->n_logprobs, false);
}

void ollama_write_error(struct generation *g, const struct err *err, struct strbuf *out)
{
    reply_write_error(out, ERRORS_OLLAMA, err, NULL);
    strbuf_push_char(out, '\n');
}
