// SPDX-License-Identifier: MIT
// Directories of the person that only base/ itself needs; the public ones are in base/options.h.
#pragma once

void options_config_dir(char out[4096]); // $XDG_CONFIG_HOME/drover
