// SPDX-License-Identifier: MIT
// Options of the server: one table of rows (name, environment variable, type, default, help), and the
// settings of single models. Flag > DROVER_X > OLLAMA_X > drover.conf > default. This is the only place that
// reads the environment. Values are set by the main thread: at start, and those marked OPTION_LIVE again by
// options_reload(). Any thread may read them at any time; texts are never freed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// id, name (the variable is DROVER_ or OLLAMA_ + upper case), type, default, when a reload changes it, help.
// The help of an OPTION_CHOICE begins with its values: "a|b|c: ...".
#define OPTION_LIST(X)                                                                                       \
    X(OPT_HOST, "host", OPTION_TEXT, "127.0.0.1:11434", OPTION_AT_START,                                     \
      "address to listen on, or of the server to talk to")                                                   \
    X(OPT_MODELS, "models", OPTION_TEXT, "", OPTION_AT_START, "directory of the model store")                \
    X(OPT_NUM_PARALLEL, "num_parallel", OPTION_UINT, "0", OPTION_LIVE,                                       \
      "slots per model; 0: 4, or 1 when memory is short")                                                    \
    X(OPT_MAX_QUEUE, "max_queue", OPTION_UINT, "512", OPTION_LIVE, "requests that may wait; then 503")       \
    X(OPT_MAX_LOADED_MODELS, "max_loaded_models", OPTION_UINT, "0", OPTION_LIVE,                             \
      "models loaded at once; 0: automatic")                                                                 \
    X(OPT_CONTEXT_LENGTH, "context_length", OPTION_UINT, "0", OPTION_LIVE,                                   \
      "default context of a request; 0: automatic")                                                          \
    X(OPT_KEEP_ALIVE, "keep_alive", OPTION_DURATION, "5m", OPTION_LIVE,                                      \
      "how long an idle model stays; negative: for ever")                                                    \
    X(OPT_LOAD_TIMEOUT, "load_timeout", OPTION_DURATION, "5m", OPTION_LIVE,                                  \
      "a load without progress is given up; 0: never")                                                       \
    X(OPT_STALL_TIMEOUT, "stall_timeout", OPTION_DURATION, "30s", OPTION_LIVE,                               \
      "a model with work that computes nothing is started anew; 0: never")                                   \
    X(OPT_MAX_QUEUE_WAIT, "max_queue_wait", OPTION_DURATION, "0", OPTION_LIVE,                               \
      "a request that waits longer gets 503; 0: no limit")                                                   \
    X(OPT_FIRST_TOKEN_TIMEOUT, "first_token_timeout", OPTION_DURATION, "0", OPTION_LIVE,                     \
      "a request without an answer's first token is given up; 0: never")                                     \
    X(OPT_REQUEST_TIMEOUT, "request_timeout", OPTION_DURATION, "0", OPTION_LIVE,                             \
      "a request that takes longer in all is ended; 0: no limit")                                            \
    X(OPT_DRAIN_TIMEOUT, "drain_timeout", OPTION_DURATION, "30s", OPTION_LIVE,                               \
      "how long SIGTERM lets requests finish; negative: for ever")                                           \
    X(OPT_SWAP_AFTER, "swap_after", OPTION_DURATION, "5s", OPTION_LIVE,                                      \
      "a model that others wait for room of takes no new work after it")                                     \
    X(OPT_MIN_RESIDENT, "min_resident", OPTION_DURATION, "10s", OPTION_LIVE,                                 \
      "a model that has work stays at least that long")                                                      \
    X(OPT_QUEUE_POLICY, "queue_policy", OPTION_CHOICE, "fifo", OPTION_LIVE,                                  \
      "fifo|round-robin: who is next; in order of arrival, or the clients in turn")                          \
    X(OPT_PRIORITIES, "priorities", OPTION_BOOL, "0", OPTION_LIVE,                                           \
      "honour the header X-Priority: interactive, normal or batch")                                          \
    X(OPT_DEFAULT_PRIORITY, "default_priority", OPTION_CHOICE, "normal", OPTION_LIVE,                        \
      "interactive|normal|batch: of requests that say none")                                                 \
    X(OPT_TRUSTED_PROXIES, "trusted_proxies", OPTION_NETWORKS, "", OPTION_LIVE,                              \
      "addresses and networks whose client_header is believed, comma separated")                             \
    X(OPT_CLIENT_HEADER, "client_header", OPTION_TEXT, "X-Forwarded-For", OPTION_LIVE,                       \
      "header by which a trusted proxy names the client")                                                    \
    X(OPT_AGENT_PORT, "agent_port", OPTION_UINT, "0", OPTION_AT_START,                                       \
      "port that answers HAProxy's agent-check with the free capacity; 0: none")                             \
    X(OPT_QUEUE_COMMENTS, "queue_comments", OPTION_DURATION, "0", OPTION_LIVE,                               \
      "time between SSE comments while a stream waits; 0: none")                                             \
    X(OPT_NOPRUNE, "noprune", OPTION_BOOL, "0", OPTION_LIVE,                                                 \
      "never remove blobs that no model uses, except at rm and prune")                                       \
    X(OPT_PULL_STALL, "pull_stall", OPTION_DURATION, "30s", OPTION_LIVE,                                     \
      "a part of a pull that gets no data for so long is asked for again")                                   \
    X(OPT_GO_TEMPLATE, "go_template", OPTION_TEXT, "auto", OPTION_LIVE,                                      \
      "1: stored Go templates always, 0: never; auto: unless the model file's own does more")                \
    X(OPT_API_KEYS, "api_keys", OPTION_TEXT, "", OPTION_AT_START,                                            \
      "file of the API keys that are asked for, see `drover key`; none: everybody may do everything")        \
    X(OPT_API_KEY, "api_key", OPTION_SECRET, "", OPTION_AT_START, "key that the commands send to a server")  \
    X(OPT_INSECURE, "insecure", OPTION_BOOL, "0", OPTION_AT_START,                                           \
      "listen beyond this machine although no API keys are asked for")                                       \
    X(OPT_READ_ONLY, "read_only", OPTION_BOOL, "0", OPTION_LIVE,                                             \
      "refuse to pull, create, copy and delete models; nothing changes the store")                           \
    X(OPT_MAX_BODY, "max_body", OPTION_BYTES, "32MiB", OPTION_AT_START,                                      \
      "largest body of a request, but for blobs; then 413")                                                  \
    X(OPT_MAX_HEADER, "max_header", OPTION_BYTES, "16KiB", OPTION_AT_START,                                  \
      "largest head of a request: its line and headers; then 431")                                           \
    X(OPT_MAX_HEADERS, "max_headers", OPTION_UINT, "128", OPTION_AT_START,                                   \
      "headers of a request, at most 256; then 431")                                                         \
    X(OPT_MAX_CONNECTIONS, "max_connections", OPTION_UINT, "16384", OPTION_AT_START,                         \
      "connections at once; then 503")                                                                       \
    X(OPT_MAX_CONNECTIONS_PER_ADDRESS, "max_connections_per_address", OPTION_UINT, "4096", OPTION_AT_START,  \
      "connections at once of one address (IPv6: of one /64); then 503; 0: no such limit")                   \
    X(OPT_HEADER_TIMEOUT, "header_timeout", OPTION_DURATION, "30s", OPTION_AT_START,                         \
      "for the head of a request to come in; then 408")                                                      \
    X(OPT_BODY_TIMEOUT, "body_timeout", OPTION_DURATION, "1m", OPTION_AT_START,                              \
      "for a body to come in, longer by what comes at 16 KiB/s; then 408")                                   \
    X(OPT_IDLE_TIMEOUT, "idle_timeout", OPTION_DURATION, "1m", OPTION_AT_START,                              \
      "how long a connection may be silent, between requests or reading nothing")                            \
    X(OPT_NUM_THREADS, "num_threads", OPTION_UINT, "0", OPTION_AT_START,                                     \
      "compute threads; 0: what the machine grants")                                                         \
    X(OPT_ORIGINS, "origins", OPTION_TEXT, "", OPTION_AT_START,                                              \
      "further allowed CORS origins, comma separated")                                                       \
    X(OPT_DEBUG, "debug", OPTION_LEVEL, "0", OPTION_LIVE, "1: debug log, 2: trace")                          \
    X(OPT_KV_CACHE_TYPE, "kv_cache_type", OPTION_CHOICE, "f16", OPTION_LIVE,                                 \
      "f16|f32|bf16|q8_0: type of cached keys and values")                                                   \
    X(OPT_MEMORY_LIMIT, "memory_limit", OPTION_BYTES, "0", OPTION_LIVE,                                      \
      "most memory the models may use; 0: the machine's")                                                    \
    X(OPT_EVENT_LOG, "event_log", OPTION_TEXT, "", OPTION_AT_START,                                          \
      "file for what the scheduler sees and does; 'drover simulate FILE' replays it")                        \
    X(OPT_CPU, "cpu", OPTION_TEXT, "", OPTION_AT_START, "highest CPU level to use: ref, avx2, avx512vnni")   \
    X(OPT_DRAFT_TOKENS, "draft_tokens", OPTION_BOOL, "1", OPTION_AT_START,                                   \
      "0: compute no tokens in advance when few streams run; they change no answer")                         \
    X(OPT_COARSE_HEAD, "coarse_head", OPTION_BOOL, "1", OPTION_AT_START,                                     \
      "0: no smaller copy of q8_0 output weights: less memory, slower; it changes no answer")                \
    X(OPT_LOG_FORMAT, "log_format", OPTION_CHOICE, "logfmt", OPTION_LIVE, "logfmt|json: form of the log")    \
    X(OPT_CONFIG, "config", OPTION_TEXT, "", OPTION_AT_START,                                                \
      "configuration file, instead of the person's or the machine's drover.conf")                            \
    X(OPT_NOHISTORY, "nohistory", OPTION_BOOL, "0", OPTION_AT_START,                                         \
      "no history of typed lines in `drover run`")                                                           \
    X(OPT_EDITOR, "editor", OPTION_TEXT, "", OPTION_AT_START,                                                \
      "editor of the key Ctrl-G in `drover run`; else $VISUAL, $EDITOR, vi")

enum option_id {
#define X(id, name, type, value, when, help) id,
    OPTION_LIST(X)
#undef X
        OPTION_COUNT
};
enum option_type {
    OPTION_TEXT,
    OPTION_UINT,
    OPTION_BOOL,
    OPTION_DURATION,
    OPTION_BYTES,
    OPTION_LEVEL,
    OPTION_CHOICE,
    OPTION_NETWORKS,
    OPTION_SECRET // a text that is never printed
};
enum option_when { OPTION_AT_START, OPTION_LIVE };

// Settings of one model, in a section [model NAME]: id, name, the option it stands in for (its name is good
// in a section too; OPTION_COUNT: none), type, help.
#define MODEL_SETTING_LIST(X)                                                                                \
    X(MODEL_PARALLEL, "parallel", OPT_NUM_PARALLEL, OPTION_UINT, "slots; 0: automatic")                      \
    X(MODEL_CONTEXT, "context", OPT_CONTEXT_LENGTH, OPTION_UINT, "default context of a request; 0: auto")    \
    X(MODEL_KV_TYPE, "kv_type", OPT_KV_CACHE_TYPE, OPTION_CHOICE, "type of cached keys and values")          \
    X(MODEL_KEEP_ALIVE, "keep_alive", OPT_KEEP_ALIVE, OPTION_DURATION, "how long it stays when idle")        \
    X(MODEL_PIN, "pin", OPTION_COUNT, OPTION_BOOL, "never unloaded to make room, nor when idle")             \
    X(MODEL_PRELOAD, "preload", OPTION_COUNT, OPTION_BOOL, "loaded at start")                                \
    X(MODEL_THREADS, "threads", OPT_NUM_THREADS, OPTION_UINT, "compute threads; 0: what the machine grants")

enum model_setting {
#define X(id, name, global, type, help) id,
    MODEL_SETTING_LIST(X)
#undef X
        MODEL_SETTING_COUNT
};
enum { OPTION_MODEL_NAME_BYTES = 640 };

struct model_settings {
    char name[OPTION_MODEL_NAME_BYTES];
    const char *file; // where the section stands
    unsigned line;
    struct model_value {
        const char *text;
        uint64_t uint;
        int64_t duration_ns;
        unsigned line; // 0: not set
    } at[MODEL_SETTING_COUNT];
};

// What a person wrote as a model's name to the form that options_find_model is asked with. ERR_INVALID.
typedef int option_namer_fn(const char *text, char out[OPTION_MODEL_NAME_BYTES], struct err *err);

// Reads the environment (DROVER_X first, then OLLAMA_X; blanks and quotes around a value are dropped; a bad
// value warns and keeps the default). Call before other threads exist. A command of a client reads
// drover.conf as well, and warns when it is broken; a server does so with options_load_file() after its
// flags. Warns by name of each OLLAMA_ variable that is set and that this build does not honour. Also sets
// the level and the format of the log: a server logs from INFO up, a command from WARN up, OPT_DEBUG lowers
// both.
void options_load(bool is_server);
// drover.conf: OPT_CONFIG, else the person's own, else the machine's, else none. All of it or nothing; errors
// are ERR_INVALID "FILE:LINE: ..." or ERR_NOT_FOUND. `namer` may be NULL: names stay as written.
int options_load_file(option_namer_fn *namer, struct err *err);
// Reads the file again. What it says differently takes effect and is logged, but for options of
// OPTION_AT_START, which are logged as waiting for the next start. On an error nothing has changed.
int options_reload(option_namer_fn *namer, struct err *err);
// A flag given on the command line. ERR_INVALID says what was expected.
int options_set(enum option_id id, const char *text, struct err *err);
bool options_find(const char *name, enum option_id *id); // "num_parallel" or "num-parallel"

const char *options_text(enum option_id id);
const char *options_shown(enum option_id id);   // the text as people and logs may see it
uint64_t options_uint(enum option_id id);       // OPTION_UINT, OPTION_BOOL, OPTION_LEVEL, OPTION_BYTES
int64_t options_duration_ns(enum option_id id); // negative: for ever
const char *options_source(enum option_id id);  // "default", "OLLAMA_HOST", "flag", "FILE:LINE"
const char *options_help(enum option_id id);    // one line
const char *options_name(enum option_id id);    // "num_parallel"
enum option_type options_type(enum option_id id);
enum option_when options_when(enum option_id id);
const char *options_file(void); // the drover.conf in force; "": none

bool options_find_model(const char *name, struct model_settings *out); // in any case of letters
bool options_read_model_at(size_t index, struct model_settings *out);  // in the file's order; false: no more
const char *options_model_setting_name(enum model_setting id);         // "parallel"
const char *options_model_setting_help(enum model_setting id);

const char *options_editor(void);    // OPT_EDITOR, else $VISUAL, $EDITOR, "vi"
bool options_terminal_is_dumb(void); // TERM unset, empty or "dumb"
bool options_no_color(void);         // NO_COLOR set and not empty

// Paths of the person: each ends without a slash. Values of the environment with their defaults.
const char *options_home(void);
void options_cache_dir(char out[4096]); // $XDG_CACHE_HOME/drover
void options_data_dir(char out[4096]);  // $XDG_DATA_HOME/drover
void options_state_dir(char out[4096]); // $XDG_STATE_HOME/drover

// Go's duration syntax ("1h30m", "300ms", "-1s", "0"); ERR_INVALID with Go's words otherwise.
int duration_parse(const char *text, int64_t *ns, struct err *err);

// What a service manager says (sd_notify, socket activation); taken out of the environment by the first call,
// so call it before other threads exist.
struct options_service {
    char notify_socket[108]; // "": none; '@' begins an abstract name
    int n_listen_fds;        // from descriptor 3 on, when they are for this process
    uint64_t watchdog_us;    // 0: none
};
void options_take_service(struct options_service *out);

// For options.c: warns of the variables that this build does not honour.
void options_warn_of_environment(void);
