// SPDX-License-Identifier: MIT
// The door: where the store is, finding one model, listing all. Names on disk keep the spelling of who made
// them; a name asked for in another case finds them, level by level. Any thread; a store is nothing but its
// path.
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "store/blobs.h"
#include "store/download.h"
#include "store/manifest.h"

enum { MAX_DIRECTORY_BYTES = 3000 }; // leaves room for the longest name below it

struct store {
    char directory[MAX_DIRECTORY_BYTES];
    struct downloads *downloads; // guards itself
};

int store_open(struct store **out, const char *directory, struct err *err)
{
    char here[4096] = "", path[2 * 4096];
    struct stat st;
    *out = NULL;
    if (directory[0] == 0)
        return err_set(err, ERR_INVALID, "no directory for the models");
    if (directory[0] != '/' && getcwd(here, sizeof here) == NULL)
        return err_set(err, ERR_INTERNAL, "current directory: %s", strerror(errno));
    snprintf(path, sizeof path, "%s%s%s", here, here[0] ? "/" : "", directory);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = 0;
    if (strlen(path) >= MAX_DIRECTORY_BYTES)
        return err_set(err, ERR_INVALID, "the directory of the models has too long a path");
    bool exists = stat(path, &st) == 0;
    if (exists && !S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "%s: not a directory", path);
    if (!exists && directory_make(path, err) != 0)
        return -1;
    struct store *s = xcalloc(1, sizeof *s);
    memcpy(s->directory, path, strlen(path) + 1);
    s->downloads = downloads_new();
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    downloads_free(s->downloads);
    free(s);
}

struct downloads *store_downloads(struct store *s)
{
    return s->downloads;
}

const char *store_directory(const struct store *s)
{
    return s->directory;
}

void store_default_directory(const char *configured, char out[4096])
{
    struct stat st;
    if (configured != NULL && configured[0] != 0) {
        snprintf(out, 4096, "%s", configured);
        return;
    }
    snprintf(out, 4096, "%s/.ollama/models", options_home());
    if (stat(out, &st) == 0 && S_ISDIR(st.st_mode))
        return;
    char data[4096];
    options_data_dir(data);
    snprintf(out, 4096, "%.4080s/models", data);
}

// ---- Finding ----

// Gives `part` the spelling of an entry of `path` that differs in case only; an exact one wins.
static void adopt_spelling(const char *path, char *part)
{
    char found[NAME_MAX + 1] = "";
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, part) == 0) {
            found[0] = 0;
            break;
        }
        if (strcasecmp(e->d_name, part) == 0)
            snprintf(found, sizeof found, "%s", e->d_name);
    }
    closedir(d);
    if (found[0] != 0)
        memcpy(part, found, strlen(part)); // the same length, since only case differs
}

void store_adopt_name(const struct store *s, struct model_name *name)
{
    char *const parts[] = {name->host, name->ns, name->model, name->tag};
    char path[4096];
    size_t n = (size_t)snprintf(path, sizeof path, "%s/manifests", s->directory);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        adopt_spelling(path, parts[i]);
        n += (size_t)snprintf(path + n, sizeof path - n, "/%s", parts[i]);
    }
}

int store_find(struct store *s, const char *text, struct stored_model *out, struct err *err)
{
    char path[4096];
    struct err why = {0};
    *out = (struct stored_model){0};
    if (name_parse(&out->name, text, err) != 0)
        return -1;
    store_adopt_name(s, &out->name);
    manifest_path(s->directory, &out->name, path);
    if (manifest_read(s->directory, path, out, &why) == 0)
        return 0;
    stored_model_fini(out);
    if (why.code == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "model '%s' not found", text);
    return err_set(err, ERR_FORMAT, "model '%s' is broken: %s", text, why.message);
}

// ---- Listing ----

struct listing {
    const char *directory;
    struct stored_model *models;
    size_t n, capacity;
};

static void list_one(struct listing *l, const char *path, const char *const parts[4])
{
    char text[1200];
    struct err err = {0};
    struct stored_model m = {0};
    snprintf(text, sizeof text, "%s/%s/%s:%s", parts[0], parts[1], parts[2], parts[3]);
    if (name_parse(&m.name, text, &err) != 0) {
        log_warn("store", "%s: not the name of a model, skipped", path);
        return;
    }
    if (manifest_read(l->directory, path, &m, &err) != 0) {
        log_warn("store", "model skipped: %s", err.message);
        stored_model_fini(&m);
        return;
    }
    if (l->n == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 16;
        l->models = xrealloc(l->models, l->capacity * sizeof *l->models);
    }
    l->models[l->n++] = m;
}

// Host, namespace, model, tag: exactly four levels below manifests/.
static void list_level(struct listing *l, const char *path, const char *parts[4], int level)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char below[4096];
        struct stat st;
        if (e->d_name[0] == '.') // ., .., temporary files, what desktops leave behind
            continue;
        if ((size_t)snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= sizeof below ||
            stat(below, &st) != 0)
            continue;
        parts[level] = e->d_name;
        bool is_directory = S_ISDIR(st.st_mode);
        if (level < 3 && is_directory)
            list_level(l, below, parts, level + 1);
        else if (level == 3 && !is_directory)
            list_one(l, below, parts);
        else
            log_warn("store", "%s: does not belong here, skipped", below);
    }
    closedir(d);
}

static int newest_first(const void *a, const void *b)
{
    const struct stored_model *x = a, *y = b;
    if (x->modified_ns != y->modified_ns)
        return x->modified_ns > y->modified_ns ? -1 : 1;
    return strcmp(x->display_name, y->display_name);
}

int store_list(struct store *s, struct stored_model **out, size_t *n, struct err *err)
{
    char path[4096];
    const char *parts[4] = {0};
    struct listing l = {.directory = s->directory};
    struct stat st;
    *out = NULL;
    *n = 0;
    snprintf(path, sizeof path, "%s/manifests", s->directory);
    if (stat(path, &st) != 0 && errno != ENOENT)
        return err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    list_level(&l, path, parts, 0);
    if (l.n > 1)
        qsort(l.models, l.n, sizeof *l.models, newest_first);
    *out = l.models;
    *n = l.n;
    return 0;
}

void store_list_free(struct stored_model *models, size_t n)
{
    for (size_t i = 0; i < n; i++)
        stored_model_fini(&models[i]);
    free(models);
}
