// SPDX-License-Identifier: MIT
// What the handlers of Ollama's API share.
#pragma once

#include "json/writer.h"
#include "server/generate.h"

extern const struct dialect ollama_generate_dialect;
extern const struct dialect ollama_chat_dialect;
extern const struct dialect ollama_embed_dialect;      // embed.c
extern const struct dialect ollama_embeddings_dialect; // embed.c
extern const struct dialect ollama_tokenize_dialect;   // tokens.c
extern const struct dialect ollama_detokenize_dialect; // tokens.c

// "model" and "created_at", the first members of every reply.
void ollama_write_head(struct json_writer *w, const struct generation *g);
// "done_reason".
void ollama_write_reason(struct json_writer *w, const struct generation *g);
// The durations and counts of a last reply (none for load and unload), then drover's own: "truncated" if the
// prompt was, "seed" if it was drawn here.
void ollama_write_metrics(struct json_writer *w, const struct generation *g);
void ollama_write_own(struct json_writer *w, const struct generation *g);
// The rest of the reply to _debug_render_only, with the end of the object.
void ollama_write_rendered(struct json_writer *w, const struct piece *prompt);
void ollama_write_logprobs(struct json_writer *w, const struct piece *p); // nothing when there are none
void ollama_write_error(struct generation *g, const struct err *err,
                        struct strbuf *out); // a line of a stream

void ollama_tags(struct app *app, struct http_request *r);
void ollama_ps(struct app *app, struct http_request *r);
void ollama_version(struct app *app, struct http_request *r);
void ollama_status(struct app *app, struct http_request *r);
void ollama_show(struct app *app, struct http_request *r);
void ollama_copy(struct app *app, struct http_request *r);
void ollama_delete(struct app *app, struct http_request *r);
void ollama_blob(struct app *app, struct http_request *r);
void ollama_blob_begin(struct app *app, struct http_request *r);
void ollama_create(struct app *app, struct http_request *r);
void ollama_pull(struct app *app, struct http_request *r);
void ollama_prune_at_start(struct app *app); // in the background
void ollama_push(struct app *app, struct http_request *r);
