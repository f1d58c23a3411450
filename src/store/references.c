// SPDX-License-Identifier: MIT
// Manifests as lists of digests. Unlike reading a model this looks at no blob, so that a model with a missing
// blob still protects the others. Any thread.
#include "store/references.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/blobs.h"
#include "store/manifest.h"

static int add(const json_t *entry, json_t *set, struct err *err)
{
    char digest[BLOB_DIGEST_BYTES];
    const char *text = json_string_value(json_object_get(entry, "digest"));
    if (text == NULL || !blob_parse_digest(text, digest))
        return err_set(err, ERR_FORMAT, "a layer without a valid digest");
    json_object_set_new(set, digest, json_true());
    return 0;
}

int references_of_manifest(const json_t *manifest, json_t *set, struct err *err)
{
    const json_t *layers = json_object_get(manifest, "layers"), *config = json_object_get(manifest, "config");
    json_t *layer;
    size_t i;
    if (!json_is_object(manifest) || (layers != NULL && !json_is_array(layers) && !json_is_null(layers)))
        return err_set(err, ERR_FORMAT, "not a manifest");
    if (json_is_object(config) && add(config, set, err) != 0)
        return -1;
    json_array_foreach(layers, i, layer)
    {
        if (add(layer, set, err) != 0)
            return -1;
    }
    return 0;
}

int references_of_file(const char *path, json_t *set, struct err *err)
{
    char *text = NULL;
    size_t n = 0;
    struct err why = {0};
    if (file_read(path, MANIFEST_MAX_BYTES, &text, &n, err) != 0)
        return -1;
    json_t *manifest = json_parse_first(slice_make(text, n), &why);
    free(text);
    int rc = manifest == NULL ? err_set(err, ERR_FORMAT, "%s", why.message)
                              : references_of_manifest(manifest, set, err);
    json_decref(manifest);
    return rc == 0 ? 0 : err_prefix(err, "%s", path);
}

// Host, namespace, model, tag: four levels of directories and files. What lies elsewhere names nothing.
static int read_level(const char *path, int level, json_t *set, struct err *err)
{
    int rc = 0;
    DIR *d = opendir(path);
    if (d == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    for (struct dirent *e = readdir(d); e != NULL && rc == 0; e = readdir(d)) {
        char below[BLOB_PATH_BYTES];
        struct err why = {0};
        struct stat st;
        if (e->d_name[0] == '.' ||
            (size_t)snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= sizeof below)
            continue;
        if (stat(below, &st) != 0)
            rc = errno == ENOENT ? 0 : err_set(err, ERR_INTERNAL, "%s: %s", below, strerror(errno));
        else if (level < 3)
            rc = read_level(below, level + 1, set, err);
        else if (!S_ISDIR(st.st_mode) && references_of_file(below, set, &why) != 0 &&
                 why.code != ERR_NOT_FOUND) // removed meanwhile
            rc = err_set(err, why.code, "%s", why.message);
    }
    closedir(d);
    return rc;
}

int references_of_store(const char *directory, json_t *set, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/manifests", directory) >= sizeof path)
        return err_set(err, ERR_INVALID, "%.60s...: path too long", directory);
    return read_level(path, 0, set, err);
}
