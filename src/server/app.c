// SPDX-License-Identifier: MIT
// Making and freeing what all handlers share.
#include "server/app.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "server/card.h"
#include "server/chore.h"
#include "server/keys.h"
#include "server/worker.h"

enum { N_WORKERS = 2, MAX_WAITING_TASKS = 1024, INLINE_BODY_BYTES = 64 << 10, MAX_STREAM_BYTES = 1 << 20 };

int app_init(struct app *app, struct host *host, struct store *store, const char *origins, struct err *err)
{
    memset(app, 0, sizeof *app);
    app->host = host;
    app->store = store;
    app->started_wall_ns = clock_wall_ns();
    app->max_stream_bytes = MAX_STREAM_BYTES;
    app->inline_body_bytes = INLINE_BODY_BYTES;
    app->cors = cors_new(origins, err);
    if (!app->cors)
        return -1;
    app->cards = card_cache_new();
    app->worker = worker_new(N_WORKERS, MAX_WAITING_TASKS);
    app->chores = chores_new();
    return 0;
}

bool app_enter(struct app *app)
{
    atomic_fetch_add(&app->n_inside, 1);
    if (!atomic_load(&app->is_closed))
        return true;
    app_leave(app);
    return false;
}

void app_leave(struct app *app)
{
    atomic_fetch_sub(&app->n_inside, 1);
}

void app_close(struct app *app)
{
    struct timespec tick = {.tv_nsec = NS_PER_MS};
    atomic_store(&app->is_closed, true);
    chores_cancel_all(app->chores);
    while (atomic_load(&app->n_inside) > 0)
        nanosleep(&tick, NULL);
}

void app_fini(struct app *app)
{
    chores_cancel_all(app->chores);
    chores_free(app->chores);
    worker_free(app->worker);
    card_cache_free(app->cards);
    cors_free(app->cors);
    keyring_free(app->keys);
    app->keys = NULL;
    app->chores = NULL;
    app->worker = NULL;
    app->cards = NULL;
    app->cors = NULL;
}
