// SPDX-License-Identifier: MIT
// See partial.h. Counts are written in place and in one write, so a kill never leaves half of one; bytes are
// written before they are counted. What a power cut may lose, the SHA-256 finds.
#include "store/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"

enum { PARTS = 16, MIN_PART_BYTES = 16 << 20, MAX_PART_BYTES = 1000000000, MAX_PARTS = 100000 };
enum { SAVE_EVERY_BYTES = 1 << 20, PART_FILE_BYTES = 128, PIECE_BYTES = 1 << 20 };

static bool is_cancelled(const volatile sig_atomic_t *cancel)
{
    return cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0;
}

static void part_path(const struct partial *p, size_t i, char *out, size_t n)
{
    snprintf(out, n, "%s-%zu", p->path, i);
}

// ---- Part files ----

static bool read_part(const struct partial *p, size_t i, struct fetch_part *out)
{
    char path[BLOB_PATH_BYTES + 48];
    char *text = NULL;
    size_t n = 0;
    struct err ignored = {0};
    part_path(p, i, path, sizeof path);
    if (file_read(path, 4096, &text, &n, &ignored) != 0)
        return false;
    json_t *value = json_parse_first(slice_make(text, n), &ignored);
    json_int_t offset = json_integer_value(json_object_get(value, "Offset"));
    json_int_t size = json_integer_value(json_object_get(value, "Size"));
    json_int_t done = json_integer_value(json_object_get(value, "Completed"));
    bool is_right = json_is_object(value) && offset >= 0 && size > 0 && done >= 0 && done <= size;
    *out = (struct fetch_part){(uint64_t)offset, (uint64_t)size, (uint64_t)done};
    json_decref(value);
    free(text);
    return is_right;
}

static void write_part(struct partial *p, size_t i)
{
    char text[PART_FILE_BYTES + 1];
    const struct fetch_part *part = &p->parts[i];
    int n = snprintf(text, sizeof text,
                     "{\"N\":%zu,\"Offset\":%" PRIu64 ",\"Size\":%" PRIu64 ",\"Completed\":%" PRIu64 "}", i,
                     part->offset, part->size_bytes, part->done_bytes);
    memset(text + n, ' ', (size_t)(PART_FILE_BYTES - n));
    text[PART_FILE_BYTES - 1] = '\n';
    if (p->part_fds[i] >= 0 && pwrite(p->part_fds[i], text, PART_FILE_BYTES, 0) == PART_FILE_BYTES)
        p->saved_bytes[i] = part->done_bytes;
}

static void open_parts(struct partial *p)
{
    char path[BLOB_PATH_BYTES + 48];
    p->part_fds = xcalloc(p->n_parts + 1, sizeof p->part_fds[0]);
    p->saved_bytes = xcalloc(p->n_parts + 1, sizeof p->saved_bytes[0]);
    for (size_t i = 0; i < p->n_parts; i++) {
        part_path(p, i, path, sizeof path);
        p->part_fds[i] = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        write_part(p, i);
        if (p->part_fds[i] >= 0 && ftruncate(p->part_fds[i], PART_FILE_BYTES) != 0)
            p->saved_bytes[i] = 0; // only costs a part after a kill
    }
}

static void close_parts(struct partial *p)
{
    for (size_t i = 0; p->part_fds != NULL && i < p->n_parts; i++)
        if (p->part_fds[i] >= 0)
            close(p->part_fds[i]);
    free(p->part_fds);
    free(p->saved_bytes);
    free(p->parts);
    p->part_fds = NULL;
    p->saved_bytes = NULL;
    p->parts = NULL;
    p->n_parts = 0;
}

static void remove_parts(const struct partial *p)
{
    char path[BLOB_PATH_BYTES + 48];
    for (size_t i = 0; i < MAX_PARTS; i++) {
        part_path(p, i, path, sizeof path);
        if (unlink(path) != 0)
            return;
    }
}

// Parts that were begun count if they cover the file without gaps.
static bool load_parts(struct partial *p)
{
    struct stat st;
    uint64_t end = 0;
    size_t capacity = 0;
    if (fstat(p->fd, &st) != 0 || (uint64_t)st.st_size != p->size_bytes)
        return false;
    while (end < p->size_bytes && p->n_parts < MAX_PARTS) {
        if (p->n_parts == capacity) {
            capacity = capacity ? 2 * capacity : PARTS;
            p->parts = xrealloc(p->parts, capacity * sizeof p->parts[0]);
        }
        struct fetch_part *part = &p->parts[p->n_parts];
        if (!read_part(p, p->n_parts, part) || part->offset != end || part->size_bytes > p->size_bytes - end)
            break;
        end += part->size_bytes;
        p->n_parts++;
    }
    if (end == p->size_bytes)
        return true;
    free(p->parts);
    p->parts = NULL;
    p->n_parts = 0;
    return false;
}

static void make_parts(struct partial *p, uint64_t part_bytes)
{
    p->n_parts = (size_t)((p->size_bytes + part_bytes - 1) / part_bytes);
    p->parts = xcalloc(p->n_parts + 1, sizeof p->parts[0]);
    for (size_t i = 0; i < p->n_parts; i++) {
        uint64_t offset = part_bytes * i;
        p->parts[i] = (struct fetch_part){offset, MIN(part_bytes, p->size_bytes - offset), 0};
    }
}

// The whole size at once, so that the disk is full before the transfer and not amid it.
static int reserve(struct partial *p, struct err *err)
{
    if (ftruncate(p->fd, 0) != 0 || ftruncate(p->fd, (off_t)p->size_bytes) != 0)
        return err_set(err, ERR_INTERNAL, "%s: %s", p->path, strerror(errno));
    if (p->size_bytes > 0 && fallocate(p->fd, 0, 0, (off_t)p->size_bytes) != 0 && errno == ENOSPC) {
        if (ftruncate(p->fd, 0) != 0 || unlink(p->path) != 0)
            return err_set(err, ERR_INTERNAL, "%s: %s", p->path, strerror(errno));
        return err_set(err, ERR_INTERNAL, "not enough disk space: %" PRIu64 " bytes do not fit in %s",
                       p->size_bytes, p->directory);
    }
    return 0;
}

// ---- Opening ----

static bool blob_is_there(const struct partial *p)
{
    char path[BLOB_PATH_BYTES];
    struct stat st;
    blob_path(p->directory, p->digest, path);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == p->size_bytes;
}

static bool path_leads_to(const char *path, int fd)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

// The unfinished file, locked. -1 with no error: another has it, or had it until now.
static int try_open(struct partial *p, struct err *err)
{
    int fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "%s: %s", p->path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && path_leads_to(p->path, fd))
        return fd;
    close(fd);
    return -1;
}

static int open_locked(struct partial *p, const volatile sig_atomic_t *cancel, struct err *err)
{
    struct timespec tick = {.tv_nsec = 100 * NS_PER_MS};
    char blobs[BLOB_PATH_BYTES];
    snprintf(blobs, sizeof blobs, "%.4080s/blobs", p->directory);
    if (directory_make(blobs, err) != 0)
        return -1;
    while (!is_cancelled(cancel)) {
        if (blob_is_there(p))
            return 1;
        p->fd = try_open(p, err);
        if (p->fd >= 0)
            return 0;
        if (err->code != ERR_NONE)
            return -1;
        nanosleep(&tick, NULL);
    }
    return err_set(err, ERR_CANCELLED, "request canceled");
}

int partial_open(struct partial *p, const char *directory, const char *digest, uint64_t size_bytes,
                 const volatile sig_atomic_t *cancel, struct err *err)
{
    *p = (struct partial){.directory = directory, .fd = -1, .size_bytes = size_bytes};
    snprintf(p->digest, sizeof p->digest, "%s", digest);
    snprintf(p->path, sizeof p->path, "%.4000s/blobs/sha256-%s-partial", directory, digest + 7);
    int rc = open_locked(p, cancel, err);
    if (rc != 0)
        return rc;
    if (blob_is_there(p)) { // came between our look and our lock
        unlink(p->path);
        return 1;
    }
    if (!load_parts(p)) {
        remove_parts(p);
        if (reserve(p, err) != 0)
            return -1;
        make_parts(p, MIN(MAX(size_bytes / PARTS, (uint64_t)MIN_PART_BYTES), (uint64_t)MAX_PART_BYTES));
    }
    open_parts(p);
    return 0;
}

void partial_close(struct partial *p)
{
    close_parts(p);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

uint64_t partial_done_bytes(const struct partial *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n_parts; i++)
        sum += p->parts[i].done_bytes;
    return sum;
}

void partial_save(struct partial *p, size_t i)
{
    const struct fetch_part *part = &p->parts[i];
    if (part->done_bytes - p->saved_bytes[i] >= SAVE_EVERY_BYTES || part->done_bytes == part->size_bytes)
        write_part(p, i);
}

int partial_restart_whole(struct partial *p, struct err *err)
{
    close_parts(p);
    remove_parts(p);
    make_parts(p, MAX(p->size_bytes, (uint64_t)1));
    open_parts(p);
    return 0;
}

// ---- The end ----

static int hash_file(struct partial *p, const volatile sig_atomic_t *cancel, char digest[BLOB_DIGEST_BYTES],
                     struct err *err)
{
    unsigned char sum[32] = {0};
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    char *piece = xmalloc(PIECE_BYTES);
    uint64_t at = 0;
    int rc = sha != NULL && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1
                 ? 0
                 : err_set(err, ERR_INTERNAL, "SHA-256 is not available");
    while (rc == 0 && at < p->size_bytes) {
        ssize_t n = pread(p->fd, piece, PIECE_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (is_cancelled(cancel))
            rc = err_set(err, ERR_CANCELLED, "request canceled");
        else if (n <= 0)
            rc = err_set(err, ERR_INTERNAL, "%s: %s", p->path, n < 0 ? strerror(errno) : "became shorter");
        else if (EVP_DigestUpdate(sha, piece, (size_t)n) != 1)
            rc = err_set(err, ERR_INTERNAL, "SHA-256 failed");
        at += n > 0 ? (uint64_t)n : 0;
    }
    if (rc == 0) {
        EVP_DigestFinal_ex(sha, sum, NULL);
        snprintf(digest, BLOB_DIGEST_BYTES, "sha256:");
        for (size_t i = 0; i < 32; i++)
            snprintf(digest + 7 + 2 * i, 3, "%02x", sum[i]);
    }
    EVP_MD_CTX_free(sha);
    free(piece);
    return rc;
}

int partial_verify(struct partial *p, const volatile sig_atomic_t *cancel, struct err *err)
{
    char got[BLOB_DIGEST_BYTES];
    if (hash_file(p, cancel, got, err) != 0)
        return -1;
    if (strcmp(got, p->digest) == 0)
        return 0;
    unlink(p->path);
    remove_parts(p);
    return err_set(err, ERR_FORMAT, "digest mismatch, file must be downloaded again: want %s, got %s",
                   p->digest, got);
}

int partial_settle(struct partial *p, struct err *err)
{
    const struct blob_settling s = {p->directory, p->digest, p->path, p->fd};
    bool is_new;
    if (blob_settle(&s, NULL, &is_new, err) != 0)
        return -1;
    remove_parts(p);
    return 0;
}

uint64_t partial_allocated_bytes(const char *directory, const char *digest)
{
    char path[BLOB_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%.4000s/blobs/sha256-%s-partial", directory, digest + 7);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
