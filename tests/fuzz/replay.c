// SPDX-License-Identifier: MIT
// The main of a target that is built without libFuzzer: runs each file of the corpus through it once, so that
// what was found stays fixed.
#include "fuzz.h"

#include <dirent.h>

enum { MAX_CASE_BYTES = 8 << 20 };

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = xmalloc(MAX_CASE_BYTES);
    FUZZ_CHECK(f != NULL);
    size_t n = fread(bytes, 1, MAX_CASE_BYTES, f);
    fclose(f);
    uint8_t *exact = xmalloc(n); // so that a sanitizer sees a read beyond the end
    memcpy(exact, bytes, n);
    free(bytes);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

int main(int argc, char **argv)
{
    size_t n_cases = 0;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        DIR *corpus = opendir(argv[i]);
        FUZZ_CHECK(corpus != NULL);
        for (struct dirent *e; (e = readdir(corpus)) != NULL;) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            printf("%s\n", path); // the last one is the one that broke it
            fflush(stdout);
            replay_file(path);
            n_cases++;
        }
        closedir(corpus);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    FUZZ_CHECK(argc == 1 || n_cases > 0);
    return 0;
}
