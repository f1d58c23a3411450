// SPDX-License-Identifier: MIT
// What a store or a registry says: a manifest, 0xff, the text of every small blob. Read as the store reads
// it, and written as a Modelfile.
#include "fuzz.h"

#include "server/modelfile.h"
#include "store/blobs.h"
#include "store/manifest.h"
#include "store/references.h"

// The blobs that seeds name: 64 times the same digit.
static void write_file(const char *path, struct slice bytes)
{
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f != NULL && fwrite(bytes.at, 1, bytes.n, f) == bytes.n && fclose(f) == 0);
}

static void write_blobs(struct slice text)
{
    char path[512], name[65];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/blobs", fuzz_directory());
    FUZZ_CHECK(directory_make(path, &err) == 0);
    for (char digit = '0'; digit <= '1'; digit++) {
        memset(name, digit, 64);
        name[64] = 0;
        snprintf(path, sizeof path, "%s/blobs/sha256-%s", fuzz_directory(), name);
        write_file(path, digit == '0'
                             ? slice_of("{\"model_family\":\"llama\",\"model_families\":[\"llama\"]}")
                             : text);
    }
}

static void show(const struct stored_model *m)
{
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(16 << 20);
    json_t *parameters = m->params_json != NULL ? json_parse(slice_of(m->params_json), &err) : NULL;
    json_t *messages = m->messages_json != NULL ? json_parse(slice_of(m->messages_json), &err) : NULL;
    struct modelfile file = {m, m->template_text, m->system_text, parameters, messages};
    modelfile_write(&out, &file);
    modelfile_write_parameters(&out, parameters);
    json_decref(parameters);
    json_decref(messages);
    strbuf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[512];
    struct err err = {0}, ignored = {0};
    struct slice rest = slice_make(bytes, n), text = fuzz_take_part(&rest);
    struct stored_model m = {0};
    write_blobs(rest);
    snprintf(path, sizeof path, "%s/manifest", fuzz_directory());
    write_file(path, text);
    int rc = manifest_read(fuzz_directory(), path, &m, &err);
    fuzz_check_result(rc, &err);
    if (rc == 0)
        show(&m);
    stored_model_fini(&m);
    json_t *set = json_object(), *manifest = json_parse_first(text, &ignored);
    if (manifest != NULL)
        references_of_manifest(manifest, set, &ignored);
    json_decref(manifest);
    json_decref(set);
    return 0;
}
