// SPDX-License-Identifier: MIT
// Version 1 of control groups: a group below ours counts in ours too where use_hierarchy is on; else our
// budget would not see it, and it is not used. Version 2: our group has to pass its memory controller on.
#include "host/limit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sanitizer.h"
#include "host/memory.h"

#define SLACK_BYTES (64ull << 20) // and a tenth
#define STACK_BYTES (9ull << 20)  // of each thread, counted as data
#define PREFIX      "drover-runner-"

static bool write_file(const char *directory, const char *name, const char *text)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return false;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool file_has(const char *directory, const char *name, const char *word)
{
    char path[PATH_MAX], text[512] = "";
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 && strstr(text, word) != NULL;
}

static bool may_nest(bool is_v2, const char *ours)
{
    return is_v2 ? file_has(ours, "cgroup.subtree_control", "memory")
                 : file_has(ours, "memory.use_hierarchy", "1");
}

static bool make_group(struct limit *l, bool is_v2, pid_t pid, uint64_t bytes)
{
    char ours[PATH_MAX], text[32];
    if (!memory_find_group(is_v2, "", ours, sizeof ours) || !may_nest(is_v2, ours))
        return false;
    int n = snprintf(l->group, sizeof l->group, "%s/" PREFIX "%d", ours, (int)pid);
    if (n >= (int)sizeof l->group || mkdir(l->group, 0755) != 0) {
        l->group[0] = 0;
        return false;
    }
    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    bool ok = write_file(l->group, is_v2 ? "memory.max" : "memory.limit_in_bytes", text);
    snprintf(text, sizeof text, "%d", (int)pid);
    ok = ok && write_file(l->group, "cgroup.procs", text);
    if (!ok)
        limit_remove(l);
    return ok;
}

static bool limit_data(pid_t pid, uint64_t bytes)
{
    struct rlimit data = {bytes, bytes};
    return prlimit(pid, RLIMIT_DATA, &data, NULL) == 0;
}

void limit_set(struct limit *l, pid_t pid, uint64_t plan_bytes, int n_threads, const char *model)
{
    uint64_t bytes = plan_bytes + plan_bytes / 10 + SLACK_BYTES;
    const char *kind = "none";
    l->group[0] = 0;
    if (HAS_SANITIZER)
        return; // whose own memory is many times the plan
    if (make_group(l, false, pid, bytes))
        kind = "control group, v1";
    else if (make_group(l, true, pid, bytes))
        kind = "control group, v2";
    else if (limit_data(pid, bytes += STACK_BYTES * (uint64_t)n_threads))
        kind = "RLIMIT_DATA";
    log_info("host", "memory limit of a runner pid=%d model=%s mib=%llu by=\"%s\"", (int)pid, model,
             (unsigned long long)(bytes >> 20), kind);
}

void limit_remove(struct limit *l)
{
    if (l->group[0] != 0 && rmdir(l->group) != 0)
        log_debug("host", "%s: %s", l->group, strerror(errno));
    l->group[0] = 0;
}

void limit_sweep(void)
{
    for (int is_v2 = 0; is_v2 < 2; is_v2++) {
        char ours[PATH_MAX];
        struct dirent *entry;
        DIR *groups = memory_find_group(is_v2 != 0, "", ours, sizeof ours) ? opendir(ours) : NULL;
        while (groups != NULL && (entry = readdir(groups)) != NULL) {
            if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
                unlinkat(dirfd(groups), entry->d_name, AT_REMOVEDIR) != 0 && errno != EBUSY)
                log_debug("host", "%s/%s: %s", ours, entry->d_name, strerror(errno));
        }
        if (groups != NULL)
            closedir(groups);
    }
}
