// SPDX-License-Identifier: MIT
// `drover simulate [TRACE]`: traffic through the real scheduler in virtual time, on a machine described by
// flags. TRACE is a CSV of arrivals or the event log of a server; without one, arrivals are drawn from a
// seed. docs/capacity.md shows how to plan with it.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/options.h"
#include "inspect/inspect.h"
#include "inspect/sim.h"
#include "sched/replay.h"

#define GIB (1ull << 30)
enum { MAX_LINE_BYTES = 4096 };

const struct args_flag inspect_simulate_flags[] = {
    {"memory", 0, ARGS_TEXT, "GIB", "memory for models, of each device (16)"},
    {"gpus", 0, ARGS_UINT, "N", "devices that models lie on whole (0: one CPU)"},
    {"slots", 0, ARGS_UINT, "N", "streams of a model (0: 4, or 1 when memory is short)"},
    {"queue", 0, ARGS_UINT, "N", "requests that may wait, in all (512)"},
    {"max-loaded", 0, ARGS_UINT, "N", "models loaded at once (0: 3 for each GPU, or 3)"},
    {"context", 0, ARGS_UINT, "N", "context of each model (0: from its pool)"},
    {"keep-alive", 0, ARGS_TEXT, "DURATION", "how long an idle model stays (5m)"},
    {"order", 0, ARGS_TEXT, "ORDER", "fifo or round-robin between clients"},
    {"priorities", 0, ARGS_SWITCH, NULL, "interactive before normal before batch, with ageing"},
    {"max-queue-wait", 0, ARGS_TEXT, "DURATION", "longest wait for a slot"},
    {"first-token-timeout", 0, ARGS_TEXT, "DURATION", "longest time to the first token"},
    {"request-timeout", 0, ARGS_TEXT, "DURATION", "longest time in all"},
    {"models", 0, ARGS_TEXT, "FILE",
     "what models cost: name,memory_mib,kv_bytes_per_token,load_s,prompt_rate,"
     "decode_rate,batch16_rate"},
    {"arrivals", 0, ARGS_TEXT, "SHAPE", "poisson, bursts or diurnal"},
    {"rate", 0, ARGS_TEXT, "X", "requests per second, on average (1)"},
    {"requests", 0, ARGS_UINT, "N", "how many are drawn (10000)"},
    {"n-models", 0, ARGS_UINT, "N", "how many models are asked for (1)"},
    {"zipf", 0, ARGS_TEXT, "X", "the k-th model gets a share of 1/k^X (1)"},
    {"prompt-tokens", 0, ARGS_TEXT, "N", "tokens of a prompt, on average (300)"},
    {"output-tokens", 0, ARGS_TEXT, "N", "tokens of an answer, on average (150)"},
    {"heavy-tails", 0, ARGS_SWITCH, NULL, "lengths with a heavy tail (Pareto) instead of exponential ones"},
    {"clients", 0, ARGS_UINT, "N", "how many clients ask (20)"},
    {"seed", 0, ARGS_UINT, "N", "of what is drawn (1)"},
    {"csv", 0, ARGS_SWITCH, NULL, "print CSV"},
    {"log", 0, ARGS_TEXT, "FILE", "write the scheduler's event log; it can be replayed"},
    {NULL},
};

// ---- Flags ----
static int read_double(const struct args *a, const char *flag, double least, double *value, struct err *err)
{
    const char *text = args_text(a, flag);
    char *end;
    if (text == NULL)
        return 0;
    *value = strtod(text, &end);
    if (end == text || *end != 0 || !isfinite(*value) || *value < least || *value > 1e12)
        return err_set(err, ERR_INVALID, "--%s: expected a number from %g, not '%s'", flag, least, text);
    return 0;
}

static int read_duration(const struct args *a, const char *flag, int64_t *ns, struct err *err)
{
    const char *text = args_text(a, flag);
    if (text == NULL || duration_parse(text, ns, err) == 0)
        return 0;
    return err_prefix(err, "--%s", flag);
}

static uint32_t read_count(const struct args *a, const char *flag, uint32_t otherwise)
{
    return (uint32_t)MIN(args_uint(a, flag, otherwise), (uint64_t)UINT32_MAX);
}

static int read_machine(const struct args *a, struct sched_options *o, struct err *err)
{
    double memory_gib = 16;
    const char *order = args_text(a, "order");
    uint32_t n_gpus = read_count(a, "gpus", 0);
    *o = (struct sched_options){.num_parallel = read_count(a, "slots", 0),
                                .max_queue = read_count(a, "queue", 512),
                                .max_loaded = read_count(a, "max-loaded", 0),
                                .context_length = read_count(a, "context", 0),
                                .keep_alive_ns = 300 * 1000000000LL,
                                .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                .min_resident_ns = SCHED_MIN_RESIDENT_NS,
                                .uses_priorities = args_has(a, "priorities"),
                                .n_devices = MAX(n_gpus, 1u)};
    if (n_gpus > SCHED_MAX_DEVICES)
        return err_set(err, ERR_INVALID, "--gpus: at most %d", SCHED_MAX_DEVICES);
    if (order != NULL && strcmp(order, "round-robin") == 0)
        o->order = SCHED_ORDER_ROUND_ROBIN;
    else if (order != NULL && strcmp(order, "fifo") != 0)
        return err_set(err, ERR_INVALID, "--order: fifo or round-robin, not '%s'", order);
    if (read_double(a, "memory", 0, &memory_gib, err) != 0 ||
        read_duration(a, "keep-alive", &o->keep_alive_ns, err) != 0 ||
        read_duration(a, "max-queue-wait", &o->max_queue_wait_ns, err) != 0 ||
        read_duration(a, "first-token-timeout", &o->first_token_timeout_ns, err) != 0 ||
        read_duration(a, "request-timeout", &o->request_timeout_ns, err) != 0)
        return -1;
    for (uint32_t i = 0; i < o->n_devices; i++)
        o->devices[i] = (struct sched_device){n_gpus > 0 ? SCHED_GPU : SCHED_CPU,
                                              (uint64_t)(MIN(memory_gib, 1e9) * (double)GIB)};
    return 0;
}

static int read_draw(const struct args *a, struct sim_draw *d, struct err *err)
{
    static const char *const shapes[] = {"poisson", "bursts", "diurnal"};
    const char *shape = args_text(a, "arrivals");
    *d = (struct sim_draw){.rate = 1,
                           .n_requests = args_uint(a, "requests", 10000),
                           .seed = args_uint(a, "seed", 1),
                           .zipf = 1,
                           .prompt_tokens = 300,
                           .output_tokens = 150,
                           .heavy_tails = args_has(a, "heavy-tails"),
                           .n_clients = MAX(args_uint(a, "clients", 20), (uint64_t)1)};
    for (size_t i = 0; shape != NULL; i++) {
        if (i == COUNT_OF(shapes))
            return err_set(err, ERR_INVALID, "--arrivals: poisson, bursts or diurnal, not '%s'", shape);
        d->shape = (enum sim_shape)i;
        if (strcmp(shape, shapes[i]) == 0)
            break;
    }
    return read_double(a, "rate", 1e-6, &d->rate, err) != 0 ||
                   read_double(a, "zipf", 0, &d->zipf, err) != 0 ||
                   read_double(a, "prompt-tokens", 1, &d->prompt_tokens, err) != 0 ||
                   read_double(a, "output-tokens", 1, &d->output_tokens, err) != 0
               ? -1
               : 0;
}

// ---- A recorded event log ----
static void on_named(void *meter, uint32_t model_i, const char *name)
{
    sim_meter_name(meter, model_i, name);
}

static void on_submitted(void *meter, const struct sched_request *r, uint32_t model_i, bool accepted,
                         int64_t now_ns)
{
    (void)r;
    (void)now_ns;
    sim_meter_submitted(meter, model_i, accepted);
}

static void on_acted(void *meter, const struct sched_action *a, int64_t now_ns)
{
    if (a->request == NULL)
        sim_meter_model_acted(meter, a);
    else if (a->kind == SCHED_DISPATCH)
        sim_meter_started(meter, a->request, now_ns);
    else if (a->kind == SCHED_LOADED)
        sim_meter_finished(meter, a->request, now_ns);
    else
        sim_meter_failed(meter, a->request);
}

static void on_finished(void *meter, const struct sched_request *r, int64_t now_ns)
{
    sim_meter_finished(meter, r, now_ns);
}

static void on_cancelled(void *meter, const struct sched_request *r, int64_t now_ns)
{
    (void)now_ns;
    sim_meter_cancelled(meter, r);
}

// A log begins with the time and the event "options".
static bool is_event_log(const char *path)
{
    char line[64] = "", *name;
    FILE *f = fopen(path, "r");
    bool is_log = f != NULL && fgets(line, sizeof line, f) != NULL && strtoll(line, &name, 10) >= 0 &&
                  name != line && strncmp(name, " options ", 9) == 0;
    if (f != NULL)
        fclose(f);
    return is_log;
}

static int replay_log(const char *path, struct sim_meter *meter, int64_t *end_ns, struct err *err)
{
    struct replay_hooks hooks = {meter, on_named, on_submitted, on_acted, on_finished, on_cancelled};
    struct replay *p = replay_new(&hooks);
    char line[MAX_LINE_BYTES];
    int64_t begin_ns = -1;
    FILE *f = fopen(path, "r");
    if (f == NULL)
        err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (unsigned long long n = 1; err->code == ERR_NONE && fgets(line, sizeof line, f) != NULL; n++) {
        line[strcspn(line, "\r\n")] = 0;
        if (replay_line(p, line, err) != 0)
            err_prefix(err, "%s:%llu", path, n);
        *end_ns = strtoll(line, NULL, 10);
        begin_ns = begin_ns < 0 ? *end_ns : begin_ns;
    }
    *end_ns -= begin_ns;
    if (f != NULL)
        fclose(f);
    replay_free(p);
    return err->code == ERR_NONE ? 0 : -1;
}

// ---- The command ----
static void write_line(void *file, const char *line)
{
    fputs(line, file);
    fputc('\n', file);
}

static int simulate(const struct args *a, const char *trace, struct sim_meter *meter, int64_t *end_ns,
                    struct err *err)
{
    struct sched_options o;
    struct sim_draw draw;
    struct sim_models models = {0};
    struct sim_source *source = NULL;
    const char *file = args_text(a, "models"), *log_path = args_text(a, "log");
    FILE *log = NULL;
    if (read_machine(a, &o, err) != 0 || read_draw(a, &draw, err) != 0)
        return -1;
    if (file == NULL)
        sim_models_default(&models, trace != NULL ? 0 : MAX(read_count(a, "n-models", 1), 1u));
    else if (sim_models_read(&models, file, err) != 0)
        goto out;
    uint32_t n_drawn = args_has(a, "n-models") ? MIN(read_count(a, "n-models", 1), models.n) : models.n;
    source = trace != NULL ? sim_source_read(trace, &models, err) : sim_source_draw(&draw, MAX(n_drawn, 1u));
    if (source == NULL)
        goto out;
    if (log_path != NULL && (log = fopen(log_path, "w")) == NULL) {
        err_set(err, ERR_NOT_FOUND, "%s: %s", log_path, strerror(errno));
        goto out;
    }
    *end_ns = sim_world_run(&o, &models, source, meter, log != NULL ? write_line : NULL, log);
out:
    if (log != NULL && fclose(log) != 0)
        err_set(err, ERR_INTERNAL, "%s: %s", log_path, strerror(errno));
    sim_source_free(source);
    sim_models_fini(&models);
    return err->code == ERR_NONE ? 0 : -1;
}

int inspect_simulate(const struct args *a)
{
    struct err err = {0};
    const char *trace = a->n_operands > 0 ? a->operands[0] : NULL;
    struct sim_meter *meter = sim_meter_new();
    int64_t end_ns = 0;
    int rc = trace != NULL && is_event_log(trace) ? replay_log(trace, meter, &end_ns, &err)
                                                  : simulate(a, trace, meter, &end_ns, &err);
    if (rc == 0)
        sim_meter_print(meter, args_has(a, "csv"), end_ns);
    else
        fprintf(stderr, "Error: %s\n", err.message);
    sim_meter_free(meter);
    return rc == 0 ? 0 : err.code == ERR_INVALID ? 2 : 1;
}
