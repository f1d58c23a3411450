// SPDX-License-Identifier: MIT
// Pulling: the manifest, then each of its blobs, then the manifest becomes visible, byte for byte as it came.
// Blobs are pinned from the moment they are there. See transfer.h.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "json/json.h"
#include "store/blobs.h"
#include "store/download.h"
#include "store/manifest.h"
#include "store/partial.h"
#include "store/pins.h"
#include "store/prune.h"
#include "store/references.h"
#include "store/registry.h"
#include "store/transfer.h"

enum { SPARE_BYTES = 16 << 20, N_GET_TRIES = 3 };

static const char *const accept_manifest = "Accept: application/vnd.docker.distribution.manifest.v2+json";

struct wanted_blob {
    char digest[BLOB_DIGEST_BYTES];
    uint64_t size_bytes;
};

struct pull {
    struct store *store;
    const struct transfer *t;
    struct registry registry;
    struct http_client_reply manifest;
    json_t *value; // of it
    struct wanted_blob *blobs;
    size_t n_blobs;
    struct pins *pins;
};

static void say(const struct pull *p, const char *status)
{
    p->t->on_status(p->t->user, &(struct transfer_status){.status = status});
}

// ---- The manifest ----

static int add_blob(struct pull *p, const json_t *entry, struct err *err)
{
    struct wanted_blob b;
    const char *digest = json_string_value(json_object_get(entry, "digest"));
    const json_t *size = json_object_get(entry, "size");
    if (digest == NULL || !blob_parse_digest(digest, b.digest))
        return err_set(err, ERR_FORMAT, "a layer without a valid digest");
    if (!json_is_integer(size) || json_integer_value(size) < 0 || json_integer_value(size) > INT64_MAX / 4096)
        return err_set(err, ERR_FORMAT, "layer %s has no valid size", b.digest);
    b.size_bytes = (uint64_t)json_integer_value(size);
    for (size_t i = 0; i < p->n_blobs; i++)
        if (strcmp(p->blobs[i].digest, b.digest) == 0)
            return 0;
    p->blobs[p->n_blobs++] = b;
    return 0;
}

static int read_manifest(struct pull *p, struct err *err)
{
    struct err why = {0};
    json_t *layer;
    size_t i;
    p->value = json_parse(strbuf_slice(&p->manifest.body), &why);
    const json_t *layers = json_object_get(p->value, "layers");
    if (!json_is_object(p->value) || !json_is_array(layers) || json_array_size(layers) > MANIFEST_MAX_LAYERS)
        return err_set(err, ERR_FORMAT, "the registry's answer is not a manifest: %s", why.message);
    p->blobs = xcalloc(json_array_size(layers) + 1, sizeof p->blobs[0]);
    json_array_foreach(layers, i, layer)
    {
        if (add_blob(p, layer, err) != 0)
            return -1;
    }
    return add_blob(p, json_object_get(p->value, "config"), err);
}

static int get_manifest(struct pull *p, struct err *err)
{
    static const char *const headers[] = {accept_manifest, NULL};
    char rest[128], url[REGISTRY_URL_BYTES];
    snprintf(rest, sizeof rest, "manifests/%s", p->registry.name.tag);
    registry_url(&p->registry, rest, url);
    struct http_client_call call = {.url = url, .follow_redirects = true};
    if (registry_send(&p->registry, &call, headers, &p->manifest, err) != 0)
        return -1;
    if (p->manifest.status == 404)
        return err_set(err, ERR_INTERNAL, "file does not exist");
    if (p->manifest.status < 200 || p->manifest.status > 299)
        return err_set(err, ERR_INTERNAL, "%d: %.500s", p->manifest.status, strbuf_text(&p->manifest.body));
    if (p->manifest.body.n > MANIFEST_MAX_BYTES)
        return err_set(err, ERR_FORMAT, "the manifest is larger than %d MiB", MANIFEST_MAX_BYTES >> 20);
    return read_manifest(p, err);
}

// ---- The blobs ----

static bool blob_is_there(const struct pull *p, const struct wanted_blob *b)
{
    char path[BLOB_PATH_BYTES];
    struct stat st;
    blob_path(store_directory(p->store), b->digest, path);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == b->size_bytes;
}

// What is still to be written must fit now, with a little to spare.
static int check_space(const struct pull *p, struct err *err)
{
    struct statvfs disk;
    uint64_t needed = 0;
    const char *directory = store_directory(p->store);
    for (size_t i = 0; i < p->n_blobs; i++) {
        const struct wanted_blob *b = &p->blobs[i];
        uint64_t there = blob_is_there(p, b) ? b->size_bytes : partial_allocated_bytes(directory, b->digest);
        needed += b->size_bytes - MIN(there, b->size_bytes);
    }
    if (needed == 0 || statvfs(directory, &disk) != 0)
        return 0;
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (needed + MIN(needed / 8, (uint64_t)SPARE_BYTES) <= available)
        return 0;
    return err_set(err, ERR_INTERNAL, "not enough disk space in %s: %.1f MB needed, %.1f MB available",
                   directory, (double)needed / 1e6, (double)available / 1e6);
}

static int get_blob(struct pull *p, const struct wanted_blob *b, struct err *err)
{
    char text[32];
    struct download_wanted wanted = {store_directory(p->store), b->digest, b->size_bytes};
    for (int i = 0; i < N_GET_TRIES; i++) { // again when somebody removed it in the same moment
        struct err why = {0};
        if (blob_is_there(p, b) && pins_add(p->pins, b->digest, &why) == 0) {
            snprintf(text, sizeof text, "pulling %.12s", b->digest + 7);
            p->t->on_status(p->t->user,
                            &(struct transfer_status){text, b->digest, b->size_bytes, b->size_bytes});
            return 0;
        }
        if (downloads_get(store_downloads(p->store), &wanted, &p->registry, p->t, p->pins, &why) == 0)
            return 0;
        if (why.code != ERR_NOT_FOUND || i + 1 == N_GET_TRIES)
            return err_set(err, why.code == ERR_NOT_FOUND ? ERR_INTERNAL : why.code, "%s", why.message);
    }
    return -1;
}

// ---- The end ----

static bool has_unused(const json_t *before, const json_t *now)
{
    const char *digest;
    json_t *value;
    json_object_foreach((json_t *)before, digest,
                        value) if (json_object_get(now, digest) == NULL) return true;
    return false;
}

static int write_manifest(struct pull *p, struct err *err)
{
    char path[4096];
    struct model_name name = p->registry.name;
    struct store_pruned pruned = {0};
    struct err ignored = {0};
    json_t *before = json_object(), *now = json_object();
    store_adopt_name(p->store, &name);
    manifest_path(store_directory(p->store), &name, path);
    references_of_file(path, before, &ignored);
    references_of_manifest(p->value, now, &ignored);
    int rc = file_write(path, strbuf_slice(&p->manifest.body), err);
    if (rc == 0 && p->t->prune && has_unused(before, now)) {
        say(p, "removing unused layers");
        prune_candidates(store_directory(p->store), before, &pruned);
    }
    json_decref(before);
    json_decref(now);
    return rc;
}

static int pull(struct pull *p, struct err *err)
{
    say(p, "pulling manifest");
    if (get_manifest(p, err) != 0)
        return err_prefix(err, "pull model manifest");
    if (check_space(p, err) != 0)
        return -1;
    for (size_t i = 0; i < p->n_blobs; i++)
        if (get_blob(p, &p->blobs[i], err) != 0)
            return -1;
    say(p, "verifying sha256 digest"); // each was, before it got its name
    say(p, "writing manifest");
    return write_manifest(p, err);
}

int store_pull(struct store *s, const struct transfer *t, struct err *err)
{
    struct pull p = {.store = s, .t = t, .pins = pins_new(store_directory(s))};
    int rc = registry_open(&p.registry, t->name, t->insecure, t->cancel, err);
    if (rc == 0)
        rc = pull(&p, err);
    pins_free(p.pins);
    registry_fini(&p.registry);
    http_client_reply_fini(&p.manifest);
    json_decref(p.value);
    free(p.blobs);
    return rc;
}
