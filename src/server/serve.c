// SPDX-License-Identifier: MIT
// `drover serve`: options, limits, signals, then host, store and HTTP server; afterwards the main thread only
// waits for signals. Signals are blocked before any thread exists, so that they are only ever taken here.
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "net/hosts.h"
#include "net/http.h"
#include "server/app.h"
#include "server/config.h"
#include "server/reply.h"
#include "server/request_id.h"
#include "server/routes.h"

enum { DRAIN_S = 30, FLUSH_MS = 1000, TICK_MS = 20, MAX_WAITING_BYTES = 256 << 20 };

// ---- Arguments ----
const struct args_flag server_flags[] = {
    {"print-config", 0, ARGS_SWITCH, NULL, "print every option, its value and where it came from, and end"},
    {"json", 0, ARGS_SWITCH, NULL, "with --print-config: as JSON"},
    {NULL},
};

// Every option is a flag. -1: go on; else the exit code.
static int read_arguments(int argc, char **argv)
{
    struct args a;
    struct err err = {0};
    int code = -1;
    if (args_parse(&a, server_flags, true, argc, argv, &err) == 0 && a.n_operands > 0)
        err_set(&err, ERR_INVALID, "unexpected argument '%s'", a.operands[0]);
    if (err.code == ERR_NONE && args_has(&a, "json") && !args_has(&a, "print-config"))
        err_set(&err, ERR_INVALID, "--json needs --print-config");
    if (err.code != ERR_NONE) {
        fprintf(stderr, "Error: %s\nTry 'drover serve --help'.\n", err.message);
        code = 2;
    } else if (options_load_file(config_name_model, &err) != 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        code = 1;
    } else if (args_has(&a, "print-config")) {
        config_print(stdout, args_has(&a, "json"));
        code = 0;
    }
    args_fini(&a);
    return code;
}

// ---- The process ----
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("server", "the limit of open files cannot be raised: %s", strerror(errno));
}

static void block_signals(sigset_t *stopping)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(stopping);
    sigaddset(stopping, SIGTERM);
    sigaddset(stopping, SIGINT);
    pthread_sigmask(SIG_BLOCK, stopping, NULL);
}

// ---- Starting ----
static int count_threads(const struct cpu_grant *grant)
{
    uint64_t asked = options_uint(OPT_NUM_THREADS);
    return asked > 0 && asked < (uint64_t)grant->n_threads ? (int)asked : grant->n_threads;
}

static int log_machine(int *n_threads, struct err *err)
{
    struct cpu_grant grant;
    enum cpu_level best = cpu_best_level(), level = best;
    const char *asked = options_text(OPT_CPU);
    cpu_read_grant(&grant, NULL);
    *n_threads = count_threads(&grant);
    if (asked[0] && !cpu_level_find(asked, &level))
        return err_set(err, ERR_INVALID, "cpu: '%s' is none of ref, avx2, avx512vnni", asked);
    level = MIN(level, best);
    log_info("server", "computing on the CPU level=%s best=%s threads=%d reason=\"%s\"",
             cpu_level_name(level), cpu_level_name(best), *n_threads, grant.reason);
    if (options_uint(OPT_NUM_THREADS) > (uint64_t)grant.n_threads)
        log_warn("server", "num_threads=%llu is more than this machine grants: computing with %d threads",
                 (unsigned long long)options_uint(OPT_NUM_THREADS), grant.n_threads);
    return 0;
}

static uint32_t option_u32(enum option_id id)
{
    return (uint32_t)MIN(options_uint(id), (uint64_t)UINT32_MAX);
}

static int start_host(struct host **host, struct err *err)
{
    int n_threads = 0;
    if (log_machine(&n_threads, err) != 0)
        return -1;
    struct host_options options = {
        .num_parallel = option_u32(OPT_NUM_PARALLEL),
        .max_queue = option_u32(OPT_MAX_QUEUE),
        .max_loaded = option_u32(OPT_MAX_LOADED_MODELS),
        .context_length = option_u32(OPT_CONTEXT_LENGTH),
        .keep_alive_ns = options_duration_ns(OPT_KEEP_ALIVE),
        .load_timeout_ns = options_duration_ns(OPT_LOAD_TIMEOUT),
        .n_threads = n_threads,
        .memory_limit_bytes = options_uint(OPT_MEMORY_LIMIT),
        .kv_type = options_text(OPT_KV_CACHE_TYPE),
        .cpu_level = options_text(OPT_CPU),
        .max_waiting_bytes = MAX_WAITING_BYTES,
    };
    return host_new(host, &options, err);
}

static int start_http(struct http_server **http, struct app *app, struct err *err)
{
    struct hosts_address address = hosts_parse(options_text(OPT_HOST));
    struct http_server_options options = HTTP_SERVER_OPTIONS_DEFAULT;
    char shown[HOSTS_URL_BYTES];
    if (address.port_is_bad)
        log_warn("server", "host=%s has no usable port: using %u", options_text(OPT_HOST), address.port);
    if (strcmp(address.scheme, "https") == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: drover serves plain HTTP; put a proxy in front of it for https",
                       options_text(OPT_HOST));
    options.host = address.host;
    options.port = address.port;
    options.max_stream_bytes = app->max_stream_bytes + (64 << 10); // the server asks before; this never cuts
    options.max_waiting_body_bytes = MAX_WAITING_BYTES;
    options.handler = routes_handle;
    options.error_body = reply_error_body;
    options.prepare = request_id_prepare;
    options.answered = routes_answered;
    options.user = app;
    *http = http_server_new(&options, err);
    if (!*http) {
        hosts_format(&address, shown);
        if (err->code == ERR_CONFLICT)
            err_prefix(
                err,
                "%s is already in use; another server runs there (set DROVER_HOST or --host to another port)",
                shown);
        return -1;
    }
    app->http = *http;
    app->listens_on_loopback = http_server_is_loopback(*http);
    address.port = http_server_port(*http);
    hosts_format(&address, shown);
    log_info("server", "listening url=%s version=%s models=%s", shown, DROVER_VERSION,
             store_directory(app->store));
    return 0;
}

// ---- Stopping ----
// Waits up to `limit_ms` until `is_done`, or until a signal comes. True: it is done.
static bool wait_until(bool (*is_done)(void *), void *user, const sigset_t *stopping, int limit_ms)
{
    struct timespec tick = {.tv_nsec = TICK_MS * NS_PER_MS};
    for (int waited = 0; waited < limit_ms && !is_done(user); waited += TICK_MS)
        if (sigtimedwait(stopping, NULL, &tick) > 0)
            return false;
    return is_done(user);
}

static bool no_generation_runs(void *user)
{
    struct app *app = user;
    return atomic_load(&app->n_generations) == 0;
}

static bool no_connection_is_open(void *user)
{
    return http_server_connection_count(user) == 0;
}

static void serve_until_stopped(struct app *app, struct http_server *http, const sigset_t *stopping)
{
    int signal_number = 0;
    while (sigwait(stopping, &signal_number) != 0)
        ;
    atomic_store(&app->is_draining, true);
    http_server_stop_accepting(http);
    log_info(
        "server",
        "stopping signal=%s running=%u: running requests may finish for %d s, a second signal stops at once",
        signal_number == SIGTERM ? "SIGTERM" : "SIGINT", atomic_load(&app->n_generations), DRAIN_S);
    if (!wait_until(no_generation_runs, app, stopping, DRAIN_S * 1000))
        log_warn("server", "stopping now, requests are cut off running=%u", atomic_load(&app->n_generations));
}

static int serve(const sigset_t *stopping, struct err *err)
{
    struct app app = {0};
    struct host *host = NULL;
    struct store *store = NULL;
    struct http_server *http = NULL;
    char directory[4096];
    int rc = -1;
    raise_file_limit();
    store_default_directory(options_text(OPT_MODELS), directory);
    if (store_open(&store, directory, err) != 0 || start_host(&host, err) != 0)
        goto out;
    if (app_init(&app, host, store, options_text(OPT_ORIGINS), err) != 0)
        goto out;
    if (options_uint(OPT_NUM_PARALLEL) > 0)
        app.default_slots = option_u32(OPT_NUM_PARALLEL);
    if (start_http(&http, &app, err) != 0)
        goto out;
    serve_until_stopped(&app, http, stopping);
    rc = 0;
out:
    app_close(&app);
    if (host)
        host_free(host); // open requests get their last event: an error that says so
    if (http)
        wait_until(no_connection_is_open, http, stopping, FLUSH_MS);
    http_server_free(http);
    app_fini(&app);
    store_close(store);
    return rc;
}

int server_main(int argc, char **argv)
{
    sigset_t stopping;
    struct err err = {0};
    options_load(true);
    int code = read_arguments(argc, argv);
    if (code >= 0)
        return code;
    block_signals(&stopping);
    if (serve(&stopping, &err) != 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        return 1;
    }
    log_info("server", "stopped");
    return 0;
}
