// SPDX-License-Identifier: MIT
// Blocks of 512 bytes. A head is checked by its sum before anything in it is believed.
#include "store/tar.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 512, NAME_FIELD = 100 };

struct head {
    char name[NAME_FIELD], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[8], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct head) == BLOCK_BYTES, "a head is a block");

int tar_write_all(int fd, struct slice bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.at, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_INTERNAL, "cannot write: %s", strerror(errno));
        bytes = slice_make(bytes.at + n, bytes.n - (size_t)n);
    }
    return 0;
}

static unsigned sum_of(const struct head *h)
{
    const unsigned char *at = (const unsigned char *)h;
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        sum += i >= offsetof(struct head, sum) && i < offsetof(struct head, type) ? ' ' : at[i];
    return sum;
}

static void put_size(struct head *h, uint64_t size)
{
    if (size < (uint64_t)1 << 33) {
        snprintf(h->size, sizeof h->size, "%011llo", (unsigned long long)size);
        return;
    }
    for (size_t i = 0; i < sizeof h->size; i++) // binary, marked by the highest bit
        h->size[sizeof h->size - 1 - i] = (char)(i < 8 ? size >> (8 * i) : 0);
    h->size[0] = (char)0x80;
}

static int write_head(int fd, const char *name, char type, uint64_t size, struct err *err)
{
    struct head h = {0};
    memcpy(h.name, name, MIN(strlen(name), sizeof h.name));
    snprintf(h.mode, sizeof h.mode, "0000644");
    snprintf(h.uid, sizeof h.uid, "0000000");
    snprintf(h.gid, sizeof h.gid, "0000000");
    snprintf(h.mtime, sizeof h.mtime, "00000000000");
    put_size(&h, size);
    h.type = type;
    memcpy(h.magic, "ustar  ", 8);
    snprintf(h.sum, sizeof h.sum, "%06o", sum_of(&h));
    h.sum[7] = ' ';
    return tar_write_all(fd, slice_make(&h, sizeof h), err);
}

int tar_write_head(int fd, const char *name, uint64_t size, struct err *err)
{
    size_t n = strlen(name) + 1;
    if (n > NAME_FIELD &&
        (write_head(fd, "././@LongLink", 'L', n, err) != 0 ||
         tar_write_all(fd, slice_make(name, n), err) != 0 || tar_write_padding(fd, n, err) != 0))
        return -1;
    return write_head(fd, name, '0', size, err);
}

int tar_write_padding(int fd, uint64_t size, struct err *err)
{
    static const char zeros[BLOCK_BYTES];
    return tar_write_all(fd, slice_make(zeros, (size_t)(-size % BLOCK_BYTES)), err);
}

int tar_write_end(int fd, struct err *err)
{
    static const char zeros[2 * BLOCK_BYTES];
    return tar_write_all(fd, slice_make(zeros, sizeof zeros), err);
}

// ---- Reading ----

int tar_read_all(int fd, void *out, size_t n, struct err *err)
{
    char *at = out;
    while (n > 0) {
        ssize_t got = read(fd, at, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_INTERNAL, "cannot read: %s", strerror(errno));
        if (got == 0)
            return err_set(err, ERR_FORMAT, "the archive ends too early");
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

int tar_skip_padding(int fd, uint64_t size, struct err *err)
{
    char zeros[BLOCK_BYTES];
    return tar_read_all(fd, zeros, (size_t)(-size % BLOCK_BYTES), err);
}

static bool read_octal(const char *at, size_t n, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    while (i < n && at[i] == ' ')
        i++;
    for (; i < n && at[i] >= '0' && at[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(at[i] - '0');
    *out = value;
    return i == n || at[i] == 0 || at[i] == ' ';
}

static bool read_size(const struct head *h, uint64_t *out)
{
    *out = 0;
    if ((unsigned char)h->size[0] != 0x80)
        return read_octal(h->size, sizeof h->size, out);
    for (size_t i = 4; i < sizeof h->size; i++)
        *out = *out << 8 | (unsigned char)h->size[i];
    return *out < (uint64_t)1 << 60;
}

static bool is_zero(const struct head *h)
{
    const char *at = (const char *)h;
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        if (at[i] != 0)
            return false;
    return true;
}

static int skip(int fd, uint64_t n, struct err *err)
{
    char piece[BLOCK_BYTES];
    for (; n > 0; n -= MIN(n, (uint64_t)sizeof piece))
        if (tar_read_all(fd, piece, (size_t)MIN(n, (uint64_t)sizeof piece), err) != 0)
            return -1;
    return 0;
}

static void take_name(const struct head *h, char out[TAR_NAME_BYTES])
{
    bool has_prefix = memcmp(h->magic, "ustar\0", 6) == 0 && h->prefix[0] != 0;
    snprintf(out, TAR_NAME_BYTES, "%.*s%s%.*s", has_prefix ? (int)sizeof h->prefix : 0, h->prefix,
             has_prefix ? "/" : "", (int)sizeof h->name, h->name);
}

// A long name in front of a head.
static int read_long_name(int fd, uint64_t size, char out[TAR_NAME_BYTES], struct err *err)
{
    if (size == 0 || size > TAR_NAME_BYTES)
        return err_set(err, ERR_FORMAT, "a name in the archive is too long");
    if (tar_read_all(fd, out, (size_t)size, err) != 0)
        return -1;
    out[size - 1] = 0;
    return tar_skip_padding(fd, size, err);
}

int tar_read_head(int fd, struct tar_entry *out, struct err *err)
{
    char long_name[TAR_NAME_BYTES] = "";
    for (;;) {
        struct head h;
        uint64_t sum = 0;
        if (tar_read_all(fd, &h, sizeof h, err) != 0)
            return -1;
        if (is_zero(&h))
            return 0;
        if (!read_octal(h.sum, sizeof h.sum, &sum) || sum != sum_of(&h) || !read_size(&h, &out->size_bytes))
            return err_set(err, ERR_FORMAT, "not a tar file, or a damaged one");
        if (h.type == 'L') {
            if (read_long_name(fd, out->size_bytes, long_name, err) != 0)
                return -1;
        } else if (h.type == '0' || h.type == 0) {
            if (long_name[0] != 0)
                memcpy(out->name, long_name, sizeof out->name);
            else
                take_name(&h, out->name);
            if (strncmp(out->name, "./", 2) == 0)
                memmove(out->name, out->name + 2, strlen(out->name) - 1);
            return 1;
        } else if (skip(fd, out->size_bytes, err) != 0 || tar_skip_padding(fd, out->size_bytes, err) != 0) {
            return -1;
        }
    }
}
