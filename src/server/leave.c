// SPDX-License-Identifier: MIT
// A client that leaves: the host is told once, when there is a job to cancel, by whoever comes second of the
// two that must have happened (the job is known, the client is gone). Who tells the host drops the job.
#include "server/generate.h"

#include "server/worker.h"

void leave_send(struct generation *g)
{
    struct app *app = g->app;
    if (!app_enter(app)) // a host that goes gives the last event itself
        return;
    pthread_mutex_lock(&g->lock);
    struct job *job = g->is_cancelled && !g->is_cancel_sent ? g->job : NULL;
    g->is_cancel_sent |= job != NULL;
    pthread_mutex_unlock(&g->lock);
    if (job && host_cancel(app->host, job)) {
        struct err left = {0};
        err_set(&left, ERR_CANCELLED, "the client left");
        host_read_waits(app->host, job, &g->queue_ns, &g->load_ns);
        generation_log_end(g, "cancelled", &left);
        atomic_fetch_sub(&app->n_generations, 1);
        generation_end(g);
    }
    if (job)
        job_unref(job);
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
