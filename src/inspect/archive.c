// SPDX-License-Identifier: MIT
// `drover export`, the half of `drover import` that reads what it wrote, and `drover prune`: the store
// without a server. One that runs sees the changes at once.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"
#include "inspect/inspect.h"
#include "inspect/meter.h"
#include "store/archive.h"

enum { PRUNE_AGE_S = 3600 };

static int open_store(const struct args *a, struct store **s, struct err *err)
{
    char directory[4096];
    if (args_has(a, "models") && options_set(OPT_MODELS, args_text(a, "models"), err) != 0)
        return -1;
    store_default_directory(options_text(OPT_MODELS), directory);
    return store_open(s, directory, err);
}

static int fail(const struct err *err)
{
    fprintf(stderr, "Error: %s\n", err->message);
    return 1;
}

// ---- Export ----

// A file appears whole: under another name first.
static int export_to_file(struct store *s, const struct args *a, const char *path, struct err *err)
{
    char temporary[4096];
    struct meter meter = meter_make("writing");
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.partial", path) >= sizeof temporary)
        return err_set(err, ERR_INVALID, "%.60s...: path too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "%s: %s", temporary, strerror(errno));
    int rc =
        store_export(s, (const char *const *)a->operands, (size_t)a->n_operands, fd, meter_show, &meter, err);
    if (rc == 0 && fsync(fd) != 0)
        rc = err_set(err, ERR_INTERNAL, "%s: %s", temporary, strerror(errno));
    close(fd);
    meter_end(&meter);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    if (rc != 0)
        unlink(temporary);
    return rc;
}

int inspect_export(const struct args *a)
{
    struct err err = {0};
    struct store *s = NULL;
    const char *path = args_text(a, "output");
    if (path == NULL) {
        fprintf(stderr, "Error: -o says where to, - for standard output\n");
        return 2;
    }
    int rc = open_store(a, &s, &err);
    if (rc == 0 && strcmp(path, "-") == 0)
        rc = store_export(s, (const char *const *)a->operands, (size_t)a->n_operands, STDOUT_FILENO, NULL,
                          NULL, &err);
    else if (rc == 0)
        rc = export_to_file(s, a, path, &err);
    store_close(s);
    return rc == 0 ? 0 : fail(&err);
}

// ---- Import ----

static void on_model(void *user, const char *display_name)
{
    meter_end(user);
    printf("imported '%s'\n", display_name);
}

int inspect_import_archive(int fd, struct store *s, struct err *err)
{
    struct meter meter = meter_make("reading");
    int rc = store_import_archive(s, fd, on_model, meter_show, &meter, err);
    meter_end(&meter);
    return rc;
}

// ---- Prune ----

int inspect_prune(const struct args *a)
{
    struct err err = {0};
    struct store *s = NULL;
    struct store_pruned pruned = {0};
    int rc = open_store(a, &s, &err);
    if (rc == 0)
        rc = store_prune(s, args_has(a, "all") ? 0 : PRUNE_AGE_S, &pruned, &err);
    store_close(s);
    if (rc != 0)
        return fail(&err);
    printf("removed %zu files, %.1f MB\n", pruned.n_files, (double)pruned.size_bytes / 1e6);
    return 0;
}
