// SPDX-License-Identifier: MIT
// A model's memory plan as a member of /api/show's answer.
#pragma once

#include "json/json.h"
#include "json/writer.h"
#include "server/app.h"

// "memory": how the model would be loaded with that many slots and that context (0: as configured), part by
// part, and whether there is room. {"error": ...} if this build cannot run it. The app was entered.
void memory_write(struct json_writer *w, struct app *app, const struct stored_model *m, const json_t *card,
                  uint32_t n_slots, uint32_t num_ctx);
