// SPDX-License-Identifier: MIT
// The option table: one row an option, one slot for its value. Four places may fill a slot, each beating the
// ones below it whatever the order of filling: a flag, DROVER_X, OLLAMA_X, drover.conf; what none fills keeps
// the default. Slots are atomics and their texts are kept for ever, so that a reload needs no lock on the
// readers' side; the models' sections are copied out under a mutex.
#include "base/options.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/paths.h"

static const struct row {
    const char *name, *value, *help;
    enum option_type type;
    enum option_when when;
} rows[OPTION_COUNT] = {
#define X(id, name, type, value, when, help) [id] = {name, value, help, type, when},
    OPTION_LIST(X)
#undef X
};

enum rank { RANK_DEFAULT, RANK_FILE, RANK_OLLAMA, RANK_DROVER, RANK_FLAG };

static struct slot {
    _Atomic(const char *) text, source;
    _Atomic uint64_t uint;
    _Atomic int64_t duration_ns;
    enum rank rank; // the main thread's
} slots[OPTION_COUNT];

static bool for_server;
static const char *file_in_force = ""; // the main thread's

static struct models {
    pthread_mutex_t mutex;
    struct model_settings *at;
    size_t n;
} models = {.mutex = PTHREAD_MUTEX_INITIALIZER};

// ---- Filling a slot ----

static void put(enum option_id id, const struct option_value *value, enum rank rank, const char *source)
{
    struct slot *s = &slots[id];
    atomic_store(&s->text, option_value_keep(value->text));
    atomic_store(&s->source, option_value_keep(source));
    atomic_store(&s->uint, value->uint);
    atomic_store(&s->duration_ns, value->duration_ns);
    s->rank = rank;
}

static void put_default(enum option_id id)
{
    struct option_value value = {0};
    (void)option_value_read(&value, rows[id].type, rows[id].help, rows[id].value, NULL); // rows are right
    put(id, &value, RANK_DEFAULT, "default");
}

static void variable_name(enum option_id id, const char *prefix, char out[64])
{
    size_t n = (size_t)snprintf(out, 64, "%s", prefix);
    for (const char *p = rows[id].name; *p && n < 63; p++)
        out[n++] = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    out[n] = 0;
}

static void fill_from_variable(enum option_id id, const char *name, enum rank rank)
{
    struct err err = {0};
    struct option_value value;
    const char *raw = getenv(name);
    if (raw == NULL || slots[id].rank > rank)
        return;
    char *text = option_value_trim(raw);
    int rc = rank == RANK_OLLAMA ? option_value_read_ollama(&value, rows[id].type, rows[id].help, text, &err)
                                 : option_value_read(&value, rows[id].type, rows[id].help, text, &err);
    if (text[0] != 0 && rc == 0)
        put(id, &value, rank, name);
    else if (text[0] != 0)
        log_warn("options", "%s: %s: %s, staying with %s", name, rows[id].name, err.message,
                 options_text(id));
    free(text);
}

static void fill_from_environment(enum option_id id)
{
    char name[64];
    variable_name(id, "OLLAMA_", name);
    fill_from_variable(id, name, RANK_OLLAMA);
    variable_name(id, "DROVER_", name);
    fill_from_variable(id, name, RANK_DROVER);
}

static void apply_log(void)
{
    uint64_t debug = options_uint(OPT_DEBUG);
    log_set_level(debug > 1 ? LOG_TRACE : debug == 1 ? LOG_DEBUG : for_server ? LOG_INFO : LOG_WARN);
    log_set_json(strcmp(options_text(OPT_LOG_FORMAT), "json") == 0);
}

// ---- The file ----

// The file to read now; "": there is none.
static void choose_file(char out[4096])
{
    char directory[4096];
    const char *configured = options_text(OPT_CONFIG);
    static const char *const machines = "/etc/drover/drover.conf";
    options_config_dir(directory);
    if (configured[0] != 0) {
        snprintf(out, 4096, "%s", configured);
        return;
    }
    snprintf(out, 4096, "%.4000s/drover.conf", directory);
    if (access(out, F_OK) != 0)
        snprintf(out, 4096, "%s", access(machines, F_OK) == 0 ? machines : "");
}

static int read_file(struct conf *c, option_namer_fn *namer, struct err *err)
{
    char path[4096];
    choose_file(path);
    *c = (struct conf){.path = ""};
    return path[0] != 0 ? conf_read(c, path, namer, err) : 0;
}

static void put_from_file(enum option_id id, const struct conf *c)
{
    char source[4096 + 16];
    if (c->at[id].line == 0) {
        put_default(id);
        return;
    }
    snprintf(source, sizeof source, "%s:%u", c->path, c->at[id].line);
    put(id, &c->at[id].value, RANK_FILE, source);
}

static void take_models(struct conf *c)
{
    pthread_mutex_lock(&models.mutex);
    struct model_settings *old = models.at;
    models.at = c->models;
    models.n = c->n_models;
    c->models = old;
    pthread_mutex_unlock(&models.mutex);
    file_in_force = c->path;
}

int options_load_file(option_namer_fn *namer, struct err *err)
{
    struct conf c;
    int rc = read_file(&c, namer, err);
    for (int id = 0; rc == 0 && id < OPTION_COUNT; id++)
        if (slots[id].rank <= RANK_FILE)
            put_from_file((enum option_id)id, &c);
    if (rc == 0)
        take_models(&c);
    conf_fini(&c);
    apply_log();
    return rc;
}

static const char *shown(enum option_id id, const char *text)
{
    return rows[id].type == OPTION_SECRET && text[0] != 0 ? "(set)" : text;
}

static void reload_one(enum option_id id, const struct conf *c)
{
    const char *now = options_text(id), *wanted = c->at[id].line ? c->at[id].value.text : rows[id].value;
    bool is_same = strcmp(now, wanted) == 0;
    if (slots[id].rank > RANK_FILE)
        return;
    if (is_same || rows[id].when == OPTION_LIVE)
        put_from_file(id, c);
    if (!is_same && rows[id].when == OPTION_LIVE)
        log_info("options", "%s is now \"%s\" (%s), it was \"%s\"", rows[id].name, shown(id, wanted),
                 options_source(id), shown(id, now));
    else if (!is_same)
        log_warn("options", "%s stays \"%s\": \"%s\" takes effect at the next start", rows[id].name,
                 shown(id, now), shown(id, wanted));
}

int options_reload(option_namer_fn *namer, struct err *err)
{
    struct conf c;
    int rc = read_file(&c, namer, err);
    if (rc == 0 && c.path[0] == 0 && file_in_force[0] != 0)
        rc = err_set(err, ERR_NOT_FOUND, "%s is not there any more", file_in_force);
    for (int id = 0; rc == 0 && id < OPTION_COUNT; id++)
        reload_one((enum option_id)id, &c);
    if (rc == 0) {
        take_models(&c);
        apply_log();
    }
    conf_fini(&c);
    return rc;
}

void options_load(bool is_server)
{
    struct err err = {0};
    for_server = is_server;
    for (int id = 0; id < OPTION_COUNT; id++)
        put_default((enum option_id)id);
    fill_from_environment(OPT_LOG_FORMAT); // before the first warning is written
    apply_log();
    for (int id = 0; id < OPTION_COUNT; id++)
        if (id != OPT_LOG_FORMAT)
            fill_from_environment((enum option_id)id);
    apply_log();
    if (is_server)
        options_warn_of_environment();
    else if (options_load_file(NULL, &err) != 0)
        log_warn("options", "%s: the file is not used", err.message);
}

// ---- Access ----

int options_set(enum option_id id, const char *text, struct err *err)
{
    struct option_value value;
    if (option_value_read(&value, rows[id].type, rows[id].help, text, err) != 0)
        return err_prefix(err, "%s", rows[id].name);
    put(id, &value, RANK_FLAG, "flag");
    apply_log();
    return 0;
}

bool options_find(const char *name, enum option_id *id)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const char *a = rows[i].name, *b = name;
        while (*a &&
               (*a == *b || (*a == '_' && *b == '-') || (*b >= 'A' && *b <= 'Z' && *b - 'A' + 'a' == *a)))
            a++, b++;
        if (*a == 0 && *b == 0) {
            *id = (enum option_id)i;
            return true;
        }
    }
    return false;
}

const char *options_text(enum option_id id)
{
    const char *text = atomic_load(&slots[id].text);
    return text != NULL ? text : rows[id].value;
}

const char *options_shown(enum option_id id)
{
    return shown(id, options_text(id));
}

uint64_t options_uint(enum option_id id)
{
    return atomic_load(&slots[id].uint);
}

int64_t options_duration_ns(enum option_id id)
{
    return atomic_load(&slots[id].duration_ns);
}

const char *options_source(enum option_id id)
{
    const char *source = atomic_load(&slots[id].source);
    return source != NULL ? source : "default";
}

const char *options_help(enum option_id id)
{
    return rows[id].help;
}

const char *options_name(enum option_id id)
{
    return rows[id].name;
}

enum option_type options_type(enum option_id id)
{
    return rows[id].type;
}

enum option_when options_when(enum option_id id)
{
    return rows[id].when;
}

const char *options_file(void)
{
    return file_in_force;
}

bool options_find_model(const char *name, struct model_settings *out)
{
    bool is_found = false;
    pthread_mutex_lock(&models.mutex);
    for (size_t i = 0; i < models.n && !is_found; i++) {
        is_found = strcasecmp(models.at[i].name, name) == 0;
        if (is_found)
            *out = models.at[i];
    }
    pthread_mutex_unlock(&models.mutex);
    return is_found;
}

bool options_read_model_at(size_t index, struct model_settings *out)
{
    pthread_mutex_lock(&models.mutex);
    bool is_there = index < models.n;
    if (is_there)
        *out = models.at[index];
    pthread_mutex_unlock(&models.mutex);
    return is_there;
}
