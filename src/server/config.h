// SPDX-License-Identifier: MIT
// The configuration as the server uses it: per-model settings for the host, printing, preloading.
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/options.h"
#include "host/host.h"

// A model's name as a section of drover.conf gives it to its display form, by the store's grammar.
int config_name_model(const char *text, char out[OPTION_MODEL_NAME_BYTES], struct err *err);
// What drover.conf says of the model with that display name; all zero if nothing. Any thread; texts stay.
struct host_model_settings config_model_settings(const char *display_name);
// Every option with its value and where it came from, then the sections of models.
void config_print(FILE *out, bool as_json);
