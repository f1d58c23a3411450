// SPDX-License-Identifier: MIT
// From what was asked and what the store says of the model to the neutral request.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "host/host.h"
#include "server/ask.h"
#include "store/store.h"
#include "text/traits.h"

// What this build does not do yet, or the model cannot do: an error that names it. `verb`: "generate",
// "chat"; NULL: any model will do. `traits`: of the template in use (models_traits).
int build_check(const struct ask *a, const struct stored_model *m, const struct template_traits *traits,
                const char *verb, struct err *err);
// A request the caller owns (request_fini, free), or NULL. Precedence: built-in, then the Modelfile's
// parameters, then the request. `*seed_is_drawn`: no seed was given.
struct request *build_request(const struct ask *a, const struct stored_model *m, bool *seed_is_drawn,
                              struct err *err);
