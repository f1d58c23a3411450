// SPDX-License-Identifier: MIT
// A double of host/: it implements host.h with one thread that plays a script, so that tests of the server
// are exact and instant. Jobs can be held at two places until released.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "host/host.h"

enum { FAKE_MAX_TOKENS = 16 };

struct fake_script {
    const char *tokens[FAKE_MAX_TOKENS]; // texts, NULL after the last; "" is a token without visible text
    uint32_t n_repeats;                  // the tokens are played so many times; 0: once
    uint32_t n_prompt, n_cached, n_truncated;
    enum done_reason reason;
    uint32_t stop_i;            // of the event that ends it
    const char *reply_template; // Jinja whose words say how the answer is to be read; NULL: as content
    bool has_logprobs;          // each token with its own and, if asked for, one alternative
    bool hold_before_prompt;    // until fake_host_release
    bool hold_before_tokens;    // after the first token
    bool is_full;               // host_submit fails with ERR_BUSY
    bool fails_at_prompt;       // EVENT_ERROR `error` in place of EVENT_PROMPT
    bool fails_in_tokens;       // after the tokens in place of EVENT_DONE
    struct err error;
    const char *card_json; // of host_read_card
};

#define FAKE_SCRIPT_DEFAULT                                                                                  \
    ((struct fake_script){.tokens = {"Hel", "lo", " you"}, .n_prompt = 5, .n_cached = 2, .reason = DONE_STOP})

// A model that thinks, speaks and calls two tools.
#define FAKE_SCRIPT_CLEVER                                                                                   \
    ((struct fake_script){.tokens = {"<think>h", "m</think>\n\nLet me", " see.\n<tool_",                     \
                                     "call>\n{\"name\": \"f\", \"arg",                                       \
                                     "uments\": {\"y\": 1, \"x\": \"<\"}}\n</tool_call>",                    \
                                     "\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"},   \
                          .reply_template = "<think></think><tool_call>",                                    \
                          .n_prompt = 5,                                                                     \
                          .n_cached = 2,                                                                     \
                          .reason = DONE_STOP})

void fake_host_set(struct host *h, const struct fake_script *script);
void fake_host_release(struct host *h);
// Waits (up to 10 s) until so many jobs were cancelled, submitted; false: it did not happen.
bool fake_host_wait_cancelled(struct host *h, unsigned n);
bool fake_host_wait_submitted(struct host *h, unsigned n);
unsigned fake_host_submitted(struct host *h);
// The last submission; valid until the next one. `request` NULL: a load.
struct fake_submission {
    struct request request;
    bool has_request, has_keep_alive, unload;
    int64_t keep_alive_ns;
    char name[256];
};
const struct fake_submission *fake_host_last(struct host *h);
