// SPDX-License-Identifier: MIT
// The cost of work: a prompt takes its tokens by the prompt rate, an answer its tokens by the rate of one
// stream. n streams of one model run each at 1 / (1 + c (n - 1)) of that, with c such that 16 streams
// together have the measured rate: the curve that docs/benchmarks.md's figures follow.
#include "inspect/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MIB (1ull << 20)

// README's figures, one machine with 2 cores; loads at 1 GB/s.
static const struct sim_model measured[] = {
    {"1.1b", {700 * MIB, 45056, 32768}, 0.8, 105, 33, 129},
    {"7.2b", {4500 * MIB, 131072, 32768}, 4.6, 18.2, 5.3, 20.4},
    {"135m", {110 * MIB, 46080, 8192}, 0.2, 800, 186, 588},
};

void sim_models_default(struct sim_models *m, uint32_t n)
{
    m->rows = xcalloc(SIM_MAX_MODELS, sizeof *m->rows);
    for (m->n = 0; m->n < MIN(n, (uint32_t)SIM_MAX_MODELS); m->n++) {
        m->rows[m->n] = measured[m->n % COUNT_OF(measured)];
        if (m->n >= COUNT_OF(measured))
            snprintf(m->rows[m->n].name, SIM_NAME_BYTES, "%s-%u", measured[m->n % COUNT_OF(measured)].name,
                     m->n / (uint32_t)COUNT_OF(measured) + 1);
    }
}

static bool read_row(const char *line, struct sim_model *row)
{
    double memory_mib, kv_bytes;
    int n = sscanf(line, "%127[^, \t] , %lf , %lf , %lf , %lf , %lf , %lf", row->name, &memory_mib, &kv_bytes,
                   &row->load_s, &row->prompt_rate, &row->decode_rate, &row->batch16_rate);
    if (n != 7 || !(memory_mib > 0 && memory_mib < 1e9) || !(kv_bytes >= 0 && kv_bytes < 1e9) ||
        !(row->load_s >= 0 && row->load_s < 1e6) || !(row->prompt_rate > 0) || !(row->decode_rate > 0) ||
        !(row->batch16_rate > 0))
        return false;
    row->plan = (struct sched_plan){(uint64_t)(memory_mib * (double)MIB), (uint64_t)kv_bytes, 32768};
    return true;
}

int sim_models_read(struct sim_models *m, const char *path, struct err *err)
{
    char line[512];
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    m->rows = xcalloc(SIM_MAX_MODELS, sizeof *m->rows);
    m->n = 0;
    for (int n_line = 1; fgets(line, sizeof line, f) != NULL; n_line++) {
        if (line[0] == '#' || line[0] == '\n' || strncmp(line, "name", 4) == 0)
            continue;
        if (m->n == SIM_MAX_MODELS)
            err_set(err, ERR_INVALID, "%s: more than %d models", path, SIM_MAX_MODELS);
        else if (!read_row(line, &m->rows[m->n]))
            err_set(err, ERR_INVALID,
                    "%s:%d: expected name, memory_mib, kv_bytes_per_token, load_s, prompt_rate, decode_rate, "
                    "batch16_rate",
                    path, n_line);
        else
            m->n++;
        if (err->code != ERR_NONE)
            break;
    }
    fclose(f);
    if (err->code == ERR_NONE && m->n == 0)
        err_set(err, ERR_INVALID, "%s: no models", path);
    return err->code == ERR_NONE ? 0 : -1;
}

void sim_models_fini(struct sim_models *m)
{
    free(m->rows);
    m->rows = NULL;
    m->n = 0;
}

int sim_models_find(struct sim_models *m, const char *name, struct err *err)
{
    const struct sim_model *like = m->n > 0 ? &m->rows[0] : &measured[0];
    for (uint32_t i = 0; i < m->n; i++)
        if (strcmp(m->rows[i].name, name) == 0)
            return (int)i;
    for (size_t i = 0; i < COUNT_OF(measured); i++)
        if (strcmp(measured[i].name, name) == 0)
            like = &measured[i];
    if (m->n == SIM_MAX_MODELS)
        return err_set(err, ERR_INVALID, "more than %d models", SIM_MAX_MODELS);
    m->rows[m->n] = *like;
    snprintf(m->rows[m->n].name, SIM_NAME_BYTES, "%s", name);
    return (int)m->n++;
}

double sim_models_speed(const struct sim_model *m, uint32_t n_streams)
{
    double c = MAX((16 * m->decode_rate / m->batch16_rate - 1) / 15, 0.0);
    return n_streams <= 1 ? 1 : 1 / (1 + c * (n_streams - 1));
}
