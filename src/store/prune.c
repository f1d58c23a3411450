// SPDX-License-Identifier: MIT
// See pins.h for why nothing in use can be removed. All of it happens under the store's exclusive lock, which
// is held for as long as it takes to read the manifests.
#include "store/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/blobs.h"
#include "store/pins.h"
#include "store/references.h"

enum { ROUND = 256 }; // files that are held open at a time

// Files that may go: locked first, then looked for in the manifests, then removed. The other order would miss
// a manifest that becomes visible between the two.
struct prune_round {
    const char *directory;
    int64_t min_age_s;
    struct store_pruned *out;
    size_t n;
    struct {
        char path[BLOB_PATH_BYTES], digest[BLOB_DIGEST_BYTES]; // digest: "" for what is no blob
        int fd;
        uint64_t size_bytes;
    } files[ROUND];
};

static int end_round(struct prune_round *r, struct err *err)
{
    json_t *used = json_object();
    int rc = r->n > 0 ? references_of_store(r->directory, used, err) : 0;
    for (size_t i = 0; i < r->n; i++) {
        bool is_used = r->files[i].digest[0] != 0 && json_object_get(used, r->files[i].digest) != NULL;
        if (rc == 0 && !is_used && unlink(r->files[i].path) == 0) {
            r->out->n_files++;
            r->out->size_bytes += r->files[i].size_bytes;
        }
        close(r->files[i].fd);
    }
    r->n = 0;
    json_decref(used);
    return rc;
}

// A file that somebody has locked is in use, and passed over.
static int add_to_round(struct prune_round *r, const char *path, const char *digest, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        time(NULL) - st.st_mtime < r->min_age_s) {
        close(fd);
        return 0;
    }
    snprintf(r->files[r->n].path, BLOB_PATH_BYTES, "%s", path);
    snprintf(r->files[r->n].digest, BLOB_DIGEST_BYTES, "%s", digest);
    r->files[r->n].fd = fd;
    r->files[r->n++].size_bytes = (uint64_t)st.st_size;
    return r->n == ROUND ? end_round(r, err) : 0;
}

static struct prune_round *new_round(const char *directory, int64_t min_age_s, struct store_pruned *out)
{
    struct prune_round *r = xcalloc(1, sizeof *r);
    r->directory = directory;
    r->min_age_s = min_age_s;
    r->out = out;
    return r;
}

void prune_candidates(const char *directory, const json_t *candidates, struct store_pruned *out)
{
    struct err err = {0};
    json_t *value;
    const char *digest;
    struct prune_round *r = new_round(directory, 0, out);
    int lock = pins_lock_store(directory, true, &err);
    int rc = lock >= 0 ? 0 : -1;
    json_object_foreach((json_t *)candidates, digest, value)
    {
        char path[BLOB_PATH_BYTES];
        blob_path(directory, digest, path);
        if (rc == 0)
            rc = add_to_round(r, path, digest, &err);
    }
    if (rc == 0)
        rc = end_round(r, &err);
    if (rc != 0)
        log_warn("store", "no blob is removed: %s", err.message);
    if (lock >= 0)
        close(lock);
    free(r);
}

// ---- All of the store ----

// The small files beside an unfinished download are in use while it is.
static bool download_runs(const struct prune_round *r, const char *path)
{
    char partial[BLOB_PATH_BYTES];
    const char *number = strstr(path, "-partial-");
    if (number == NULL)
        return false;
    snprintf(partial, sizeof partial, "%.*s", (int)(number - path) + (int)strlen("-partial"), path);
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->files[i].path, partial) == 0)
            return false; // locked by ourselves
    int fd = open(partial, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    bool is_locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0)
        close(fd);
    return is_locked;
}

static int prune_blobs(const char *path, const json_t *used, struct prune_round *r, struct err *err)
{
    int rc = 0;
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    for (struct dirent *e = readdir(d); e != NULL && rc == 0; e = readdir(d)) {
        char file[BLOB_PATH_BYTES], digest[BLOB_DIGEST_BYTES] = "";
        bool is_blob = blob_parse_digest(e->d_name, digest);
        bool is_garbage = is_blob ? json_object_get(used, digest) == NULL : blob_name_is_temporary(e->d_name);
        if (is_garbage && (size_t)snprintf(file, sizeof file, "%s/%s", path, e->d_name) < sizeof file &&
            !download_runs(r, file))
            rc = add_to_round(r, file, is_blob ? digest : "", err);
    }
    closedir(d);
    return rc == 0 ? end_round(r, err) : rc;
}

// Directories without a manifest in them; rmdir refuses the others.
static void prune_directories(const char *path, int level)
{
    DIR *d = level < 3 ? opendir(path) : NULL;
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char below[BLOB_PATH_BYTES];
        struct stat st;
        if (e->d_name[0] == '.' ||
            (size_t)snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= sizeof below ||
            lstat(below, &st) != 0 || !S_ISDIR(st.st_mode))
            continue;
        prune_directories(below, level + 1);
        rmdir(below);
    }
    closedir(d);
}

int store_prune(struct store *s, int64_t min_age_s, struct store_pruned *out, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    const char *directory = store_directory(s);
    json_t *used = json_object();
    *out = (struct store_pruned){0};
    struct prune_round *r = new_round(directory, min_age_s, out);
    int lock = pins_lock_store(directory, true, err);
    int rc = lock >= 0 ? references_of_store(directory, used, err) : -1;
    if (rc == 0) {
        snprintf(path, sizeof path, "%.4080s/blobs", directory);
        rc = prune_blobs(path, used, r, err);
    }
    if (rc == 0) {
        snprintf(path, sizeof path, "%.4080s/manifests", directory);
        prune_directories(path, 0);
    }
    if (lock >= 0)
        close(lock);
    free(r);
    json_decref(used);
    return rc;
}
