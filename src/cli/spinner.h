// SPDX-License-Identifier: MIT
// A turning wheel on stderr while something is waited for; only on a terminal that can. Private to the cli
// room.
#pragma once

struct spinner;

// NULL where nothing is shown. The text is copied.
struct spinner *spinner_start(const char *text);
void spinner_stop(struct spinner *s); // erases it; NULL allowed
