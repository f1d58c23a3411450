// SPDX-License-Identifier: MIT
// One model's place in a registry: addresses, the token, the questions that are small. The protocol is the
// registry API of Docker with Ollama's way to get a token: a request signed with the person's ed25519 key.
// One thread at a time. Private to the store room.
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "base/err.h"
#include "net/client.h"
#include "store/name.h"

struct registry {
    struct model_name name;
    bool is_http;
    char host[352];
    char *token; // NULL: none
    const volatile sig_atomic_t *cancel;
};

// ERR_INVALID "invalid model name", or "insecure protocol http" for a name with http:// unless `insecure`.
int registry_open(struct registry *r, const char *name, bool insecure, const volatile sig_atomic_t *cancel,
                  struct err *err);
void registry_fini(struct registry *r);

enum { REGISTRY_URL_BYTES = 4096, REGISTRY_HEADERS = 8 };
// "https://host/v2/ns/model/<rest>"
void registry_url(const struct registry *r, const char *rest, char out[REGISTRY_URL_BYTES]);
// Our name and the token as header lines behind those of `more` (NULL at its end); `auth` is where the
// token's line is kept.
struct strbuf;
void registry_headers(const struct registry *r, const char *const *more, struct strbuf *auth,
                      const char *out[REGISTRY_HEADERS]);
// Sends `call` (method, url, body, file, redirects are the caller's, `more` its headers). A 401 gets a token
// and one more try; broken connections and 5xx of GET and HEAD two more. 0: an answer came, of any status but
// 401; the caller calls http_client_reply_fini in every case.
int registry_send(struct registry *r, struct http_client_call *call, const char *const *more,
                  struct http_client_reply *reply, struct err *err);
// Gets a token as a WWW-Authenticate says. ERR_UNAUTHORIZED "unauthorized: access denied".
int registry_authorize(struct registry *r, const char *challenge, struct err *err);
