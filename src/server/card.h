// SPDX-License-Identifier: MIT
// Model cards (what a file says of itself), kept by the digest of the weights. Reading one starts a
// short-lived process: not on a thread of the sockets.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "json/json.h"
#include "store/store.h"
#include "text/traits.h"

struct card_cache;

struct card_cache *card_cache_new(void);
void card_cache_free(struct card_cache *c);
// The card of a stored model, the caller's (json_decref), or NULL. With `verbose` long arrays are there and
// nothing is kept.
json_t *card_read(struct card_cache *c, const struct stored_model *m, bool verbose, struct err *err);
struct template_traits card_traits(const json_t *card);
// What the chat template in the file can do. card_find_traits: only if it is known already.
bool card_find_traits(struct card_cache *c, const struct stored_model *m, struct template_traits *out);
int card_read_traits(struct card_cache *c, const struct stored_model *m, struct template_traits *out,
                     struct err *err);
