// SPDX-License-Identifier: MIT
// What the files of `drover simulate` share: models and what they cost, arrivals, the world in which the real
// scheduler runs, and the meter. Private to inspect/; one thread; all times in ns of a virtual clock.
#pragma once

#include "base/args.h"
#include "sched/sched.h"

enum { SIM_MAX_MODELS = 256, SIM_NAME_BYTES = 128 };

// ---- Models and what they cost (sim_models.c) ----
struct sim_model {
    char name[SIM_NAME_BYTES];
    struct sched_plan plan;
    double load_s;
    double prompt_rate;  // tokens/s, the machine to itself
    double decode_rate;  // tokens/s of one stream alone
    double batch16_rate; // tokens/s of 16 streams together
};
struct sim_models {
    struct sim_model *rows;
    uint32_t n;
};
void sim_models_default(struct sim_models *m, uint32_t n); // n models, rows of the benchmark in turn
int sim_models_read(struct sim_models *m, const char *path, struct err *err);
void sim_models_fini(struct sim_models *m);
// The model of that name; one that is unknown is added: as the benchmark's of that name, else as the first.
int sim_models_find(struct sim_models *m, const char *name, struct err *err);
// How fast each of n streams runs, 1: as if it were alone.
double sim_models_speed(const struct sim_model *m, uint32_t n_streams);

// ---- Arrivals (sim_source.c) ----
struct sim_arrival {
    int64_t at_ns;
    uint32_t model_i, prompt_tokens, output_tokens;
    uint64_t client;
    enum sched_priority priority;
};
enum sim_shape { SIM_POISSON, SIM_BURSTS, SIM_DIURNAL };
struct sim_draw {
    enum sim_shape shape;
    double rate; // requests per second, on average
    uint64_t n_requests, seed;
    double zipf;                         // the k-th model gets 1 / k^zipf; 0: all the same
    double prompt_tokens, output_tokens; // on average
    bool heavy_tails;
    uint64_t n_clients;
};
struct sim_source;
struct sim_source *sim_source_draw(const struct sim_draw *d, uint32_t n_models);
struct sim_source *sim_source_read(const char *path, struct sim_models *models, struct err *err); // CSV
void sim_source_free(struct sim_source *s);
bool sim_source_next(struct sim_source *s, struct sim_arrival *out); // in order of time; false: no more

// ---- The meter (sim_meter.c) ----
struct sim_meter;
struct sim_meter *sim_meter_new(void);
void sim_meter_free(struct sim_meter *m);
void sim_meter_name(struct sim_meter *m, uint32_t model_i, const char *name);
void sim_meter_submitted(struct sim_meter *m, uint32_t model_i, bool accepted);
void sim_meter_started(struct sim_meter *m, const struct sched_request *r, int64_t now_ns);
void sim_meter_finished(struct sim_meter *m, const struct sched_request *r, int64_t now_ns);
void sim_meter_failed(struct sim_meter *m, const struct sched_request *r);
void sim_meter_cancelled(struct sim_meter *m, const struct sched_request *r);
void sim_meter_model_acted(struct sim_meter *m, const struct sched_action *a);
void sim_meter_print(struct sim_meter *m, bool csv, int64_t end_ns);

// ---- The world (sim_world.c) ----
// Runs all arrivals to their end. log: of the scheduler, or NULL. Returns the time at the end.
int64_t sim_world_run(const struct sched_options *o, const struct sim_models *models,
                      struct sim_source *source, struct sim_meter *meter, sched_log_fn *log, void *log_user);
