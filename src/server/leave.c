// SPDX-License-Identifier: MIT
// A client that leaves: of each choice the host is told once, when there is a job to cancel, by whoever comes
// second of the two that must have happened (the job is known, the client is gone). Who tells the host drops
// the job. What is left of a generation after one of its choices failed goes the same way.
#include "server/generate.h"

#include "server/worker.h"

static void cancel(struct choice *c)
{
    struct generation *g = c->g;
    struct app *app = g->app;
    pthread_mutex_lock(&g->lock);
    struct job *job = g->is_cancelled && !c->is_cancel_sent ? c->job : NULL;
    c->is_cancel_sent |= job != NULL;
    pthread_mutex_unlock(&g->lock);
    if (job && host_cancel(app->host, job)) {
        struct err left = {0};
        err_set(&left, ERR_CANCELLED, "the client left");
        if (g->n_choices == 1) // else its other choices may write these
            host_read_waits(app->host, job, &g->queue_ns, &g->load_ns);
        generation_log_end(g, "cancelled", &left);
        choice_end(c);
    }
    if (job)
        job_unref(job);
}

void leave_send(struct generation *g)
{
    struct app *app = g->app;
    if (!app_enter(app)) // a host that goes gives the last events itself
        return;
    for (uint32_t i = 0; i < g->n_choices; i++)
        cancel(&g->choices[i]);
    app_leave(app);
}

static void mark(struct generation *g)
{
    pthread_mutex_lock(&g->lock);
    g->is_cancelled = true;
    pthread_mutex_unlock(&g->lock);
}

void leave_on_gone(void *user, struct http_request *r)
{
    struct generation *g = user;
    mark(g);
    leave_send(g);
}

static void send_and_unref(void *user)
{
    leave_send(user);
    generation_unref(user);
}

void leave_from_event(struct generation *g)
{
    mark(g);
    generation_ref(g);
    if (!worker_push(g->app->worker, send_and_unref, g))
        generation_unref(g); // it runs to its end, unheard
}
