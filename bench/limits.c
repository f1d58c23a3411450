// SPDX-License-Identifier: MIT
// Prints what the machine can do at best: read bandwidth with one thread and with all, over huge pages, and
// the multiply instructions of a core. One JSON object a line; bench.py runs it between the speeds that it
// explains. usage: limits [-j threads] [-c level]
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "machine.h"

enum { READ_BYTES = 384 << 20, N_READS = 3 };

static double best_bandwidth(const void *memory, int n_threads)
{
    double best = 0;
    struct pool *pool = pool_new(n_threads);
    for (int i = 0; i < N_READS; i++) {
        double rate = machine_read_bytes_per_s(pool, memory, READ_BYTES);
        best = MAX(best, rate);
    }
    pool_free(pool);
    return best;
}

int main(int argc, char **argv)
{
    struct cpu_grant grant;
    enum cpu_level level = cpu_best_level();
    int c;
    cpu_read_grant(&grant, NULL);
    int n_threads = grant.n_threads;
    while ((c = getopt(argc, argv, "j:c:")) != -1) {
        if (c == 'j' && atoi(optarg) > 0)
            n_threads = atoi(optarg);
        else if (c != 'c' || !cpu_level_find(optarg, &level))
            return 2;
    }
    if (level > cpu_best_level()) {
        fprintf(stderr, "limits: this machine lacks %s\n", cpu_level_name(level));
        return 1;
    }
    void *memory = mem_map(READ_BYTES);
    if (memory == NULL) {
        fprintf(stderr, "limits: cannot allocate %d MiB\n", READ_BYTES >> 20);
        return 1;
    }
    memset(memory, 1, READ_BYTES);
    const char *name = machine_multiply_name(level);
    printf("{\"what\":\"limits\",\"level\":\"%s\",\"threads\":%d,\"read_gb_per_s_1\":%.2f,\"read_gb_per_s_"
           "all\":%.2f,"
           "\"multiply\":\"%s\",\"multiplies_per_s\":%.4g,\"known_loop_gmac_per_s\":%.2f}\n",
           cpu_level_name(level), n_threads, best_bandwidth(memory, 1) * 1e-9,
           best_bandwidth(memory, n_threads) * 1e-9, name != NULL ? name : "",
           machine_multiplies_per_s(level), machine_known_loop_macs_per_s(level) * 1e-9);
    mem_unmap(memory, READ_BYTES);
    return 0;
}
