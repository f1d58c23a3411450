// SPDX-License-Identifier: MIT
// The statuses that drover answers with are known, so that labels stay few whatever happens.
#include "server/tally.h"

#include <stdlib.h>

#include "base/mem.h"

static const char *const statuses[] = {"200", "201", "204", "301", "307", "400", "401",  "403", "404",
                                       "405", "408", "409", "411", "413", "414", "417",  "429", "431",
                                       "499", "500", "501", "503", "504", "505", "other"};
_Static_assert(COUNT_OF(statuses) <= TALLY_STATUSES, "room for each status");

static const struct {
    enum err_code code;
    const char *name;
} refusals[] = {
#define X(code, name) {code, name},
    REFUSAL_LIST(X)
#undef X
};
_Static_assert(COUNT_OF(refusals) <= TALLY_REFUSALS, "room for each reason");

void tally_count_answer(struct tally *t, size_t route_i, int status)
{
    size_t i = 0;
    while (i + 1 < COUNT_OF(statuses) && atoi(statuses[i]) != status)
        i++;
    if (route_i < TALLY_ROUTES)
        atomic_fetch_add_explicit(&t->answers[route_i][i], 1, memory_order_relaxed);
}

const char *tally_status_text(size_t i)
{
    return i < COUNT_OF(statuses) ? statuses[i] : NULL;
}

void tally_count_refusal(struct tally *t, const struct err *why)
{
    size_t i = 0;
    while (i + 1 < COUNT_OF(refusals) && refusals[i].code != why->code)
        i++;
    atomic_fetch_add_explicit(&t->refusals[i], 1, memory_order_relaxed);
}

const char *tally_refusal_text(size_t i)
{
    return i < COUNT_OF(refusals) ? refusals[i].name : NULL;
}
