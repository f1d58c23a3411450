// SPDX-License-Identifier: MIT
// Turns: where several models have work, one computes at a time, so that they never oversubscribe the cores.
// The front gives the turn to one runner over its socket; the runner gives it back when its time is over or
// nothing is left to do. A model that is alone with its work keeps the turn until it is recalled: there is
// nothing to ask for between two steps. Who has had the least time is next; a model that comes back after a
// rest does not bring saved time with it.
//
// The watchdog: a runner that has the turn and says nothing of a step for stall_timeout is killed, and what
// follows is the path of a crash. Time during which the front itself did not run does not count.
//
// What always holds: at most one runner has the turn. All on the host's thread.
#include "host/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define ROUND_NS     (50 * NS_PER_MS) // in which each model that has work has one turn
#define MIN_TURN_NS  (5 * NS_PER_MS)
#define MAX_TICK_NS  NS_PER_S
#define TICKS_A_WAIT 8

static uint32_t count_wanting(const struct host *h, const struct link **neediest)
{
    uint32_t n = 0;
    *neediest = NULL;
    LIST_EACH(&h->links, node)
    {
        const struct link *l = LIST_OWNER(node, struct link, all);
        if (!l->wants_turn || !l->socket_open)
            continue;
        n++;
        if (*neediest == NULL || l->turn_time_ns < (*neediest)->turn_time_ns)
            *neediest = l;
    }
    return n;
}

static void give(struct host *h, struct link *l, uint32_t n_sharing)
{
    struct turn turn = {.n_sharing = n_sharing};
    if (n_sharing > 1)
        turn.length_ns = (uint64_t)MAX(ROUND_NS / n_sharing, MIN_TURN_NS);
    h->turn = l;
    h->turn_has_end = turn.length_ns > 0;
    h->turn_began_ns = h->looked_at_ns = clock_monotonic_ns();
    l->silent_ns = 0;
    strbuf_reset(&h->message);
    turn_encode(&turn, &h->message);
    link_push(h, l, FRAME_TURN);
    pthread_mutex_lock(&h->mutex);
    l->model->n_turns++;
    pthread_mutex_unlock(&h->mutex);
}

void turns_settle(struct host *h)
{
    const struct link *next;
    uint32_t n_sharing = count_wanting(h, &next);
    if (h->turn == NULL) {
        if (next != NULL)
            give(h, (struct link *)next, n_sharing);
    } else if (!h->turn_has_end && n_sharing > (h->turn->wants_turn ? 1u : 0u)) {
        h->turn_has_end = true;
        strbuf_reset(&h->message);
        link_push(h, h->turn, FRAME_RECALL);
    }
}

void turns_want(struct host *h, struct link *l)
{
    l->n_submits++;
    if (l->wants_turn)
        return;
    const struct link *neediest;
    if (count_wanting(h, &neediest) > 0)
        l->turn_time_ns = MAX(l->turn_time_ns, neediest->turn_time_ns);
    l->wants_turn = true;
    turns_settle(h);
}

// The turn is free again.
static void take_back(struct host *h)
{
    h->turn->turn_time_ns += clock_monotonic_ns() - h->turn_began_ns;
    h->turn = NULL;
}

int turns_on_release(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    struct turn_end end;
    if (turn_end_decode(&end, m->bytes, m->n, err) != 0)
        return -1;
    if (h->turn != l)
        return err_set(err, ERR_FORMAT, "it gives back a turn that it does not have");
    take_back(h);
    pthread_mutex_lock(&h->mutex);
    l->model->stats.n_steps = end.n_steps;
    pthread_mutex_unlock(&h->mutex);
    l->wants_turn = end.has_work || end.n_submits < l->n_submits;
    turns_settle(h);
    return 0;
}

void turns_forget(struct host *h, struct link *l)
{
    l->wants_turn = false;
    if (h->turn != l)
        return;
    take_back(h);
    turns_settle(h);
}

// ---- The watchdog ----
static int64_t tick_ns(int64_t timeout_ns)
{
    return MIN(MAX(timeout_ns / TICKS_A_WAIT, NS_PER_MS), MAX_TICK_NS);
}

int64_t turns_deadline_ns(const struct host *h)
{
    int64_t timeout_ns = atomic_load(&h->stall_timeout_ns);
    return h->turn != NULL && timeout_ns > 0 ? h->looked_at_ns + tick_ns(timeout_ns) : INT64_MAX;
}

void turns_watch(struct host *h, int64_t now_ns)
{
    int64_t timeout_ns = atomic_load(&h->stall_timeout_ns);
    int64_t passed_ns = MIN(now_ns - h->looked_at_ns, 2 * tick_ns(timeout_ns));
    struct link *l = h->turn;
    h->looked_at_ns = now_ns;
    if (l == NULL || timeout_ns <= 0)
        return;
    l->silent_ns += passed_ns;
    if (l->silent_ns < timeout_ns || l->process_gone || l->is_stalled)
        return;
    l->is_stalled = true;
    log_error("host", "the runner of %s (process %d) has work and made no step for %.1f s: it is killed",
              l->model->name, (int)l->child.pid, (double)l->silent_ns / NS_PER_S);
    spawn_kill(&l->child);
}
