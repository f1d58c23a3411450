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
    bool is_verbose;                     // statistics after each answer
    bool wraps_words;                    // on a terminal
    const volatile sig_atomic_t *cancel; // non-zero stops the answer; NULL: nothing does
};

void chat_init(struct chat *c, const char *model);
void chat_fini(struct chat *c);
// ERR_INVALID unless `text` is a duration or a whole number of seconds.
int chat_check_keep_alive(const char *text, struct err *err);

int chat_load(struct chat *c, struct err *err);
// One answer to one prompt, outside of the conversation.
int chat_generate(struct chat *c, struct slice prompt, struct err *err);
// Says `text` in the conversation. An answer that was stopped stays in it as far as it came (ERR_CANCELLED);
// after another error `text` is taken out again.
int chat_send(struct chat *c, struct slice text, struct err *err);
void chat_set_system(struct chat *c, const char *text);
void chat_clear(struct chat *c); // forgets what was said, keeps what is set
