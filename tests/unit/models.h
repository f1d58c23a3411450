// SPDX-License-Identifier: MIT
// Where tests find the real models (tools/fetch_models.py puts them there).
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The open file, or -1 after saying why the test is skipped.
static inline int model_open(const char *file)
{
    char path[4096];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache != NULL && cache[0] != 0)
        snprintf(path, sizeof path, "%s/drover/models/%s", cache, file);
    else
        snprintf(path, sizeof path, "%s/.cache/drover/models/%s", home ? home : "", file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        printf("skipped: %s: %s (tools/fetch_models.py fetches it)\n", path, strerror(errno));
    return fd;
}
