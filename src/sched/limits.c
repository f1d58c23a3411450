// SPDX-License-Identifier: MIT
// All three count from the arrival. sched.limits_due_ns is a lower bound on the first one that runs out, so
// that most events look at no request here.
#include "sched/limits.h"

static int64_t limit_of(int64_t own_ns, int64_t option_ns)
{
    return own_ns != 0 ? own_ns : option_ns;
}

static int64_t due(const struct sched_request *r, int64_t limit_ns)
{
    return limit_ns > 0 ? clock_after_ns(r->arrived_ns, limit_ns) : INT64_MAX;
}

static int64_t start_due(const struct sched *s, const struct sched_request *r)
{
    return r->place == SCHED_WAITING && r->started_ns == 0
               ? due(r, limit_of(r->max_queue_wait_ns, s->options.max_queue_wait_ns))
               : INT64_MAX;
}

static int64_t token_due(const struct sched *s, const struct sched_request *r)
{
    return r->first_token_ns == 0 && !r->is_load
               ? due(r, limit_of(r->first_token_timeout_ns, s->options.first_token_timeout_ns))
               : INT64_MAX;
}

static int64_t end_due(const struct sched *s, const struct sched_request *r)
{
    return due(r, limit_of(r->request_timeout_ns, s->options.request_timeout_ns));
}

int64_t limits_due_ns(const struct sched *s, const struct sched_request *r)
{
    return MIN(MIN(start_due(s, r), token_due(s, r)), end_due(s, r));
}

static void enforce(struct sched *s, struct sched_request *r)
{
    struct err why = {0};
    double waited_s = (double)(s->now_ns - r->arrived_ns) / 1e9;
    if (end_due(s, r) <= s->now_ns)
        err_set(&why, ERR_TIMEOUT, "the request was not finished after %.1f s (request_timeout)", waited_s);
    else if (token_due(s, r) <= s->now_ns)
        err_set(&why, ERR_TIMEOUT, "no first token after %.1f s (first_token_timeout)", waited_s);
    else if (start_due(s, r) <= s->now_ns)
        err_set(&why, ERR_BUSY,
                "server busy, please try again.  waited %.1f s in the queue (max_queue_wait), now %s",
                waited_s, sched_cause_words(sched_cause_of(r)));
    if (why.code != ERR_NONE)
        sched_fail_request(s, r, &why);
    else
        s->limits_due_ns = MIN(s->limits_due_ns, limits_due_ns(s, r));
}

void limits_enforce(struct sched *s)
{
    if (s->now_ns < s->limits_due_ns)
        return;
    s->limits_due_ns = INT64_MAX;
    LIST_EACH(&s->models, at)
    {
        LIST_EACH_SAFE(&model_of(at)->waiting, node, after)
        enforce(s, request_of(node));
        LIST_EACH_SAFE(&model_of(at)->running, node, after)
        enforce(s, request_of(node));
    }
}
