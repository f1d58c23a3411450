// SPDX-License-Identifier: MIT
// Who may talk to the server from a browser: the allow list of origins (CORS) and the guard of the Host
// header against DNS rebinding, with Ollama's rules. Pure functions; the server asks before it routes.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct cors; // the allow list

// `extra` as OLLAMA_ORIGINS: a comma list, at most one '*' in an entry, "*" alone allows all; NULL or "":
// only what is always allowed (localhost, 127.0.0.1, 0.0.0.0 with any port, app://, file://, tauri://,
// vscode-webview://, vscode-file://). A bad entry fails with ERR_INVALID naming it.
struct cors *cors_new(const char *extra, struct err *err);
void cors_free(struct cors *c);

struct cors_question {
    bool listens_on_loopback; // the Host guard is on
    const char *method;
    const char *host;   // header, NULL: absent
    const char *origin; // header, NULL: absent
};

enum cors_verdict {
    CORS_PASS,      // go on, with the headers
    CORS_REFUSE,    // 403, empty body
    CORS_PREFLIGHT, // 204, empty body, with the headers
};

enum { CORS_MAX_HEADERS = 8 };

struct cors_answer {
    enum cors_verdict verdict;
    size_t n_headers;
    struct cors_header {
        const char *name, *value; // constants, or the question's own origin
    } headers[CORS_MAX_HEADERS];
};

struct cors_answer cors_decide(const struct cors *c, const struct cors_question *q);
// The part about Host alone: an address that is loopback, private, unspecified or of this machine; "",
// localhost, this machine's name, *.localhost, *.local, *.internal.
bool cors_host_is_allowed(const char *host);
