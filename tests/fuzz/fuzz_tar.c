// SPDX-License-Identifier: MIT
// Archives of models, imported into a store of their own. Sums of heads are put right first: whoever makes a
// hostile archive can do so too. Nothing is ever written outside the store.
#include "fuzz.h"

#include <ftw.h>
#include <sys/stat.h>

#include "store/archive.h"

enum { BLOCK = 512, SUM_AT = 148, SUM_BYTES = 8, MAGIC_AT = 257 };

static void repair_sums(char *at, size_t n)
{
    for (; n >= BLOCK; at += BLOCK, n -= BLOCK) {
        unsigned sum = 0;
        if (memcmp(at + MAGIC_AT, "ustar", 5) != 0)
            continue;
        memset(at + SUM_AT, ' ', SUM_BYTES);
        for (size_t i = 0; i < BLOCK; i++)
            sum += (unsigned char)at[i];
        snprintf(at + SUM_AT, SUM_BYTES - 1, "%06o", sum);
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    return where->level > 0 ? remove(path) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[64], directory[256];
    struct err err = {0};
    struct stat st;
    struct store *store = NULL;
    char *copy = xstrndup((const char *)bytes, n);
    repair_sums(copy, n);
    int fd = fuzz_open_file(slice_make(copy, n), path);
    snprintf(directory, sizeof directory, "%s/store", fuzz_directory());
    FUZZ_CHECK(store_open(&store, directory, &err) == 0);
    fuzz_check_result(store_import_archive(store, fd, NULL, NULL, NULL, &err), &err);
    store_close(store);
    close(fd);
    FUZZ_CHECK(stat(fuzz_directory(), &st) == 0 && st.st_nlink == 3); // the store and nothing beside it
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(copy);
    return 0;
}
