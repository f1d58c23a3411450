// SPDX-License-Identifier: MIT
// drover.conf, read and checked, not yet in force. Private to the options of base/.
#pragma once

#include "base/option_value.h"

struct conf {
    const char *path; // kept for ever; "": there is no file
    struct conf_setting {
        unsigned line; // 0: not set
        struct option_value value;
    } at[OPTION_COUNT];
    struct model_settings *models; // owned
    size_t n_models;
};

// All of the file or nothing: ERR_INVALID "FILE:LINE: what is wrong", ERR_NOT_FOUND if it cannot be read. The
// caller calls conf_fini in any case.
int conf_read(struct conf *out, const char *path, option_namer_fn *namer, struct err *err);
void conf_fini(struct conf *c);
