// SPDX-License-Identifier: MIT
#include "frames/message.h"

#include "base/mem.h"
#include "frames/pack.h"

static int whole(const struct cursor *c, const char *what, struct err *err)
{
    return unpack_is_whole(c) ? 0 : err_set(err, ERR_FORMAT, "broken %s message", what);
}

void hello_encode(struct strbuf *out)
{
    pack_u32(out, FRAMES_MAGIC);
    pack_u32(out, FRAMES_VERSION);
    pack_text(out, DROVER_VERSION);
}

int hello_decode(const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    char version[64];
    uint32_t magic = cursor_u32(&c), number = cursor_u32(&c);
    unpack_text_into(&c, version, sizeof version);
    if (whole(&c, "hello", err) != 0)
        return -1;
    if (magic != FRAMES_MAGIC || number != FRAMES_VERSION || strcmp(version, DROVER_VERSION) != 0)
        return err_set(
            err, ERR_UNSUPPORTED,
            "the program was replaced while the server ran (version %s, expected %s): restart the server",
            version, DROVER_VERSION);
    return 0;
}

void open_options_encode(const struct open_options *o, struct strbuf *out)
{
    pack_u32(out, o->n_threads);
    pack_u32(out, o->n_slots);
    pack_text(out, o->kv_type);
    pack_text(out, o->cpu_level);
    pack_u8(out, o->log_level);
    pack_bool(out, o->log_json);
    pack_bool(out, o->use_sandbox);
    pack_bool(out, o->has_no_drafts);
    pack_bool(out, o->has_no_coarse_head);
}

int open_options_decode(struct open_options *o, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    o->n_threads = cursor_u32(&c);
    o->n_slots = cursor_u32(&c);
    unpack_text_into(&c, o->kv_type, sizeof o->kv_type);
    unpack_text_into(&c, o->cpu_level, sizeof o->cpu_level);
    o->log_level = cursor_u8(&c);
    o->log_json = unpack_bool(&c);
    o->use_sandbox = unpack_bool(&c);
    o->has_no_drafts = unpack_bool(&c);
    o->has_no_coarse_head = unpack_bool(&c);
    return whole(&c, "open", err);
}

void model_plan_encode(const struct model_plan *p, struct strbuf *out)
{
    pack_u64(out, p->weights_bytes);
    pack_u64(out, p->kv_bytes_per_token);
    pack_u64(out, p->scratch_bytes);
    pack_u64(out, p->process_bytes);
    pack_u32(out, p->train_context);
}

int model_plan_decode(struct model_plan *p, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    p->weights_bytes = cursor_u64(&c);
    p->kv_bytes_per_token = cursor_u64(&c);
    p->scratch_bytes = cursor_u64(&c);
    p->process_bytes = cursor_u64(&c);
    p->train_context = cursor_u32(&c);
    return whole(&c, "plan", err);
}

void load_options_encode(const struct load_options *o, struct strbuf *out)
{
    pack_u32(out, o->n_slots);
    pack_u32(out, o->pool_tokens);
    pack_u32(out, o->default_context);
}

int load_options_decode(struct load_options *o, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    o->n_slots = cursor_u32(&c);
    o->pool_tokens = cursor_u32(&c);
    o->default_context = cursor_u32(&c);
    return whole(&c, "load", err);
}

void load_progress_encode(const struct load_progress *p, struct strbuf *out)
{
    pack_u64(out, p->done);
    pack_u64(out, p->total);
}

int load_progress_decode(struct load_progress *p, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    p->done = cursor_u64(&c);
    p->total = cursor_u64(&c);
    return whole(&c, "progress", err);
}

void runner_stats_encode(const struct runner_stats *s, struct strbuf *out)
{
    pack_u64(out, s->memory_bytes);
    pack_u64(out, s->kv_tokens_used);
    pack_u64(out, s->kv_tokens_cached);
    pack_u64(out, s->kv_tokens_total);
    pack_u32(out, s->n_running);
    pack_u64(out, s->n_steps);
    pack_u64(out, s->n_preemptions);
    pack_u64(out, s->n_draft_tokens);
    pack_u64(out, s->n_accepted_tokens);
    pack_i64(out, s->step_ns);
    for (int i = 0; i <= HISTOGRAM_MAX_BOUNDS; i++)
        pack_u64(out, s->step_width.counts[i]);
    uint64_t sum;
    memcpy(&sum, &s->step_width.sum, sizeof sum);
    pack_u64(out, sum);
}

int runner_stats_decode(struct runner_stats *s, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    s->memory_bytes = cursor_u64(&c);
    s->kv_tokens_used = cursor_u64(&c);
    s->kv_tokens_cached = cursor_u64(&c);
    s->kv_tokens_total = cursor_u64(&c);
    s->n_running = cursor_u32(&c);
    s->n_steps = cursor_u64(&c);
    s->n_preemptions = cursor_u64(&c);
    s->n_draft_tokens = cursor_u64(&c);
    s->n_accepted_tokens = cursor_u64(&c);
    s->step_ns = unpack_i64(&c);
    for (int i = 0; i <= HISTOGRAM_MAX_BOUNDS; i++)
        s->step_width.counts[i] = cursor_u64(&c);
    uint64_t sum = cursor_u64(&c);
    memcpy(&s->step_width.sum, &sum, sizeof sum);
    return whole(&c, "statistics", err);
}

void turn_encode(const struct turn *t, struct strbuf *out)
{
    pack_u64(out, t->length_ns);
    pack_u32(out, t->n_sharing);
}

int turn_decode(struct turn *t, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    t->length_ns = cursor_u64(&c);
    t->n_sharing = cursor_u32(&c);
    return whole(&c, "turn", err);
}

void turn_end_encode(const struct turn_end *t, struct strbuf *out)
{
    pack_bool(out, t->has_work);
    pack_u64(out, t->n_steps);
    pack_u64(out, t->n_submits);
}

int turn_end_decode(struct turn_end *t, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    t->has_work = unpack_bool(&c);
    t->n_steps = cursor_u64(&c);
    t->n_submits = cursor_u64(&c);
    return whole(&c, "turn's end", err);
}

void convert_order_encode(const struct convert_order *o, struct strbuf *out)
{
    pack_text(out, o->quantize);
    pack_u32(out, o->n_threads);
    pack_u32(out, o->n_files);
    for (uint32_t i = 0; i < o->n_files; i++)
        pack_text(out, o->names[i]);
}

int convert_order_decode(struct convert_order *o, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    *o = (struct convert_order){.names = NULL};
    unpack_text_into(&c, o->quantize, sizeof o->quantize);
    o->n_threads = cursor_u32(&c);
    o->n_files = unpack_count(&c, sizeof(uint32_t));
    if (o->n_files > CONVERT_MAX_FILES)
        return err_set(err, ERR_FORMAT, "broken convert message");
    o->names = xcalloc(o->n_files + 1, sizeof o->names[0]);
    for (uint32_t i = 0; i < o->n_files; i++)
        unpack_text_into(&c, o->names[i], sizeof o->names[i]);
    return whole(&c, "convert", err);
}

void convert_state_encode(const struct convert_state *s, struct strbuf *out)
{
    pack_text(out, s->text);
    pack_u64(out, s->done);
    pack_u64(out, s->total);
}

int convert_state_decode(struct convert_state *s, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    unpack_text_into(&c, s->text, sizeof s->text);
    s->done = cursor_u64(&c);
    s->total = cursor_u64(&c);
    return whole(&c, "state", err);
}

void failure_encode(const struct err *failure, struct strbuf *out)
{
    pack_u32(out, failure->code);
    pack_text(out, failure->message);
}

int failure_decode(struct err *failure, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    uint32_t code = cursor_u32(&c);
    unpack_text_into(&c, failure->message, sizeof failure->message);
    if (code == ERR_NONE || code >= ERR_CODE_COUNT)
        c.failed = true;
    failure->code = (enum err_code)code;
    return whole(&c, "failure", err);
}

int failure_take(const void *bytes, size_t n, struct err *err)
{
    struct err failure = {0};
    if (failure_decode(&failure, bytes, n, err) != 0)
        return -1;
    return err_set(err, failure.code, "%s", failure.message);
}

void cancel_encode(uint64_t request_id, struct strbuf *out)
{
    pack_u64(out, request_id);
}

int cancel_decode(uint64_t *request_id, const void *bytes, size_t n, struct err *err)
{
    struct cursor c = cursor_make(bytes, n);
    *request_id = cursor_u64(&c);
    return whole(&c, "cancel", err);
}
