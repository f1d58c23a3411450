// SPDX-License-Identifier: MIT
// One thread draws ten times a second until it is told to stop; only it writes while it lives. Signals are
// blocked in it, so that they reach the main thread.
#include "cli/spinner.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"

enum { FRAME_MS = 100, N_FRAMES = 10 };

struct spinner {
    pthread_t thread;
    pthread_mutex_t lock; // guards is_done
    pthread_cond_t changed;
    bool is_done;
    char text[200];
};

static void *turn(void *user)
{
    static const char *const frames[N_FRAMES] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    struct spinner *s = user;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; !s->is_done; i = (i + 1) % N_FRAMES) {
        struct timespec until;
        fprintf(stderr, "\r%s%s%s \x1b[K", s->text, s->text[0] ? " " : "", frames[i]);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += FRAME_MS * NS_PER_MS;
        until.tv_sec += until.tv_nsec / NS_PER_S;
        until.tv_nsec %= NS_PER_S;
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
    fprintf(stderr, "\r\x1b[K");
    return NULL;
}

struct spinner *spinner_start(const char *text)
{
    pthread_condattr_t attributes;
    sigset_t all, old;
    if (!isatty(STDERR_FILENO) || options_terminal_is_dumb())
        return NULL;
    struct spinner *s = xcalloc(1, sizeof *s);
    snprintf(s->text, sizeof s->text, "%s", text);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&s->lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->thread, NULL, turn, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        free(s);
        return NULL;
    }
    return s;
}

void spinner_stop(struct spinner *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_done = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
