// SPDX-License-Identifier: MIT
// A GGUF file becomes a model: its bytes a blob, what its card says the config, both named in a manifest. The
// manifest comes last, so an import that is cut short leaves no broken model. One pass over the file. Any
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
#include "json/json.h"
#include "json/writer.h"
#include "store/blobs.h"
#include "store/manifest.h"

enum { PIECE_BYTES = 1 << 20, MAX_CONFIG_BYTES = 64 << 10 };

// "7B", "1.2B", "134.52M", "90K", "12": Ollama's way to say how many parameters.
static void format_count(uint64_t n, char out[32])
{
    double billions = (double)n / 1e9, millions = (double)n / 1e6;
    if (n >= 1000000000)
        snprintf(out, 32, n % 1000000000 == 0 ? "%.0fB" : "%.1fB", billions);
    else if (n >= 1000000)
        snprintf(out, 32, n % 1000000 == 0 ? "%.0fM" : "%.2fM", millions);
    else if (n >= 1000)
        snprintf(out, 32, "%.0fK", (double)n / 1e3);
    else
        snprintf(out, 32, "%u", (unsigned)n);
}

static uint64_t number(const json_t *card, const char *key)
{
    const json_t *value = json_object_get(card, key);
    double real = json_number_value(value);
    if (json_is_integer(value))
        return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return real > 0 && real < 9e18 ? (uint64_t)real : 0;
}

// The config blob, members in the order of Ollama's structure.
static void format_config(const json_t *card, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    char count[32];
    const char *family = json_string_value(json_object_get(card, "architecture"));
    const char *file_type = json_string_value(json_object_get(card, "file_type"));
    if (family == NULL)
        family = "unknown";
    format_count(number(card, "parameter_count"), count);
    json_begin_object(&w);
    json_member_text(&w, "model_format", "gguf");
    json_member_text(&w, "model_family", family);
    json_key(&w, "model_families");
    json_begin_array(&w);
    json_put_text(&w, family);
    json_end_array(&w);
    json_member_text(&w, "model_type", count);
    json_member_text(&w, "file_type", file_type != NULL ? file_type : "unknown");
    if (number(card, "context_length") > 0)
        json_member_int(&w, "context_length", (int64_t)number(card, "context_length"));
    if (number(card, "embedding_length") > 0)
        json_member_int(&w, "embedding_length", (int64_t)number(card, "embedding_length"));
    json_member_text(&w, "architecture", "amd64");
    json_member_text(&w, "os", "linux");
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

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

static int copy_file(const char *directory, const char *path, struct copy *c, char digest[BLOB_DIGEST_BYTES],
                     struct err *err)
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
    rc = blob_writer_commit(w, digest, err);
    w = NULL;
out:
    blob_writer_drop(w);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_blob(const char *directory, struct slice bytes, char digest[BLOB_DIGEST_BYTES],
                      struct err *err)
{
    struct blob_writer *w = NULL;
    if (blob_writer_open(&w, directory, err) != 0)
        return -1;
    if (blob_writer_push(w, bytes, err) != 0) {
        blob_writer_drop(w);
        return -1;
    }
    return blob_writer_commit(w, digest, err);
}

int store_import(struct store *s, const char *file_path, const char *name, const char *card_json,
                 store_progress_fn *progress, void *user, struct err *err)
{
    int rc = -1;
    struct model_name parsed;
    struct copy copy = {.progress = progress, .user = user};
    struct strbuf config = STRBUF_INIT(MAX_CONFIG_BYTES);
    char model_digest[BLOB_DIGEST_BYTES], config_digest[BLOB_DIGEST_BYTES];
    const char *directory = store_directory(s);
    json_t *card = json_parse(slice_of(card_json), err);
    if (card == NULL || name_parse(&parsed, name, err) != 0)
        goto out;
    store_adopt_name(s, &parsed);
    blobs_sweep(directory);
    format_config(card, &config);
    if (copy_file(directory, file_path, &copy, model_digest, err) != 0 ||
        write_blob(directory, strbuf_slice(&config), config_digest, err) != 0)
        goto out;
    const struct manifest_layer about = {"application/vnd.docker.container.image.v1+json", config_digest,
                                         config.n};
    const struct manifest_layer weights = {"application/vnd.ollama.image.model", model_digest,
                                           copy.done_bytes};
    rc = manifest_write(directory, &parsed, &about, &weights, 1, err);
out:
    strbuf_fini(&config);
    json_decref(card);
    return rc;
}
