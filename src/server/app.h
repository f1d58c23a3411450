// SPDX-License-Identifier: MIT
// What all handlers share. Made by serve.c before the first request and freed after the last; every member is
// set once and then only read, or guards itself.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/host.h"
#include "net/cors.h"
#include "server/tally.h"
#include "store/store.h"

struct card_cache;
struct chores;
struct keyring;
struct worker;

struct app {
    struct host *host;
    struct store *store;
    struct cors *cors;
    struct card_cache *cards;
    struct worker *worker;
    struct http_server *http; // for its counts; NULL before it listens
    struct tally tally;
    struct chores *chores;
    struct keyring *keys; // freed with the app; NULL: no keys are asked for
    bool listens_on_loopback;
    int n_threads; // of computing, settled at start
    int64_t started_wall_ns;
    size_t max_stream_bytes;  // written to a client and not yet taken; beyond it the stream is cut
    size_t inline_body_bytes; // larger bodies are parsed on the worker
    atomic_bool is_draining;  // no new generation
    atomic_bool is_closed;    // the host goes: nobody may call it any more, see app_enter
    atomic_uint n_inside;
    atomic_uint n_generations;    // admitted and not ended
    atomic_uint_fast64_t last_id; // of requests
};

// An app around a host and a store (both borrowed). `origins`: OLLAMA_ORIGINS.
int app_init(struct app *app, struct host *host, struct store *store, const char *origins, struct err *err);
void app_fini(struct app *app);

// Between enter and leave the host is there. False: it goes or is gone; do not call leave then. Events need
// no entering: they come from the host.
bool app_enter(struct app *app);
void app_leave(struct app *app);
void app_close(struct app *app); // no more entering; returns when all have left
