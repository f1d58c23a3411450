// SPDX-License-Identifier: MIT
// `drover import FILE.gguf [NAME]`: a file's card is read in a sandboxed child, then the file is copied into
// the store. No server is needed; one that runs sees the new model at once. Archives: archive.c.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/options.h"
#include "host/host.h"
#include "inspect/inspect.h"
#include "inspect/meter.h"
#include "store/store.h"

enum { NAME_BYTES = 81 };

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
    struct meter meter = meter_make("copying");
    store_default_directory(options_text(OPT_MODELS), directory);
    fprintf(stderr, "reading %s\n", path);
    int rc = read_card(path, &card, err);
    if (rc == 0)
        rc = store_open(&s, directory, err);
    if (rc == 0)
        rc = store_import(s, path, name, card, meter_show, &meter, err);
    meter_end(&meter);
    store_close(s);
    free(card);
    return rc;
}

// What is no GGUF file but has the mark of a tar file, or comes from standard input.
static bool is_archive(const char *path)
{
    char head[512] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? pread(fd, head, sizeof head, 0) : -1;
    if (fd >= 0)
        close(fd);
    return strcmp(path, "-") == 0 || (n == (ssize_t)sizeof head && memcmp(head + 257, "ustar", 5) == 0);
}

static int import_archive(const struct args *a, struct err *err)
{
    char directory[4096];
    struct store *s = NULL;
    bool is_stdin = strcmp(a->operands[0], "-") == 0;
    if (a->n_operands > 1)
        return err_set(err, ERR_INVALID, "an archive has the names of its models in it");
    store_default_directory(options_text(OPT_MODELS), directory);
    int fd = is_stdin ? STDIN_FILENO : open(a->operands[0], O_RDONLY | O_CLOEXEC);
    int rc = fd >= 0 ? store_open(&s, directory, err)
                     : err_set(err, ERR_NOT_FOUND, "%s: %s", a->operands[0], strerror(errno));
    if (rc == 0)
        rc = inspect_import_archive(fd, s, err);
    if (fd >= 0 && !is_stdin)
        close(fd);
    store_close(s);
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
    if (is_archive(path)) {
        if (import_archive(a, &err) == 0)
            return 0;
        fprintf(stderr, "Error: %s\n", err.message);
        return 1;
    }
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
