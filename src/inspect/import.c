// SPDX-License-Identifier: MIT
// `drover import FILE.gguf [NAME]`: a file's card is read in a sandboxed child, then the file is copied into
// the store. No server is needed; one that runs sees the new model at once.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"
#include "host/host.h"
#include "inspect/inspect.h"
#include "store/store.h"

enum { REDRAW_MS = 100, NAME_BYTES = 81 };

// The file's name without directory and ".gguf"; what no name may hold becomes '-'.
static void name_of_file(const char *path, char out[NAME_BYTES])
{
    const char *slash = strrchr(path, '/');
    snprintf(out, NAME_BYTES, "%s", slash != NULL ? slash + 1 : path);
    size_t n = strlen(out);
    if (n > 5 && strcasecmp(out + n - 5, ".gguf") == 0)
        out[n - 5] = 0;
    for (char *p = out; *p != 0; p++) {
        bool is_word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!is_word && strchr("_-.", *p) == NULL)
            *p = '-';
    }
}

struct meter {
    bool is_terminal;
    int64_t drawn_ns;
};

static void on_progress(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    struct meter *m = user;
    int64_t now = clock_monotonic_ns();
    bool is_due = now - m->drawn_ns >= REDRAW_MS * NS_PER_MS || done_bytes == total_bytes;
    if (!m->is_terminal || !is_due)
        return;
    m->drawn_ns = now;
    double part = total_bytes > 0 ? (double)done_bytes / (double)total_bytes : 1;
    fprintf(stderr, "\rcopying: %3.0f%%  %.1f of %.1f MB\x1b[K", part * 100, (double)done_bytes / 1e6,
            (double)total_bytes / 1e6);
}

static int read_card(const char *path, char **card, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    int rc = host_read_card(fd, false, card, err);
    close(fd);
    return rc == 0 ? 0 : err_prefix(err, "%s", path);
}

static int import(const char *path, const char *name, struct err *err)
{
    char directory[4096];
    char *card = NULL;
    struct store *s = NULL;
    struct meter meter = {.is_terminal = isatty(STDERR_FILENO) && !options_terminal_is_dumb()};
    store_default_directory(options_text(OPT_MODELS), directory);
    fprintf(stderr, "reading %s\n", path);
    int rc = read_card(path, &card, err);
    if (rc == 0)
        rc = store_open(&s, directory, err);
    if (rc == 0)
        rc = store_import(s, path, name, card, on_progress, &meter, err);
    if (meter.drawn_ns != 0)
        fprintf(stderr, "\n");
    store_close(s);
    free(card);
    return rc;
}

int inspect_import(const struct args *a)
{
    struct err err = {0};
    struct model_name parsed;
    char name[NAME_BYTES], shown[640];
    const char *path = a->operands[0], *wanted = a->n_operands > 1 ? a->operands[1] : name;
    name_of_file(path, name);
    if (args_has(a, "models"))
        options_set(OPT_MODELS, args_text(a, "models"), &err);
    if (name_parse(&parsed, wanted, &err) != 0) {
        fprintf(stderr, "Error: %s \"%s\"%s\n", err.message, wanted,
                wanted == name ? ", give one: drover import FILE NAME" : "");
        return 2;
    }
    if (import(path, wanted, &err) != 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        return 1;
    }
    name_format(&parsed, shown);
    printf("imported '%s'\n", shown);
    return 0;
}
