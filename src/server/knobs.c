// SPDX-License-Identifier: MIT
// The table of options: name, type, where it lands in struct params. Options of loading that this build
// decides by itself are checked for their type and then left, as Ollama's engine does where it has no use for
// them.
#include "server/knobs.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum knob_type { KNOB_INT, KNOB_FLOAT, KNOB_SEED, KNOB_STOPS, KNOB_UNUSED_INT, KNOB_UNUSED_BOOL };

struct knob {
    const char *name;
    enum knob_type type;
    size_t offset;
};

static const struct knob knobs[] = {
    {"num_ctx", KNOB_INT, offsetof(struct params, num_ctx)},
    {"num_predict", KNOB_INT, offsetof(struct params, num_predict)},
    {"num_keep", KNOB_INT, offsetof(struct params, num_keep)},
    {"seed", KNOB_SEED, offsetof(struct params, seed)},
    {"temperature", KNOB_FLOAT, offsetof(struct params, temperature)},
    {"top_k", KNOB_INT, offsetof(struct params, top_k)},
    {"top_p", KNOB_FLOAT, offsetof(struct params, top_p)},
    {"min_p", KNOB_FLOAT, offsetof(struct params, min_p)},
    {"typical_p", KNOB_FLOAT, offsetof(struct params, typical_p)},
    {"repeat_last_n", KNOB_INT, offsetof(struct params, repeat_last_n)},
    {"repeat_penalty", KNOB_FLOAT, offsetof(struct params, repeat_penalty)},
    {"presence_penalty", KNOB_FLOAT, offsetof(struct params, presence_penalty)},
    {"frequency_penalty", KNOB_FLOAT, offsetof(struct params, frequency_penalty)},
    {"stop", KNOB_STOPS, 0},
    {"num_batch", KNOB_UNUSED_INT, 0},
    {"num_gpu", KNOB_UNUSED_INT, 0},
    {"main_gpu", KNOB_UNUSED_INT, 0},
    {"num_thread", KNOB_UNUSED_INT, 0},
    {"draft_num_predict", KNOB_UNUSED_INT, 0},
    {"use_mmap", KNOB_UNUSED_BOOL, 0},
};

static const struct knob *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(knobs); i++)
        if (strcmp(knobs[i].name, name) == 0)
            return &knobs[i];
    return NULL;
}

bool knobs_is_honoured(const char *name)
{
    const struct knob *k = find(name);
    return k && k->type != KNOB_UNUSED_INT && k->type != KNOB_UNUSED_BOOL;
}

static int wrong_type(const char *name, const char *expected, struct err *err)
{
    return err_set(err, ERR_INTERNAL, "option \"%s\" must be of type %s", name, expected);
}

static int64_t whole_number(const json_t *value) // truncated, within int64
{
    if (json_is_integer(value))
        return json_integer_value(value);
    double d = json_real_value(value);
    return d >= 9e18 ? INT64_MAX : d <= -9e18 ? INT64_MIN : (int64_t)d;
}

static int32_t narrow(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}

static void drop_stops(struct request *r)
{
    for (size_t i = 0; i < r->n_stops; i++)
        free(r->stops[i]);
    free(r->stops);
    r->stops = NULL;
    r->n_stops = 0;
}

static int apply_stops(struct request *r, const json_t *value, struct err *err)
{
    if (!json_is_array(value))
        return wrong_type("stop", "array", err);
    if (json_array_size(value) > PARAMS_MAX_STOPS)
        return err_set(err, ERR_INVALID, "option \"stop\": at most %d stop strings, got %zu",
                       PARAMS_MAX_STOPS, json_array_size(value));
    drop_stops(r);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *stop = json_array_get(value, i);
        if (!json_is_string(stop))
            return err_set(err, ERR_INTERNAL, "option \"stop\" must be of an array of strings");
        struct slice text = json_slice(stop);
        if (text.n > PARAMS_MAX_STOP_BYTES || (text.n && memchr(text.at, 0, text.n)))
            return err_set(err, ERR_INVALID,
                           "option \"stop\": string %zu is longer than %d bytes or has a NUL", i,
                           PARAMS_MAX_STOP_BYTES);
        if (text.n > 0)
            request_add_stop(r, text.at, text.n);
    }
    return 0;
}

static int apply_one(struct request *r, bool *has_seed, const struct knob *k, const json_t *value,
                     struct err *err)
{
    void *at = (char *)&r->params + k->offset;
    switch (k->type) {
    case KNOB_STOPS:
        return apply_stops(r, value, err);
    case KNOB_UNUSED_BOOL:
        return json_is_boolean(value) ? 0 : wrong_type(k->name, "boolean", err);
    case KNOB_FLOAT:
        if (!json_is_number(value))
            return wrong_type(k->name, "float32", err);
        *(float *)at = (float)json_number_value(value);
        if (!isfinite(*(float *)at))
            return err_set(err, ERR_INVALID, "option \"%s\" is out of range", k->name);
        return 0;
    default:
        break;
    }
    if (!json_is_number(value))
        return wrong_type(k->name, "integer", err);
    if (k->type == KNOB_INT)
        *(int32_t *)at = narrow(whole_number(value));
    if (k->type == KNOB_SEED) {
        int64_t seed = whole_number(value);
        *has_seed = seed != -1; // -1 asks for a random one
        r->params.seed = (uint64_t)seed;
    }
    return 0;
}

// Values that mean "off" or "the default" in Ollama's engine, made the one that struct params documents.
static void settle(struct params *p)
{
    if (p->num_predict <= 0) // also 0: its engine takes it as "not given"
        p->num_predict = -1;
    if (p->num_ctx <= 0)
        p->num_ctx = 0;
    else if (p->num_ctx < 4)
        p->num_ctx = 4;
    if (p->temperature < 0)
        p->temperature = 0;
    if (p->repeat_penalty <= 0)
        p->repeat_penalty = 1;
    if (p->repeat_last_n < -1)
        p->repeat_last_n = -1;
}

int knobs_apply(struct request *r, bool *has_seed, const json_t *options, struct err *err)
{
    const char *key;
    json_t *value;
    if (!options)
        return 0;
    json_object_foreach((json_t *)options, key, value)
    {
        const struct knob *k = find(key);
        if (!k)
            log_debug("server", "option \"%s\" is not known and ignored", key);
        else if (!json_is_null(value) && apply_one(r, has_seed, k, value, err) != 0)
            return -1;
    }
    settle(&r->params);
    return 0;
}

uint64_t knobs_draw_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint64_t)clock_monotonic_ns() * 0x9E3779B97F4A7C15u;
    return seed & ((1ull << 53) - 1);
}
