// SPDX-License-Identifier: MIT
// Reading an archive: blobs go to the store as they come, each checked against its name; manifests wait until
// SHA256SUMS has been read and all that they name is there. See archive.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "store/archive.h"
#include "store/blobs.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/tar.h"

enum { PIECE_BYTES = 1 << 20, MAX_SUMS_BYTES = 16 << 20, MAX_MODELS = 4096, MAX_TEXT_BYTES = 64 << 20 };

struct waiting {
    char path[TAR_NAME_BYTES];
    struct model_name name;
    char *bytes;
    size_t n;
};

struct unpack {
    struct store *store;
    int fd;
    struct pins *pins;
    struct waiting *models;
    size_t n_models, n_text_bytes;
    char *sums;
    store_progress_fn *progress;
    void *user;
    uint64_t done_bytes;
};

static int take_blob(struct unpack *u, const struct tar_entry *e, const char *digest, struct err *err)
{
    struct blob_writer *w = NULL;
    char got[BLOB_DIGEST_BYTES];
    char *piece = xmalloc(PIECE_BYTES);
    int rc = blob_writer_open(&w, store_directory(u->store), err);
    for (uint64_t left = e->size_bytes; rc == 0 && left > 0;) {
        size_t n = (size_t)MIN(left, (uint64_t)PIECE_BYTES);
        rc = tar_read_all(u->fd, piece, n, err);
        if (rc == 0)
            rc = blob_writer_push(w, slice_make(piece, n), err);
        left -= n;
        u->done_bytes += n;
        if (rc == 0 && u->progress != NULL)
            u->progress(u->user, u->done_bytes, 0);
    }
    free(piece);
    if (rc == 0) {
        blob_writer_digest(w, got);
        if (strcmp(got, digest) != 0)
            rc = err_set(err, ERR_FORMAT, "the archive is damaged: %s has digest %s", e->name, got);
    }
    if (rc != 0) {
        blob_writer_drop(w);
        return -1;
    }
    return blob_writer_commit(w, u->pins, got, NULL, err);
}

// A small file, terminated, the caller's.
static char *take_text(struct unpack *u, const struct tar_entry *e, size_t max_bytes, struct err *err)
{
    if (e->size_bytes > max_bytes || e->size_bytes > MAX_TEXT_BYTES - u->n_text_bytes) {
        err_set(err, ERR_TOO_LARGE, "%s in the archive is too large", e->name);
        return NULL;
    }
    char *text = xcalloc(1, (size_t)e->size_bytes + 1);
    u->n_text_bytes += (size_t)e->size_bytes;
    if (tar_read_all(u->fd, text, (size_t)e->size_bytes, err) == 0)
        return text;
    free(text);
    return NULL;
}

// "manifests/<host>/<namespace>/<model>/<tag>" to a name; the grammar keeps it inside the store.
static bool name_of_path(const char *path, struct model_name *out)
{
    char text[TAR_NAME_BYTES];
    struct err ignored = {0};
    snprintf(text, sizeof text, "%s", path + strlen("manifests/"));
    char *last = strrchr(text, '/');
    if (last == NULL)
        return false;
    *last = ':';
    return name_parse(out, text, &ignored) == 0;
}

static int take_manifest(struct unpack *u, const struct tar_entry *e, struct err *err)
{
    struct waiting m = {.n = (size_t)e->size_bytes};
    if (!name_of_path(e->name, &m.name) || u->n_models == MAX_MODELS)
        return err_set(err, ERR_FORMAT, "the archive has no valid model name in \"%.200s\"", e->name);
    m.bytes = take_text(u, e, MANIFEST_MAX_BYTES, err);
    if (m.bytes == NULL)
        return -1;
    memcpy(m.path, e->name, sizeof m.path);
    u->models = xrealloc(u->models, (u->n_models + 1) * sizeof u->models[0]);
    u->models[u->n_models++] = m;
    return 0;
}

static int take_entry(struct unpack *u, const struct tar_entry *e, struct err *err)
{
    char digest[BLOB_DIGEST_BYTES];
    int rc;
    if (strncmp(e->name, "blobs/", 6) == 0 && blob_parse_digest(e->name + 6, digest)) {
        rc = take_blob(u, e, digest, err);
    } else if (strncmp(e->name, "manifests/", 10) == 0) {
        rc = take_manifest(u, e, err);
    } else if (strcmp(e->name, "SHA256SUMS") == 0 && u->sums == NULL) {
        u->sums = take_text(u, e, MAX_SUMS_BYTES, err);
        rc = u->sums != NULL ? 0 : -1;
    } else {
        rc = err_set(err, ERR_FORMAT, "\"%.200s\" does not belong into an archive of models", e->name);
    }
    return rc == 0 ? tar_skip_padding(u->fd, e->size_bytes, err) : -1;
}

static int check_manifest(struct unpack *u, const struct waiting *m, struct err *err)
{
    char line[TAR_NAME_BYTES + 80], hex[65];
    struct err why = {0};
    digest_of(slice_make(m->bytes, m->n), hex);
    snprintf(line, sizeof line, "%s  %s\n", hex, m->path);
    if (strstr(u->sums, line) == NULL)
        return err_set(err, ERR_FORMAT, "the archive is damaged: %s is not what SHA256SUMS says", m->path);
    json_t *manifest = json_parse_first(slice_make(m->bytes, m->n), &why);
    int rc = manifest == NULL ? -1 : manifest_pin(store_directory(u->store), manifest, u->pins, &why);
    json_decref(manifest);
    return rc == 0 ? 0 : err_set(err, ERR_FORMAT, "%s: %s", m->path, why.message);
}

static int write_manifests(struct unpack *u, store_imported_fn *on_model, struct err *err)
{
    for (size_t i = 0; i < u->n_models; i++)
        if (check_manifest(u, &u->models[i], err) != 0)
            return -1;
    for (size_t i = 0; i < u->n_models; i++) {
        struct waiting *m = &u->models[i];
        char path[4096], display[640];
        store_adopt_name(u->store, &m->name);
        manifest_path(store_directory(u->store), &m->name, path);
        if (file_write(path, slice_make(m->bytes, m->n), err) != 0)
            return -1;
        name_format(&m->name, display);
        if (on_model != NULL)
            on_model(u->user, display);
    }
    return 0;
}

int store_import_archive(struct store *s, int fd, store_imported_fn *on_model, store_progress_fn *progress,
                         void *user, struct err *err)
{
    struct unpack u = {.store = s, .fd = fd, .progress = progress, .user = user};
    struct tar_entry e;
    int more = 1;
    u.pins = pins_new(store_directory(s));
    while (more == 1 && (more = tar_read_head(fd, &e, err)) == 1)
        more = take_entry(&u, &e, err) == 0 ? 1 : -1;
    if (more == 0 && u.sums != NULL && u.n_models > 0)
        more = write_manifests(&u, on_model, err);
    else if (more == 0)
        more = err_set(err, ERR_FORMAT, "the archive holds no model with its SHA256SUMS");
    for (size_t i = 0; i < u.n_models; i++)
        free(u.models[i].bytes);
    free(u.models);
    free(u.sums);
    pins_free(u.pins);
    return more;
}
