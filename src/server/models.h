// SPDX-License-Identifier: MIT
// What the server says about stored models: finding one with Ollama's errors, its details, its capabilities.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "json/writer.h"
#include "server/app.h"
#include "text/traits.h"

// store_find with the answers to an empty name and to names of Ollama's cloud (403).
int models_find(struct app *app, const char *name, struct stored_model *out, struct err *err);
// The model as the host takes it, with what drover.conf says of it. Borrows from `m` and from `details`,
// which it fills.
struct host_model models_for_host(const struct stored_model *m, struct strbuf *details);
// The object "details". `card` may be NULL; `has_lengths`: with context_length and embedding_length.
void models_write_details(struct json_writer *w, const struct stored_model *m, const json_t *card,
                          bool has_lengths);
enum go_template_use models_go_template(void); // what OPT_GO_TEMPLATE says now
// What the stored Go template takes; nothing where there is none or it cannot be read.
struct template_traits models_stored_traits(const struct stored_model *m);
// What the template that answers of the model are made with takes; `file`: of the template in its file, NULL
// when there is none or nobody knows.
struct template_traits models_traits(const struct stored_model *m, const struct template_traits *file);
// Whether what the file says could change that.
bool models_need_file_traits(const struct stored_model *m);
// The stored Go template stands back: the option says never, or the template in the file can do more.
bool models_prefer_file_template(const struct stored_model *m, const json_t *card);
// The array "capabilities": what this server can do with the model.
void models_write_capabilities(struct json_writer *w, const struct stored_model *m, const json_t *card);
// False for an encoder, which makes embeddings and no text.
bool models_can_complete(const struct stored_model *m, const json_t *card);
