// SPDX-License-Identifier: MIT
// A blob that a client sends, checked against the digest that it promised. One thread at a time.
#pragma once

#include <stdbool.h>

#include "base/slice.h"
#include "store/store.h"

struct upload;

// ERR_INVALID "invalid digest format".
int upload_open(struct upload **out, struct store *s, const char *digest, struct err *err);
int upload_push(struct upload *u, struct slice bytes, struct err *err);
// ERR_INVALID `digest mismatch, expected "...", got "..."`. *is_new: the blob was not there before. Frees
// `u`.
int upload_commit(struct upload *u, bool *is_new, struct err *err);
void upload_drop(struct upload *u); // NULL allowed
