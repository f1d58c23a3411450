// SPDX-License-Identifier: MIT
// Pins: blobs that somebody is about to name in a manifest. This is the protocol by which any number of
// threads and processes work on one store, and pruning never removes a blob in use. Private to the store
// room.
//
// 1. Who will write a manifest first pins every blob that it names: a shared flock(2) on the blob, kept until
//    the manifest is visible. A new blob is pinned under its temporary name, before it gets its own.
// 2. The store's lock, a file, is held shared for the moment in which a blob is pinned or gets its name, and
//    exclusively by who removes blobs: who, meanwhile, tries an exclusive lock on each blob without waiting
//    (a pinned one stays), reads all manifests, and removes what none of them names. No blob can be pinned or
//    appear during that, and a manifest that becomes visible during it names pinned blobs only.
//    A blob's name is never given to another file: who would write one that is there pins that one.
// 3. Manifests and blobs appear whole (temporary name, sync, rename). Who removes a model removes its
// manifest
//    first, then its blobs by rule 2.
// 4. A download holds an exclusive lock on its unfinished file: one loads a blob, the others wait for it.
// Locks end with their process, so kill -9 leaves nothing but unfinished files, which age. Ollama knows no
// locks; it spares blobs younger than an hour, and a pinned blob is made young.
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct pins; // one thread at a time

struct pins *pins_new(const char *directory);
void pins_free(struct pins *p); // unpins; NULL allowed
// ERR_NOT_FOUND: there is no such blob. `digest` is a parsed one.
int pins_add(struct pins *p, const char *digest, struct err *err);
void pins_take(struct pins *p, int fd); // a blob that was locked under its temporary name; taken

// The store's lock; an open file to close, or -1.
int pins_lock_store(const char *directory, bool exclusive, struct err *err);
