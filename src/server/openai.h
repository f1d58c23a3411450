// SPDX-License-Identifier: MIT
// What the handlers of OpenAI's API share.
#pragma once

#include "json/writer.h"
#include "server/generate.h"

extern const struct dialect openai_chat_dialect;
extern const struct dialect openai_completions_dialect;
extern const struct dialect openai_embeddings_dialect; // embed.c
extern const struct dialect openai_responses_dialect;

// stream, stream_options, max_tokens, seed, stop, temperature, top_p, penalties into a->options (Ollama's
// names), choices, biases, and the refusal of what is not honoured.
void openai_read_common(struct ask *a, struct fields *f);
void openai_read_messages(struct ask *a, struct fields *f); // of a chat
void openai_read_tools(struct ask *a, struct fields *f);    // tools, tool_choice, parallel_tool_calls
// "none", "auto", "required", or an object that names a function, which `named_in` holds ("function"), or
// which it does itself (NULL).
void openai_read_tool_choice(struct ask *a, struct fields *f, const char *named_in);
// How much to think: "none" ... "max"; "": nothing was said. Another word is refused.
void openai_read_effort(struct ask *a, struct fields *f, struct slice effort);
// Arguments always have the form of their tool's parameters where a call is required; else the model is free,
// which is told if it was asked for otherwise.
void openai_read_strict(struct ask *a, struct fields *f, const char *label);
void openai_read_stream_options(struct ask *a, struct fields *f);
// What the answer must fit: {"type": "text" | "json_object" | "json_schema"}; `inner`: the schema is a member
// of the member "json_schema" (as in chats), else of `format` itself. NULL: absent.
void openai_read_format(struct ask *a, struct fields *f, const char *name, const json_t *format, bool inner);
// "id", "object", "created", "model", "system_fingerprint": the first members of every reply.
void openai_write_head(struct json_writer *w, const struct generation *g, const char *id_prefix,
                       const char *object);
void openai_write_reason(struct json_writer *w, const struct choice *c); // "finish_reason"; NULL: null
void openai_write_usage(struct json_writer *w, const struct generation *g);
void openai_write_own(struct json_writer *w, const struct generation *g); // "seed" if it was drawn here
// The answer without a stream, each of its choices by `write_choice`.
void openai_write_whole(struct strbuf *out, const struct generation *g, const char *id_prefix,
                        const char *object,
                        void (*write_choice)(struct json_writer *w, const struct choice *c));
// An event of a stream is `data: JSON` and an empty line.
void openai_begin_event(struct strbuf *out);
void openai_end_event(struct strbuf *out);
// The end of a stream, after that of its choices, that went well: a chunk with the usage if it was asked for,
// then data: [DONE].
void openai_end_stream(struct strbuf *out, struct generation *g, const char *id_prefix, const char *object);
void openai_write_comment(struct slice text, struct strbuf *out);
void openai_write_error(struct generation *g, const struct err *err, struct strbuf *out);

int openai_responses_read(struct ask *a, struct err *err);

void openai_models(struct app *app, struct http_request *r);
void openai_model(struct app *app, struct http_request *r); // GET /v1/models/NAME
