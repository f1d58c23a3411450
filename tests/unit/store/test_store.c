// SPDX-License-Identifier: MIT
// The store against a directory in Ollama's layout (tests/data/store), against broken ones made here, and
// against itself: import, then find.
#include "../test.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blobs.h"
#include "store/store.h"

static char directory[64];

static int make_directory(void **state)
{
    strcpy(directory, "/tmp/drover-store-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static int remove_directory(void **state)
{
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *below, const char *text)
{
    char path[1024];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", directory, below);
    assert_int_equal(file_write(path, slice_of(text), &err), 0);
}

static size_t count_files(const char *below)
{
    char path[1024];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", directory, below);
    DIR *d = opendir(path);
    for (struct dirent *e = d ? readdir(d) : NULL; e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

// ---- A directory as Ollama wrote it ----

static void a_model_of_ollama_is_read(void **state)
{
    struct store *s;
    struct stored_model m;
    struct err err = {0};
    char expected[4096];
    assert_int_equal(store_open(&s, TEST_DATA "/store", &err), 0);
    assert_int_equal(store_find(s, "tiny", &m, &err), 0);
    assert_string_equal(m.display_name, "tiny:latest");
    assert_string_equal(m.manifest_digest,
                        "6a9a94296ec412384d4df16b5f7ca63b5cf9338ad56d1e9cb41a1593bfb0eef9");
    assert_int_equal(m.size_bytes, 330434);
    assert_string_equal(m.model_digest,
                        "sha256:10a125641738227b3df10ab02e7136af9e1a998ab95735bbef7845162c55baaa");
    snprintf(expected, sizeof expected,
             "%s/store/blobs/sha256-10a125641738227b3df10ab02e7136af9e1a998ab95735bbef7845162c55baaa",
             TEST_DATA);
    assert_string_equal(m.model_path, expected);
    assert_int_equal(m.model_bytes, 329888);
    assert_int_equal(strncmp(m.template_text, "{{- if .System }}<|system|>\n", 28), 0);
    assert_string_equal(m.system_text, "You are brief.\nTwo lines.");
    assert_non_null(strstr(m.params_json, "\"num_predict\":12"));
    assert_non_null(strstr(m.messages_json, "Hi there"));
    assert_int_equal(m.n_licenses, 1);
    assert_string_equal(m.licenses[0], "A licence text");
    assert_string_equal(m.format, "gguf");
    assert_string_equal(m.family, "llama");
    assert_string_equal(m.parameter_size, "90K");
    assert_string_equal(m.file_type, "unknown");
    assert_int_equal(m.n_families, 1);
    assert_string_equal(m.families[0], "llama");
    assert_int_equal(m.context_length, 0);
    assert_null(m.parent_model);
    assert_true(m.modified_ns > 0);
    stored_model_fini(&m);
    store_close(s);
}

static void names_are_found_in_any_case(void **state)
{
    static const char *const same[] = {"ME/Other:V2", "me/other:v2", "registry.ollama.ai/me/other:v2",
                                       "Registry.Ollama.ai/Me/OTHER:v2"};
    static const char *const none[] = {"me/other", "other:v2", "tiny:v1", "me/tiny", "h/library/tiny"};
    struct store *s;
    struct stored_model m;
    struct err err = {0};
    assert_int_equal(store_open(&s, TEST_DATA "/store/", &err), 0);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_int_equal(store_find(s, same[i], &m, &err), 0);
        assert_string_equal(m.display_name, "me/other:v2");
        stored_model_fini(&m);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        char expected[128];
        err_clear(&err);
        assert_int_equal(store_find(s, none[i], &m, &err), -1);
        assert_int_equal(err.code, ERR_NOT_FOUND);
        snprintf(expected, sizeof expected, "model '%s' not found", none[i]);
        assert_string_equal(err.message, expected);
    }
    err_clear(&err);
    assert_int_equal(store_find(s, "../../etc/passwd", &m, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    store_close(s);
}

static void all_models_are_listed(void **state)
{
    struct store *s;
    struct stored_model *models;
    size_t n, found = 0;
    struct err err = {0};
    assert_int_equal(store_open(&s, TEST_DATA "/store", &err), 0);
    assert_int_equal(store_list(s, &models, &n, &err), 0);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        found +=
            strcmp(models[i].display_name, "bertie:latest") == 0 && strcmp(models[i].family, "bert") == 0;
        found += strcmp(models[i].display_name, "plain:latest") == 0 && models[i].template_text == NULL;
        if (i > 0)
            assert_true(models[i - 1].modified_ns >= models[i].modified_ns);
    }
    assert_int_equal(found, 2);
    store_list_free(models, n);
    store_close(s);
}

// ---- Broken ones ----

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void broken_manifests_are_errors_and_skipped(void **state)
{
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"config\":{\"digest\":\"sha256:../../../../etc/passwd\",\"size\":1},\"layers\":[]}",
        "{\"config\":{\"digest\":\"sha256:" HEX64 "\",\"size\":1},\"layers\":[]}", // no such blob
        "{\"config\":{\"digest\":\"sha256:" HEX64 "0\",\"size\":1},\"layers\":[]}",
        "{\"config\":{\"digest\":5,\"size\":1},\"layers\":[]}",
        "{\"config\":{\"digest\":\"sha256-CONFIG\",\"size\":1}}",
        "{\"config\":{\"digest\":\"sha256-CONFIG\",\"size\":-1},\"layers\":[]}",
        "{\"config\":{\"digest\":\"sha256-CONFIG\",\"size\":1},\"layers\":7}",
        "{\"config\":{\"digest\":\"sha256-CONFIG\",\"size\":1},\"layers\":[7]}",
        "{\"config\":{\"digest\":\"sha256-CONFIG\",\"size\":1},\"layers\":[{\"mediaType\":\"application/"
        "vnd.ollama.image.params\","
        "\"digest\":\"sha256:BAD\",\"size\":1}]}",
    };
    struct store *s;
    struct stored_model m, *models;
    struct err err = {0};
    size_t n;
    char config[65], bad[65];
    digest_of(slice_of("{}"), config);
    digest_of(slice_of("[1]"), bad); // params must be an object
    char path[128];
    snprintf(path, sizeof path, "blobs/sha256-%s", config);
    write_file(path, "{}");
    snprintf(path, sizeof path, "blobs/sha256-%s", bad);
    write_file(path, "[1]");
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char text[1024] = "", *out = text;
        for (const char *p = broken[i]; *p;) {
            bool is_config = strncmp(p, "CONFIG", 6) == 0, is_bad = strncmp(p, "BAD", 3) == 0;
            if (is_config || is_bad)
                out += sprintf(out, "%s", is_config ? config : bad);
            else
                *out++ = *p;
            p += is_config ? 6 : is_bad ? 3 : 1;
        }
        *out = 0;
        snprintf(path, sizeof path, "manifests/registry.ollama.ai/library/broken/t%zu", i);
        write_file(path, text);
    }
    char good[256];
    snprintf(good, sizeof good,
             "{\"config\":{\"digest\":\"sha256-%s\",\"size\":2},\"layers\":[{\"mediaType\":\"x\",\"digest\":"
             "\"sha256:" HEX64 "\",\"size\":40}]}\n",
             config);
    write_file("manifests/registry.ollama.ai/library/good/latest", good);
    write_file("manifests/registry.ollama.ai/library/stray", "x");
    write_file("manifests/registry.ollama.ai/library/.hidden/latest", "x");
    write_file("manifests/registry.ollama.ai/library/deep/a/b", "x");
    write_file("manifests/registry.ollama.ai/n.s/m/latest", good);

    assert_int_equal(store_open(&s, directory, &err), 0);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char name[32];
        err_clear(&err);
        snprintf(name, sizeof name, "broken:t%zu", i);
        if (store_find(s, name, &m, &err) == 0)
            fail_msg("accepted: %s", broken[i]);
        assert_int_equal(err.code, ERR_FORMAT);
        assert_int_equal(strncmp(err.message, "model 'broken:t", 15), 0);
    }
    err_clear(&err);
    assert_int_equal(store_list(s, &models, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_string_equal(models[0].display_name, "good:latest");
    assert_int_equal(models[0].size_bytes, 42);
    assert_null(models[0].model_path);
    store_list_free(models, n);
    store_close(s);
}

static void digests_never_leave_the_directory(void **state)
{
    char out[BLOB_DIGEST_BYTES], path[BLOB_PATH_BYTES];
    assert_true(blob_parse_digest("sha256:" HEX64, out));
    assert_string_equal(out, "sha256:" HEX64);
    assert_true(
        blob_parse_digest("sha256-0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", out));
    assert_string_equal(out, "sha256:" HEX64);
    blob_path("/store", out, path);
    assert_string_equal(path, "/store/blobs/sha256-" HEX64);
    static const char *const bad[] = {
        "",
        "sha256",
        "sha256:",
        "sha256:xyz",
        "sha256:" HEX64 "0",
        "sha256/" HEX64,
        "sha512:" HEX64,
        "md5:" HEX64,
        HEX64,
        "sha256:../../../../../../../../../../../../../../../../../../../etc/pass",
        " sha256:" HEX64};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(blob_parse_digest(bad[i], out));
}

// ---- Writing ----

static const char *const card = "{\"architecture\":\"llama\",\"parameter_count\":134515008,\"file_type\":"
                                "\"Q4_1\",\"context_length\":2048,"
                                "\"embedding_length\":576,\"model_info\":{}}";

static void count_progress(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;
    assert_true(done > last[0] && done <= total);
    last[0] = done;
    last[1] = total;
}

static void an_imported_file_is_found(void **state)
{
    struct store *s;
    struct stored_model m;
    struct err err = {0};
    struct stat st;
    char file[128], path[1024], *bytes, digest[65];
    size_t n, size = 3000000;
    uint64_t last[2] = {0};
    char *big = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)('a' + i % 23);
    big[size] = 0;
    write_file("model.gguf", big);
    digest_of(slice_make(big, size), digest);
    snprintf(file, sizeof file, "%s/model.gguf", directory);
    snprintf(path, sizeof path, "%s/new/store", directory);
    assert_int_equal(store_open(&s, path, &err), 0);
    assert_int_equal(store_import(s, file, "Me/Mine:v1", card, count_progress, last, &err), 0);
    assert_int_equal(last[0], size);
    assert_int_equal(last[1], size);

    assert_int_equal(store_find(s, "me/mine:V1", &m, &err), 0);
    assert_string_equal(m.display_name, "Me/Mine:v1");
    assert_string_equal(m.model_digest + 7, digest);
    assert_int_equal(m.model_bytes, size);
    assert_string_equal(m.family, "llama");
    assert_string_equal(m.parameter_size, "134.52M");
    assert_string_equal(m.file_type, "Q4_1");
    assert_int_equal(m.context_length, 2048);
    assert_int_equal(m.embedding_length, 576);
    assert_int_equal(stat(m.model_path, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(file_read(m.model_path, size, &bytes, &n, &err), 0);
    assert_int_equal(n, size);
    assert_memory_equal(bytes, big, size);
    free(bytes);
    stored_model_fini(&m);

    // once more, under the same name in another case and under another one: no further copy of the weights,
    // nothing temporary left
    assert_int_equal(store_import(s, file, "me/mine:v1", card, NULL, NULL, &err), 0);
    assert_int_equal(store_import(s, file, "other", card, NULL, NULL, &err), 0);
    assert_int_equal(count_files("new/store/blobs"), 2);
    assert_int_equal(count_files("new/store/manifests/registry.ollama.ai"), 2);
    store_close(s);
    free(big);
}

static void the_files_are_byte_for_byte_as_expected(void **state)
{
    struct store *s;
    struct stored_model m;
    struct err err = {0};
    char file[128], path[1024], *bytes;
    size_t n;
    write_file("x.gguf", "GGUF");
    snprintf(file, sizeof file, "%s/x.gguf", directory);
    assert_int_equal(store_open(&s, directory, &err), 0);
    assert_int_equal(
        store_import(s, file, "x",
                     "{\"architecture\":\"llama\",\"parameter_count\":90432,\"file_type\":\"unknown\"}", NULL,
                     NULL, &err),
        0);
    snprintf(path, sizeof path,
             "%s/blobs/sha256-0999c32ca0daeb464a83715ecfd04f83be914f1d7b756ad811adfa6d16ed37a5", directory);
    assert_int_equal(file_read(path, 4096, &bytes, &n, &err),
                     0); // the same config that Ollama writes for such a model
    free(bytes);
    snprintf(path, sizeof path, "%s/manifests/registry.ollama.ai/library/x/latest", directory);
    assert_int_equal(file_read(path, 4096, &bytes, &n, &err), 0);
    assert_string_equal(
        bytes, "{\"schemaVersion\":2,\"mediaType\":\"application/"
               "vnd.docker.distribution.manifest.v2+json\",\"config\":{\"mediaType\":"
               "\"application/"
               "vnd.docker.container.image.v1+json\",\"digest\":\"sha256:"
               "0999c32ca0daeb464a83715ecfd04f83be914f1d7b756ad811adfa6d16ed37a5\","
               "\"size\":151},\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":"
               "\"sha256:b83633aa785344791618f2fddf131b010ea04912a60430760b070bad293f65bd\",\"size\":4}]}\n");
    free(bytes);
    assert_int_equal(store_find(s, "x", &m, &err), 0);
    stored_model_fini(&m);
    store_close(s);
}

static void what_cannot_be_imported_leaves_nothing(void **state)
{
    struct store *s;
    struct err err = {0};
    char path[256];
    assert_int_equal(store_open(&s, directory, &err), 0);
    snprintf(path, sizeof path, "%s/none.gguf", directory);
    assert_int_equal(store_import(s, path, "x", card, NULL, NULL, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    err_clear(&err);
    assert_int_equal(store_import(s, directory, "x", card, NULL, NULL, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    write_file("x.gguf", "GGUF");
    snprintf(path, sizeof path, "%s/x.gguf", directory);
    err_clear(&err);
    assert_int_equal(store_import(s, path, "../x", card, NULL, NULL, &err), -1);
    assert_string_equal(err.message, "invalid model name");
    err_clear(&err);
    assert_int_equal(store_import(s, path, "x", "not json", NULL, NULL, &err), -1);
    assert_int_equal(count_files("blobs"), 0);
    assert_int_equal(count_files("manifests"), 0);
    store_close(s);
    snprintf(path, sizeof path, "%s/x.gguf", directory);
    err_clear(&err);
    assert_int_equal(store_open(&s, path, &err), -1); // a file is no directory
    err_clear(&err);
    assert_int_equal(store_open(&s, "", &err), -1);
}

static void parameter_counts_are_ollamas(void **state)
{
    static const struct {
        const char *count, *text;
    } table[] = {{"0", "0"},
                 {"999", "999"},
                 {"1000", "1K"},
                 {"90432", "90K"},
                 {"1000000", "1M"},
                 {"134515008", "134.52M"},
                 {"494032768", "494.03M"},
                 {"1000000000", "1B"},
                 {"1235814432", "1.2B"},
                 {"7000000000", "7B"},
                 {"70553706496", "70.6B"}};
    struct store *s;
    struct stored_model m;
    struct err err = {0};
    char path[256], text[128];
    write_file("x.gguf", "GGUF");
    snprintf(path, sizeof path, "%s/x.gguf", directory);
    assert_int_equal(store_open(&s, directory, &err), 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        snprintf(text, sizeof text, "{\"architecture\":\"llama\",\"parameter_count\":%s}", table[i].count);
        assert_int_equal(store_import(s, path, "x", text, NULL, NULL, &err), 0);
        assert_int_equal(store_find(s, "x", &m, &err), 0);
        assert_string_equal(m.parameter_size, table[i].text);
        stored_model_fini(&m);
    }
    store_close(s);
}

static void the_default_directory(void **state)
{
    char path[4096], expected[4096], made[128];
    setenv("HOME", directory, 1);
    unsetenv("XDG_DATA_HOME");
    store_default_directory("/given", path);
    assert_string_equal(path, "/given");
    store_default_directory("", path);
    snprintf(expected, sizeof expected, "%s/.local/share/drover/models", directory);
    assert_string_equal(path, expected);
    snprintf(made, sizeof made, "%s/.ollama/models", directory);
    assert_int_equal(directory_make(made, NULL), 0);
    store_default_directory("", path);
    assert_string_equal(path, made);
}

#define IN_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_of_ollama_is_read),
        cmocka_unit_test(names_are_found_in_any_case),
        cmocka_unit_test(all_models_are_listed),
        cmocka_unit_test(digests_never_leave_the_directory),
        IN_DIRECTORY(broken_manifests_are_errors_and_skipped),
        IN_DIRECTORY(an_imported_file_is_found),
        IN_DIRECTORY(the_files_are_byte_for_byte_as_expected),
        IN_DIRECTORY(what_cannot_be_imported_leaves_nothing),
        IN_DIRECTORY(parameter_counts_are_ollamas),
        IN_DIRECTORY(the_default_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
