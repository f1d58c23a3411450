// SPDX-License-Identifier: MIT
// What can be said of a model from its header: the memory plan and the model card.
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "json/writer.h"
#include "model/vocab.h"

// Measured with glibc: program, libraries and their heap, and per entry the tokenizer's tables with what the
// sampler keeps of the vocabulary.
enum { PROCESS_BYTES = 10 << 20, BYTES_PER_TOKEN = 50, BYTES_PER_MERGE = 25 };

static uint64_t process_bytes(const struct gguf *g, const struct hparams *h)
{
    const struct gguf_value *merges = gguf_find(g, "tokenizer.ggml.merges");
    uint64_t n_merges = merges != NULL && merges->type == GGUF_ARRAY ? merges->count : 0;
    return PROCESS_BYTES + (uint64_t)h->n_vocab * BYTES_PER_TOKEN + n_merges * BYTES_PER_MERGE;
}

static uint64_t kv_bytes_per_token(const struct hparams *h, enum kv_type type)
{
    struct kv_layout layout;
    kv_layout_init(&layout, h, type);
    return (layout.page_bytes + kvcache_bytes_per_page() + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
}

static uint64_t scratch_bytes(const struct hparams *h, uint32_t n_slots, int n_threads)
{
    n_slots = MAX(n_slots, 1u);
    return decoder_scratch_bytes(h, engine_max_tokens(n_slots), engine_max_logits(n_slots), n_threads);
}

int engine_plan(const struct gguf *g, const struct engine_options *o, struct engine_plan *out,
                struct err *err)
{
    struct hparams h;
    size_t weights_bytes;
    if (weights_plan(g, !o->has_no_coarse_head, &h, &weights_bytes, err) != 0)
        return -1;
    *out = (struct engine_plan){.weights_bytes = weights_bytes,
                                .kv_bytes_per_token = kv_bytes_per_token(&h, o->kv_type),
                                .scratch_bytes = scratch_bytes(&h, o->n_slots, o->n_threads),
                                .process_bytes = process_bytes(g, &h),
                                .train_context = h.n_ctx_train};
    return 0;
}

static const char *file_type_name(uint32_t id)
{
    static const char *const names[] = {
        [0] = "F32",      [1] = "F16",      [2] = "Q4_0",    [3] = "Q4_1",    [7] = "Q8_0",
        [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",   [11] = "Q3_K_S", [12] = "Q3_K_M",
        [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",
        [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS",
        [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL", [26] = "IQ3_S",  [27] = "IQ3_M",
        [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS", [31] = "IQ1_M",  [32] = "BF16",
        [36] = "TQ1_0",   [37] = "TQ2_0",   [38] = "MXFP4",  [39] = "NVFP4"};
    id &= ~1024u;
    return id < COUNT_OF(names) && names[id] != NULL ? names[id] : "unknown";
}

enum { LONG_ARRAY = 1024 }; // longer arrays are null unless asked for

static void put_element(struct json_writer *w, enum gguf_type type, const void *at)
{
    struct cursor c = cursor_make(at, 8);
    switch (type) {
    case GGUF_U8:
        json_put_uint(w, cursor_u8(&c));
        break;
    case GGUF_I8:
        json_put_int(w, (int8_t)cursor_u8(&c));
        break;
    case GGUF_U16:
        json_put_uint(w, cursor_u16(&c));
        break;
    case GGUF_I16:
        json_put_int(w, (int16_t)cursor_u16(&c));
        break;
    case GGUF_U32:
        json_put_uint(w, cursor_u32(&c));
        break;
    case GGUF_I32:
        json_put_int(w, cursor_i32(&c));
        break;
    case GGUF_F32:
        json_put_float(w, cursor_f32(&c));
        break;
    case GGUF_BOOL:
        json_put_bool(w, cursor_u8(&c) != 0);
        break;
    case GGUF_U64:
        json_put_uint(w, cursor_u64(&c));
        break;
    case GGUF_I64:
        json_put_int(w, (int64_t)cursor_u64(&c));
        break;
    case GGUF_F64:
        json_put_double(w, cursor_f64(&c));
        break;
    default:
        json_put_null(w);
    }
}

static size_t element_bytes(enum gguf_type type)
{
    static const size_t sizes[GGUF_TYPE_COUNT] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8};
    return sizes[type];
}

static void put_value(struct json_writer *w, const struct gguf_value *v, bool verbose)
{
    if (v->type == GGUF_ARRAY && v->count > LONG_ARRAY && !verbose) {
        json_put_null(w);
        return;
    }
    if (v->type == GGUF_ARRAY)
        json_begin_array(w);
    if (v->elem_type == GGUF_STRING) {
        const void *at = NULL;
        struct slice s;
        while (gguf_next_string(v, &at, &s))
            json_put_slice(w, s);
    } else {
        for (uint64_t i = 0; i < v->count; i++) {
            char padded[8] = {0};
            memcpy(padded, (const char *)v->data + i * element_bytes(v->elem_type),
                   element_bytes(v->elem_type));
            put_element(w, v->elem_type, padded);
        }
    }
    if (v->type == GGUF_ARRAY)
        json_end_array(w);
}

static void put_model_info(struct json_writer *w, const struct gguf *g, uint64_t n_parameters, bool verbose)
{
    json_key(w, "model_info");
    json_begin_object(w);
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        char key[256];
        if (slice_is(v->key, "general.name") || slice_is(v->key, "tokenizer.chat_template") ||
            v->key.n >= sizeof key)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)v->key.n, v->key.at);
        json_key(w, key);
        put_value(w, v, verbose);
    }
    json_key(w, "general.parameter_count");
    json_put_uint(w, n_parameters);
    json_end_object(w);
}

static void put_tensors(struct json_writer *w, const struct gguf *g)
{
    json_key(w, "tensors");
    json_begin_array(w);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        json_begin_object(w);
        json_member_slice(w, "name", t->name);
        json_member_text(w, "type", t->type->name);
        json_key(w, "shape");
        json_begin_array(w);
        for (uint32_t d = 0; d < t->n_dims; d++)
            json_put_uint(w, t->ne[d]);
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
}

// What a plan for any slots, threads and KV type is made of: scratch memory grows by the same with each slot
// and each thread.
static int put_memory_plan(struct json_writer *w, const struct gguf *g, struct err *err)
{
    struct hparams h;
    size_t weights_bytes, with_coarse_bytes;
    if (weights_plan(g, false, &h, &weights_bytes, err) != 0 ||
        weights_plan(g, true, &h, &with_coarse_bytes, err) != 0)
        return -1;
    uint64_t one = scratch_bytes(&h, 1, 1), slot = scratch_bytes(&h, 2, 1) - one,
             thread = scratch_bytes(&h, 1, 2) - one;
    json_key(w, "memory");
    json_begin_object(w);
    json_member_int(w, "weights_bytes", (int64_t)weights_bytes);
    json_member_int(w, "coarse_head_bytes", (int64_t)(with_coarse_bytes - weights_bytes));
    json_key(w, "kv_bytes_per_token");
    json_begin_object(w);
    for (int type = 0; type < KV_TYPE_COUNT; type++)
        json_member_int(w, kv_type_name((enum kv_type)type),
                        (int64_t)kv_bytes_per_token(&h, (enum kv_type)type));
    json_end_object(w);
    json_member_int(w, "scratch_bytes", (int64_t)(one - slot - thread));
    json_member_int(w, "scratch_bytes_per_slot", (int64_t)slot);
    json_member_int(w, "scratch_bytes_per_thread", (int64_t)thread);
    json_member_int(w, "process_bytes", (int64_t)process_bytes(g, &h));
    json_member_int(w, "train_context", h.n_ctx_train);
    json_end_object(w);
    return 0;
}

static int get_arch_u32(const struct gguf *g, struct slice arch, const char *suffix, uint32_t *out,
                        struct err *err)
{
    char key[256];
    snprintf(key, sizeof key, "%.*s.%s", (int)MIN(arch.n, 100), arch.at, suffix);
    return gguf_get_u32(g, key, out, err);
}

int engine_write_card(const struct gguf *g, bool verbose, struct strbuf *json, struct err *err)
{
    struct json_writer w = json_writer_make(json);
    struct slice arch = slice_make("", 0), name = arch, template = arch;
    uint32_t file_type = 0, n_context = 0, n_embd = 0, n_layer = 0;
    uint64_t n_parameters = 0;
    if (gguf_get_string(g, "general.architecture", &arch, err) != 0 ||
        gguf_get_string(g, "general.name", &name, err) != 0 ||
        vocab_chat_template(g, NULL, &template, err) != 0 ||
        gguf_get_u32(g, "general.file_type", &file_type, err) != 0)
        return -1;
    if (arch.n == 0)
        return err_set(err, ERR_FORMAT, "general.architecture is missing");
    if (get_arch_u32(g, arch, "context_length", &n_context, err) != 0 ||
        get_arch_u32(g, arch, "embedding_length", &n_embd, err) != 0 ||
        get_arch_u32(g, arch, "block_count", &n_layer, err) != 0)
        return -1;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        n_parameters += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    json_begin_object(&w);
    json_member_slice(&w, "architecture", arch);
    json_member_slice(&w, "name", name);
    json_member_int(&w, "parameter_count", (int64_t)n_parameters);
    json_member_text(&w, "file_type", file_type_name(file_type));
    json_member_int(&w, "context_length", n_context);
    json_member_int(&w, "embedding_length", n_embd);
    json_member_int(&w, "block_count", n_layer);
    json_member_bool(&w, "has_template", template.n > 0);
    json_member_slice(&w, "template", template);
    struct err why = {0};
    if (put_memory_plan(&w, g, &why) != 0)
        json_member_text(&w, "cannot_run", why.message); // the card is still true
    put_model_info(&w, g, n_parameters, verbose);
    put_tensors(&w, g);
    json_end_object(&w);
    return json->overflow ? err_set(err, ERR_TOO_LARGE, "the model card is larger than %zu bytes", json->cap)
                          : 0;
}
