// SPDX-License-Identifier: MIT
// posix_spawn of /proc/self/exe: that link leads to the very file that runs, also when another was installed
// over it since. Descriptors are moved out of the way first, so that the duplicates onto 3 and 4 cannot hit
// each other. Any thread.
#include "host/spawn.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "frames/message.h"

enum {
    NICE_SERVING = 5,
    NICE_LOADING = 10,
    OOM_SCORE = 500, // at least, and so much above the front's
    MAX_OOM_SCORE = 1000,
    SOCKET_FD = 3,
    FIRST_FILE_FD = 4,
    FREE_FD = FIRST_FILE_FD + CONVERT_MAX_FILES, // above all that a child has
    MAX_ENVIRONMENT = 8
};

// What sanitizers are told; a runner reads nothing else from the environment.
static void filter_environment(char *out[MAX_ENVIRONMENT])
{
    int n = 0;
    for (char **at = environ; *at != NULL && n + 1 < MAX_ENVIRONMENT; at++) {
        const char *name_end = strchr(*at, '=');
        if (name_end != NULL && name_end - *at == 12 && memcmp(name_end - 11, "SAN_OPTIONS", 11) == 0)
            out[n++] = *at;
    }
    out[n] = NULL;
}

static int start(struct child *out, int socket_fd, const int *fds, size_t n_fds, struct err *err)
{
    char *argv[] = {"drover", "runner", NULL}, *environment[MAX_ENVIRONMENT];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    filter_environment(environment);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, socket_fd, SOCKET_FD);
    for (size_t i = 0; i < n_fds; i++)
        posix_spawn_file_actions_adddup2(&files, fds[i], FIRST_FILE_FD + (int)i);
    posix_spawn_file_actions_addclosefrom_np(&files, FIRST_FILE_FD + (int)n_fds);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setpgroup(&how, 0);
    int rc = posix_spawn(&out->pid, "/proc/self/exe", &files, &how, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return rc == 0 ? 0 : err_set(err, ERR_INTERNAL, "cannot start a model runner: %s", strerror(rc));
}

// When memory is short all the same, a model goes before the server does.
static void raise_oom_score(pid_t pid)
{
    char path[64];
    int own = 0;
    FILE *f = fopen("/proc/self/oom_score_adj", "re");
    if (f != NULL && fscanf(f, "%d", &own) != 1)
        own = 0;
    if (f != NULL)
        fclose(f);
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (dprintf(fd, "%d", MIN(MAX(own, 0) + OOM_SCORE, MAX_OOM_SCORE)) < 0)
        errno = 0; // a hardened /proc: the default score stays
    close(fd);
}

// Duplicates above what the child will have; -1 where it failed.
static int move_away(const int *fds, size_t n, int *moved)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FREE_FD);
        rc = moved[i] < 0 ? -1 : rc;
    }
    return rc;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int spawn_runner(struct child *out, int model_fd, struct err *err)
{
    return spawn_runner_with(out, &model_fd, 1, err);
}

int spawn_runner_with(struct child *out, const int *fds, size_t n, struct err *err)
{
    int pair[2] = {-1, -1}, socket_fd = -1, files[CONVERT_MAX_FILES], rc = -1;
    size_t n_files = 0;
    assert(n <= CONVERT_MAX_FILES);
    *out = (struct child){.pid = -1, .process_fd = -1, .socket = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
        (socket_fd = fcntl(pair[1], F_DUPFD_CLOEXEC, FREE_FD)) < 0 ||
        move_away(fds, n_files = n, files) != 0) {
        err_set(err, ERR_INTERNAL, "cannot start a model runner: %s", strerror(errno));
        goto out;
    }
    if (start(out, socket_fd, files, n, err) != 0)
        goto out;
    out->process_fd = pidfd_open(out->pid, 0);
    if (out->process_fd < 0) {
        err_set(err, ERR_INTERNAL, "cannot watch a model runner: %s", strerror(errno));
        kill(out->pid, SIGKILL);
        waitpid(out->pid, NULL, 0);
        goto out;
    }
    raise_oom_score(out->pid);
    out->socket = pair[0];
    pair[0] = -1;
    rc = 0;
out:
    close_all(pair, 2);
    close_all(&socket_fd, 1);
    close_all(files, n_files);
    return rc;
}

// Whether a nice value can be lowered again.
static bool may_raise_priority(void)
{
    struct rlimit limit;
    return geteuid() == 0 || (getrlimit(RLIMIT_NICE, &limit) == 0 && limit.rlim_cur >= 20 - NICE_SERVING);
}

void spawn_set_loading(const struct child *c)
{
    setpriority(PRIO_PROCESS, (id_t)c->pid, may_raise_priority() ? NICE_LOADING : NICE_SERVING);
}

// Nice values belong to threads: all that exist by now are set.
void spawn_set_serving(const struct child *c)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)c->pid);
    DIR *tasks = opendir(path);
    struct dirent *entry;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        int thread = atoi(entry->d_name);
        if (thread > 0)
            setpriority(PRIO_PROCESS, (id_t)thread, NICE_SERVING);
    }
    if (tasks != NULL)
        closedir(tasks);
}

void spawn_kill(const struct child *c)
{
    pidfd_send_signal(c->process_fd, SIGKILL, NULL, 0);
}

void spawn_reap(struct child *c, char *how, size_t how_bytes)
{
    int status = 0;
    pid_t got;
    do
        got = waitpid(c->pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        snprintf(how, how_bytes, "unknown");
    else if (WIFSIGNALED(status))
        snprintf(how, how_bytes, "signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(how, how_bytes, "exit code %d", WEXITSTATUS(status));
    close(c->process_fd);
    c->process_fd = -1;
    c->pid = -1;
}
