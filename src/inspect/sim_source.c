// SPDX-License-Identifier: MIT
// Where requests come from: drawn from a seed, one at a time, or read from a trace in CSV, line by line, so
// that neither needs memory for a million of them.
#include "inspect/sim.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define DAY_S   86400.0
#define BURST_S 300.0 // one burst of a tenth of it in each such time, with nine tenths of the requests

struct sim_source {
    struct sim_draw draw;
    double *shares; // of the models, cumulated
    uint32_t n_models;
    uint64_t state, n_drawn;
    double now_s;
    FILE *file;
    const char *path;
    struct sim_models *models;
    struct err *err; // of the caller of sim_source_read: reading goes on until it is set
    uint64_t n_line;
    int64_t last_ns;
};

// ---- Drawing ----
static double draw_unit(struct sim_source *s) // (0, 1]
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)(((z ^ (z >> 31)) >> 11) + 1) / 9007199254740992.0;
}

struct sim_source *sim_source_draw(const struct sim_draw *d, uint32_t n_models)
{
    struct sim_source *s = xcalloc(1, sizeof *s);
    double sum = 0;
    s->draw = *d;
    s->n_models = n_models;
    s->state = d->seed;
    s->shares = xcalloc(n_models, sizeof *s->shares);
    for (uint32_t i = 0; i < n_models; i++)
        s->shares[i] = sum += pow(i + 1, -d->zipf);
    return s;
}

// How the rate of this moment compares with the average.
static double rate_now(const struct sim_source *s)
{
    if (s->draw.shape == SIM_BURSTS)
        return fmod(s->now_s, BURST_S) < BURST_S / 10 ? 9 : 1.0 / 9;
    if (s->draw.shape == SIM_DIURNAL)
        return 1 - 0.9 * cos(2 * M_PI * s->now_s / DAY_S); // nobody at night, most at noon
    return 1;
}

// A rate that moves, by thinning: drawn at the highest rate, kept with the share of the one of now.
static void draw_time(struct sim_source *s)
{
    double most = s->draw.shape == SIM_BURSTS ? 9 : s->draw.shape == SIM_DIURNAL ? 1.9 : 1;
    do
        s->now_s += -log(draw_unit(s)) / (s->draw.rate * most);
    while (draw_unit(s) * most > rate_now(s));
}

// Exponential; with heavy tails Pareto with exponent 1.5: the mean is the same, one in a thousand is a
// hundred times the least.
static uint32_t draw_tokens(struct sim_source *s, double mean)
{
    double u = draw_unit(s);
    double x = s->draw.heavy_tails ? mean / 3 * pow(u, -1 / 1.5) : -log(u) * mean;
    return (uint32_t)MIN(MAX(x, 1.0), 30000.0);
}

static bool draw_next(struct sim_source *s, struct sim_arrival *out)
{
    if (s->n_drawn++ >= s->draw.n_requests)
        return false;
    draw_time(s);
    double at = draw_unit(s) * s->shares[s->n_models - 1];
    uint32_t model_i = 0;
    while (model_i + 1 < s->n_models && s->shares[model_i] < at)
        model_i++;
    *out = (struct sim_arrival){.at_ns = (int64_t)(s->now_s * 1e9), .model_i = model_i};
    out->prompt_tokens = draw_tokens(s, s->draw.prompt_tokens);
    out->output_tokens = draw_tokens(s, s->draw.output_tokens);
    out->client = (uint64_t)(draw_unit(s) * (double)s->draw.n_clients);
    out->priority = (enum sched_priority)MIN((int)(draw_unit(s) * 3), 2);
    return true;
}

// ---- Reading ----
struct sim_source *sim_source_read(const char *path, struct sim_models *models, struct err *err)
{
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct sim_source *s = xcalloc(1, sizeof *s);
    s->file = f;
    s->path = path;
    s->models = models;
    s->err = err;
    return s;
}

static bool read_priority(const char *text, enum sched_priority *out)
{
    static const char *const names[] = {"interactive", "normal", "batch"};
    for (int i = 0; i < SCHED_PRIORITY_COUNT; i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *out = (enum sched_priority)i;
        return true;
    }
    return false;
}

static bool read_line(struct sim_source *s, const char *line, struct sim_arrival *out)
{
    char model[SIM_NAME_BYTES], client[128] = "", priority[16] = "normal";
    double at_s;
    *out = (struct sim_arrival){0};
    int n = sscanf(line, "%lf , %127[^, \t\r\n] , %u , %u , %127[^, \t\r\n] , %15[^, \t\r\n]", &at_s, model,
                   &out->prompt_tokens, &out->output_tokens, client, priority);
    if (n < 4 || !(at_s >= 0 && at_s < 1e9) || !read_priority(priority, &out->priority))
        return false;
    int model_i = sim_models_find(s->models, model, s->err);
    if (model_i < 0)
        return false;
    out->model_i = (uint32_t)model_i;
    out->at_ns = (int64_t)(at_s * 1e9);
    out->client = map_hash(client, strlen(client));
    out->output_tokens = MAX(out->output_tokens, 1u);
    if (out->at_ns < s->last_ns)
        err_set(s->err, ERR_INVALID, "%s:%llu: earlier than the line before it", s->path,
                (unsigned long long)s->n_line);
    s->last_ns = out->at_ns;
    return s->err->code == ERR_NONE;
}

static bool read_next(struct sim_source *s, struct sim_arrival *out)
{
    char line[1024];
    while (s->err->code == ERR_NONE && fgets(line, sizeof line, s->file) != NULL) {
        s->n_line++;
        if (line[0] == '#' || line[0] == '\n' || (s->n_line == 1 && (line[0] < '0' || line[0] > '9')))
            continue;
        if (read_line(s, line, out))
            return true;
        err_set(s->err, ERR_INVALID,
                "%s:%llu: expected seconds,model,prompt_tokens,output_tokens[,client[,priority]]", s->path,
                (unsigned long long)s->n_line);
    }
    return false;
}

bool sim_source_next(struct sim_source *s, struct sim_arrival *out)
{
    return s->file != NULL ? read_next(s, out) : draw_next(s, out);
}

void sim_source_free(struct sim_source *s)
{
    if (s == NULL)
        return;
    if (s->file != NULL)
        fclose(s->file);
    free(s->shares);
    free(s);
}
