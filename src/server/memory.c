// SPDX-License-Identifier: MIT
// Between a model card's figures and the host's plan.
#include "server/memory.h"

#include "base/options.h"
#include "host/host.h"
#include "server/config.h"

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void member(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

static void write_plan(struct json_writer *w, const struct host_memory_plan *p, const char *kv_type)
{
    member(w, "weights_bytes", p->weights_bytes);
    member(w, "pool_bytes", p->pool_bytes);
    member(w, "scratch_bytes", p->scratch_bytes);
    member(w, "process_bytes", p->process_bytes);
    member(w, "front_bytes", p->front_bytes);
    member(w, "total_bytes", p->sizes.memory_bytes);
    member(w, "slots", p->sizes.n_slots);
    member(w, "pool_tokens", p->sizes.pool_tokens);
    member(w, "context_length", p->sizes.context_length);
    member(w, "threads", (uint64_t)p->n_threads);
    json_member_text(w, "kv_type", kv_type);
    json_member_text(w, "reduced", p->sizes.reduced);
    member(w, "budget_bytes", p->budget_bytes);
    member(w, "available_bytes", p->available_bytes);
    json_member_text(w, "fits", p->fits_now ? "now" : p->can_fit ? "after_unloading" : "never");
}

void memory_write(struct json_writer *w, struct app *app, const struct stored_model *m, const json_t *card,
                  uint32_t n_slots, uint32_t num_ctx)
{
    const json_t *memory = json_object_get(card, "memory");
    struct host_model model = {.blob_digest = m->model_digest,
                               .settings = config_model_settings(m->display_name)};
    const char *kv_type = model.settings.kv_type ? model.settings.kv_type : options_text(OPT_KV_CACHE_TYPE);
    struct host_memory_facts facts = {.weights_bytes = number(memory, "weights_bytes"),
                                      .coarse_head_bytes = number(memory, "coarse_head_bytes"),
                                      .process_bytes = number(memory, "process_bytes"),
                                      .kv_bytes_per_token =
                                          number(json_object_get(memory, "kv_bytes_per_token"), kv_type),
                                      .scratch_bytes = number(memory, "scratch_bytes"),
                                      .scratch_bytes_per_slot = number(memory, "scratch_bytes_per_slot"),
                                      .scratch_bytes_per_thread = number(memory, "scratch_bytes_per_thread"),
                                      .train_context = (uint32_t)number(memory, "train_context")};
    struct host_memory_plan plan;
    json_key(w, "memory");
    json_begin_object(w);
    if (memory == NULL) {
        const char *why = json_string_value(json_object_get(card, "cannot_run"));
        json_member_text(w, "error", why ? why : "the file's card has no memory plan");
    } else {
        host_plan_memory(app->host, &model, &facts, n_slots, num_ctx, &plan);
        write_plan(w, &plan, kv_type);
    }
    json_end_object(w);
}
