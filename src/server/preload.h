// SPDX-License-Identifier: MIT
// Models that drover.conf wants loaded without a request.
#pragma once

#include "server/app.h"

// Asks the host for every model whose section says preload or pin; does not wait. What comes of it is logged.
void preload_models(struct app *app);
