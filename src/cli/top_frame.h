// SPDX-License-Identifier: MIT
// One picture of a server as lines of text. Private to the cli room.
#pragma once

#include <stdio.h>

#include "cli/top_sample.h"

struct top_size {
    size_t columns, rows; // 0: as many as there are
};

// Lines are cut at the size and end with `line_end`; what comes from the server has no control characters.
// Rates are those between `before` and `now`; before->at_ns 0: not known yet.
void top_frame_print(FILE *out, const struct top_sample *now, const struct top_sample *before,
                     struct top_size size, const char *line_end);
