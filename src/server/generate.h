// SPDX-License-Identifier: MIT
// The neutral core of every generation: a dialect reads the body into a struct ask; here the model is found,
// the struct request built and handed to the host; the host's events become neutral pieces, which the dialect
// writes as bytes. A dialect is these functions and nothing else.
//
// Threads: the handler starts a generation on a thread of the sockets (or on a worker when the body is
// large); its events come on the host's thread, one at a time; the client may leave at any moment on a third.
// `lock` guards what these share: job and the two cancel flags. All other members belong to the starting
// thread until host_submit, then to the host's thread.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "host/host.h"
#include "net/http.h"
#include "server/app.h"
#include "server/ask.h"
#include "server/reply.h"
#include "server/request_id.h"

struct generation;

struct piece {
    struct slice text; // whole characters; may be empty
    const struct token_logprobs *logprobs;
    uint32_t n_logprobs;
};

struct dialect {
    const char *route;       // for the logs
    const char *go_type;     // of the body, for errors: "api.GenerateRequest"
    const char *empty_text;  // the error for a body without a value
    const char *verb;        // "NAME does not support VERB"
    const char *stream_type; // content types
    const char *whole_type;
    enum error_shape errors;
    bool wants_ids;                              // keep prompt and generated ids
    int (*read)(struct ask *a, struct err *err); // a->body is set
    // Each appends bytes. `write_last` ends a stream that went well, `write_error` one that did not;
    // `write_whole` is the one answer of a request without stream, its piece holding all of the text.
    void (*write_piece)(struct generation *g, const struct piece *p, struct strbuf *out);
    void (*write_last)(struct generation *g, struct strbuf *out);
    void (*write_whole)(struct generation *g, const struct piece *all, struct strbuf *out);
    // A line that clients skip, while the request waits; NULL: the dialect has none.
    void (*write_comment)(struct slice text, struct strbuf *out);
    void (*write_error)(struct generation *g, const struct err *err, struct strbuf *out);
};

struct kept_logprobs; // all of a whole answer

struct generation {
    struct app *app;
    const struct dialect *dialect;
    struct http_request *http; // NULL once ended
    struct ask ask;
    atomic_int refs;
    uint64_t id;
    char request_id[REQUEST_ID_BYTES], client[CLIENT_BYTES];
    enum sched_priority priority;
    const char *peer;
    char blob_digest[80]; // of its model, once known

    pthread_mutex_t lock;
    struct job *job; // dropped by end(), or by who sent the cancellation
    bool is_ended;
    bool is_cancelled; // somebody asked
    bool is_cancel_sent;

    int64_t queue_ns, load_ns; // waited for a slot, and for the model; as the latest event said
    int64_t start_ns, prompt_ns, first_token_ns; // monotonic; prompt_ns: the prompt was accepted
    int64_t created_s;                           // wall
    bool has_drawn_seed;
    uint64_t seed;

    bool is_streaming; // the stream has begun
    bool is_cut;       // the client read too slowly
    uint32_t n_pieces; // written so far
    uint32_t n_prompt, n_cached, n_truncated, n_generated;
    enum done_reason reason;
    int64_t prompt_eval_ns, eval_ns;
    uint32_t *ids; // wants_ids: prompt, then generated
    size_t n_ids, ids_capacity;
    size_t n_characters; // sent so far; kept by dialects that count them
    struct strbuf out, text;
    struct kept_logprobs *logprobs;
};

// A handler's whole work for a route of generation.
void generate_start(struct app *app, struct http_request *r, const struct dialect *d);

// ---- For dialects ----
int64_t generate_elapsed_ns(const struct generation *g);
// "stop", "length", "load", "unload"
const char *generate_reason_text(enum done_reason reason);

// ---- The object (generation.c) ----
struct generation *generation_new(struct app *app, struct http_request *r, const struct dialect *d);
void generation_ref(struct generation *g);
void generation_unref(void *generation);
void generation_end(struct generation *g); // the work is over; drops its reference
void generation_log_admission(const struct generation *g, const struct params *p); // NULL: a load
// At the level debug; the order of these lines is the order in which a model's requests began to run.
void generation_log_start(const struct generation *g);
void generation_log_refusal(const struct generation *g, const struct err *err);
void generation_log_end(const struct generation *g, const char *outcome, const struct err *err);

// ---- Clients that go (leave.c) ----
void leave_on_gone(void *generation, struct http_request *r); // http_gone_fn
void leave_send(
    struct generation *g); // cancels the job if the client is known to be gone; not inside an event
void leave_from_event(struct generation *g); // the stream cannot be written any more; inside an event
