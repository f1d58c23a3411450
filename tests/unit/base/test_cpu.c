// SPDX-License-Identifier: MIT
// Quotas from made-up /proc and /sys trees: v1 and v2, own group and ancestors.
#include "../test.h"

#include <sys/stat.h>

#include "base/cpu.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *p = whole + strlen(root) + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(whole, 0755);
            *p = '/';
        }
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int fresh_root(void **state)
{
    strcpy(root, "/tmp/drover-cpu-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void no_cgroup_means_no_quota(void **state)
{
    struct cpu_grant g;
    cpu_read_grant(&g, root);
    assert_int_equal(g.n_quota, 0);
    assert_true(g.n_threads >= 1);
}

static void v2_quota_of_an_ancestor_counts_and_is_rounded_down(void **state)
{
    put("/proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    struct cpu_grant g;
    cpu_read_grant(&g, root);
    assert_int_equal(g.n_quota, 1);
    assert_int_equal(g.n_threads, 1);
}

static void v1_quota_counts_and_is_at_least_one(void **state)
{
    put("/proc/self/mountinfo",
        "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    put("/proc/self/cgroup", "4:cpu,cpuacct:/x\n0::/\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    struct cpu_grant g;
    cpu_read_grant(&g, root);
    assert_int_equal(g.n_quota, 1);
}

static void a_container_sees_its_own_group_as_the_mount(void **state)
{
    put("/proc/self/mountinfo", "31 24 0:27 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
    put("/proc/self/cgroup", "4:cpu:/docker/abc\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    struct cpu_grant g;
    cpu_read_grant(&g, root);
    assert_int_equal(g.n_quota, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_cgroup_means_no_quota, fresh_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_quota_of_an_ancestor_counts_and_is_rounded_down, fresh_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(v1_quota_counts_and_is_at_least_one, fresh_root, remove_root),
        cmocka_unit_test_setup_teardown(a_container_sees_its_own_group_as_the_mount, fresh_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
