// SPDX-License-Identifier: MIT
// Texts of options to values, one reader a type. Where Ollama has the option these are Ollama's rules.
#include "base/option_value.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/networks.h"

// Go's strconv.ParseBool; any other text that is not empty counts as true, as in Ollama.
bool option_value_is_true(const char *text)
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

// What people write for yes and no; never a guess.
static int read_word(const char *text, uint64_t *value, struct err *err)
{
    static const char *const no[] = {"0", "f", "false", "no", "off"}, *const yes[] = {"1", "t", "true", "yes",
                                                                                      "on"};
    for (size_t i = 0; i < COUNT_OF(no); i++) {
        bool is_yes = strcasecmp(text, yes[i]) == 0;
        if (is_yes || strcasecmp(text, no[i]) == 0) {
            *value = is_yes;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "\"%s\" is neither yes nor no", text);
}

// 1 or a true word: debug; 2 and more: trace.
static int read_level(const char *text, uint64_t *value, struct err *err)
{
    uint64_t number = 0;
    if (read_uint(text, &number, NULL) == 0) {
        *value = MIN(number, 2);
        return 0;
    }
    return read_word(text, value, err);
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

// `help` begins with "a|b|c: ".
static int read_choice(const char *text, const char *help, struct err *err)
{
    size_t n_all = strcspn(help, ":"), n = strlen(text);
    for (const char *p = help; p < help + n_all; p += strcspn(p, "|:") + 1)
        if (n > 0 && strcspn(p, "|:") == n && strncmp(p, text, n) == 0)
            return 0;
    return err_set(err, ERR_INVALID, "\"%s\" is none of %.*s", text, (int)n_all, help);
}

int option_value_read(struct option_value *out, enum option_type type, const char *help, const char *text,
                      struct err *err)
{
    *out = (struct option_value){.text = text};
    switch (type) {
    case OPTION_CHOICE:
        return read_choice(text, help, err);
    case OPTION_UINT:
        return read_uint(text, &out->uint, err);
    case OPTION_BYTES:
        return read_bytes(text, &out->uint, err);
    case OPTION_DURATION:
        return read_duration(text, &out->duration_ns, err);
    case OPTION_BOOL:
        return read_word(text, &out->uint, err);
    case OPTION_LEVEL:
        return read_level(text, &out->uint, err);
    case OPTION_NETWORKS:
        return networks_check(text, err);
    case OPTION_TEXT:
    case OPTION_SECRET:
        return 0;
    }
    return 0;
}

int option_value_read_ollama(struct option_value *out, enum option_type type, const char *help,
                             const char *text, struct err *err)
{
    *out = (struct option_value){.text = text};
    if (type == OPTION_BOOL) {
        out->uint = option_value_is_true(text);
    } else if (type != OPTION_LEVEL) {
        return option_value_read(out, type, help, text, err);
    } else if (read_uint(text, &out->uint, NULL) == 0) {
        out->uint = MIN(out->uint, 2);
    } else if (read_word(text, &out->uint, NULL) != 0) {
        out->uint = 0;
    }
    return 0;
}

char *option_value_trim(const char *text)
{
    static const char *const around = " \t\r\n\v\f\"'";
    text += strspn(text, around);
    size_t n = strlen(text);
    while (n > 0 && strchr(around, text[n - 1]) != NULL)
        n--;
    return xstrndup(text, n);
}

// ---- Texts that stay ----

static struct kept {
    struct kept *next;
    char text[];
} * all_kept;

const char *option_value_keep(const char *text)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct kept *k;
    pthread_mutex_lock(&mutex);
    for (k = all_kept; k != NULL && strcmp(k->text, text) != 0;)
        k = k->next;
    if (k == NULL) {
        size_t n = strlen(text) + 1;
        k = xcalloc(1, sizeof *k + n);
        memcpy(k->text, text, n);
        k->next = all_kept;
        all_kept = k;
    }
    pthread_mutex_unlock(&mutex);
    return k->text;
}
