// SPDX-License-Identifier: MIT
// A machine that costs what sim_models.c says, around the real scheduler. The streams of a model advance
// together, so each model has a clock of its own, in seconds of a stream that is alone; a stream ends when
// that clock has gone on by its work. How fast the clock runs changes when a stream starts or ends, or when
// another model of the same device gets or loses work: those share the device.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "inspect/sim.h"

enum { FREE_STEP = 256 };
#define PROBE_NS 20000000LL // a process starts and reads a header
#define STOP_NS  20000000LL // a process ends
#define NEVER    INT64_MAX

struct stream {
    struct sched_request sched;
    double prompt_work, work; // seconds alone
    double token_at, end_at;  // on its model's clock, while it runs
    bool has_token;
    struct stream *next_free;
};

struct machine_model {
    const struct sim_model *facts;
    struct sched_model *sched;
    double clock;          // of its streams
    double speed;          // of the clock
    int64_t since_ns;      // the clock stood at `clock` then
    int64_t process_at_ns; // when its process has done what it does; NEVER: nothing
    enum sched_action_kind process_does;
};

struct world {
    struct sched *s;
    const struct sim_models *models;
    struct machine_model *m;
    uint32_t n;
    struct sim_meter *meter;
    struct stream *free_streams;
    void **blocks;
    size_t n_blocks;
    uint64_t n_open; // streams that are taken
    int64_t now_ns;
};

static struct stream *stream_of(struct list *node)
{
    return (struct stream *)LIST_OWNER(node, struct sched_request, in_model);
}

static struct stream *take_stream(struct world *w)
{
    if (w->free_streams == NULL) {
        struct stream *block = xcalloc(FREE_STEP, sizeof *block);
        w->blocks = xrealloc(w->blocks, (w->n_blocks + 1) * sizeof *w->blocks);
        w->blocks[w->n_blocks++] = block;
        for (int i = 0; i < FREE_STEP; i++) {
            block[i].next_free = w->free_streams;
            w->free_streams = &block[i];
        }
    }
    struct stream *t = w->free_streams;
    w->free_streams = t->next_free;
    w->n_open++;
    return t;
}

static void give_back(struct world *w, struct stream *t)
{
    t->next_free = w->free_streams;
    w->free_streams = t;
    w->n_open--;
}

// ---- Clocks ----
static void advance_clock(struct world *w, struct machine_model *m)
{
    m->clock += m->speed * (double)(w->now_ns - m->since_ns) / 1e9;
    m->since_ns = w->now_ns;
}

static uint32_t count_busy(const struct world *w, uint32_t device_i)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++)
        n += w->m[i].sched->n_running > 0 && w->m[i].sched->sizes.device_i == device_i;
    return n;
}

static void set_speeds(struct world *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct machine_model *m = &w->m[i];
        uint32_t n_running = m->sched->n_running;
        double speed = n_running == 0
                           ? 0
                           : sim_models_speed(m->facts, n_running) / count_busy(w, m->sched->sizes.device_i);
        if (speed < m->speed || speed > m->speed) {
            advance_clock(w, m);
            m->speed = speed;
        }
    }
}

static int64_t when(const struct machine_model *m, double clock)
{
    double left_ns = (clock - m->clock) / m->speed * 1e9;
    return m->since_ns + (left_ns > 0 ? (int64_t)left_ns + 1 : 0);
}

// The stream of m that reaches its first token or its end first.
static struct stream *next_stream(const struct machine_model *m, int64_t *at_ns)
{
    struct stream *first = NULL;
    double least = 0;
    *at_ns = NEVER;
    if (m->speed <= 0)
        return NULL;
    LIST_EACH(&m->sched->running, node)
    {
        struct stream *t = stream_of(node);
        double at = t->has_token ? t->end_at : t->token_at;
        if (first == NULL || at < least) {
            first = t;
            least = at;
        }
    }
    if (first != NULL)
        *at_ns = when(m, least);
    return first;
}

// ---- Actions ----
static void begin_stream(struct world *w, struct machine_model *m, struct stream *t)
{
    advance_clock(w, m);
    t->token_at = m->clock + t->prompt_work;
    t->end_at = m->clock + t->work;
    sim_meter_started(w->meter, &t->sched, w->now_ns);
}

static void take_action(struct world *w, const struct sched_action *a)
{
    struct machine_model *m = &w->m[a->model->index];
    if (a->request == NULL) {
        sim_meter_model_acted(w->meter, a);
        m->process_does = a->kind;
        m->process_at_ns = w->now_ns + (a->kind == SCHED_PROBE  ? PROBE_NS
                                        : a->kind == SCHED_STOP ? STOP_NS
                                                                : (int64_t)(m->facts->load_s * 1e9));
    } else if (a->kind == SCHED_DISPATCH) {
        begin_stream(w, m, (struct stream *)a->request);
    } else {
        sim_meter_failed(w->meter, a->request);
        give_back(w, (struct stream *)a->request);
    }
}

static void act(struct world *w)
{
    struct sched_action a;
    while (sched_next_action(w->s, &a))
        take_action(w, &a);
    set_speeds(w);
}

// ---- Events ----
static void process_done(struct world *w, struct machine_model *m)
{
    m->process_at_ns = NEVER;
    if (m->process_does == SCHED_PROBE)
        sched_on_plan(w->s, m->sched, &m->facts->plan, w->now_ns);
    else if (m->process_does == SCHED_LOAD)
        sched_on_ready(w->s, m->sched, w->now_ns);
    else
        sched_on_gone(w->s, m->sched, w->now_ns);
    act(w);
}

static void stream_moves(struct world *w, struct stream *t)
{
    if (!t->has_token) {
        t->has_token = true;
        sched_on_first_token(w->s, &t->sched, w->now_ns);
        return;
    }
    sched_on_finished(w->s, &t->sched, w->now_ns);
    sim_meter_finished(w->meter, &t->sched, w->now_ns);
    give_back(w, t);
    act(w);
}

static void arrive(struct world *w, const struct sim_arrival *a)
{
    struct machine_model *m = &w->m[a->model_i];
    struct stream *t = take_stream(w);
    t->sched.need_tokens = 0;
    t->sched.is_load = false;
    t->sched.client = a->client;
    t->sched.priority = a->priority;
    t->has_token = false;
    t->prompt_work = a->prompt_tokens / m->facts->prompt_rate;
    t->work = t->prompt_work + a->output_tokens / m->facts->decode_rate;
    bool accepted = sched_submit(w->s, m->sched, &t->sched, w->now_ns, NULL) == 0;
    sim_meter_submitted(w->meter, a->model_i, accepted);
    if (!accepted)
        give_back(w, t);
    act(w);
}

// The earliest event of the machine; false: nothing happens any more without an arrival.
static bool step(struct world *w, int64_t until_ns)
{
    struct machine_model *process = NULL;
    struct stream *stream = NULL;
    int64_t first_ns = sched_deadline_ns(w->s);
    for (uint32_t i = 0; i < w->n; i++) {
        struct machine_model *m = &w->m[i];
        int64_t at_ns;
        if (m->process_at_ns < first_ns) {
            first_ns = m->process_at_ns;
            process = m;
            stream = NULL;
        }
        struct stream *t = m->speed > 0 ? next_stream(m, &at_ns) : NULL;
        if (t != NULL && at_ns < first_ns) {
            first_ns = at_ns;
            stream = t;
            process = NULL;
        }
    }
    if (first_ns > until_ns || first_ns == NEVER)
        return false;
    w->now_ns = MAX(w->now_ns, first_ns);
    if (process != NULL) {
        process_done(w, process);
    } else if (stream != NULL) {
        stream_moves(w, stream);
    } else {
        sched_on_time(w->s, w->now_ns);
        act(w);
    }
    return true;
}

static void begin(struct world *w, const struct sched_options *o, const struct sim_models *models,
                  sched_log_fn *log, void *log_user)
{
    w->s = sched_new(o);
    w->models = models;
    w->n = 0;
    w->m = xcalloc(SIM_MAX_MODELS, sizeof *w->m);
    if (log != NULL)
        sched_set_log(w->s, log, log_user, 0);
}

// Models that a trace names for the first time.
static void add_models(struct world *w)
{
    for (; w->n < w->models->n; w->n++) {
        w->m[w->n] = (struct machine_model){
            .facts = &w->models->rows[w->n], .sched = sched_add_model(w->s, NULL), .process_at_ns = NEVER};
        sched_log_name(w->s, w->m[w->n].sched, w->models->rows[w->n].name);
        sim_meter_name(w->meter, w->n, w->models->rows[w->n].name);
    }
}

int64_t sim_world_run(const struct sched_options *o, const struct sim_models *models,
                      struct sim_source *source, struct sim_meter *meter, sched_log_fn *log, void *log_user)
{
    struct world w = {.meter = meter};
    struct sim_arrival a;
    begin(&w, o, models, log, log_user);
    while (sim_source_next(source, &a)) {
        add_models(&w);
        while (step(&w, a.at_ns))
            ;
        w.now_ns = MAX(w.now_ns, a.at_ns);
        arrive(&w, &a);
    }
    while (w.n_open > 0 && step(&w, NEVER - 1))
        ;
    for (size_t i = 0; i < w.n_blocks; i++)
        free(w.blocks[i]);
    free(w.blocks);
    free(w.m);
    sched_free(w.s);
    return w.now_ns;
}
