// SPDX-License-Identifier: MIT
// The person towards registries: an ed25519 key in OpenSSH's format, ~/.ollama/id_ed25519, made when it is
// not there, as Ollama does. Private to the store room.
#pragma once

#include "base/err.h"
#include "base/strbuf.h"

// Appends "Authorization: <public key>:<signature>" for a GET of `url`.
int identity_sign(const char *url, struct strbuf *out, struct err *err);
void identity_nonce(char out[32]); // 16 random bytes as text for a URL
