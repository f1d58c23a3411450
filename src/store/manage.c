// SPDX-License-Identifier: MIT
// Copying and deleting models, and asking for blobs. A copy is the same manifest under another name. Any
// thread, any number of processes: see pins.h.
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blobs.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/prune.h"
#include "store/references.h"
#include "store/store.h"

static int find_manifest(struct store *s, const char *text, struct model_name *name, char path[4096])
{
    struct err ignored = {0};
    if (name_parse(name, text, &ignored) != 0)
        return -1;
    store_adopt_name(s, name);
    manifest_path(store_directory(s), name, path);
    return 0;
}

static int copy_manifest(const char *directory, const char *from, const char *to, struct err *err)
{
    struct manifest_text m;
    struct pins *pins = pins_new(directory);
    int rc = manifest_open(directory, from, pins, &m, err);
    if (rc == 0)
        rc = file_write(to, slice_make(m.bytes, m.n), err);
    manifest_text_fini(&m);
    pins_free(pins);
    return rc;
}

int store_copy(struct store *s, const char *source, const char *destination, struct err *err)
{
    struct model_name from, to;
    char from_path[4096], to_path[4096];
    struct err why = {0};
    if (find_manifest(s, source, &from, from_path) != 0)
        return err_set(err, ERR_INVALID, "source \"%s\" is invalid", source);
    if (find_manifest(s, destination, &to, to_path) != 0)
        return err_set(err, ERR_INVALID, "destination \"%s\" is invalid", destination);
    if (strcmp(from_path, to_path) == 0 && access(from_path, F_OK) == 0)
        return 0;
    if (copy_manifest(store_directory(s), from_path, to_path, &why) == 0)
        return 0;
    if (why.code == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "model \"%s\" not found", source);
    return err_set(err, why.code, "%s", why.message);
}

// The directories above a manifest, while they are empty.
static void remove_empty_directories(const char *manifest)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", manifest);
    for (int i = 0; i < 3; i++)
        if (rmdir(dirname(path)) != 0) // dirname shortens `path` in place
            return;
}

int store_delete(struct store *s, const char *text, struct err *err)
{
    struct model_name name;
    char path[4096];
    struct err ignored = {0};
    struct store_pruned pruned = {0};
    if (find_manifest(s, text, &name, path) != 0)
        return err_set(err, ERR_INVALID, "name \"%s\" is invalid", text);
    json_t *digests = json_object();
    references_of_file(path, digests, &ignored); // a broken manifest can be deleted as well
    int rc = unlink(path);
    if (rc != 0 && (errno == ENOENT || errno == ENOTDIR))
        err_set(err, ERR_NOT_FOUND, "model '%s' not found", text);
    else if (rc != 0)
        err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    if (rc == 0) {
        directory_sync(path);
        remove_empty_directories(path);
        prune_candidates(store_directory(s), digests, &pruned);
    }
    json_decref(digests);
    return rc == 0 ? 0 : -1;
}

int store_find_blob(struct store *s, const char *text, char path[4096], uint64_t *size_bytes, struct err *err)
{
    char digest[BLOB_DIGEST_BYTES];
    struct stat st;
    if (!blob_parse_digest(text, digest))
        return err_set(err, ERR_INVALID, "invalid digest format");
    blob_path(store_directory(s), digest, path);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_NOT_FOUND, "blob \"%s\" not found", text);
    *size_bytes = (uint64_t)st.st_size;
    return 0;
}
