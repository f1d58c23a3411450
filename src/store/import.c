// SPDX-License-Identifier: MIT
// A GGUF file becomes a model: its bytes a blob, what its card says the config. One pass over the file. Any
// thread.
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/blobs.h"
#include "store/draft.h"

enum { PIECE_BYTES = 1 << 20 };

struct copy {
    store_progress_fn *progress;
    void *user;
    uint64_t done_bytes, total_bytes;
};

static int copy_pieces(int fd, const char *path, struct blob_writer *w, struct copy *c, struct err *err)
{
    int rc = -1;
    char *piece = xmalloc(PIECE_BYTES);
    for (;;) {
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
            break;
        }
        if (n == 0) {
            rc = 0;
            break;
        }
        if (blob_writer_push(w, slice_make(piece, (size_t)n), err) != 0)
            break;
        c->done_bytes += (uint64_t)n;
        if (c->progress != NULL)
            c->progress(c->user, c->done_bytes, c->total_bytes);
    }
    free(piece);
    return rc;
}

static int copy_file(const char *directory, const char *path, struct copy *c, struct pins *pins,
                     char digest[BLOB_DIGEST_BYTES], struct err *err)
{
    int rc = -1;
    struct stat st;
    struct blob_writer *w = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_INVALID, "%s: not a regular file", path);
        goto out;
    }
    c->total_bytes = (uint64_t)st.st_size;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (blob_writer_open(&w, directory, err) != 0 || copy_pieces(fd, path, w, c, err) != 0)
        goto out;
    rc = blob_writer_commit(w, pins, digest, NULL, err);
    w = NULL;
out:
    blob_writer_drop(w);
    if (fd >= 0)
        close(fd);
    return rc;
}

int store_import(struct store *s, const char *file_path, const char *name, const char *card_json,
                 store_progress_fn *progress, void *user, struct err *err)
{
    struct model_name parsed;
    struct copy copy = {.progress = progress, .user = user};
    char digest[BLOB_DIGEST_BYTES];
    struct pins *pins = pins_new(store_directory(s)); // until the draft has its own
    struct draft *draft = draft_new(s);
    json_t *card = json_parse(slice_of(card_json), err); // before anything is copied
    int rc = card != NULL ? name_parse(&parsed, name, err) : -1;
    json_decref(card);
    if (rc == 0)
        rc = copy_file(store_directory(s), file_path, &copy, pins, digest, err);
    if (rc == 0)
        rc = draft_set_weights(draft, digest, card_json, err);
    if (rc == 0)
        rc = draft_commit(draft, name, true, err);
    draft_free(draft);
    pins_free(pins);
    return rc;
}
