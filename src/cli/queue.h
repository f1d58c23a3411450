// SPDX-License-Identifier: MIT
// Requests as rows of a table. Private to the cli room.
#pragma once

#include "cli/table.h"
#include "json/json.h"

enum { QUEUE_COLUMNS = 7 };

void queue_add_headers(struct table *t);
void queue_add_rows(struct table *t, const json_t *requests); // of /api/queue
