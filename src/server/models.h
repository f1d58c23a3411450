// SPDX-License-Identifier: MIT
// What the server says about stored models: finding one with Ollama's errors, its details, its capabilities.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "json/writer.h"
#include "server/app.h"

// store_find with the answers to an empty name and to names of Ollama's cloud (403).
int models_find(struct app *app, const char *name, struct stored_model *out, struct err *err);
// The object "details". `card` may be NULL; `has_lengths`: with context_length and embedding_length.
void models_write_details(struct json_writer *w, const struct stored_model *m, const json_t *card,
                          bool has_lengths);
// The array "capabilities": what this server can do with the model.
void models_write_capabilities(struct json_writer *w, const struct stored_model *m, const json_t *card);
// False for an encoder, which makes embeddings and no text.
bool models_can_complete(const struct stored_model *m, const json_t *card);
