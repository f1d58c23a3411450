// SPDX-License-Identifier: MIT
// Names of models and digests of blobs: what is accepted stays in the store's directory, and reads the same
// when it is written out.
#include "fuzz.h"

#include <strings.h>

#include "store/blobs.h"
#include "store/manifest.h"
#include "store/name.h"

static void check_part(const char *part)
{
    FUZZ_CHECK(part[0] != 0 && strchr(part, '/') == NULL);
    FUZZ_CHECK(strcmp(part, ".") != 0 && strcmp(part, "..") != 0);
}

static void check_name(const char *text)
{
    struct err err = {0};
    struct model_name name, again;
    char shown[640], path[4096];
    int rc = name_parse(&name, text, &err);
    fuzz_check_result(rc, &err);
    if (rc != 0)
        return;
    check_part(name.host);
    check_part(name.ns);
    check_part(name.model);
    check_part(name.tag);
    manifest_path("store", &name, path);
    name_format_full(&name, shown);
    FUZZ_CHECK(name_parse(&again, shown, &err) == 0);
    name_format(&name, shown);
    FUZZ_CHECK(name_parse(&again, shown, &err) == 0);
    FUZZ_CHECK(strcasecmp(name.host, again.host) ==
               0); // as the defaults are recognised in any case of letters
    FUZZ_CHECK(strcasecmp(name.ns, again.ns) == 0);
    FUZZ_CHECK(strcmp(name.model, again.model) == 0 && strcmp(name.tag, again.tag) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char digest[BLOB_DIGEST_BYTES], path[BLOB_PATH_BYTES];
    char *text = xstrndup((const char *)bytes, n);
    check_name(text);
    if (blob_parse_digest(text, digest)) {
        FUZZ_CHECK(strlen(digest) == 71 && strspn(digest + 7, "0123456789abcdef") == 64);
        blob_path("store", digest, path);
    }
    free(text);
    return 0;
}
