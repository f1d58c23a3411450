// SPDX-License-Identifier: MIT
// Options of the server: one table of rows (name, environment variable, type, default, help). Flag > DROVER_X
// > OLLAMA_X > drover.conf > default. This is the only place that reads the environment. Values are read once
// at start and never change while a run uses them.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

// id, name (the variable is DROVER_ or OLLAMA_ + upper case), type, default, help
#define OPTION_LIST(X)                                                                                       \
    X(OPT_HOST, "host", OPTION_TEXT, "127.0.0.1:11434", "address to listen on, or of the server to talk to") \
    X(OPT_MODELS, "models", OPTION_TEXT, "", "directory of the model store")                                 \
    X(OPT_NUM_PARALLEL, "num_parallel", OPTION_UINT, "0",                                                    \
      "slots per model; 0: 4, or 1 when memory is short")                                                    \
    X(OPT_MAX_QUEUE, "max_queue", OPTION_UINT, "512", "requests that may wait; then 503")                    \
    X(OPT_MAX_LOADED_MODELS, "max_loaded_models", OPTION_UINT, "0", "models loaded at once; 0: automatic")   \
    X(OPT_CONTEXT_LENGTH, "context_length", OPTION_UINT, "0", "default context of a request; 0: automatic")  \
    X(OPT_KEEP_ALIVE, "keep_alive", OPTION_DURATION, "5m",                                                   \
      "how long an idle model stays; negative: for ever")                                                    \
    X(OPT_LOAD_TIMEOUT, "load_timeout", OPTION_DURATION, "5m",                                               \
      "a load without progress is given up; 0: never")                                                       \
    X(OPT_NUM_THREADS, "num_threads", OPTION_UINT, "0", "compute threads; 0: what the machine grants")       \
    X(OPT_ORIGINS, "origins", OPTION_TEXT, "", "further allowed CORS origins, comma separated")              \
    X(OPT_DEBUG, "debug", OPTION_LEVEL, "0", "1: debug log, 2: trace")                                       \
    X(OPT_KV_CACHE_TYPE, "kv_cache_type", OPTION_TEXT, "f16", "type of cached keys and values")              \
    X(OPT_MEMORY_LIMIT, "memory_limit", OPTION_BYTES, "0",                                                   \
      "most memory the models may use; 0: the machine's")                                                    \
    X(OPT_CPU, "cpu", OPTION_TEXT, "", "highest CPU level to use: ref, avx2, avx512vnni")                    \
    X(OPT_LOG_FORMAT, "log_format", OPTION_TEXT, "logfmt", "logfmt or json")                                 \
    X(OPT_NOHISTORY, "nohistory", OPTION_BOOL, "0", "no history of typed lines in `drover run`")             \
    X(OPT_EDITOR, "editor", OPTION_TEXT, "",                                                                 \
      "editor of the key Ctrl-G in `drover run`; else $VISUAL, $EDITOR, vi")

enum option_id {
#define X(id, name, type, value, help) id,
    OPTION_LIST(X)
#undef X
        OPTION_COUNT
};
enum option_type { OPTION_TEXT, OPTION_UINT, OPTION_BOOL, OPTION_DURATION, OPTION_BYTES, OPTION_LEVEL };

// Reads the environment (DROVER_X first, then OLLAMA_X; blanks and quotes around a value are dropped; a bad
// number warns and keeps the default). Call once, before other threads exist. Warns by name of each OLLAMA_
// variable that is set and that this build does not honour. Also sets the level and the format of the log: a
// server logs from INFO up, a command from WARN up, OPT_DEBUG lowers both.
void options_load(bool is_server);
// A flag given on the command line. ERR_INVALID says what was expected.
int options_set(enum option_id id, const char *text, struct err *err);
bool options_find(const char *name, enum option_id *id); // "num_parallel" or "num-parallel"

const char *options_text(enum option_id id);
uint64_t options_uint(enum option_id id);       // OPTION_UINT, OPTION_BOOL, OPTION_LEVEL, OPTION_BYTES
int64_t options_duration_ns(enum option_id id); // negative: for ever
const char *options_source(enum option_id id);  // "default", "OLLAMA_HOST", "flag", ...
void options_print(FILE *out);                  // the table with values and sources
const char *options_help(enum option_id id);    // one line
const char *options_name(enum option_id id);    // "num_parallel"
enum option_type options_type(enum option_id id);

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
