// SPDX-License-Identifier: MIT
// Anthropic's Messages: what a body may hold (anthropic_body.c), and the answers (anthropic.c).
#pragma once

#include "server/generate.h"

extern const struct dialect anthropic_messages_dialect;
extern const struct dialect anthropic_count_dialect; // count_tokens

int anthropic_read(struct ask *a, struct err *err);
int anthropic_read_counted(struct ask *a, struct err *err);
