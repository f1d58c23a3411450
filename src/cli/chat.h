// SPDX-License-Identifier: MIT
// One conversation with one model: what was said, what is set, and the requests made of it. Answers are
// written to stdout as they stream, everything else to stderr. Main thread. Private to the cli room.
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "json/json.h"

struct chat {
    char model[640];
    json_t *messages;                    // array of {role, content}
    json_t *options;                     // object: what goes with each request
    char *system;                        // NULL: the model's own
    const char *keep_alive;              // as given, a duration or seconds; NULL: the server's default
    json_t *format;                      // "json" or a schema; NULL: free text
    json_t *think;                       // true, false or a level; NULL: the server's default
    bool hides_thinking;                 // what the model thinks is not shown
    bool takes_images, only_embeds;      // what the model can, known after chat_look
    bool is_verbose;                     // statistics after each answer
    bool wraps_words;                    // on a terminal
    const volatile sig_atomic_t *cancel; // non-zero stops the answer; NULL: nothing does
};

void chat_init(struct chat *c, const char *model);
void chat_fini(struct chat *c);
// ERR_INVALID unless `text` is a duration or a whole number of seconds.
int chat_check_keep_alive(const char *text, struct err *err);

// true, false or a level ("high", ...) as the API has it; NULL if `text` is none of them. The caller's.
json_t *chat_parse_think(const char *text);

// Asks what the model can. ERR_NOT_FOUND: the server has no such model.
int chat_look(struct chat *c, struct err *err);
int chat_load(struct chat *c, struct err *err);
// A new model from this one with what is set and what was said.
int chat_save(const struct chat *c, const char *name, struct err *err);
// One answer to one prompt, outside of the conversation. Images that `prompt` names go with it;
// ERR_INVALID if the model takes none.
int chat_generate(struct chat *c, struct slice prompt, struct err *err);
// Says `text` in the conversation. An answer that was stopped stays in it as far as it came (ERR_CANCELLED);
// after another error `text` is taken out again.
int chat_send(struct chat *c, struct slice text, struct err *err);
// Prints the vector of a text, a JSON array. `extra` (may be NULL): members of the request.
int chat_embed(struct chat *c, struct slice text, const json_t *extra, struct err *err);
void chat_set_system(struct chat *c, const char *text);
void chat_clear(struct chat *c); // forgets what was said, keeps what is set
