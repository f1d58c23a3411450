// SPDX-License-Identifier: MIT
// Reads /proc/meminfo and the memory controller of cgroup v1 and v2, from our group up to the root of what is
// mounted. Pages of inactive files count as available: the kernel drops them before it refuses anybody.
// Everything absent is no limit.
#include "host/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define NO_LIMIT UINT64_MAX

static bool read_text(const char *root, const char *path, char *text, size_t size)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *f = fopen(whole, "re");
    if (f == NULL)
        return false;
    size_t n = fread(text, 1, size - 1, f);
    text[n] = 0;
    fclose(f);
    return n > 0;
}

// The number after a key at the start of a line ("MemTotal:  24105 kB").
static bool find_number(const char *text, const char *key, uint64_t *value)
{
    size_t n = strlen(key);
    for (const char *line = text; line != NULL && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && sscanf(line + n, " %lu", value) == 1)
            return true;
    }
    return false;
}

// A file with one number; "max" and what is absent are no limit.
static uint64_t read_number(const char *root, const char *directory, const char *name)
{
    char path[PATH_MAX], text[64];
    uint64_t value;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!read_text(root, path, text, sizeof text) || sscanf(text, "%lu", &value) != 1)
        return NO_LIMIT;
    return value;
}

struct hierarchy {
    bool is_v2;
    char mount[1024];      // where it is mounted
    char mount_root[1024]; // which group is seen there
    char group[1024];      // ours
};

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == 0 || at[n] == ',' || at[n] == '\n'))
            return true;
    return false;
}

static bool find_mount(struct hierarchy *h, const char *root)
{
    char path[PATH_MAX], line[4096];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(path, "re");
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char kind[64], options[1024];
        const char *dash = strstr(line, " - ");
        if (dash == NULL || sscanf(line, "%*s %*s %*s %1023s %1023s", h->mount_root, h->mount) != 2 ||
            sscanf(dash, " - %63s %*s %1023s", kind, options) != 2)
            continue;
        found = h->is_v2 ? strcmp(kind, "cgroup2") == 0
                         : strcmp(kind, "cgroup") == 0 && has_word(options, "memory");
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static bool find_group(struct hierarchy *h, const char *root)
{
    char text[8192], *save = NULL;
    if (!read_text(root, "/proc/self/cgroup", text, sizeof text))
        return false;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group++ = 0;
        if (h->is_v2 ? strncmp(line, "0:", 2) == 0 : has_word(controllers + 1, "memory")) {
            snprintf(h->group, sizeof h->group, "%s", group);
            return true;
        }
    }
    return false;
}

// Makes `group` relative to the mount: a container sees its own group as the root.
static void strip_mount_root(struct hierarchy *h)
{
    size_t n = strcmp(h->mount_root, "/") == 0 ? 0 : strlen(h->mount_root);
    if (strncmp(h->group, h->mount_root, n) == 0)
        memmove(h->group, h->group + n, strlen(h->group + n) + 1);
    else
        h->group[0] = 0;
    if (strcmp(h->group, "/") == 0)
        h->group[0] = 0;
}

static void read_group(struct memory_reading *out, const char *root, const struct hierarchy *h,
                       const char *directory)
{
    char path[PATH_MAX], stat[16384] = "";
    uint64_t droppable = 0;
    uint64_t limit = read_number(root, directory, h->is_v2 ? "memory.max" : "memory.limit_in_bytes");
    if (h->is_v2)
        limit = MIN(limit, read_number(root, directory, "memory.high"));
    uint64_t used = read_number(root, directory, h->is_v2 ? "memory.current" : "memory.usage_in_bytes");
    if (limit == NO_LIMIT || used == NO_LIMIT)
        return;
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    if (read_text(root, path, stat, sizeof stat))
        find_number(stat, h->is_v2 ? "inactive_file" : "total_inactive_file", &droppable);
    used -= MIN(droppable, used);
    out->available_bytes = MIN(out->available_bytes, limit - MIN(used, limit));
    out->total_bytes = MIN(out->total_bytes, limit);
}

static void read_hierarchy(struct memory_reading *out, const char *root, bool is_v2)
{
    struct hierarchy h = {.is_v2 = is_v2};
    if (!find_mount(&h, root) || !find_group(&h, root))
        return;
    strip_mount_root(&h);
    for (;;) {
        char directory[2 * sizeof h.mount];
        snprintf(directory, sizeof directory, "%s%s", h.mount, h.group);
        read_group(out, root, &h, directory);
        char *slash = strrchr(h.group, '/');
        if (slash == NULL)
            return;
        *slash = 0;
    }
}

void memory_read(struct memory_reading *out, const char *root)
{
    char text[8192];
    uint64_t kib;
    if (root == NULL)
        root = "";
    *out = (struct memory_reading){NO_LIMIT, NO_LIMIT};
    if (read_text(root, "/proc/meminfo", text, sizeof text)) {
        if (find_number(text, "MemAvailable:", &kib))
            out->available_bytes = kib * 1024;
        if (find_number(text, "MemTotal:", &kib))
            out->total_bytes = kib * 1024;
    }
    read_hierarchy(out, root, false);
    read_hierarchy(out, root, true);
}

bool memory_find_group(bool is_v2, const char *root, char *out, size_t out_bytes)
{
    struct hierarchy h = {.is_v2 = is_v2};
    if (!find_mount(&h, root) || !find_group(&h, root))
        return false;
    strip_mount_root(&h);
    int n = snprintf(out, out_bytes, "%s%s%s", root, h.mount, h.group);
    return n > 0 && (size_t)n < out_bytes && access(out, W_OK) == 0;
}

uint64_t memory_budget(const struct memory_reading *reading, uint64_t held_bytes, uint64_t limit_bytes)
{
    uint64_t reserve = MIN(MAX(reading->total_bytes / 10, 64ul << 20), 1ul << 30);
    uint64_t have = reading->available_bytes > UINT64_MAX - held_bytes
                        ? UINT64_MAX
                        : reading->available_bytes + held_bytes;
    uint64_t budget = have - MIN(reserve, have);
    return limit_bytes > 0 ? MIN(budget, limit_bytes) : budget;
}

uint64_t memory_of_process(int pid)
{
    char path[64], text[128];
    uint64_t resident_pages, file_pages;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    if (!read_text("", path, text, sizeof text) ||
        sscanf(text, "%*u %lu %lu", &resident_pages, &file_pages) != 2)
        return 0;
    return (resident_pages - MIN(file_pages, resident_pages)) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t memory_swapped(int pid)
{
    char path[64], text[8192];
    uint64_t kib;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_text("", path, text, sizeof text) || !find_number(text, "VmSwap:", &kib))
        return 0;
    return kib * 1024;
}
