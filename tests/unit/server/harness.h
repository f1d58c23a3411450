// SPDX-License-Identifier: MIT
// A server around the fake host and a store in a temporary folder, and a client that speaks real HTTP to it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fake_host.h"
#include "json/json.h"
#include "net/http.h"
#include "server/app.h"

struct harness {
    char directory[64];
    struct host *host;
    struct store *store;
    struct http_server *http;
    struct app app;
};

// cmocka setup and teardown: *state is a struct harness with the models
//   tiny      no template, system "You are brief.", parameters {num_predict 12, stop ["<e>"], temperature 0},
//   messages Hello / Hi there, a licence plain     nothing but weights me/other:v2   a Jinja template layer
//   go        a Go template layer
//   clever    a Jinja template layer that knows tools and thinking
//   bertie    family bert
int harness_setup(void **state);
int harness_teardown(void **state);
int harness_reset(void **state); // setup of one test: the host does again what FAKE_SCRIPT_DEFAULT says
// What the host was asked last.
const struct request *last_request(void **state);

struct reply {
    int status;
    struct strbuf bytes; // as they came
    char *head;          // status line and headers
    char *body;          // without the framing of chunks, terminated
};

// `body` NULL: none; `headers`: NULL or lines, NULL at the end.
struct reply call(struct harness *h, const char *method, const char *path, const char *body,
                  const char *const *headers);
struct reply post(struct harness *h, const char *path, const char *body);
void reply_fini(struct reply *r);
char *reply_header(struct reply *r, const char *name); // to free
// Line i of a body of lines, or data of event i of an event stream, parsed; the caller's.
json_t *reply_line(struct reply *r, size_t i);
size_t reply_count_lines(struct reply *r);
json_t *reply_json_value(struct reply *r);
// Data of event i of a stream whose events have names, which have to be its "type" as well; the caller's.
json_t *reply_event(struct reply *r, size_t i);
// "a b c": the names of a stream's events in their order.
const char *reply_event_names(struct reply *r);
// "a,b,c": the keys of an object in their order.
const char *keys_of(const json_t *object);
// A connected socket with the request sent and nothing read.
int send_raw(struct harness *h, const char *path, const char *body);
