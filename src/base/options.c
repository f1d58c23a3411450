// SPDX-License-Identifier: MIT
// The option table: one row an option, one slot for its value. Four places may fill a slot, each beating the
// ones below it: a flag, DROVER_X, OLLAMA_X, drover.conf; what none fills keeps the default. Beside it the
// table of Ollama's variables which this build does not honour. Written once at start by the main thread,
// read by any thread afterwards.
#include "base/options.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/paths.h"

extern char **environ;

static const struct row {
    const char *name;
    enum option_type type;
    const char *value, *help;
} rows[OPTION_COUNT] = {
#define X(id, name, type, value, help) [id] = {name, type, value, help},
    OPTION_LIST(X)
#undef X
};

static struct slot {
    char *text; // NULL: the default
    uint64_t uint;
    int64_t duration_ns;
    char source[64]; // "": the default
} slots[OPTION_COUNT];

static bool for_server;

enum when { WHEN_SET, WHEN_TRUE };

// Variables of Ollama and of its engine that change nothing here, and why.
static const struct ignored {
    const char *name;
    enum when when;
    const char *why;
} ignored[] = {
    {"OLLAMA_CUDA", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_VULKAN", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_IGPU_ENABLE", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_INTEL_GPU", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_GPU_OVERHEAD", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_SCHED_SPREAD", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"CUDA_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"HIP_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"ROCR_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"GGML_VK_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"HSA_OVERRIDE_GFX_VERSION", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"GPU_DEVICE_ORDINAL", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_MAX_VRAM", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_LLM_LIBRARY", WHEN_SET, "this build has one engine, DROVER_CPU picks the CPU level"},
    {"OLLAMA_NEW_ENGINE", WHEN_SET, "this build has one engine"},
    {"LLAMA_ARG_FIT", WHEN_SET, "this build has its own memory plan, see DROVER_MEMORY_LIMIT"},
    {"LLAMA_ARG_FIT_TARGET", WHEN_SET, "this build has its own memory plan, see DROVER_MEMORY_LIMIT"},
    {"OLLAMA_FLASH_ATTENTION", WHEN_SET,
     "this build has one way of attention, with the memory needs of flash attention"},
    {"OLLAMA_GO_TEMPLATE", WHEN_SET, "this build renders chats with the template inside the model file"},
    {"OLLAMA_DEBUG_LOG_REQUESTS", WHEN_TRUE, "this build never writes down what clients send"},
    {"OLLAMA_NOPRUNE", WHEN_SET, "this build never removes blobs by itself"},
    {"OLLAMA_NO_CLOUD", WHEN_SET, "drover never uses a cloud, whatever this says"},
    {"OLLAMA_REMOTES", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_CLOUD_BASE_URL", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_AUTH", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_API_KEY", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_MAX_TRANSFER_STREAMS", WHEN_SET, "this build does not transfer models"},
    {"OLLAMA_EXPERIMENT", WHEN_SET, "no longer has a meaning in Ollama either"},
    {"OLLAMA_TMPDIR", WHEN_SET, "no longer has a meaning in Ollama either"},
    {"OLLAMA_MULTIUSER_CACHE", WHEN_SET,
     "no longer has a meaning in Ollama either; common prefixes are always shared here"},
};

// ---- Reading one value ----

// Go's strconv.ParseBool; any other text that is not empty counts as true, as in Ollama.
static bool read_bool(const char *text)
{
    static const char *const no[] = {"", "0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (strcmp(text, no[i]) == 0)
            return false;
    return true;
}

static int read_uint(const char *text, uint64_t *value, struct err *err)
{
    char *end = NULL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    bool is_number = text[0] >= '0' && text[0] <= '9' && *end == 0;
    if (!is_number || errno == ERANGE)
        return err_set(err, ERR_INVALID, "\"%s\" is not a whole number from 0", text);
    return 0;
}

// "512", "1.5GiB", "2G", "500MB": K, M, G, T with or without "iB" are powers of 1024, with "B" powers of
// 1000.
static int read_bytes(const char *text, uint64_t *value, struct err *err)
{
    static const char *const letters = "KMGT";
    char *end = NULL;
    double number = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    const char *unit = end ? end + strspn(end, " ") : "";
    double scale = 1;
    const char *letter = *unit != 0 ? strchr(letters, *unit & ~0x20) : NULL;
    if (letter != NULL) {
        bool is_decimal = strcasecmp(unit + 1, "b") == 0;
        for (const char *l = letters; l <= letter; l++)
            scale *= is_decimal ? 1000 : 1024;
        unit += is_decimal ? 2 : strcasecmp(unit + 1, "ib") == 0 ? 3 : 1;
    } else if (strcasecmp(unit, "b") == 0) {
        unit++;
    }
    double bytes = number * scale;
    if (!(bytes >= 0 && bytes < 9e18) || *unit != 0)
        return err_set(err, ERR_INVALID, "\"%s\" is not a size such as 2GiB", text);
    *value = (uint64_t)bytes;
    return 0;
}

// 1 or a true word: debug; 2 and more: trace; other text: none.
static uint64_t read_level(const char *text)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (strcmp(text, yes[i]) == 0)
            return 1;
    uint64_t value = 0;
    return read_uint(text, &value, NULL) == 0 ? MIN(value, 2) : 0;
}

// A duration, or a whole number of seconds.
static int read_duration(const char *text, int64_t *ns, struct err *err)
{
    struct err first = {0};
    if (duration_parse(text, ns, &first) == 0)
        return 0;
    char *end = NULL;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (text[0] == 0 || text[0] == ' ' || *end != 0 || errno == ERANGE)
        return err_set(err, ERR_INVALID, "%s", first.message);
    const long long most = INT64_MAX / NS_PER_S;
    *ns = seconds > most ? INT64_MAX : seconds < -most ? -INT64_MAX : seconds * NS_PER_S;
    return 0;
}

static int read_value(enum option_type type, const char *text, struct slot *out, struct err *err)
{
    switch (type) {
    case OPTION_UINT:
        return read_uint(text, &out->uint, err);
    case OPTION_BYTES:
        return read_bytes(text, &out->uint, err);
    case OPTION_DURATION:
        return read_duration(text, &out->duration_ns, err);
    case OPTION_BOOL:
        out->uint = read_bool(text);
        return 0;
    case OPTION_LEVEL:
        out->uint = read_level(text);
        return 0;
    case OPTION_TEXT:
        return 0;
    }
    return 0;
}

static int fill(enum option_id id, const char *text, const char *source, struct err *err)
{
    struct slot value = {0};
    if (read_value(rows[id].type, text, &value, err) != 0)
        return -1;
    value.text = xstrdup(text);
    snprintf(value.source, sizeof value.source, "%s", source);
    free(slots[id].text);
    slots[id] = value;
    return 0;
}

static void reset(enum option_id id)
{
    free(slots[id].text);
    slots[id] = (struct slot){0};
    (void)read_value(rows[id].type, rows[id].value, &slots[id], NULL);
}

// ---- The environment and the file ----

// Without blanks and quotes at both ends.
static char *trimmed(const char *text)
{
    static const char *const around = " \t\r\n\v\f\"'";
    text += strspn(text, around);
    size_t n = strlen(text);
    while (n > 0 && strchr(around, text[n - 1]) != NULL)
        n--;
    return xstrndup(text, n);
}

static void fill_or_warn(enum option_id id, const char *raw, const char *source)
{
    struct err err = {0};
    char *text = trimmed(raw);
    if (text[0] != 0 && fill(id, text, source, &err) != 0)
        log_warn("options", "%s: %s: %s, staying with %s", source, rows[id].name, err.message,
                 options_text(id));
    free(text);
}

static void variable_name(enum option_id id, const char *prefix, char out[64])
{
    size_t n = (size_t)snprintf(out, 64, "%s", prefix);
    for (const char *p = rows[id].name; *p && n < 63; p++)
        out[n++] = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    out[n] = 0;
}

static void fill_from_environment(enum option_id id)
{
    static const char *const prefixes[] = {"OLLAMA_", "DROVER_"}; // the later one wins
    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        char name[64];
        variable_name(id, prefixes[i], name);
        const char *value = getenv(name);
        if (value != NULL)
            fill_or_warn(id, value, name);
    }
}

static int on_setting(void *user, const char *section, const char *name, const char *value)
{
    const char *path = user;
    enum option_id id;
    if (section[0] != 0) {
        if (for_server)
            log_warn("options", "%s: section [%s] has no effect in this build", path, section);
        return 1;
    }
    if (options_find(name, &id))
        fill_or_warn(id, value, path);
    else if (for_server)
        log_warn("options", "%s: unknown option \"%s\"", path, name);
    return 1;
}

// The person's own drover.conf, else the machine's.
static void fill_from_file(void)
{
    char own[4096 + 16], directory[4096];
    options_config_dir(directory);
    snprintf(own, sizeof own, "%s/drover.conf", directory);
    const char *const paths[] = {own, "/etc/drover/drover.conf"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        if (access(paths[i], R_OK) != 0)
            continue;
        int line = ini_parse(paths[i], on_setting, (void *)(uintptr_t)paths[i]);
        if (line > 0)
            log_warn("options", "%s: line %d is not `name = value`", paths[i], line);
        return;
    }
}

static const struct ignored *find_ignored(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        if (strcmp(ignored[i].name, name) == 0)
            return &ignored[i];
    return NULL;
}

static void warn_of_variable(const char *name, const char *raw)
{
    enum option_id id;
    const struct ignored *row = find_ignored(name);
    char *text = trimmed(raw);
    bool has_prefix = strncmp(name, "OLLAMA_", 7) == 0;
    if (row != NULL) {
        bool applies = row->when == WHEN_TRUE ? read_bool(text) : text[0] != 0;
        if (applies)
            log_warn("options", "%s is set: %s", name, row->why);
    } else if (has_prefix && text[0] != 0 && !options_find(name + 7, &id)) {
        log_warn("options", "%s is set: no such option is known, ignored", name);
    }
    free(text);
}

static void warn_of_environment(void)
{
    for (char **e = environ; *e != NULL; e++) {
        const char *equals = strchr(*e, '=');
        char name[128];
        if (equals == NULL || equals - *e >= (ptrdiff_t)sizeof name)
            continue;
        memcpy(name, *e, (size_t)(equals - *e));
        name[equals - *e] = 0;
        warn_of_variable(name, equals + 1);
    }
    if (options_uint(OPT_MAX_LOADED_MODELS) > 1)
        log_warn("options", "%s is %s: this build loads one model at a time",
                 options_source(OPT_MAX_LOADED_MODELS), options_text(OPT_MAX_LOADED_MODELS));
}

static void apply_log(void)
{
    uint64_t debug = options_uint(OPT_DEBUG);
    log_set_level(debug > 1 ? LOG_TRACE : debug == 1 ? LOG_DEBUG : for_server ? LOG_INFO : LOG_WARN);
    log_set_json(strcmp(options_text(OPT_LOG_FORMAT), "json") == 0);
}

void options_load(bool is_server)
{
    for_server = is_server;
    for (int id = 0; id < OPTION_COUNT; id++)
        reset((enum option_id)id);
    fill_from_environment(OPT_LOG_FORMAT); // before the first warning is written
    apply_log();
    fill_from_file();
    for (int id = 0; id < OPTION_COUNT; id++)
        fill_from_environment((enum option_id)id);
    apply_log();
    if (is_server)
        warn_of_environment();
}

// ---- Access ----

int options_set(enum option_id id, const char *text, struct err *err)
{
    if (fill(id, text, "flag", err) != 0)
        return err_prefix(err, "%s", rows[id].name);
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
    return slots[id].text ? slots[id].text : rows[id].value;
}

uint64_t options_uint(enum option_id id)
{
    return slots[id].uint;
}

int64_t options_duration_ns(enum option_id id)
{
    return slots[id].duration_ns;
}

const char *options_source(enum option_id id)
{
    return slots[id].source[0] ? slots[id].source : "default";
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

void options_print(FILE *out)
{
    fprintf(out, "%-18s %-22s %-22s %s\n", "OPTION", "VALUE", "SOURCE", "MEANING");
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = (enum option_id)i;
        const char *text = options_text(id);
        fprintf(out, "%-18s %-22s %-22s %s\n", rows[i].name, text[0] ? text : "-", options_source(id),
                rows[i].help);
    }
}
