// SPDX-License-Identifier: MIT
// The key towards registries: many processes that need it at once make one, and none reads half of it.
#include "../test.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/blobs.h"
#include "store/identity.h"

enum { PROCESSES = 8, ROUNDS = 40 };

static char home[] = "/tmp/drover-identity-XXXXXX";

static void path_of(const char *name, char out[256])
{
    snprintf(out, 256, "%s/.ollama/%s", home, name);
}

// Signs as soon as `gate` is closed.
static pid_t sign_behind(const int gate[2])
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char byte;
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(4096);
    close(gate[1]);
    (void)!read(gate[0], &byte, 1);
    int rc = identity_sign("https://example.com/token", &out, &err);
    if (rc != 0)
        fprintf(stderr, "%s\n", err.message);
    _exit(rc == 0 ? 0 : 1);
}

// The public key's base64 is what a signature begins with.
static void assert_public_file_is_of_the_key(void)
{
    char path[256];
    char *text = NULL, *save = NULL;
    size_t n = 0;
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(4096);
    path_of("id_ed25519.pub", path);
    assert_int_equal(file_read(path, 4096, &text, &n, &err), 0);
    assert_string_equal(strtok_r(text, " \n", &save), "ssh-ed25519");
    const char *key = strtok_r(NULL, " \n", &save);
    assert_int_equal(identity_sign("https://example.com/token", &out, &err), 0);
    assert_non_null(strstr(strbuf_text(&out), key));
    strbuf_fini(&out);
    free(text);
}

static void processes_at_once_make_one_key(void **state)
{
    char path[256], open_path[256];
    path_of("id_ed25519", path);
    path_of("id_ed25519.pub", open_path);
    for (int round = 0; round < ROUNDS; round++) {
        int gate[2], status = 0, n_failed = 0;
        pid_t pids[PROCESSES];
        struct stat st;
        assert_int_equal(pipe(gate), 0);
        for (int i = 0; i < PROCESSES; i++)
            pids[i] = sign_behind(gate);
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            n_failed += status != 0;
        }
        assert_int_equal(n_failed, 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_public_file_is_of_the_key();
        assert_int_equal(unlink(path), 0);
        assert_int_equal(unlink(open_path), 0);
    }
}

static int setup(void **state)
{
    return mkdtemp(home) == NULL || setenv("HOME", home, 1) != 0;
}

static int teardown(void **state)
{
    char path[256];
    path_of("", path);
    return rmdir(path) != 0 || rmdir(home) != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(processes_at_once_make_one_key)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
