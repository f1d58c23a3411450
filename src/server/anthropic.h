// SPDX-License-Identifier: MIT
// Anthropic's API.
#pragma once

#include "server/generate.h"

extern const struct dialect anthropic_messages_dialect;
extern const struct dialect anthropic_count_dialect;
