// SPDX-License-Identifier: MIT
// Who asks, and whether they may: API keys and the read-only mode. Without keys (app->keys is NULL) everybody
// may do everything. Any thread.
#pragma once

#include <stdbool.h>

#include "net/http.h"
#include "server/app.h"
#include "server/keys.h"

enum access_need {
    ACCESS_OPEN,  // no key
    ACCESS_KEY,   // any key
    ACCESS_ADMIN, // a key of role admin
};

struct access_caller {
    bool is_admin;             // or there are no keys
    char name[KEY_NAME_BYTES]; // of the key; "" without keys
};

// Who the key of a request says it is: `Authorization: Bearer KEY`, else `x-api-key: KEY`. False: keys are
// asked for, and it shows none that is in force.
bool access_read_caller(const struct app *app, const struct http_request *r, struct access_caller *out);
// NULL: it may. Else why not, a literal, with ERR_UNAUTHORIZED: no key or a wrong one, or ERR_FORBIDDEN: its
// role does not suffice, or it `changes` the store of a server that is read-only. Logs a refusal; what is
// sent as a key stands in no log and no answer.
const char *access_refusal(const struct app *app, const struct http_request *r, enum access_need need,
                           bool changes, enum err_code *code);
