// SPDX-License-Identifier: MIT
// What a client asked, read from a body of any dialect and not yet tied to a model: the first half of a
// dialect fills it, generate.c makes a struct request of it. Also the readers of members that several
// dialects share.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "host/host.h"
#include "server/fields.h"

// What the model must be able to do, or this build cannot do yet; refused by name once the model is known, in
// Ollama's order of checks.
enum ask_need {
    NEED_TOOLS = 1 << 0,
    NEED_INSERT = 1 << 1,   // suffix
    NEED_VISION = 1 << 2,   // images
    NEED_THINKING = 1 << 3, // think: the model must know how
};

// Whether the model calls a tool: as it likes, never, or in any case.
enum tool_choice { TOOL_CHOICE_AUTO, TOOL_CHOICE_NONE, TOOL_CHOICE_REQUIRED };

enum { ASK_MAX_CHOICES = 128, ASK_MAX_UNREAD_BYTES = 512 };

struct ask {
    json_t *body; // the slices below point into it
    enum request_task task;
    char *model; // as sent
    bool stream;
    bool include_usage; // a closing usage chunk in an OpenAI stream
    bool is_chat;       // `messages`, else `prompt`
    bool is_empty;      // nothing to answer: load the model, or unload it with keep_alive 0
    bool is_raw;
    struct slice prompt;
    bool has_system;
    struct slice system;
    struct slice template_text; // empty: the model's
    struct slice suffix;
    json_t *inputs;            // TASK_EMBED: array of texts
    uint32_t dimensions;       // of vectors; 0: all
    bool is_base64;            // vectors as text
    bool is_plain, has_no_bos; // raw prompts: see struct request
    uint32_t n_choices;        // 0: one
    json_t *biases;            // of logits: object of token id and number, or NULL
    enum think_mode think;
    char think_level[REQUEST_LEVEL_BYTES]; // as in struct request
    bool think_is_wish;                    // a model that cannot think answers all the same
    json_t *messages;                      // array of messages as in struct request
    json_t *tools;                         // array as in struct request, or NULL
    enum tool_choice tool_choice;
    struct slice tool_name; // TOOL_CHOICE_REQUIRED: this one; empty: any
    bool one_call;          // at most one call in an answer
    json_t *options;        // Ollama's names (knobs.h), or NULL
    json_t *context;        // array of ids, or NULL
    json_t *format;         // "json" or a JSON Schema that the answer must fit, or NULL
    bool has_keep_alive;
    int64_t keep_alive_ns; // negative: for ever
    bool logprobs;
    int32_t top_logprobs;
    enum truncate_mode truncate;
    unsigned needs;                    // of enum ask_need
    char unread[ASK_MAX_UNREAD_BYTES]; // names of members that mean nothing here, for a header; "" if none
};

void ask_fini(struct ask *a);

void ask_read_model(struct ask *a, struct fields *f); // "" when absent
void ask_read_stream(struct ask *a, struct fields *f, bool by_default);
// The members that /api/generate and /api/chat share: stream, options, keep_alive, format, think, truncate,
// shift, logprobs, _debug_render_only.
void ask_read_ollama(struct ask *a, struct fields *f);
void ask_read_keep_alive(struct ask *a, struct fields *f);
void ask_read_options(struct ask *a, struct fields *f);
// What the answer must fit, checked: ERR_INVALID names what of the schema cannot be enforced, after `name`.
void ask_set_format(struct ask *a, struct fields *f, const char *name, const json_t *format);
// An array of token ids into a->context; true when it is there.
bool ask_read_ids(struct ask *a, struct fields *f, const char *name);
// Notes one such name.
void ask_note(struct ask *a, const char *prefix, const char *name);
// To be called when everything is read: what a body has besides is told to its client, in a header.
void ask_note_unread(struct ask *a, const struct fields *f, const char *prefix);
// Ollama's messages: content is a string.
void ask_read_messages(struct ask *a, struct fields *f);
// The same of a list that is no request's, as struct request has them; the caller's. NULL: `err` says why.
json_t *ask_convert_messages(const json_t *list, bool *has_images, struct err *err);
// A message {role, content} at the end of `messages`, which owns it; the role in lower case.
json_t *ask_push_message(json_t *messages, struct slice role, struct slice content);
