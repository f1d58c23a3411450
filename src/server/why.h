// SPDX-License-Identifier: MIT
// What happened to a request, told in sentences. Pure.
#pragma once

#include "base/strbuf.h"
#include "host/host.h"

enum why_part {
    WHY_STATE,    // "is waiting, third in the queue of gemma3"
    WHY_WAITS,    // "waited 3.2 s: 2.9 s for the two streams of gemma3, 0.3 s loading"
    WHY_RESTARTS, // "was sent to a new process of the model once ..."
    WHY_WORK,     // "had its first token after ..., 20 tokens ..."
    WHY_END,      // "ended after 4.1 s: stop"
    WHY_PART_COUNT
};

// Appends the sentence, without a full stop; nothing when there is nothing to say. False: nothing.
bool why_write(const struct host_record *r, enum why_part part, struct strbuf *out);
const char *why_phase_name(enum host_phase phase); // "queued", "loading", "prompt", "decoding", "ended"
