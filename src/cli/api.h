// SPDX-License-Identifier: MIT
// Requests to the server at OPT_HOST. An answer that is no 2xx becomes an error with the server's own words;
// a server that cannot be reached becomes the sentence that says how to start it. Main thread, blocking.
// Private to the cli room.
#pragma once

#include <signal.h>

#include "base/slice.h"
#include "base/strbuf.h"
#include "json/json.h"

// `answer` (may be NULL) gets the body's value, the caller's. An empty `body` makes it a GET.
int api_call(const char *path, struct slice body, json_t **answer, struct err *err);
// A GET whose answer is no JSON; `answer` is the caller's buffer.
int api_get_text(const char *path, struct strbuf *answer, struct err *err);

// Any method; what is answered beside the status does not matter.
int api_send(const char *method, const char *path, struct slice body, struct err *err);
struct http_client_file;
int api_send_file(const char *path, const struct http_client_file *file, struct err *err); // POST

// A GET that gives up after a few seconds of silence: 0 if the answer is a success.
int api_probe(const char *path, struct err *err);

// Non-zero ends the stream with that error.
typedef int api_line_fn(void *user, const json_t *line, struct err *err);
// POSTs and hands over each line of the answer as it comes. A line with "error" ends it as an error.
// Cancelled by `*cancel`: ERR_CANCELLED.
int api_stream(const char *path, struct slice body, const volatile sig_atomic_t *cancel, api_line_fn *on_line,
               void *user, struct err *err);

// Members of an answer: "" and 0 for what is absent or of another type.
const char *api_text(const json_t *object, const char *key);
uint64_t api_number(const json_t *object, const char *key);
void api_print_json(const json_t *value); // a line on stdout

// Prints "Error: ..." on stderr; returns 1, the exit code.
int api_fail(const struct err *err);
