// SPDX-License-Identifier: MIT
// A runner that makes a model file out of others instead of serving one. Private to runner/.
#pragma once

#include "frames/message.h"
#include "frames/wire.h"

// Does what the order says with the files on descriptors 4 and following; sends STATE and PIECE as they come
// and waits while the front does not read. The sandbox has been entered.
int conversion_run(struct wire *wire, const struct convert_order *order, struct err *err);
