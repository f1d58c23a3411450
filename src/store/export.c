// SPDX-License-Identifier: MIT
// Writing an archive: the blobs of all models, each once and checked while it is read, then the manifests,
// then the sums. See archive.h.
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "store/archive.h"
#include "store/blobs.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/references.h"
#include "store/tar.h"

enum { PIECE_BYTES = 1 << 20, MAX_SUMS_BYTES = 16 << 20 };

struct model_text {
    char path[TAR_NAME_BYTES];
    struct manifest_text text;
};

struct packing {
    struct store *store;
    int fd;
    struct pins *pins;
    json_t *digests;
    struct model_text *models;
    size_t n_models;
    struct strbuf sums;
    store_progress_fn *progress;
    void *user;
    uint64_t done_bytes, total_bytes;
};

static int take_model(struct packing *x, const char *text, struct err *err)
{
    struct model_name name;
    struct err why = {0};
    char path[4096];
    struct model_text *m = &x->models[x->n_models];
    if (name_parse(&name, text, err) != 0)
        return -1;
    store_adopt_name(x->store, &name);
    manifest_path(store_directory(x->store), &name, path);
    int rc = manifest_open(store_directory(x->store), path, x->pins, &m->text, &why);
    x->n_models++;
    if (rc != 0)
        return why.code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND, "model '%s' not found", text)
                   : err_set(err, why.code, "model '%s' is broken: %s", text, why.message);
    snprintf(m->path, sizeof m->path, "manifests/%s/%s/%s/%s", name.host, name.ns, name.model, name.tag);
    return references_of_manifest(m->text.value, x->digests, err);
}

static void note_sum(struct packing *x, const char *hex, const char *path)
{
    strbuf_printf(&x->sums, "%s  %s\n", hex, path);
}

static int copy_bytes(struct packing *x, int from, uint64_t size, EVP_MD_CTX *sha, struct err *err)
{
    char *piece = xmalloc(PIECE_BYTES);
    int rc = 0;
    while (size > 0 && rc == 0) {
        size_t n = (size_t)MIN(size, (uint64_t)PIECE_BYTES);
        rc = tar_read_all(from, piece, n, err);
        if (rc == 0 && EVP_DigestUpdate(sha, piece, n) != 1)
            rc = err_set(err, ERR_INTERNAL, "SHA-256 failed");
        if (rc == 0)
            rc = tar_write_all(x->fd, slice_make(piece, n), err);
        size -= n;
        x->done_bytes += n;
        if (x->progress != NULL)
            x->progress(x->user, x->done_bytes, x->total_bytes);
    }
    free(piece);
    return rc;
}

static int check_sum(EVP_MD_CTX *sha, const char *digest, struct err *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    char hex[65];
    EVP_DigestFinal_ex(sha, sum, NULL);
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return strcmp(hex, digest + 7) == 0
               ? 0
               : err_set(err, ERR_FORMAT, "blob %s is damaged: its bytes have digest sha256:%s", digest, hex);
}

static int open_blob(struct packing *x, const char *digest, uint64_t *size, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    struct stat st;
    blob_path(store_directory(x->store), digest, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

static int write_blob(struct packing *x, const char *digest, struct err *err)
{
    char name[TAR_NAME_BYTES];
    uint64_t size = 0;
    int fd = open_blob(x, digest, &size, err);
    if (fd < 0)
        return -1;
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    snprintf(name, sizeof name, "blobs/sha256-%s", digest + 7);
    int rc = EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1
                 ? tar_write_head(x->fd, name, size, err)
                 : err_set(err, ERR_INTERNAL, "SHA-256 is not available");
    if (rc == 0)
        rc = copy_bytes(x, fd, size, sha, err);
    if (rc == 0)
        rc = check_sum(sha, digest, err);
    if (rc == 0)
        rc = tar_write_padding(x->fd, size, err);
    note_sum(x, digest + 7, name);
    EVP_MD_CTX_free(sha);
    close(fd);
    return rc;
}

static int write_text(struct packing *x, const char *name, struct slice bytes, struct err *err)
{
    return tar_write_head(x->fd, name, bytes.n, err) == 0 && tar_write_all(x->fd, bytes, err) == 0
               ? tar_write_padding(x->fd, bytes.n, err)
               : -1;
}

static int write_archive(struct packing *x, struct err *err)
{
    const char *digest;
    json_t *value;
    json_object_foreach(x->digests, digest, value)
    {
        if (write_blob(x, digest, err) != 0)
            return -1;
    }
    for (size_t i = 0; i < x->n_models; i++) {
        char hex[65];
        struct slice bytes = slice_make(x->models[i].text.bytes, x->models[i].text.n);
        digest_of(bytes, hex);
        note_sum(x, hex, x->models[i].path);
        if (write_text(x, x->models[i].path, bytes, err) != 0)
            return -1;
    }
    if (x->sums.overflow)
        return err_set(err, ERR_TOO_LARGE, "too many models for one archive");
    return write_text(x, "SHA256SUMS", strbuf_slice(&x->sums), err) == 0 ? tar_write_end(x->fd, err) : -1;
}

static void add_sizes(struct packing *x)
{
    const char *digest;
    json_t *value;
    json_object_foreach(x->digests, digest, value)
    {
        char path[4096];
        uint64_t size = 0;
        struct err ignored = {0};
        store_find_blob(x->store, digest, path, &size, &ignored);
        x->total_bytes += size;
    }
}

int store_export(struct store *s, const char *const *names, size_t n_names, int fd,
                 store_progress_fn *progress, void *user, struct err *err)
{
    struct packing x = {.store = s, .fd = fd, .progress = progress, .user = user};
    int rc = 0;
    x.pins = pins_new(store_directory(s));
    x.digests = json_object();
    x.models = xcalloc(n_names + 1, sizeof x.models[0]);
    x.sums = STRBUF_INIT(MAX_SUMS_BYTES);
    for (size_t i = 0; i < n_names && rc == 0; i++)
        rc = take_model(&x, names[i], err);
    add_sizes(&x);
    if (rc == 0)
        rc = write_archive(&x, err);
    for (size_t i = 0; i < x.n_models; i++)
        manifest_text_fini(&x.models[i].text);
    free(x.models);
    strbuf_fini(&x.sums);
    json_decref(x.digests);
    pins_free(x.pins);
    return rc;
}
