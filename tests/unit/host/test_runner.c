// SPDX-License-Identifier: MIT
// The runner by itself: the sandbox, what it inherits, and what it does when its front does not read, says
// nonsense, or goes away.
#include "../test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad_runner.h"
#include "base/log.h"
#include "base/mem.h"
#include "fake_engine.h"
#include "frames/event.h"
#include "frames/request.h"
#include "host/spawn.h"
#include "runner/sandbox.h"

static void *set_flag(void *flag)
{
    *(int *)flag = 1;
    return NULL;
}

// In a process of its own; the exit code tells which promise was broken.
static int try_sandbox(void)
{
    struct stat st;
    int flag = 0, file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pthread_t thread;
    if (sandbox_enter(NULL) != 0)
        return 1;
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
        return 2;
    if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || errno != EPERM)
        return 3;
    if (fork() >= 0 || errno != EPERM)
        return 4;
    if (kill(getppid(), 0) == 0 || errno != EPERM)
        return 5;
    if (execl("/bin/true", "true", (char *)NULL) == 0 || errno != EPERM)
        return 6;
    if (unlink("/tmp/drover-does-not-exist") == 0 || errno != EPERM)
        return 7;
    if (pthread_create(&thread, NULL, set_flag, &flag) != 0 || pthread_join(thread, NULL) != 0 || flag != 1)
        return 8;
    void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED || mprotect(code, 4096, PROT_READ | PROT_EXEC) != 0)
        return 9;
    if (fstat(file, &st) != 0)
        return 10;
    void *large = malloc(10 << 20);
    if (large == NULL)
        return 11;
    free(large);
    return 0;
}

static void test_sandbox(void **unused)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); // sanitizers need more than the sandbox gives
#endif
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(try_sandbox());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        sandbox_enter(NULL);
        abort(); // still possible: a failed assertion must end the process
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

// ---- A front by hand ----
struct front {
    struct child child;
    struct wire wire;
    struct strbuf message;
};

static void front_start(struct front *f, const char *model)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/drover-test-runner-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, model, strlen(model)), strlen(model));
    unlink(path);
    assert_int_equal(spawn_runner(&f->child, fd, NULL), 0);
    close(fd);
    wire_init(&f->wire, f->child.socket, 32 << 20, 32 << 20);
    f->message = STRBUF_INIT(1 << 20);
}

static int front_end(struct front *f, char how[80])
{
    int pid = f->child.pid;
    wire_fini(&f->wire); // the end of the socket is the end of the process
    strbuf_fini(&f->message);
    spawn_reap(&f->child, how, 80);
    return pid;
}

static void say_message(struct front *f, enum frame_type type)
{
    assert_int_equal(wire_push(&f->wire, (uint16_t)type, 0, f->message.at, f->message.n, NULL), 0);
    while (wire_queued_bytes(&f->wire) > 0)
        assert_int_equal(wire_flush(&f->wire, NULL), 0);
    strbuf_reset(&f->message);
}

static void hear(struct front *f, struct wire_message *m)
{
    while (wire_next(&f->wire, m, NULL) == 0) {
        struct pollfd fd = {.fd = f->wire.fd, .events = POLLIN};
        poll(&fd, 1, -1);
        assert_true(wire_fill(&f->wire, NULL) >= 0);
    }
}

static void hear_type(struct front *f, enum frame_type type, struct wire_message *m)
{
    do
        hear(f, m);
    while (m->type == FRAME_PROGRESS || m->type == FRAME_STATS);
    assert_int_equal(m->type, type);
}

static void front_load(struct front *f)
{
    struct wire_message m;
    struct open_options o = {.n_threads = 1, .kv_type = "f16", .log_level = LOG_ERROR, .use_sandbox = true};
    struct load_options l = {.n_slots = 2, .pool_tokens = 4096, .default_context = 4096};
    hello_encode(&f->message);
    say_message(f, FRAME_HELLO);
    open_options_encode(&o, &f->message);
    say_message(f, FRAME_OPEN);
    hear_type(f, FRAME_HELLO, &m);
    hear_type(f, FRAME_PLAN, &m);
    load_options_encode(&l, &f->message);
    say_message(f, FRAME_LOAD);
    hear_type(f, FRAME_READY, &m);
}

static void say_turn(struct front *f, uint64_t length_ns)
{
    struct turn t = {.length_ns = length_ns, .n_sharing = 1};
    turn_encode(&t, &f->message);
    say_message(f, FRAME_TURN);
}

// The runner's turn ends.
static struct turn_end hear_release(struct front *f)
{
    struct wire_message m;
    struct turn_end end = {0};
    do
        hear(f, &m);
    while (m.type != FRAME_RELEASE);
    assert_int_equal(turn_end_decode(&end, m.bytes, m.n, NULL), 0);
    return end;
}

static void say_request(struct front *f, uint64_t id, const char *prompt)
{
    struct request r;
    request_init(&r);
    r.id = id;
    r.prompt = xstrdup(prompt);
    r.prompt_bytes = strlen(prompt);
    request_encode(&r, &f->message);
    say_message(f, FRAME_SUBMIT);
    request_fini(&r);
}

// The front does not read for a while: the runner stops stepping, loses nothing, and goes on.
static void test_front_that_does_not_read(void **unused)
{
    struct front f;
    struct wire_message m;
    struct strbuf scratch = STRBUF_INIT(1 << 20);
    char how[80];
    uint32_t n_tokens = 0;
    size_t n_text = 0;
    front_start(&f, "weights=1");
    front_load(&f);
    say_request(&f, 1, "n=200 flood=100000"); // 20 MB
    say_turn(&f, 0);
    usleep(100000);
    for (bool done = false; !done;) {
        struct event e;
        hear(&f, &m);
        if (m.type == FRAME_RELEASE) // nothing could be done with it
            say_turn(&f, 0);
        if (m.type != FRAME_EVENT)
            continue;
        assert_int_equal(event_decode(&e, m.bytes, m.n, &scratch, NULL), 0);
        n_tokens += e.n_ids;
        n_text += e.text.n;
        done = e.kind == EVENT_DONE;
    }
    assert_int_equal(n_tokens, 200);
    assert_int_equal(n_text, 20000000);
    front_end(&f, how);
    assert_string_equal(how, "exit code 0");
    strbuf_fini(&scratch);
}

// Without the turn it takes no step; with it at least one; it gives it back when it is over, recalled, or of
// no use.
static void test_turns(void **unused)
{
    struct front f;
    char how[80];
    front_start(&f, "weights=1");
    front_load(&f);
    say_turn(&f, 0);
    struct turn_end end = hear_release(&f);
    assert_true(!end.has_work && end.n_steps == 0 && end.n_submits == 0); // nothing to do
    say_request(&f, 1, "hold");
    say_turn(&f, 1);
    end = hear_release(&f);
    assert_true(end.has_work && end.n_steps == 1 && end.n_submits == 1);
    usleep(20000);
    say_turn(&f, 1);
    assert_int_equal(hear_release(&f).n_steps, 2);
    say_turn(&f, 0);
    say_message(&f, FRAME_RECALL);
    end = hear_release(&f);
    assert_true(end.has_work && end.n_steps >= 3);
    say_message(&f, FRAME_RECALL); // it came too late
    say_turn(&f, 1);
    assert_int_equal(hear_release(&f).n_steps, end.n_steps + 1);
    say_turn(&f, 0);
    cancel_encode(1, &f.message);
    say_message(&f, FRAME_CANCEL);
    assert_false(hear_release(&f).has_work);
    front_end(&f, how);
    assert_string_equal(how, "exit code 0");
}

static void test_front_that_goes_away(void **unused)
{
    struct front f;
    char how[80];
    front_start(&f, "weights=1"); // before it said anything
    front_end(&f, how);
    assert_string_equal(how, "exit code 0");
    front_start(&f, "weights=1");
    front_load(&f);
    say_request(&f, 1, "hold");
    say_turn(&f, 0); // in the middle of a request
    front_end(&f, how);
    assert_string_equal(how, "exit code 0");
}

static void check_refuses(enum frame_type type, const void *bytes, size_t n, bool loaded)
{
    struct front f;
    struct wire_message m;
    struct err err = {0};
    char how[80];
    front_start(&f, "weights=1");
    if (loaded)
        front_load(&f);
    strbuf_push(&f.message, bytes, n);
    say_message(&f, type);
    int rc;
    do { // its hello may come first, then its end
        struct pollfd fd = {.fd = f.wire.fd, .events = POLLIN};
        poll(&fd, 1, -1);
        rc = wire_fill(&f.wire, &err);
        while (wire_next(&f.wire, &m, NULL) == 1)
            ;
    } while (rc >= 0);
    front_end(&f, how);
    assert_string_equal(how, "exit code 1");
}

static void test_front_that_says_nonsense(void **unused)
{
    check_refuses(FRAME_HELLO, "xxxxxxxxxxxxx", 13, false);
    check_refuses(FRAME_SUBMIT, "", 0, false); // before hello
    check_refuses(FRAME_SUBMIT, "xyz", 3, true);
    check_refuses(FRAME_CANCEL, "xyz", 3, true);
    check_refuses(FRAME_LOAD, "\1\0\0\0\0\1\0\0\0\1\0\0", 12, true); // a second time
    check_refuses((enum frame_type)77, "", 0, true);
}

static void test_what_it_inherits(void **unused)
{
    struct front f;
    char path[64], link[256], how[80];
    int kept = open("/dev/zero", O_RDONLY); // not even close-on-exec
    front_start(&f, "weights=1");
    front_load(&f);
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)f.child.pid, fd);
        ssize_t n = readlink(path, link, sizeof link - 1);
        assert_true(fd <= 4 ? n > 0 : n < 0);
        link[MAX(n, 0)] = 0;
        if (fd < 2)
            assert_string_equal(link, "/dev/null");
    }
    snprintf(path, sizeof path, "/proc/%d/environ", (int)f.child.pid);
    FILE *environment = fopen(path, "re");
    assert_non_null(environment);
    size_t n = fread(link, 1, sizeof link - 1, environment);
    link[n] = 0;
    fclose(environment);
    assert_true(n == 0 || strstr(link, "SAN_OPTIONS") != NULL);
    assert_int_equal(getpgid(f.child.pid), f.child.pid);
    front_end(&f, how);
    close(kept);
}

int main(int argc, char **argv)
{
    be_a_runner(argc, argv);
    log_set_level(LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_front_that_does_not_read),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_front_that_goes_away),
        cmocka_unit_test(test_front_that_says_nonsense),
        cmocka_unit_test(test_what_it_inherits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
