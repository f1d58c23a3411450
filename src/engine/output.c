// SPDX-License-Identifier: MIT
#include "engine/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void output_init(struct output *o, char **stops, size_t n_stops, bool keeps_logprobs)
{
    memset(o, 0, sizeof *o);
    strbuf_init(&o->pending, 1 << 20);
    o->stops = stops;
    o->n_stops = n_stops;
    o->keeps_logprobs = keeps_logprobs;
}

void output_fini(struct output *o)
{
    strbuf_fini(&o->pending);
    free(o->held);
}

// The earliest place where any stop string begins; pending.n: none.
static size_t find_stop(struct output *o)
{
    size_t first = o->pending.n;
    for (size_t i = 0; i < o->n_stops; i++) {
        size_t length = strlen(o->stops[i]);
        const char *at =
            o->pending.n && length ? memmem(o->pending.at, o->pending.n, o->stops[i], length) : NULL;
        if (at != NULL && (size_t)(at - o->pending.at) < first) {
            first = (size_t)(at - o->pending.at);
            o->stop_i = (uint32_t)i + 1;
        }
    }
    return first;
}

// Bytes at the end of pending that are the beginning of a stop string.
static size_t count_hold(const struct output *o)
{
    size_t hold = 0;
    for (size_t i = 0; i < o->n_stops; i++) {
        size_t length = strlen(o->stops[i]);
        for (size_t n = length > 0 ? MIN(length - 1, o->pending.n) : 0; n > hold; n--) {
            if (memcmp(o->pending.at + o->pending.n - n, o->stops[i], n) == 0) {
                hold = n;
                break;
            }
        }
    }
    return hold;
}

// Sends the first n bytes of pending and counts the tokens whose text is out.
static size_t send(struct output *o, size_t n, struct strbuf *text)
{
    strbuf_push(text, o->pending.at, n);
    strbuf_drop_front(&o->pending, n);
    o->n_sent += n;
    size_t released = 0;
    while (released < o->n_held && o->held[released].end <= o->n_sent)
        released++;
    return released;
}

static void hold_token(struct output *o, const struct sample *sample)
{
    if (!o->keeps_logprobs || o->n_held == OUTPUT_MAX_HELD)
        return;
    if (o->n_held == o->held_capacity) {
        o->held_capacity = MAX(8, o->held_capacity * 2);
        o->held = xrealloc(o->held, o->held_capacity * sizeof *o->held);
    }
    uint64_t end = o->n_sent + o->pending.n + o->detok.n_held;
    o->held[o->n_held++] = (struct output_token){end, *sample};
}

bool output_push(struct output *o, struct slice piece, const struct sample *sample, struct strbuf *text,
                 size_t *n_released)
{
    detok_push(&o->detok, piece, &o->pending);
    hold_token(o, sample);
    size_t stop = find_stop(o);
    if (stop < o->pending.n) {
        *n_released = send(o, stop, text);
        return true;
    }
    *n_released = send(o, o->pending.n - count_hold(o), text);
    return false;
}

void output_finish(struct output *o, struct strbuf *text, size_t *n_released)
{
    o->detok.n_held = 0; // half a character is not shown
    send(o, o->pending.n, text);
    *n_released = o->n_held;
}

void output_drop_released(struct output *o, size_t n)
{
    o->n_held -= n;
    if (o->n_held > 0)
        memmove(o->held, o->held + n, o->n_held * sizeof *o->held);
}
