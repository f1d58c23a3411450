// SPDX-License-Identifier: MIT
// Sentences from the scheduler's own account: the causes add up to the whole wait, so each one that mattered
// is named with its share; what is below a hundredth of the wait, and below a millisecond, is not.
#include "server/why.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

static const char *const phases[HOST_PHASE_COUNT] = {"queued", "loading", "prompt", "decoding", "ended"};

const char *why_phase_name(enum host_phase phase)
{
    return phases[phase];
}

static void push_time(struct strbuf *out, int64_t ns)
{
    double s = (double)ns / (double)NS_PER_S;
    if (s >= 99.95)
        strbuf_printf(out, "%.0f s", s);
    else if (s >= 0.0995)
        strbuf_printf(out, "%.1f s", s);
    else
        strbuf_printf(out, "%.0f ms", s * 1000);
}

static void push_number(struct strbuf *out, uint32_t n)
{
    static const char *const words[] = {"no",    "one",   "two",  "three", "four",   "five",  "six",
                                        "seven", "eight", "nine", "ten",   "eleven", "twelve"};
    if (n < COUNT_OF(words))
        strbuf_push_text(out, words[n]);
    else
        strbuf_printf(out, "%" PRIu32, n);
}

// "the two streams of gemma3"
static void push_streams(struct strbuf *out, uint32_t n, const char *model)
{
    strbuf_push_text(out, "the ");
    push_number(out, n);
    strbuf_printf(out, " stream%s of %s", n == 1 ? "" : "s", model);
}

static bool is_of_room(int cause)
{
    return cause == SCHED_CAUSE_ROOM || cause == SCHED_CAUSE_UNLOAD || cause == SCHED_CAUSE_LINE;
}

// "for the two streams of gemma3 and the one stream of qwen"; false: not known who it was.
static bool push_blockers(struct strbuf *out, const struct host_record *r)
{
    bool any = false;
    for (int i = 0; i < SCHED_MAX_BLOCKERS; i++) {
        if (r->blockers[i].model[0] == 0 || r->blockers[i].n_streams == 0)
            continue;
        strbuf_push_text(out, any ? " and " : "for ");
        push_streams(out, r->blockers[i].n_streams, r->blockers[i].model);
        any = true;
    }
    return any;
}

static void push_cause(struct strbuf *out, const struct host_record *r, int cause)
{
    if (cause == SCHED_CAUSE_SLOT && r->n_streams > 0) {
        strbuf_push_text(out, "for ");
        push_streams(out, r->n_streams, r->model);
    } else if (cause == SCHED_CAUSE_UNLOAD && r->blockers[0].model[0]) {
        strbuf_printf(out, "while %s was unloaded", r->blockers[0].model);
    } else if (!is_of_room(cause) || cause == SCHED_CAUSE_LINE || !push_blockers(out, r)) {
        strbuf_push_text(out, sched_cause_words((enum sched_cause)cause));
    }
}

// The cause with the greatest share that was not told yet; -1: none that matters.
static int next_cause(const struct host_record *r, int64_t least_ns, unsigned told)
{
    int best = -1;
    for (int i = 0; i < SCHED_CAUSE_COUNT; i++)
        if (!(told >> i & 1) && r->cause_ns[i] >= least_ns &&
            (best < 0 || r->cause_ns[i] > r->cause_ns[best]))
            best = i;
    return best;
}

static bool write_waits(const struct host_record *r, struct strbuf *out)
{
    int64_t waited_ns = r->queue_ns + r->load_ns;
    int64_t least_ns = MAX(waited_ns / 100, NS_PER_MS);
    bool is_over = r->phase != HOST_QUEUED && r->phase != HOST_LOADING;
    unsigned told = 0;
    if (strcmp(r->outcome, "refused") == 0)
        return false;
    if (waited_ns < NS_PER_MS) {
        strbuf_push_text(out, is_over ? "did not wait" : "has just arrived");
        return true;
    }
    strbuf_push_text(out, is_over ? "waited " : "has waited ");
    push_time(out, waited_ns);
    for (int cause; (cause = next_cause(r, least_ns, told)) >= 0; told |= 1u << cause) {
        strbuf_push_text(out, told ? ", " : ": ");
        push_time(out, r->cause_ns[cause]);
        strbuf_push_char(out, ' ');
        push_cause(out, r, cause);
    }
    return true;
}

static bool write_state(const struct host_record *r, struct strbuf *out)
{
    switch (r->phase) {
    case HOST_QUEUED:
    case HOST_LOADING:
        strbuf_printf(out, "is at position %" PRIu32 " of the queue of %s, waiting %s", r->position, r->model,
                      sched_cause_words(r->cause));
        return true;
    case HOST_PROMPT:
        strbuf_printf(out, "has a slot of %s, which is reading its prompt", r->model);
        return true;
    case HOST_DECODING:
        strbuf_printf(out, "is being answered by %s", r->model);
        return true;
    default:
        return false;
    }
}

static bool write_restarts(const struct host_record *r, struct strbuf *out)
{
    if (r->n_resubmissions == 0)
        return false;
    strbuf_push_text(out, "went on in a new process of the model after the one it ran in had died");
    if (r->n_resubmissions > 1) {
        strbuf_push_text(out, ", ");
        push_number(out, r->n_resubmissions);
        strbuf_push_text(out, " times");
    }
    return true;
}

static bool write_work(const struct host_record *r, struct strbuf *out)
{
    if (r->n_prompt == 0)
        return false;
    strbuf_printf(out, "had a prompt of %" PRIu32 " token%s", r->n_prompt, r->n_prompt == 1 ? "" : "s");
    if (r->n_cached > 0)
        strbuf_printf(out, ", of which %" PRIu32 " were cached", r->n_cached);
    if (r->first_token_ns > 0) {
        strbuf_push_text(out, ", and its first token ");
        push_time(out, r->first_token_ns);
        strbuf_printf(out, " after it came; %" PRIu32 " token%s %sgenerated", r->n_generated,
                      r->n_generated == 1 ? "" : "s",
                      r->phase != HOST_ENDED ? ""
                      : r->n_generated == 1  ? "was "
                                             : "were ");
        if (r->phase != HOST_ENDED)
            strbuf_push_text(out, " so far");
    }
    return true;
}

static bool write_end(const struct host_record *r, struct strbuf *out)
{
    if (r->phase != HOST_ENDED)
        return false;
    if (strcmp(r->outcome, "refused") == 0) {
        strbuf_printf(out, "was refused with status %d: %s", r->status, r->error);
        return true;
    }
    strbuf_push_text(out, strcmp(r->outcome, "cancelled") == 0 ? "was cancelled after " : "ended after ");
    push_time(out, r->total_ns);
    if (r->error[0])
        strbuf_printf(out, ": %s", r->error);
    else
        strbuf_printf(out, " (%s)", r->outcome);
    return true;
}

bool why_write(const struct host_record *r, enum why_part part, struct strbuf *out)
{
    static bool (*const writers[WHY_PART_COUNT])(const struct host_record *, struct strbuf *) = {
        [WHY_STATE] = write_state, [WHY_WAITS] = write_waits, [WHY_RESTARTS] = write_restarts,
        [WHY_WORK] = write_work,   [WHY_END] = write_end,
    };
    return writers[part](r, out);
}
