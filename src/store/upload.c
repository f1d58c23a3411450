// SPDX-License-Identifier: MIT
// Sent bytes go to a temporary file; it becomes a blob if it is what was promised. A blob that is there
// already is not written again.
#include "store/upload.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/blobs.h"

struct upload {
    char digest[BLOB_DIGEST_BYTES];
    struct blob_writer *writer; // NULL: the store has it
};

int upload_open(struct upload **out, struct store *s, const char *digest, struct err *err)
{
    struct upload *u = xcalloc(1, sizeof *u);
    char path[4096];
    uint64_t size = 0;
    struct err ignored = {0};
    int rc = 0;
    if (!blob_parse_digest(digest, u->digest))
        rc = err_set(err, ERR_INVALID, "invalid digest format");
    else if (store_find_blob(s, digest, path, &size, &ignored) != 0)
        rc = blob_writer_open(&u->writer, store_directory(s), err);
    if (rc != 0) {
        free(u);
        u = NULL;
    }
    *out = u;
    return rc;
}

int upload_push(struct upload *u, struct slice bytes, struct err *err)
{
    return u->writer != NULL ? blob_writer_push(u->writer, bytes, err) : 0;
}

int upload_commit(struct upload *u, bool *is_new, struct err *err)
{
    char got[BLOB_DIGEST_BYTES];
    int rc = 0;
    *is_new = false;
    if (u->writer != NULL) {
        blob_writer_digest(u->writer, got);
        if (strcmp(got, u->digest) == 0) {
            rc = blob_writer_commit(u->writer, NULL, got, is_new, err);
            u->writer = NULL;
        } else {
            rc = err_set(err, ERR_INVALID, "digest mismatch, expected \"%s\", got \"%s\"", u->digest, got);
        }
    }
    upload_drop(u);
    return rc;
}

void upload_drop(struct upload *u)
{
    if (u == NULL)
        return;
    blob_writer_drop(u->writer);
    free(u);
}
