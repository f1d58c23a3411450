// SPDX-License-Identifier: MIT
// A pin is an open file with a shared lock. See pins.h for the protocol.
#include "store/pins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/blobs.h"

struct pins {
    char directory[BLOB_PATH_BYTES];
    int *fds;
    size_t n, capacity;
};

static int lock(int fd, int how)
{
    int rc;
    do
        rc = flock(fd, how);
    while (rc != 0 && errno == EINTR);
    return rc;
}

int pins_lock_store(const char *directory, bool exclusive, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/.drover.lock", directory) >= sizeof path)
        return err_set(err, ERR_INVALID, "%.60s...: path too long", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || lock(fd, exclusive ? LOCK_EX : LOCK_SH) != 0) {
        err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

struct pins *pins_new(const char *directory)
{
    struct pins *p = xcalloc(1, sizeof *p);
    memcpy(p->directory, directory, MIN(strlen(directory), sizeof p->directory - 1));
    return p;
}

void pins_free(struct pins *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++)
        close(p->fds[i]);
    free(p->fds);
    free(p);
}

void pins_take(struct pins *p, int fd)
{
    if (p->n == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 16;
        p->fds = xrealloc(p->fds, p->capacity * sizeof p->fds[0]);
    }
    p->fds[p->n++] = fd;
}

static int open_locked(const char *path, const char *digest, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "blob \"%s\" not found", digest);
    if (fd < 0 || lock(fd, LOCK_SH) != 0) {
        err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

int pins_add(struct pins *p, const char *digest, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    int store = pins_lock_store(p->directory, false, err);
    if (store < 0)
        return -1;
    blob_path(p->directory, digest, path);
    int fd = open_locked(path, digest, err);
    close(store);
    if (fd < 0)
        return -1;
    utimensat(AT_FDCWD, path, NULL, 0); // to be young; the file of another owner stays as it is
    pins_take(p, fd);
    return 0;
}
