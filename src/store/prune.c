// SPDX-License-Identifier: MIT
// See pins.h for why nothing in use can be removed. All of it happens under the store's exclusive lock, which
// is held for as long as it takes to read the manifests.
#include "store/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

// Nobody else can get at the file while the store is locked, unless he has a lock on it already.
static void remove_unless_locked(const char *path, int64_t min_age_s, struct store_pruned *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        time(NULL) - st.st_mtime >= min_age_s && unlink(path) == 0) {
        out->n_files++;
        out->size_bytes += (uint64_t)st.st_size;
    }
    close(fd);
}

void prune_candidates(const char *directory, const json_t *candidates, struct store_pruned *out)
{
    struct err err = {0};
    json_t *used = json_object(), *value;
    const char *digest;
    int lock = pins_lock_store(directory, true, &err);
    if (lock < 0 || references_of_store(directory, used, &err) != 0) {
        log_warn("store", "no blob is removed: %s", err.message);
    } else {
        json_object_foreach((json_t *)candidates, digest, value)
        {
            char path[BLOB_PATH_BYTES];
            if (json_object_get(used, digest) != NULL)
                continue;
            blob_path(directory, digest, path);
            remove_unless_locked(path, 0, out);
        }
    }
    if (lock >= 0)
        close(lock);
    json_decref(used);
}

// ---- All of the store ----

// The small files beside an unfinished download are in use while it is.
static bool download_runs(const char *path)
{
    char partial[BLOB_PATH_BYTES];
    const char *number = strstr(path, "-partial-");
    if (number == NULL)
        return false;
    snprintf(partial, sizeof partial, "%.*s", (int)(number - path) + (int)strlen("-partial"), path);
    int fd = open(partial, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    bool is_locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0)
        close(fd);
    return is_locked;
}

static void prune_blobs(const char *path, const json_t *used, int64_t min_age_s, struct store_pruned *out)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char file[BLOB_PATH_BYTES], digest[BLOB_DIGEST_BYTES];
        bool is_blob = blob_parse_digest(e->d_name, digest);
        bool is_garbage = is_blob ? json_object_get(used, digest) == NULL : blob_name_is_temporary(e->d_name);
        if (is_garbage && (size_t)snprintf(file, sizeof file, "%s/%s", path, e->d_name) < sizeof file &&
            !download_runs(file))
            remove_unless_locked(file, min_age_s, out);
    }
    closedir(d);
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
    int lock = pins_lock_store(directory, true, err);
    int rc = lock >= 0 ? references_of_store(directory, used, err) : -1;
    if (rc == 0) {
        snprintf(path, sizeof path, "%.4080s/blobs", directory);
        prune_blobs(path, used, min_age_s, out);
        snprintf(path, sizeof path, "%.4080s/manifests", directory);
        prune_directories(path, 0);
    }
    if (lock >= 0)
        close(lock);
    json_decref(used);
    return rc;
}
