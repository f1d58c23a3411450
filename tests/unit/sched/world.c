// SPDX-License-Identifier: MIT
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/replay.h"
#include "sched/sched.h"

#define SECOND 1000000000LL
#define MIB    (1ull << 20)

enum process { NONE, PROBING, PARKED, LOADING, LOADED, ENDING };

struct life {
    struct sched_request sched;
    bool open, dispatched;
    int model;
    uint64_t order;
    int64_t waiting_since, waited;
    uint32_t n_overtaken; // round robin: since it is its client's next and its client has no stream
};

struct book {
    enum process process;
    uint64_t held_bytes; // of its process: what LOAD said
    uint32_t device_i;
    uint64_t last_started[WORLD_CLIENTS][SCHED_PRIORITY_COUNT];
    uint64_t last_started_of_all;
    bool has_started[WORLD_CLIENTS][SCHED_PRIORITY_COUNT], has_started_any;
    uint64_t drain_order;
    bool drains;
    uint64_t n_ready, n_calm_loads;
};

static struct {
    struct sched *s;
    struct sched_options options;
    struct sched_model *models[WORLD_MODELS];
    struct sched_plan plans[WORLD_MODELS];
    struct book books[WORLD_MODELS];
    struct life lives[WORLD_LIVES];
    uint64_t budgets[SCHED_MAX_DEVICES];
    int64_t now;
    uint64_t n_accepted, n_ended, next_order;
    bool is_draining, is_calm;
    struct replay *replay;
} w;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "world: violated: %s\n", what);
    abort();
}

uint64_t world_mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint32_t draw(uint64_t *state, uint32_t sides)
{
    return (uint32_t)((world_mix(state) >> 32) % sides);
}

static int index_of(const struct sched_model *m)
{
    require(m->index < WORLD_MODELS && w.models[m->index] == m, "a model that exists");
    return (int)m->index;
}

static bool uses_ring(void)
{
    return w.options.order == SCHED_ORDER_ROUND_ROBIN;
}

// ---- The books ----
static uint32_t count_streams(int model, int64_t client)
{
    uint32_t n = 0;
    for (int k = 0; k < WORLD_LIVES; k++) {
        const struct life *l = &w.lives[k];
        n += l->open && l->dispatched && l->model == model &&
             (client < 0 || l->sched.client == (uint64_t)client);
    }
    return n;
}

static void check_memory(uint32_t device_i)
{
    uint64_t sum = 0;
    for (int i = 0; i < WORLD_MODELS; i++)
        sum += w.books[i].device_i == device_i ? w.books[i].held_bytes : 0;
    require(sum <= w.budgets[device_i], "2: plans of loaded and loading models fit the budget");
}

static void check_places(void)
{
    uint32_t n = 0;
    for (int i = 0; i < WORLD_MODELS; i++)
        n += w.books[i].held_bytes > 0;
    require(n <= w.options.max_loaded, "no more models than max_loaded");
}

// The causes add up to what it waited.
static void check_waits(const struct life *l)
{
    struct sched_waits waits;
    int64_t sum = 0;
    sched_read_waits(&l->sched, w.now, &waits);
    for (int c = 0; c < SCHED_CAUSE_COUNT; c++) {
        require(waits.cause_ns[c] >= 0, "no negative wait");
        sum += waits.cause_ns[c];
    }
    require(sum == l->waited, "the causes add up to the time that it waited");
    for (int i = 0; i < SCHED_MAX_BLOCKERS; i++)
        require(waits.blockers[i].wait_ns <= l->waited, "nobody blocks longer than it waited");
}

static void stop_waiting(struct life *l)
{
    if (!l->dispatched)
        l->waited += w.now - l->waiting_since;
    check_waits(l);
}

static void end_life(struct life *l)
{
    require(l->open, "4: a request ends once");
    stop_waiting(l);
    l->open = l->dispatched = false;
    w.n_ended++;
}

static void wait_again(int model)
{
    for (int k = 0; k < WORLD_LIVES; k++) {
        struct life *l = &w.lives[k];
        if (!l->open || !l->dispatched || l->model != model || l->sched.place == SCHED_LEAVING)
            continue;
        l->dispatched = false;
        l->waiting_since = w.now;
    }
}

static bool waits_in(const struct life *l, int model)
{
    return l->open && !l->dispatched && l->model == model;
}

// FIFO, also under priorities: an older one is overtaken only by a better class, and never after two ages.
static void check_nobody_overtaken(const struct life *l)
{
    for (int k = 0; k < WORLD_LIVES; k++) {
        const struct life *q = &w.lives[k];
        if (q == l || !waits_in(q, l->model) || q->order > l->order || q->sched.was_started ||
            q->sched.is_load)
            continue;
        require(w.options.uses_priorities, "3: FIFO");
        require(q->sched.priority > l->sched.priority &&
                    w.now - q->sched.arrived_ns < 2 * w.options.priority_age_ns,
                "priorities: only a better class overtakes, and nobody who waited for two ages");
    }
}

// Its model drains, or did until the event whose actions are taken now, and admitted it not.
static bool is_behind_drain(const struct life *l)
{
    const struct sched_model *m = w.models[l->model];
    const struct book *b = &w.books[l->model];
    return (m->is_draining && l->order >= m->drain_order) || (b->drains && l->order >= b->drain_order);
}

// Round robin: while a client has no stream in the model, each other client goes before it at most once.
static void count_overtaken(const struct life *l)
{
    for (int k = 0; k < WORLD_LIVES; k++) {
        struct life *q = &w.lives[k];
        if (q == l || !waits_in(q, l->model) || q->sched.was_started || q->sched.client == l->sched.client ||
            count_streams(q->model, (int64_t)q->sched.client) > 0 || w.options.uses_priorities)
            continue;
        if (is_behind_drain(q))
            continue;
        bool is_next = true;
        for (int j = 0; j < WORLD_LIVES; j++)
            is_next =
                is_next && !(waits_in(&w.lives[j], q->model) && w.lives[j].order < q->order &&
                             w.lives[j].sched.client == q->sched.client && !w.lives[j].sched.was_started);
        q->n_overtaken += is_next;
        require(q->n_overtaken < WORLD_CLIENTS, "round robin: every other client overtakes at most once");
    }
}

static void check_order(const struct life *l)
{
    struct book *b = &w.books[l->model];
    uint64_t client = l->sched.client;
    int class = w.options.uses_priorities ? (int)l->sched.priority : 0;
    if (l->sched.was_started)
        return;
    require(!b->has_started[client][class] || l->order > b->last_started[client][class],
            "one client's requests of one class start in order");
    b->has_started[client][class] = true;
    b->last_started[client][class] = l->order;
    if (uses_ring())
        count_overtaken(l);
    else
        check_nobody_overtaken(l);
}

// ---- Actions ----
static void act_on_request(const struct sched_action *a)
{
    struct life *l = (struct life *)((char *)a->request - offsetof(struct life, sched));
    require(l->open, "actions are for open requests");
    if (a->kind == SCHED_DISPATCH) {
        require(w.books[l->model].process == LOADED, "a request goes to a process that serves");
        require(!l->dispatched && !l->sched.is_load, "a request is dispatched once");
        stop_waiting(l);
        check_order(l);
        l->dispatched = true;
        require(count_streams(l->model, -1) <= a->model->sizes.n_slots, "5: running <= slots");
        return;
    }
    require(a->tells_runner ? a->kind == SCHED_FAIL && l->dispatched : !l->dispatched,
            "the runner is told of exactly those that it runs");
    if (a->kind == SCHED_LOADED)
        require(l->sched.is_load, "only a load request is told that the model is loaded");
    else
        require(a->kind == SCHED_FAIL && l->sched.failure.code != ERR_NONE, "a failure has a reason");
    end_life(l);
}

// Busy models are not sent away: what waits came after the drain, or needs more than is loaded.
static void check_stop(const struct sched_model *m, int i)
{
    bool waits = false, wants_more = false;
    for (int k = 0; k < WORLD_LIVES; k++) {
        const struct life *l = &w.lives[k];
        if (!l->open || l->model != i || l->sched.place == SCHED_LEAVING) // its end is yet to be told
            continue;
        require(!l->dispatched, "1: a model with running work is never unloaded");
        waits |= !(w.books[i].drains && l->order >= w.books[i].drain_order);
        wants_more |= l->sched.need_tokens > m->sizes.pool_tokens;
    }
    if (m->unload_reason != SCHED_UNLOAD_FAILED && m->sizes.n_slots > 0)
        require(!waits || wants_more, "1: a model with admitted work is never unloaded");
    require(m->unload_reason != SCHED_UNLOAD_ROOM || !m->options.is_pinned, "a pinned model is not evicted");
    require(m->unload_reason != SCHED_UNLOAD_LIMIT || !m->options.is_pinned,
            "a pinned model stays also where there is less than it holds");
    require(m->unload_reason != SCHED_UNLOAD_EXPIRED || !m->options.is_pinned,
            "a pinned model does not expire");
}

static void act_on_model(const struct sched_action *a)
{
    int i = index_of(a->model);
    struct book *b = &w.books[i];
    const struct sched_model *m = a->model;
    if (a->kind == SCHED_PROBE) {
        require(b->process == NONE, "a process is started where none is");
        b->process = PROBING;
    } else if (a->kind == SCHED_LOAD) {
        require(b->process == PARKED, "a process loads that has told its plan");
        require(m->sizes.device_i < w.options.n_devices, "a model lies on a device");
        b->process = LOADING;
        b->held_bytes = m->sizes.memory_bytes;
        b->device_i = m->sizes.device_i;
        b->n_calm_loads += w.is_calm && m->load_reason != SCHED_LOAD_GROW;
        check_memory(b->device_i);
        if (m->load_reason != SCHED_LOAD_GROW) // that one had its place already
            check_places();
    } else {
        require(a->kind == SCHED_STOP, "a known action");
        if (m->is_growing)
            wait_again(i); // carried over to the next process
        else
            check_stop(m, i);
        b->process = ENDING;
    }
}

static void act(void)
{
    struct sched_action a;
    while (sched_next_action(w.s, &a)) {
        if (a.request != NULL)
            act_on_request(&a);
        else
            act_on_model(&a);
    }
}

// ---- Steps ----
static void process_gone(int i)
{
    struct book *b = &w.books[i];
    b->process = NONE;
    b->held_bytes = 0;
    wait_again(i);
    sched_on_gone(w.s, w.models[i], w.now);
}

static void process_goes_on(int i)
{
    struct book *b = &w.books[i];
    if (b->process == PROBING) {
        b->process = PARKED;
        sched_on_plan(w.s, w.models[i], &w.plans[i], w.now);
    } else if (b->process == LOADING) {
        b->process = LOADED;
        b->n_ready++;
        sched_on_ready(w.s, w.models[i], w.now);
    } else if (b->process == ENDING) {
        process_gone(i);
    }
}

static void process_fails(int i)
{
    struct err why = {ERR_FORMAT, "broken"};
    if (w.books[i].process == PROBING || w.books[i].process == LOADING)
        sched_on_failed(w.s, w.models[i], &why, w.now);
}

static void submit(struct life *l, uint64_t bits)
{
    struct err err = {0};
    struct sched_counts counts;
    l->model = (int)draw(&bits, WORLD_MODELS);
    l->sched.is_load = draw(&bits, 20) == 0;
    l->sched.need_tokens = draw(&bits, 10) == 0 ? draw(&bits, 60000) : 0;
    l->sched.client = draw(&bits, WORLD_CLIENTS);
    l->sched.priority = (enum sched_priority)draw(&bits, SCHED_PRIORITY_COUNT);
    l->sched.max_queue_wait_ns = draw(&bits, 10) == 0 ? (int64_t)draw(&bits, 60) * SECOND : 0;
    l->sched.first_token_timeout_ns = draw(&bits, 10) == 0 ? (int64_t)draw(&bits, 60) * SECOND : 0;
    l->sched.request_timeout_ns = draw(&bits, 10) == 0 ? (int64_t)draw(&bits, 120) * SECOND : 0;
    l->sched.is_preload = l->sched.is_load && draw(&bits, 2) == 0;
    sched_read_counts(w.s, &counts);
    int64_t backoff_ns = w.models[l->model]->backoff_until_ns;
    if (sched_submit(w.s, w.models[l->model], &l->sched, w.now, &err) != 0) {
        require((err.code == ERR_QUEUE_FULL && counts.n_queued >= w.options.max_queue) ||
                    (err.code == ERR_DRAINING && w.is_draining) ||
                    (err.code == ERR_BACKOFF && backoff_ns > w.now),
                "refused only when full, draining or backing off");
        return;
    }
    require(!w.is_draining, "nothing is accepted while draining");
    l->open = true;
    l->dispatched = false;
    l->order = w.next_order++;
    l->waiting_since = w.now;
    l->waited = 0;
    l->n_overtaken = 0;
    w.n_accepted++;
    require(l->order == l->sched.order, "requests are numbered as they are accepted");
}

static struct sched_options draw_options(uint64_t bits, uint32_t devices)
{
    struct sched_options o = {.num_parallel = draw(&bits, 6),
                              .max_queue = draw(&bits, 3) == 0 ? draw(&bits, 4) : draw(&bits, 200),
                              .max_loaded = draw(&bits, 5),
                              .context_length = draw(&bits, 3) == 0 ? draw(&bits, 9000) : 0,
                              .keep_alive_ns = (int64_t)draw(&bits, 20) * SECOND,
                              .load_timeout_ns = draw(&bits, 2) ? 30 * SECOND : 0,
                              .swap_after_ns = SCHED_SWAP_AFTER_NS,
                              .min_resident_ns = SCHED_MIN_RESIDENT_NS,
                              .front_bytes = MIB,
                              .order = (enum sched_order)draw(&bits, SCHED_ORDER_COUNT),
                              .uses_priorities = draw(&bits, 2),
                              .priority_age_ns = (1 + (int64_t)draw(&bits, 30)) * SECOND,
                              .max_queue_wait_ns = draw(&bits, 3) ? 0 : (int64_t)draw(&bits, 90) * SECOND,
                              .first_token_timeout_ns =
                                  draw(&bits, 3) ? 0 : (int64_t)draw(&bits, 90) * SECOND,
                              .request_timeout_ns = draw(&bits, 3) ? 0 : (int64_t)draw(&bits, 200) * SECOND};
    o.n_devices = MAX(devices, 1u);
    for (uint32_t i = 0; i < o.n_devices; i++)
        o.devices[i].kind = devices > 0 ? SCHED_GPU : SCHED_CPU;
    return o;
}

static void set_options(uint64_t bits)
{
    uint32_t n_devices = w.options.n_devices;
    bool is_gpu = w.options.devices[0].kind == SCHED_GPU;
    w.options = draw_options(bits, is_gpu ? n_devices : 0);
    sched_configure(w.s, &w.options, w.now);
    if (w.options.max_loaded == 0)
        w.options.max_loaded = is_gpu ? 3 * n_devices : 3;
    for (int i = 0; i < WORLD_MODELS; i++)
        memset(w.books[i].has_started, 0, sizeof w.books[i].has_started);
    for (int k = 0; k < WORLD_LIVES; k++)
        w.lives[k].n_overtaken = 0;
}

static void set_model(int i, uint64_t bits)
{
    struct sched_model_options o = {.num_parallel = draw(&bits, 3) ? 0 : draw(&bits, 6),
                                    .context_length = draw(&bits, 3) ? 0 : draw(&bits, 9000),
                                    .has_keep_alive = draw(&bits, 2),
                                    .keep_alive_ns = (int64_t)draw(&bits, 20) * SECOND - SECOND,
                                    .is_pinned = draw(&bits, 4) == 0};
    sched_configure_model(w.s, w.models[i], &o, w.now);
}

static void move_request(struct life *l, const struct step *e)
{
    if (e->kind == STEP_SUBMIT && !l->open) {
        submit(l, e->bits);
    } else if (e->kind == STEP_FINISH && l->open && l->dispatched) {
        sched_on_finished(w.s, &l->sched, w.now);
        end_life(l);
    } else if (e->kind == STEP_TOKEN && l->open && l->dispatched) {
        sched_on_first_token(w.s, &l->sched, w.now);
    } else if (e->kind == STEP_CANCEL && l->open) {
        require(sched_cancel(w.s, &l->sched, w.now) == l->dispatched,
                "the runner is told of a cancelled request that it runs");
        end_life(l);
    }
}

static void do_step(const struct step *e)
{
    int i = (int)(e->what % WORLD_MODELS);
    uint32_t d = e->what % w.options.n_devices;
    w.now += e->dt_ns;
    switch (e->kind) {
    case STEP_SUBMIT:
    case STEP_FINISH:
    case STEP_CANCEL:
    case STEP_TOKEN:
        move_request(&w.lives[e->what % WORLD_LIVES], e);
        break;
    case STEP_ON:
        process_goes_on(i);
        break;
    case STEP_FAIL:
        process_fails(i);
        break;
    case STEP_CRASH:
        if (w.books[i].process != NONE)
            process_gone(i);
        break;
    case STEP_BUDGET:
        sched_set_budget(w.s, d, w.budgets[d] = e->bits * MIB, w.now);
        break;
    case STEP_KEEP:
        sched_set_keep_alive(w.s, w.models[i], (int64_t)e->bits * SECOND - SECOND, w.now);
        break;
    case STEP_UNLOAD:
        sched_unload(w.s, w.models[i], w.now);
        break;
    case STEP_PRELOAD:
        sched_preload(w.s, w.models[i], w.now);
        break;
    case STEP_MODEL:
        set_model(i, e->bits);
        break;
    case STEP_OPTIONS:
        set_options(e->bits);
        break;
    case STEP_DRAIN:
        w.is_draining = true;
        sched_drain(w.s, w.now);
        break;
    case STEP_TIME:
    case STEP_KIND_COUNT:
        break;
    }
}

// ---- After each step ----
static int64_t due_of(const struct life *l)
{
    int64_t limits[3] = {
        l->sched.started_ns != 0     ? 0
        : l->sched.max_queue_wait_ns ? l->sched.max_queue_wait_ns
                                     : w.options.max_queue_wait_ns,
        l->sched.first_token_ns != 0 || l->sched.is_load ? 0
        : l->sched.first_token_timeout_ns                ? l->sched.first_token_timeout_ns
                                                         : w.options.first_token_timeout_ns,
        l->sched.request_timeout_ns ? l->sched.request_timeout_ns : w.options.request_timeout_ns,
    };
    int64_t due = INT64_MAX;
    for (int i = 0; i < 3; i++)
        if (limits[i] > 0)
            due = MIN(due, l->sched.arrived_ns + limits[i]);
    return due;
}

static void check_lives(void)
{
    uint32_t running[WORLD_MODELS] = {0}, waiting[WORLD_MODELS] = {0};
    for (int k = 0; k < WORLD_LIVES; k++) {
        const struct life *l = &w.lives[k];
        if (!l->open)
            continue;
        require(w.now < due_of(l), "a request that ran out of time has ended");
        running[l->model] += l->dispatched;
        waiting[l->model] += !l->dispatched;
    }
    for (int i = 0; i < WORLD_MODELS; i++) {
        const struct sched_model *m = w.models[i];
        struct book *b = &w.books[i];
        require(m->n_running == running[i] && m->n_waiting == waiting[i],
                "the scheduler counts as the world");
        require(waiting[i] == 0 || b->process != LOADED || running[i] >= m->sizes.n_slots || m->is_draining ||
                    m->wants_grow,
                "3: a request for a loaded model with a free slot does not wait");
        if (m->is_draining && !b->drains)
            b->drain_order = w.next_order;
        b->drains = m->is_draining;
    }
}

static void check(void)
{
    act();
    sched_on_time(w.s, w.now);
    act();
    sched_check(w.s);
    check_lives();
}

// The log of a world, done again line by line as it is written.
static void replay_again(void *replay, const char *line)
{
    struct err err = {0};
    if (getenv("SCHED_LOG") != NULL)
        fprintf(stderr, "%s\n", line);
    if (replay_line(replay, line, &err) != 0)
        fprintf(stderr, "%s\n", err.message);
    require(err.code == ERR_NONE, "a recorded event log replays to the same actions");
}

static void begin(const struct world_setup *setup)
{
    uint64_t bits = setup->bits;
    memset(&w, 0, sizeof w);
    w.now = 1;
    w.options = draw_options(world_mix(&bits), setup->devices);
    w.s = sched_new(&w.options);
    if (setup->bits % 4 == 0 || getenv("SCHED_LOG") != NULL) { // costs time
        w.replay = replay_new(&(struct replay_hooks){0});
        sched_set_log(w.s, replay_again, w.replay, w.now);
    }
    if (w.options.max_loaded == 0)
        w.options.max_loaded = 3 * MAX(setup->devices, 1u);
    for (int i = 0; i < WORLD_MODELS; i++) {
        w.models[i] = sched_add_model(w.s, NULL);
        w.plans[i] = (struct sched_plan){(50 + draw(&bits, 400)) * MIB, draw(&bits, 20000),
                                         draw(&bits, 4) == 0 ? 2048 : 32768};
    }
    for (uint32_t d = 0; d < w.options.n_devices; d++)
        sched_set_budget(w.s, d, w.budgets[d] = (500 + draw(&bits, 600)) * MIB, w.now);
}

static void calm_processes(void)
{
    for (int i = 0; i < WORLD_MODELS; i++) {
        process_goes_on(i);
        check();
    }
    for (int k = 0; k < WORLD_LIVES; k++) {
        struct life *l = &w.lives[k];
        if (l->open && l->dispatched) {
            sched_on_finished(w.s, &l->sched, w.now);
            end_life(l);
            check();
        }
    }
}

// No more requests, crashes or failures: all that was accepted is served in a bounded number of steps, with
// at most two loads a model (7), and only what the scheduler's own deadlines say moves the time.
static void calm_down(void)
{
    w.is_calm = true;
    for (uint32_t d = 0; d < w.options.n_devices; d++)
        sched_set_budget(w.s, d, w.budgets[d] = 2500 * MIB, w.now);
    check();
    for (int step = 0; w.n_ended < w.n_accepted; step++) {
        require(step < 1000, "4: everything ends in bounded time");
        calm_processes();
        int64_t due = sched_deadline_ns(w.s);
        if (due != INT64_MAX)
            w.now = MAX(due, w.now);
        check();
    }
    for (int i = 0; i < WORLD_MODELS; i++)
        require(w.books[i].n_calm_loads <= 2, "7: a bounded number of swaps");
    require(!w.is_draining || sched_is_drained(w.s), "drained when everything has ended");
}

static void check_totals(void)
{
    for (int i = 0; i < WORLD_MODELS; i++) {
        uint64_t n = 0;
        for (int k = 0; k < SCHED_LOAD_REASON_COUNT; k++)
            n += w.models[i]->n_loads[k];
        require(n == w.books[i].n_ready, "every load is counted once");
    }
}

void world_run(const struct world_setup *setup, const struct step *steps, size_t n)
{
    begin(setup);
    check();
    for (size_t i = 0; i < n; i++) {
        do_step(&steps[i]);
        check();
    }
    calm_down();
    check_totals();
    replay_free(w.replay);
    sched_free(w.s);
}

// ---- Text ----
#define X(kind, name) name,
static const char *const names[] = {STEP_LIST(X)};
#undef X

void world_write(FILE *out, const struct world_setup *setup, const struct step *steps, size_t n)
{
    fprintf(out, "world %u %" PRIu64 "\n", setup->devices, setup->bits);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s %u %" PRIu64 " %" PRId64 "\n", names[steps[i].kind], steps[i].what, steps[i].bits,
                steps[i].dt_ns);
}

static bool find_kind(const char *name, enum step_kind *kind)
{
    for (int k = 0; k < STEP_KIND_COUNT; k++) {
        if (strcmp(name, names[k]) != 0)
            continue;
        *kind = (enum step_kind)k;
        return true;
    }
    return false;
}

size_t world_read(FILE *in, struct world_setup *setup, struct step *steps, size_t max_steps)
{
    char line[256], name[32];
    size_t n = 0;
    bool has_world = false;
    while (fgets(line, sizeof line, in) != NULL && n < max_steps) {
        struct step *e = &steps[n];
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (sscanf(line, "world %u %" SCNu64, &setup->devices, &setup->bits) == 2) {
            has_world = true;
        } else if (sscanf(line, "%31s %u %" SCNu64 " %" SCNd64, name, &e->what, &e->bits, &e->dt_ns) == 4 &&
                   find_kind(name, &e->kind)) {
            n++;
        } else {
            return 0;
        }
    }
    return has_world ? n : 0;
}
