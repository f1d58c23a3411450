// SPDX-License-Identifier: MIT
// The budget, read from made-up trees of /proc and /sys: cgroup v1 and v2, nested, in a container, absent.
#include "../test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/memory.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static char root[64];

static int make_root(void **unused)
{
    snprintf(root, sizeof root, "/tmp/drover-test-memory-XXXXXX");
    assert_non_null(mkdtemp(root));
    return 0;
}

static int remove_root(void **unused)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *f = fopen(whole, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct memory_reading reading(void)
{
    struct memory_reading r;
    memory_read(&r, root);
    return r;
}

static void put_machine(void)
{
    put("/proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n");
}

static void test_machine_only(void **unused)
{
    put_machine();
    assert_true(reading().available_bytes == 8 * GIB && reading().total_bytes == 16 * GIB);
}

static void test_v2_takes_the_tightest_ancestor(void **unused)
{
    put_machine();
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/proc/self/mountinfo",
        "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1048576\n");
    put("/sys/fs/cgroup/a/memory.max", "2147483648\n");
    put("/sys/fs/cgroup/a/memory.high", "1073741824\n");
    put("/sys/fs/cgroup/a/memory.current", "524288000\n");
    put("/sys/fs/cgroup/a/memory.stat", "anon 1\nfile 3\ninactive_file 104857600\nactive_file 7\n");
    assert_true(reading().total_bytes == GIB);
    assert_true(reading().available_bytes == GIB - 400 * MIB); // pages of inactive files can be dropped
    put("/sys/fs/cgroup/a/b/memory.max", "209715200\n");
    assert_true(reading().available_bytes == 199 * MIB);
    put("/sys/fs/cgroup/a/b/memory.current", "300000000\n"); // above its limit
    assert_true(reading().available_bytes == 0);
}

static void test_v1_seen_from_inside_a_container(void **unused)
{
    put_machine();
    put("/proc/self/cgroup", "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x/inner\n0::/\n");
    put("/proc/self/mountinfo",
        "31 20 0:27 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 20 0:28 /docker/x /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "209715200\n");
    put("/sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file 104857600\n");
    put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/inner/memory.usage_in_bytes", "4096\n");
    assert_true(reading().available_bytes == GIB - 100 * MIB && reading().total_bytes == GIB);
}

static void test_nothing_there(void **unused)
{
    struct memory_reading r = reading();
    assert_true(memory_budget(&r, 5, 7 * GIB) == 7 * GIB);
    put("/proc/meminfo", "");
    put("/proc/self/cgroup", "garbage\n::\n4:memory\n");
    put("/proc/self/mountinfo", "x\n - \n1 2 3 4 5 - cgroup\n");
    reading();
}

static void test_budget(void **unused)
{
    struct memory_reading small = {300 * MIB, 400 * MIB}, middle = {3 * GIB, 4 * GIB},
                          large = {50 * GIB, 64 * GIB}, none = {10 * MIB, GIB};
    assert_true(memory_budget(&small, 20 * MIB, 0) == 256 * MIB);        // at least 64 MiB stay free
    assert_true(memory_budget(&middle, 0, 0) == 3 * GIB - 4 * GIB / 10); // 10 %
    assert_true(memory_budget(&large, GIB, 0) == 50 * GIB);              // at most 1 GiB
    assert_true(memory_budget(&large, 0, GIB) == GIB);
    assert_true(memory_budget(&none, 0, 0) == 0);
}

static void test_this_process(void **unused)
{
    assert_true(memory_of_process((int)getpid()) > 10000);
    assert_true(memory_of_process(-1) == 0);
    struct memory_reading r;
    memory_read(&r, NULL);
    assert_true(r.available_bytes > 0 && r.total_bytes >= r.available_bytes);
}

int main(void)
{
#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        IN_ROOT(test_machine_only),
        IN_ROOT(test_v2_takes_the_tightest_ancestor),
        IN_ROOT(test_v1_seen_from_inside_a_container),
        IN_ROOT(test_nothing_there),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
