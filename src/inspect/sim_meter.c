// SPDX-License-Identifier: MIT
// Counts and times per model and of all, printed as a table or CSV. Percentiles are exact: every time is
// kept, 24 bytes a request.
#include "inspect/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct times {
    int64_t *ns;
    size_t n, capacity;
};

struct row {
    char name[SIM_NAME_BYTES];
    uint64_t n_submitted, n_refused, n_failed, n_cancelled, n_finished, n_loads, n_evicted, n_unloads;
    struct times waits, tokens, totals; // to the start, the first token, the end
    int64_t cause_ns[SCHED_CAUSE_COUNT];
};

struct sim_meter {
    struct row all, rows[SIM_MAX_MODELS];
    uint32_t n_rows;
};

static void push(struct times *t, int64_t ns)
{
    if (t->n == t->capacity) {
        t->capacity = MAX(t->capacity * 2, (size_t)1024);
        t->ns = xrealloc(t->ns, t->capacity * sizeof *t->ns);
    }
    t->ns[t->n++] = ns;
}

struct sim_meter *sim_meter_new(void)
{
    struct sim_meter *m = xcalloc(1, sizeof *m);
    snprintf(m->all.name, sizeof m->all.name, "total");
    return m;
}

static void free_row(struct row *r)
{
    free(r->waits.ns);
    free(r->tokens.ns);
    free(r->totals.ns);
}

void sim_meter_free(struct sim_meter *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->n_rows; i++)
        free_row(&m->rows[i]);
    free_row(&m->all);
    free(m);
}

static struct row *row_of(struct sim_meter *m, uint32_t model_i)
{
    uint32_t i = MIN(model_i, (uint32_t)SIM_MAX_MODELS - 1);
    for (; m->n_rows <= i; m->n_rows++)
        snprintf(m->rows[m->n_rows].name, SIM_NAME_BYTES, "model-%u", m->n_rows);
    return &m->rows[i];
}

void sim_meter_name(struct sim_meter *m, uint32_t model_i, const char *name)
{
    snprintf(row_of(m, model_i)->name, SIM_NAME_BYTES, "%s", name);
}

void sim_meter_submitted(struct sim_meter *m, uint32_t model_i, bool accepted)
{
    struct row *r = row_of(m, model_i);
    r->n_submitted++;
    m->all.n_submitted++;
    r->n_refused += !accepted;
    m->all.n_refused += !accepted;
}

void sim_meter_started(struct sim_meter *m, const struct sched_request *q, int64_t now_ns)
{
    struct row *r = row_of(m, q->model->index);
    struct sched_waits waits;
    if (q->was_started) // before
        return;
    sched_read_waits(q, now_ns, &waits);
    push(&r->waits, now_ns - q->arrived_ns);
    push(&m->all.waits, now_ns - q->arrived_ns);
    for (int c = 0; c < SCHED_CAUSE_COUNT; c++) {
        r->cause_ns[c] += waits.cause_ns[c];
        m->all.cause_ns[c] += waits.cause_ns[c];
    }
}

void sim_meter_finished(struct sim_meter *m, const struct sched_request *q, int64_t now_ns)
{
    struct row *r = row_of(m, q->model->index);
    r->n_finished++;
    m->all.n_finished++;
    push(&r->totals, now_ns - q->arrived_ns);
    push(&m->all.totals, now_ns - q->arrived_ns);
    if (q->first_token_ns == 0)
        return;
    push(&r->tokens, q->first_token_ns - q->arrived_ns);
    push(&m->all.tokens, q->first_token_ns - q->arrived_ns);
}

void sim_meter_failed(struct sim_meter *m, const struct sched_request *q)
{
    row_of(m, q->model->index)->n_failed++;
    m->all.n_failed++;
}

void sim_meter_cancelled(struct sim_meter *m, const struct sched_request *q)
{
    row_of(m, q->model->index)->n_cancelled++;
    m->all.n_cancelled++;
}

void sim_meter_model_acted(struct sim_meter *m, const struct sched_action *a)
{
    struct row *r = row_of(m, a->model->index);
    bool loads = a->kind == SCHED_LOAD, unloads = a->kind == SCHED_STOP && a->model->sizes.n_slots > 0;
    bool evicts = unloads && a->model->unload_reason == SCHED_UNLOAD_ROOM;
    r->n_loads += loads;
    m->all.n_loads += loads;
    r->n_unloads += unloads;
    m->all.n_unloads += unloads;
    r->n_evicted += evicts;
    m->all.n_evicted += evicts;
}

// ---- Printing ----
static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_s(const struct times *t, double q)
{
    if (t->n == 0)
        return 0;
    size_t i = (size_t)(q * (double)(t->n - 1) + 0.5);
    return (double)t->ns[MIN(i, t->n - 1)] / 1e9;
}

static void print_row(struct row *r, bool csv)
{
    struct times *all[] = {&r->waits, &r->tokens, &r->totals};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i]->n > 0)
            qsort(all[i]->ns, all[i]->n, sizeof *all[i]->ns, compare);
    printf(csv ? "%s,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f\n"
               : "%-16s %9llu %9llu %8llu %7llu %7llu %6llu %8llu %8llu %8.3f %8.3f %8.3f %8.3f %8.3f %8.3f "
                 "%8.3f %8.3f\n",
           r->name, (unsigned long long)r->n_submitted, (unsigned long long)r->n_finished,
           (unsigned long long)r->n_refused, (unsigned long long)r->n_failed,
           (unsigned long long)r->n_cancelled, (unsigned long long)r->n_loads,
           (unsigned long long)r->n_unloads, (unsigned long long)r->n_evicted, quantile_s(&r->waits, 0.5),
           quantile_s(&r->waits, 0.9), quantile_s(&r->waits, 0.99), quantile_s(&r->waits, 1),
           quantile_s(&r->tokens, 0.5), quantile_s(&r->tokens, 0.99), quantile_s(&r->totals, 0.5),
           quantile_s(&r->totals, 0.99));
}

static void print_causes(const struct row *r)
{
    double sum = 0;
    for (int c = 0; c < SCHED_CAUSE_COUNT; c++)
        sum += (double)r->cause_ns[c];
    if (sum <= 0)
        return;
    printf("\nwaited:");
    for (int c = 0; c < SCHED_CAUSE_COUNT; c++) {
        double share = 100 * (double)r->cause_ns[c] / sum;
        if (share >= 0.05)
            printf(" %.1f %% %s;", share, sched_cause_words((enum sched_cause)c));
    }
    printf("\n");
}

void sim_meter_print(struct sim_meter *m, bool csv, int64_t end_ns)
{
    static const char *const names[] = {"model",     "requests", "finished", "refused",   "failed",
                                        "left",      "loads",    "unloads",  "evicted",   "wait_p50",
                                        "wait_p90",  "wait_p99", "wait_max", "first_p50", "first_p99",
                                        "total_p50", "total_p99"};
    static const int widths[] = {-16, 9, 9, 8, 7, 7, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        printf("%s%*s", i == 0 ? "" : csv ? "," : " ", csv ? 0 : widths[i], names[i]);
    printf("\n");
    for (uint32_t i = 0; i < m->n_rows; i++)
        print_row(&m->rows[i], csv);
    print_row(&m->all, csv);
    if (csv)
        return;
    print_causes(&m->all);
    printf("%.1f hours of traffic; times in seconds\n", (double)end_ns / 3.6e12);
}
