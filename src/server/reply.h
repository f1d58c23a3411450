// SPDX-License-Identifier: MIT
// Answers that are not streams: JSON bodies, and errors in the shape of each dialect.
#pragma once

#include "base/err.h"
#include "base/strbuf.h"
#include "net/http.h"

enum error_shape {
    ERRORS_OLLAMA,    // {"error":"..."}
    ERRORS_OPENAI,    // {"error":{"message","type","param","code"}}
    ERRORS_ANTHROPIC, // {"type":"error","error":{"type","message"},"request_id"}
};

#define REPLY_JSON "application/json; charset=utf-8"
#define REPLY_TEXT "text/plain; charset=utf-8"

// Appends the JSON of an error. `code` may be NULL; only ERRORS_OPENAI shows it.
void reply_write_error(struct strbuf *out, enum error_shape shape, const struct err *err, const char *code);
// Answers with the error's status and, for ERRORS_OPENAI, a code where the error has a well-known one.
void reply_error(struct http_request *r, enum error_shape shape, const struct err *err, const char *code);
void reply_json(struct http_request *r, struct strbuf *body); // 200; `body` is freed
void reply_text(struct http_request *r, int status, const char *text);
// The well-known code of an error ("context_length_exceeded"), or NULL.
const char *reply_error_code(const struct err *err);
// The body of an error that net/ answers by itself; at most n bytes, returns how many.
size_t reply_error_body(enum error_shape shape, int status, const char *message, char *out, size_t n);
