// SPDX-License-Identifier: MIT
// The rules of pins.h, one by one.
#include "../test.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blobs.h"
#include "store/pins.h"
#include "store/store.h"

static char directory[64];
static struct store *store;

static int setup(void **state)
{
    struct err err = {0};
    strcpy(directory, "/tmp/drover-pins-XXXXXX");
    return mkdtemp(directory) == NULL || store_open(&store, directory, &err) != 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static int teardown(void **state)
{
    store_close(store);
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static bool is_there(const char *digest)
{
    char path[BLOB_PATH_BYTES];
    blob_path(directory, digest, path);
    return access(path, F_OK) == 0;
}

static size_t prune(void)
{
    struct store_pruned pruned;
    struct err err = {0};
    assert_int_equal(store_prune(store, 0, &pruned, &err), 0);
    return pruned.n_files;
}

static void a_pinned_blob_stays(void **state)
{
    struct err err = {0};
    char digest[BLOB_DIGEST_BYTES];
    bool is_new = false;
    struct pins *pins = pins_new(directory);
    assert_int_equal(blob_write(directory, slice_of("one"), pins, digest, &is_new, &err), 0);
    assert_true(is_new);
    assert_int_equal(prune(), 0);
    assert_true(is_there(digest));
    pins_free(pins);
    assert_int_equal(prune(), 1);
    assert_false(is_there(digest));
}

static void a_second_writer_does_not_take_the_name(void **state)
{
    struct err err = {0};
    char digest[BLOB_DIGEST_BYTES];
    bool is_new = true;
    struct pins *first = pins_new(directory);
    struct blob_writer *second;
    assert_int_equal(blob_writer_open(&second, directory, &err), 0); // begins before, ends after
    assert_int_equal(blob_writer_push(second, slice_of("two"), &err), 0);
    assert_int_equal(blob_write(directory, slice_of("two"), first, digest, NULL, &err), 0);
    assert_int_equal(blob_writer_commit(second, NULL, digest, &is_new, &err), 0);
    assert_false(is_new);
    assert_int_equal(prune(), 0);
    assert_true(is_there(digest));
    pins_free(first);
    assert_int_equal(prune(), 1);
}

static void what_is_being_written_stays(void **state)
{
    struct err err = {0};
    char digest[BLOB_DIGEST_BYTES];
    struct blob_writer *w;
    assert_int_equal(blob_writer_open(&w, directory, &err), 0);
    assert_int_equal(blob_writer_push(w, slice_of("three"), &err), 0);
    assert_int_equal(prune(), 0);
    assert_int_equal(blob_writer_commit(w, NULL, digest, NULL, &err), 0);
    assert_true(is_there(digest));
    assert_int_equal(prune(), 1);
}

static void a_broken_blob_is_replaced(void **state)
{
    struct err err = {0};
    char digest[BLOB_DIGEST_BYTES], path[BLOB_PATH_BYTES];
    struct stat st;
    bool is_new = false;
    assert_int_equal(blob_write(directory, slice_of("four"), NULL, digest, NULL, &err), 0);
    blob_path(directory, digest, path);
    assert_int_equal(truncate(path, 1), 0);
    assert_int_equal(blob_write(directory, slice_of("four"), NULL, digest, &is_new, &err), 0);
    assert_true(is_new);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4);
}

// A download has its file exclusively; who waits for it pins the blob before the download lets go.
static void what_replaces_a_broken_blob_can_be_pinned(void **state)
{
    struct err err = {0};
    char digest[BLOB_DIGEST_BYTES], path[BLOB_PATH_BYTES], unfinished[128];
    bool is_new = false;
    assert_int_equal(blob_write(directory, slice_of("five"), NULL, digest, NULL, &err), 0);
    blob_path(directory, digest, path);
    assert_int_equal(truncate(path, 1), 0);
    snprintf(unfinished, sizeof unfinished, "%s/blobs/unfinished", directory);
    assert_int_equal(file_write(unfinished, slice_of("five"), &err), 0);
    int fd = open(unfinished, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    const struct blob_settling s = {directory, digest, unfinished, fd};
    assert_int_equal(blob_settle(&s, NULL, &is_new, &err), 0);
    assert_true(is_new);
    int other = open(path, O_RDONLY);
    assert_int_equal(flock(other, LOCK_SH | LOCK_NB), 0);
    close(other);
    close(fd);
}

static void a_blob_that_is_not_there_cannot_be_pinned(void **state)
{
    struct err err = {0};
    char digest[BLOB_DIGEST_BYTES] = "sha256:";
    struct pins *pins = pins_new(directory);
    memset(digest + 7, '0', 64);
    assert_int_equal(pins_add(pins, digest, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    pins_free(pins);
}

static void a_running_download_keeps_its_files(void **state)
{
    struct err err = {0};
    char partial[256], part[300];
    snprintf(partial, sizeof partial, "%s/blobs/sha256-%064d-partial", directory, 1);
    snprintf(part, sizeof part, "%s-0", partial);
    assert_int_equal(file_write(partial, slice_of("x"), &err), 0);
    assert_int_equal(file_write(part, slice_of("{}"), &err), 0);
    int fd = open(partial, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(prune(), 0);
    close(fd);
    assert_int_equal(prune(), 2);
}

static void a_manifest_that_cannot_be_looked_at_stops_pruning(void **state)
{
    struct err err = {0};
    struct store_pruned pruned;
    char digest[BLOB_DIGEST_BYTES], path[256];
    assert_int_equal(blob_write(directory, slice_of("six"), NULL, digest, NULL, &err), 0);
    snprintf(path, sizeof path, "%s/manifests/host/ns/model", directory);
    assert_int_equal(directory_make(path, &err), 0);
    strcat(path, "/tag");
    assert_int_equal(symlink("tag", path), 0); // leads to itself
    assert_int_equal(store_prune(store, 0, &pruned, &err), -1);
    assert_true(is_there(digest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pinned_blob_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_writer_does_not_take_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_being_written_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_blob_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(what_replaces_a_broken_blob_can_be_pinned, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_that_is_not_there_cannot_be_pinned, setup, teardown),
        cmocka_unit_test_setup_teardown(a_running_download_keeps_its_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_that_cannot_be_looked_at_stops_pruning, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
