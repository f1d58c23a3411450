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

// What this build cannot do yet; refused by name once the model is known, in Ollama's order of checks.
enum ask_need {
    NEED_TOOLS = 1 << 0,
    NEED_INSERT = 1 << 1,   // suffix
    NEED_VISION = 1 << 2,   // images
    NEED_THINKING = 1 << 3, // think
    NEED_FORMAT = 1 << 4,
};

struct ask {
    json_t *body; // the slices below point into it
    char *model;  // as sent
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
    bool is_render_only; // _debug_render_only: the answer is the prompt
    const json_t *think; // as sent, borrowed; NULL: not sent
    json_t *messages;    // array of {role, content, ...}
    json_t *tools;       // array, or NULL
    json_t *options;     // Ollama's names (knobs.h), or NULL
    json_t *context;     // array of ids, or NULL
    bool has_keep_alive;
    int64_t keep_alive_ns; // negative: for ever
    bool logprobs;
    int32_t top_logprobs;
    enum truncate_mode truncate;
    unsigned needs; // of enum ask_need
};

void ask_fini(struct ask *a);

void ask_read_model(struct ask *a, struct fields *f); // "" when absent
void ask_read_stream(struct ask *a, struct fields *f, bool by_default);
// The members that /api/generate and /api/chat share: stream, options, keep_alive, format, think, truncate,
// shift, logprobs, _debug_render_only.
void ask_read_ollama(struct ask *a, struct fields *f);
// Ollama's messages: content is a string.
void ask_read_messages(struct ask *a, struct fields *f);
// A message {role, content} at the end of `messages`; the role in lower case.
void ask_push_message(json_t *messages, struct slice role, struct slice content);
