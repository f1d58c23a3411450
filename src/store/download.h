// SPDX-License-Identifier: MIT
// Blobs on their way from a registry: one thread a blob, however many pulls wait for it. The last one that
// leaves stops it; what it has stays for the next. Private to the store room.
#pragma once

#include "store/registry.h"
#include "store/transfer.h"

struct downloads; // of one store
struct store;
struct downloads *store_downloads(struct store *s);
struct downloads *downloads_new(void);
void downloads_free(struct downloads *d); // waits for those that end

struct download_wanted {
    const char *directory, *digest;
    uint64_t size_bytes;
};
struct pins;
// Loads a blob, or waits for the one who does; then pins it.
int downloads_get(struct downloads *d, const struct download_wanted *wanted, const struct registry *from,
                  const struct transfer *t, struct pins *pins, struct err *err);
