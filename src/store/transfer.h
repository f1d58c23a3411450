// SPDX-License-Identifier: MIT
// Pulling models from a registry and pushing them to one: the calling thread waits and is told of progress.
// Several pulls of one blob, also of several processes, load it once. Any thread.
#pragma once

#include <signal.h>

#include "store/store.h"

struct transfer_status {
    const char *status;        // "pulling manifest", "pulling 0123456789ab", ...
    const char *digest;        // NULL: not about one blob
    uint64_t total, completed; // bytes of it
};
typedef void transfer_status_fn(void *user, const struct transfer_status *s);

struct transfer {
    const char *name;
    bool insecure;                       // plain http
    bool prune;                          // after a pull: blobs that only the model's former manifest named
    int64_t stall_ns;                    // a part without data for so long is asked for again
    const volatile sig_atomic_t *cancel; // looked at often; non-zero ends it with ERR_CANCELLED. NULL: none
    transfer_status_fn *on_status;
    void *user;
};

// 0: the model is in the store, every blob checked. On failure nothing of it is visible under its name, and
// what was loaded is used by the next try.
int store_pull(struct store *s, const struct transfer *t, struct err *err);
int store_push(struct store *s, const struct transfer *t, struct err *err);
