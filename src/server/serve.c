// SPDX-License-Identifier: MIT
// `drover serve`: options, limits, signals, then host, store and HTTP server; afterwards the main thread only
// waits for signals: SIGHUP reads drover.conf again, SIGTERM and SIGINT drain and end. Signals are blocked
// before any thread exists, so that they are only ever taken here.
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
#include "server/agent.h"
#include "server/app.h"
#include "server/chore.h"
#include "server/config.h"
#include "server/keys.h"
#include "server/opening.h"
#include "server/preload.h"
#include "server/ollama.h"
#include "server/service.h"

#define DAY_NS (86400 * NS_PER_S)
enum { FLUSH_TICKS = 50, TICK_MS = 20 };

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

static void block_signals(sigset_t *waited)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(waited);
    sigaddset(waited, SIGTERM);
    sigaddset(waited, SIGINT);
    sigaddset(waited, SIGHUP);
    pthread_sigmask(SIG_BLOCK, waited, NULL);
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

// What the table says now; `n_threads` is settled at start.
static struct host_options read_host_options(int n_threads)
{
    return (struct host_options){
        .num_parallel = option_u32(OPT_NUM_PARALLEL),
        .max_queue = option_u32(OPT_MAX_QUEUE),
        .max_loaded = option_u32(OPT_MAX_LOADED_MODELS),
        .context_length = option_u32(OPT_CONTEXT_LENGTH),
        .keep_alive_ns = options_duration_ns(OPT_KEEP_ALIVE),
        .load_timeout_ns = options_duration_ns(OPT_LOAD_TIMEOUT),
        .stall_timeout_ns = options_duration_ns(OPT_STALL_TIMEOUT),
        .swap_after_ns = MAX(options_duration_ns(OPT_SWAP_AFTER), 1), // 0 would be the host's default
        .min_resident_ns = MAX(options_duration_ns(OPT_MIN_RESIDENT), 1),
        .max_queue_wait_ns = options_duration_ns(OPT_MAX_QUEUE_WAIT),
        .first_token_timeout_ns = options_duration_ns(OPT_FIRST_TOKEN_TIMEOUT),
        .request_timeout_ns = options_duration_ns(OPT_REQUEST_TIMEOUT),
        .order = strcmp(options_text(OPT_QUEUE_POLICY), "round-robin") == 0 ? SCHED_ORDER_ROUND_ROBIN
                                                                            : SCHED_ORDER_FIFO,
        .uses_priorities = options_uint(OPT_PRIORITIES) != 0,
        .n_threads = n_threads,
        .memory_limit_bytes = options_uint(OPT_MEMORY_LIMIT),
        .kv_type = options_text(OPT_KV_CACHE_TYPE),
        .cpu_level = options_text(OPT_CPU),
        .has_no_drafts = options_uint(OPT_DRAFT_TOKENS) == 0,
        .has_no_coarse_head = options_uint(OPT_COARSE_HEAD) == 0,
        .event_log = options_text(OPT_EVENT_LOG),
        .max_waiting_bytes = OPENING_MAX_WAITING_BYTES,
    };
}

static int start_host(struct host **host, int *n_threads, struct err *err)
{
    if (log_machine(n_threads, err) != 0)
        return -1;
    struct host_options options = read_host_options(*n_threads);
    return host_new(host, &options, err);
}

// ---- Running and stopping ----
static const char *signal_name(int number)
{
    return number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGHUP";
}

// Waits until `is_done`, until it took `limit_ns` (negative: for ever), or until a signal to stop comes.
// True: it is done.
static bool wait_until(bool (*is_done)(void *), void *user, const sigset_t *waited, int64_t limit_ns)
{
    struct timespec tick = {.tv_nsec = TICK_MS * NS_PER_MS};
    int64_t start_ns = clock_monotonic_ns();
    while (!is_done(user) && (limit_ns < 0 || clock_monotonic_ns() - start_ns < limit_ns)) {
        int number = sigtimedwait(waited, NULL, &tick);
        if (number == SIGTERM || number == SIGINT) {
            log_info("server", "stopping at once signal=%s", signal_name(number));
            return false;
        }
    }
    return is_done(user);
}

// Generations that run or wait, and pulls, pushes and the like.
static unsigned count_work(struct app *app)
{
    return atomic_load(&app->n_generations) + (unsigned)chores_count(app->chores);
}

static bool no_work_is_left(void *user)
{
    return count_work(user) == 0;
}

static bool no_connection_is_open(void *user)
{
    return http_server_connection_count(user) == 0;
}

static int start_agent(struct agent **agent, struct app *app, struct err *err)
{
    struct hosts_address address = hosts_parse(options_text(OPT_HOST));
    uint64_t port = options_uint(OPT_AGENT_PORT);
    if (port == 0)
        return 0;
    if (port > UINT16_MAX)
        return err_set(err, ERR_INVALID, "agent_port: %llu is no port", (unsigned long long)port);
    *agent = agent_new(app, address.host, (uint16_t)port, err);
    return *agent != NULL ? 0 : -1;
}

static void reload(struct app *app, struct service *service)
{
    struct err err = {0};
    struct key_list keys;
    service_reloading(service);
    if (opening_read_keys(&keys, &err) != 0 || options_reload(config_name_model, &err) != 0) {
        key_list_fini(&keys);
        log_error("server", "the configuration stays as it was: %s", err.message);
        service_ready(service, "the last reload failed, see the log");
        return;
    }
    const char *file = options_file();
    struct host_options options = read_host_options(app->n_threads);
    host_configure(app->host, &options, config_model_settings);
    opening_take_keys(app, &keys);
    log_info("server", "the configuration was read again file=%s", file[0] ? file : "none"); // and counts
    preload_models(app);
    service_ready(service, "the configuration was read again");
}

// Returns the signal that ends it.
static int serve_until_signal(struct app *app, struct service *service, const sigset_t *waited)
{
    for (;;) {
        int number = 0;
        if (sigwait(waited, &number) != 0)
            continue;
        if (number != SIGHUP)
            return number;
        reload(app, service);
    }
}

// New requests get 503, those that wait and run may end.
static void drain(struct app *app, struct http_server *http, struct service *service, int number,
                  const sigset_t *waited)
{
    int64_t limit_ns = options_duration_ns(OPT_DRAIN_TIMEOUT);
    http_server_drain(http); // first: whoever is told that it drains is told to close, too
    atomic_store(&app->is_draining, true);
    service_stopping(service, limit_ns < 0 || limit_ns > DAY_NS ? DAY_NS : limit_ns + 10 * NS_PER_S);
    log_info(
        "server",
        "stopping signal=%s requests=%u drain_timeout=%s: they may finish, a second signal stops at once",
        signal_name(number), count_work(app), options_text(OPT_DRAIN_TIMEOUT));
    if (!wait_until(no_work_is_left, app, waited, limit_ns))
        log_warn("server", "requests are cut off requests=%u", count_work(app));
}

// The last answers leave. In ticks: while this process does not run, no client gets anything either.
static void flush(struct http_server *http, const sigset_t *waited)
{
    for (int i = 0; i < FLUSH_TICKS; i++)
        if (wait_until(no_connection_is_open, http, waited, TICK_MS * NS_PER_MS))
            return;
}

static int serve(struct service *service, const sigset_t *waited, struct err *err)
{
    struct app app = {0};
    struct host *host = NULL;
    struct store *store = NULL;
    struct http_server *http = NULL;
    struct agent *agent = NULL;
    char directory[4096];
    int rc = -1, n_threads = 0;
    raise_file_limit();
    store_default_directory(options_text(OPT_MODELS), directory);
    if (store_open(&store, directory, err) != 0 || start_host(&host, &n_threads, err) != 0)
        goto out;
    if (app_init(&app, host, store, options_text(OPT_ORIGINS), err) != 0)
        goto out;
    app.n_threads = n_threads;
    if (opening_start_keys(&app, err) != 0 || opening_start_http(&http, &app, service, err) != 0 ||
        start_agent(&agent, &app, err) != 0)
        goto out;
    if (!options_uint(OPT_READ_ONLY))
        ollama_prune_at_start(&app);
    preload_models(&app);
    service_watch(service, host, http);
    int number = serve_until_signal(&app, service, waited);
    drain(&app, http, service, number, waited);
    rc = 0;
out:
    service_unwatch(service);
    if (http)
        http_server_drain(http);
    agent_free(agent);
    app_close(&app);
    if (host)
        host_free(host); // open requests get their last event: an error that says so
    if (http)
        flush(http, waited);
    http_server_free(http);
    app_fini(&app);
    store_close(store);
    return rc;
}

int server_main(int argc, char **argv)
{
    sigset_t waited;
    struct err err = {0};
    options_load(true);
    int code = read_arguments(argc, argv);
    if (code >= 0)
        return code;
    struct service *service = service_new();
    block_signals(&waited);
    if (serve(service, &waited, &err) == 0) {
        log_info("server", "stopped");
        code = 0;
    } else {
        fprintf(stderr, "Error: %s\n", err.message);
        code = 1;
    }
    service_free(service);
    return code;
}
