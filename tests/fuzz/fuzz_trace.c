// SPDX-License-Identifier: MIT
// Files of `drover simulate`; the first byte chooses: a trace in CSV, a table of models, or an event log,
// line by line.
#include "fuzz.h"

#include "inspect/sim.h"
#include "sched/replay.h"

static void read_trace(const char *path)
{
    struct err err = {0};
    struct sim_models models;
    struct sim_arrival arrival;
    int64_t last_ns = INT64_MIN;
    sim_models_default(&models, 3);
    struct sim_source *source = sim_source_read(path, &models, &err);
    while (sim_source_next(source, &arrival)) {
        FUZZ_CHECK(arrival.at_ns >= last_ns && arrival.model_i < models.n);
        last_ns = arrival.at_ns;
    }
    sim_source_free(source);
    sim_models_fini(&models);
}

static void read_models(const char *path)
{
    struct err err = {0};
    struct sim_models models = {0};
    fuzz_check_result(sim_models_read(&models, path, &err), &err);
    sim_models_fini(&models);
}

static void replay_log(char *text)
{
    static const struct replay_hooks hooks;
    struct err err = {0};
    struct replay *p = replay_new(&hooks);
    int rc = 0;
    for (char *line; rc == 0 && (line = strsep(&text, "\n")) != NULL;)
        rc = replay_line(p, line, &err);
    fuzz_check_result(rc, &err);
    replay_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[64];
    struct slice rest = slice_make(bytes, n);
    unsigned kind = fuzz_take_choice(&rest, 3);
    char *text = xstrndup(rest.at, rest.n);
    int fd = fuzz_open_file(rest, path);
    if (kind == 0)
        read_trace(path);
    else if (kind == 1)
        read_models(path);
    else
        replay_log(text);
    close(fd);
    free(text);
    return 0;
}
