// SPDX-License-Identifier: MIT
// Levels come from CPUID (through the compiler, which also asks the operating system for the register state).
// The grant is the smaller of affinity (counted in physical cores) and cgroup quota, walked from our group up
// to the root, v1 and v2.
#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/mem.h"

static const char *const level_names[CPU_LEVEL_COUNT] = {"ref", "avx2", "avx512vnni"};

const char *cpu_level_name(enum cpu_level level)
{
    return level_names[level];
}

bool cpu_level_find(const char *name, enum cpu_level *level)
{
    for (int i = 0; i < CPU_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum cpu_level)i;
            return true;
        }
    }
    return false;
}

#if defined(__x86_64__)
// clang 14 does not know the name for __builtin_cpu_supports.
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

enum cpu_level cpu_best_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vnni");
    if (avx2 && avx512)
        return CPU_AVX512VNNI;
    if (avx2)
        return CPU_AVX2;
#endif
    return CPU_REF;
}

static bool read_file(const char *root, const char *path, char *text, size_t size)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *f = fopen(whole, "re");
    if (f == NULL)
        return false;
    size_t n = fread(text, 1, size - 1, f);
    text[n] = 0;
    fclose(f);
    return true;
}

// Whether the list "0-1,8" of a processor's siblings names none in the set before it.
static bool is_first_sibling(char *siblings, int cpu, const cpu_set_t *set)
{
    char *save = NULL;
    for (char *part = strtok_r(siblings, ",\n", &save); part; part = strtok_r(NULL, ",\n", &save)) {
        int from = 0, to = 0;
        int n = sscanf(part, "%d-%d", &from, &to);
        if (n == 1)
            to = from;
        for (int c = MAX(from, 0); n >= 1 && c <= to && c < cpu; c++)
            if (CPU_ISSET(c, set))
                return false;
    }
    return true;
}

// Cores in the affinity mask; a hyperthread whose first sibling is in the mask too does not count.
static int count_affinity(const char *root)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        char path[128], siblings[256];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        if (!read_file(root, path, siblings, sizeof siblings) || is_first_sibling(siblings, cpu, &set))
            count++;
    }
    return MAX(count, 1);
}

// Whole CPUs that one group grants; 0: no limit there.
static int group_quota(const char *root, const char *directory, bool v2)
{
    char path[PATH_MAX], text[128];
    double quota = -1, period = 0;
    if (v2) {
        snprintf(path, sizeof path, "%s/cpu.max", directory);
        if (!read_file(root, path, text, sizeof text) || sscanf(text, "%lf %lf", &quota, &period) != 2)
            return 0;
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
        if (!read_file(root, path, text, sizeof text) || sscanf(text, "%lf", &quota) != 1)
            return 0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
        if (!read_file(root, path, text, sizeof text) || sscanf(text, "%lf", &period) != 1)
            return 0;
    }
    if (quota <= 0 || period <= 0)
        return 0;
    return MAX((int)(quota / period), 1);
}

// Where a cgroup hierarchy (v2, or v1 with the cpu controller) is mounted, and which of its groups is seen
// there: in a container often not "/".
struct mount {
    char point[1024], group[1024];
};

static bool find_mount(const char *root, bool v2, struct mount *out)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    char line[4096];
    bool found = false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        char kind[64], options[1024];
        char *dash = strstr(line, " - ");
        if (dash == NULL || sscanf(line, "%*s %*s %*s %1023s %1023s", out->group, out->point) != 2 ||
            sscanf(dash, " - %63s %*s %1023s", kind, options) != 2)
            continue;
        bool has_cpu = false;
        char *save = NULL;
        for (char *o = strtok_r(options, ",\n", &save); o; o = strtok_r(NULL, ",\n", &save))
            has_cpu |= strcmp(o, "cpu") == 0;
        found = v2 ? strcmp(kind, "cgroup2") == 0 : strcmp(kind, "cgroup") == 0 && has_cpu;
    }
    fclose(f);
    return found;
}

// Our path within a hierarchy, from /proc/self/cgroup.
static bool find_group(const char *root, bool v2, char *group, size_t size)
{
    char text[8192];
    if (!read_file(root, "/proc/self/cgroup", text, sizeof text))
        return false;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *first = strchr(line, ':');
        char *second = first ? strchr(first + 1, ':') : NULL;
        if (second == NULL)
            continue;
        *second = 0;
        bool has_cpu = false;
        char *part_save = NULL;
        for (char *c = strtok_r(first + 1, ",", &part_save); c; c = strtok_r(NULL, ",", &part_save))
            has_cpu |= strcmp(c, "cpu") == 0;
        if (v2 ? strncmp(line, "0:", 2) == 0 : has_cpu) {
            snprintf(group, size, "%s", strcmp(second + 1, "/") == 0 ? "" : second + 1);
            return true;
        }
    }
    return false;
}

static int hierarchy_quota(const char *root, bool v2)
{
    struct mount mount;
    char whole[1024], *group = whole;
    if (!find_mount(root, v2, &mount) || !find_group(root, v2, whole, sizeof whole))
        return 0;
    size_t seen = strcmp(mount.group, "/") == 0 ? 0 : strlen(mount.group);
    if (strncmp(whole, mount.group, seen) == 0 && (whole[seen] == '/' || whole[seen] == 0))
        group = whole + seen; // below what is mounted
    else
        whole[0] = 0; // ours is not seen there: what is mounted is the nearest ancestor that is
    int least = 0;
    for (;;) {
        char directory[2100];
        snprintf(directory, sizeof directory, "%s%s", mount.point, group);
        int quota = group_quota(root, directory, v2);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return least;
        *slash = 0;
    }
}

void cpu_read_grant(struct cpu_grant *grant, const char *root)
{
    if (root == NULL)
        root = "";
    int v1 = hierarchy_quota(root, false), v2 = hierarchy_quota(root, true);
    grant->n_affinity = count_affinity(root);
    grant->n_quota = v1 > 0 && (v2 == 0 || v1 < v2) ? v1 : v2;
    grant->n_threads = grant->n_affinity;
    if (grant->n_quota > 0 && grant->n_quota < grant->n_threads)
        grant->n_threads = grant->n_quota;
    if (grant->n_quota > 0)
        snprintf(grant->reason, sizeof grant->reason, "%d cores in the affinity mask, cgroup quota of %d",
                 grant->n_affinity, grant->n_quota);
    else
        snprintf(grant->reason, sizeof grant->reason, "%d cores in the affinity mask, no cgroup quota",
                 grant->n_affinity);
}
