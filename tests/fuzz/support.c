// SPDX-License-Identifier: MIT
// What goes before all inputs, and the directory in which a target lays files that a parser opens by itself.
#include "fuzz.h"

#include <ftw.h>

#include "base/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    log_set_level(LOG_ERROR); // warnings are not what is looked for
    return 0;
}

static char directory[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_directory(void)
{
    if (directory[0] == 0) {
        const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(directory, sizeof directory, "%s/drover-fuzz-XXXXXX", base);
        FUZZ_CHECK(mkdtemp(directory) != NULL);
        atexit(remove_directory);
    }
    return directory;
}
