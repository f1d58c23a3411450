// SPDX-License-Identifier: MIT
// Reading and writing the store's files. What is visible under its final name is whole: everything is written
// under a temporary name first, then synced, then renamed, then the directory is synced. Any thread; two
// writers of one blob both succeed.
#include "store/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static const char *const temporary_prefix = "sha256-drover-";

struct blob_writer {
    char directory[BLOB_PATH_BYTES], path[BLOB_PATH_BYTES];
    int fd;
    EVP_MD_CTX *sha;
};

static int fail(struct err *err, const char *path)
{
    return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "%s: %s", path, strerror(errno));
}

bool blob_parse_digest(const char *text, char out[BLOB_DIGEST_BYTES])
{
    if (strncmp(text, "sha256", 6) != 0 || (text[6] != ':' && text[6] != '-') || strlen(text) != 71)
        return false;
    memcpy(out, "sha256:", 7);
    for (int i = 7; i < 71; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        out[i] = c;
    }
    out[71] = 0;
    return true;
}

void blob_path(const char *directory, const char *digest, char out[BLOB_PATH_BYTES])
{
    snprintf(out, BLOB_PATH_BYTES, "%s/blobs/sha256-%s", directory, digest + 7);
}

static void hex_of(const unsigned char *bytes, char hex[65])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

void digest_of(struct slice bytes, char hex[65])
{
    unsigned char sum[32] = {0};
    EVP_Digest(bytes.at, bytes.n, sum, NULL, EVP_sha256(), NULL);
    hex_of(sum, hex);
}

int file_read(const char *path, size_t max_bytes, char **bytes, size_t *n, struct err *err)
{
    int rc = -1;
    struct stat st;
    char *text = NULL;
    size_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold us
    if (fd < 0 || fstat(fd, &st) != 0) {
        fail(err, path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_FORMAT, "%s: not a regular file", path);
        goto out;
    }
    if ((uint64_t)st.st_size > max_bytes) {
        err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", path, max_bytes);
        goto out;
    }
    text = xmalloc((size_t)st.st_size + 1);
    for (ssize_t r = 1; got < (size_t)st.st_size && r != 0;) { // 0: it became shorter meanwhile
        r = read(fd, text + got, (size_t)st.st_size - got);
        if (r < 0 && errno != EINTR) {
            fail(err, path);
            goto out;
        }
        got += r > 0 ? (size_t)r : 0;
    }
    text[got] = 0;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    if (rc != 0) {
        free(text);
        text = NULL;
        got = 0;
    }
    *bytes = text;
    *n = got;
    return rc;
}

static int write_all(int fd, const char *path, struct slice bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t w = write(fd, bytes.at, bytes.n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return fail(err, path);
        bytes = slice_make(bytes.at + w, bytes.n - (size_t)w);
    }
    return 0;
}

int directory_sync(const char *path_of_file_in_it)
{
    char copy[BLOB_PATH_BYTES];
    snprintf(copy, sizeof copy, "%s", path_of_file_in_it);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1; // some file systems refuse; the file itself is synced
    if (fd >= 0)
        close(fd);
    return rc;
}

// The written file becomes `path`. On failure the temporary file is removed. fd stays open.
static int settle(int fd, const char *temporary, const char *path, struct err *err)
{
    int rc = 0;
    if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        rc = fail(err, temporary);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = fail(err, path);
    if (rc != 0)
        unlink(temporary);
    else
        directory_sync(path);
    return rc;
}

int directory_make(const char *path, struct err *err)
{
    char part[BLOB_PATH_BYTES];
    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part)
        return err_set(err, ERR_INVALID, "%.60s...: path too long", path);
    for (char *p = part + 1; *p != 0; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return fail(err, part);
        *p = '/';
    }
    if (mkdir(part, 0755) != 0 && errno != EEXIST)
        return fail(err, part);
    return 0;
}

// A temporary file in a directory that another process may be removing, because it is empty.
static int open_temporary(const char *directory, char temporary[BLOB_PATH_BYTES], struct err *err)
{
    for (int i = 0; i < 100; i++) {
        if ((size_t)snprintf(temporary, BLOB_PATH_BYTES, "%s/.drover-XXXXXX", directory) >= BLOB_PATH_BYTES)
            return err_set(err, ERR_INVALID, "%.60s...: path too long", directory);
        struct err why = {0};
        int fd = directory_make(directory, &why) == 0 ? mkostemp(temporary, O_CLOEXEC) : -1;
        if (fd >= 0)
            return fd;
        if (errno != ENOENT)
            return fail(err, directory);
    }
    return fail(err, temporary);
}

int file_write(const char *path, struct slice bytes, struct err *err)
{
    char above[BLOB_PATH_BYTES], temporary[BLOB_PATH_BYTES];
    if ((size_t)snprintf(above, sizeof above, "%s", path) >= sizeof above)
        return err_set(err, ERR_INVALID, "%.60s...: path too long", path);
    int fd = open_temporary(dirname(above), temporary, err);
    if (fd < 0)
        return -1;
    int rc = write_all(fd, temporary, bytes, err);
    if (rc == 0)
        rc = settle(fd, temporary, path, err);
    else
        unlink(temporary);
    close(fd);
    return rc;
}

// ---- A blob as it comes ----

static void writer_free(struct blob_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    EVP_MD_CTX_free(w->sha);
    free(w);
}

int blob_writer_open(struct blob_writer **out, const char *directory, struct err *err)
{
    struct blob_writer *w = xcalloc(1, sizeof *w);
    char blobs[BLOB_PATH_BYTES];
    *out = NULL;
    w->fd = -1;
    snprintf(w->directory, sizeof w->directory, "%s", directory);
    int n = snprintf(w->path, sizeof w->path, "%s/blobs/%sXXXXXX", directory, temporary_prefix);
    snprintf(blobs, sizeof blobs, "%s/blobs", directory);
    if ((size_t)n >= sizeof w->path) {
        err_set(err, ERR_INVALID, "%.60s...: path too long", directory);
        goto out;
    }
    if (directory_make(blobs, err) != 0)
        goto out;
    int lock = pins_lock_store(directory, false, err); // so that nobody prunes it before it is pinned
    if (lock < 0)
        goto out;
    w->fd = mkostemp(w->path, O_CLOEXEC);
    int rc = w->fd < 0 ? fail(err, blobs) : flock(w->fd, LOCK_SH | LOCK_NB);
    close(lock);
    if (w->fd < 0)
        goto out;
    if (rc != 0) {
        unlink(w->path);
        err_set(err, ERR_INTERNAL, "%s: cannot be locked: %s", w->path, strerror(errno));
        goto out;
    }
    w->sha = EVP_MD_CTX_new();
    if (w->sha == NULL || EVP_DigestInit_ex(w->sha, EVP_sha256(), NULL) != 1) {
        unlink(w->path);
        err_set(err, ERR_INTERNAL, "SHA-256 is not available");
        goto out;
    }
    *out = w;
    return 0;
out:
    writer_free(w);
    return -1;
}

int blob_writer_push(struct blob_writer *w, struct slice bytes, struct err *err)
{
    if (EVP_DigestUpdate(w->sha, bytes.at, bytes.n) != 1)
        return err_set(err, ERR_INTERNAL, "SHA-256 failed");
    return write_all(w->fd, w->path, bytes, err);
}

void blob_writer_digest(const struct blob_writer *w, char digest[BLOB_DIGEST_BYTES])
{
    unsigned char sum[32] = {0};
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    if (copy != NULL && EVP_MD_CTX_copy_ex(copy, w->sha) == 1)
        EVP_DigestFinal_ex(copy, sum, NULL);
    EVP_MD_CTX_free(copy);
    snprintf(digest, BLOB_DIGEST_BYTES, "sha256:");
    hex_of(sum, digest + 7);
}

// The name is given only if nobody has it: 0, 1 when somebody has, or -1.
static int rename_unless_there(const char *from, const char *to, struct err *err)
{
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) { // not every file system can
        rc = link(from, to);
        if (rc == 0)
            unlink(from);
    }
    if (rc == 0)
        return 0;
    return errno == EEXIST ? 1 : fail(err, to);
}

static bool have_same_size(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_size == theirs.st_size;
}

// A blob of another size under our name is broken, and goes; unless somebody has replaced it meanwhile.
static int remove_broken(const struct blob_settling *s, const char *path, struct err *err)
{
    int rc = 0, lock = pins_lock_store(s->directory, true, err);
    if (lock < 0)
        return -1;
    if (!have_same_size(s->fd, path) && unlink(path) != 0 && errno != ENOENT)
        rc = fail(err, path);
    close(lock);
    return rc;
}

// With the store locked. 1: a broken blob is in the way.
static int name_blob(const struct blob_settling *s, const char *path, struct pins *pins, bool *is_new,
                     struct err *err)
{
    int rc = rename_unless_there(s->temporary, path, err);
    *is_new = rc == 0;
    if (rc == 0)
        flock(s->fd, LOCK_SH); // a download had it exclusively; nobody can take it while the store is locked
    if (rc != 1)
        return rc;
    if (!have_same_size(s->fd, path))
        return 1;
    if (pins != NULL && pins_add(pins, s->digest, err) != 0)
        return -1;
    utimensat(AT_FDCWD, path, NULL, 0); // in use: not to be swept away as old
    unlink(s->temporary);
    return 0;
}

int blob_settle(const struct blob_settling *s, struct pins *pins, bool *is_new, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    blob_path(s->directory, s->digest, path);
    if (fchmod(s->fd, 0644) != 0 || fsync(s->fd) != 0) // the long part, before anything is locked
        return fail(err, s->temporary);
    for (;;) { // a broken blob goes, then the name is free for us or for who is quicker
        int lock = pins_lock_store(s->directory, false, err);
        if (lock < 0)
            return -1;
        int rc = name_blob(s, path, pins, is_new, err);
        close(lock);
        if (rc == 0)
            directory_sync(path);
        if (rc <= 0)
            return rc;
        if (remove_broken(s, path, err) != 0)
            return -1;
    }
}

int blob_writer_commit(struct blob_writer *w, struct pins *pins, char digest[BLOB_DIGEST_BYTES], bool *is_new,
                       struct err *err)
{
    bool is_ours = false;
    blob_writer_digest(w, digest);
    const struct blob_settling s = {w->directory, digest, w->path, w->fd};
    int rc = blob_settle(&s, pins, &is_ours, err);
    if (is_new != NULL)
        *is_new = is_ours;
    if (rc != 0)
        unlink(w->path);
    if (rc == 0 && is_ours && pins != NULL) {
        pins_take(pins, w->fd);
        w->fd = -1;
    }
    writer_free(w);
    return rc;
}

int blob_writer_fd(const struct blob_writer *w)
{
    return w->fd;
}

void blob_writer_drop(struct blob_writer *w)
{
    if (w == NULL)
        return;
    unlink(w->path);
    writer_free(w);
}

int blob_write(const char *directory, struct slice bytes, struct pins *pins, char digest[BLOB_DIGEST_BYTES],
               bool *is_new, struct err *err)
{
    struct blob_writer *w = NULL;
    if (blob_writer_open(&w, directory, err) != 0)
        return -1;
    if (blob_writer_push(w, bytes, err) != 0) {
        blob_writer_drop(w);
        return -1;
    }
    return blob_writer_commit(w, pins, digest, is_new, err);
}

// "sha256-<64 hex>" is a blob; whatever else begins with "sha256-" is on the way to be one, or was.
bool blob_name_is_temporary(const char *name)
{
    char digest[BLOB_DIGEST_BYTES];
    return strncmp(name, "sha256-", 7) == 0 && !blob_parse_digest(name, digest);
}
