// SPDX-License-Identifier: MIT
// The neutral core of every generation: a dialect reads the body into a struct ask; here the model is found,
// the struct request built and handed to the host; the host's events become neutral pieces, which the dialect
// writes as bytes. A dialect is these functions and nothing else.
//
// Threads: the handler starts a generation on a thread of the sockets (or on a worker when the body is
// large); its events come on the host's thread, one at a time; the client may leave at any moment on a third.
// `lock` guards what these share: the jobs and the flags of cancelling and ending. All other members belong
// to the starting thread until host_submit_all, then to the host's thread.
//
// A generation has one choice or several (OpenAI's `n`): sequences of one prompt, each a job of its own.
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
#include "text/reply.h"

struct generation;

// A call of a tool that the model asks for, whole.
struct tool_call {
    uint32_t index;  // from 0, within the choice
    char *id;        // as the model wrote it, else drawn here: "call_x7yz01ab"
    char *name;      // not empty
    char *arguments; // a JSON object, compact
};

// A part of what a choice says. In a stream it has one of text, thinking and a call, or log-probabilities
// alone (then `text` is empty); generate_whole() gives all of each.
struct piece {
    struct slice text;     // content; whole characters; may be empty
    struct slice thinking; // may be empty
    const struct tool_call *calls;
    uint32_t n_calls;
    const struct token_logprobs *logprobs;
    uint32_t n_logprobs;
};

// What a piece of a stream is a part of, for dialects whose answers have parts.
enum part_kind { PART_NONE, PART_THINKING, PART_TEXT, PART_CALL };

static inline enum part_kind piece_kind(const struct piece *p)
{
    return p->n_calls > 0      ? PART_CALL
           : p->thinking.n > 0 ? PART_THINKING
           : p->text.n > 0     ? PART_TEXT
                               : PART_NONE;
}

struct dialect {
    const char *route;       // for the logs
    const char *go_type;     // of the body, for errors: "api.GenerateRequest"
    const char *empty_text;  // the error for a body without a value
    const char *verb;        // "NAME does not support VERB"
    const char *stream_type; // content types
    const char *whole_type;
    enum error_shape errors;
    bool wants_ids;                              // keep prompt and generated ids
    bool keeps_text;                             // also of a stream
    bool says_pull;                              // a model that is not there: Ollama's other words for it
    int (*read)(struct ask *a, struct err *err); // a->body is set
    int (*settle)(struct generation *g, struct err *err); // before write_whole; it may fail. Or NULL
    // Each appends bytes; g->at is the choice that the event is of. `write_first`, when the prompt is known,
    // and `write_end` of each choice may be NULL; `write_last` ends a stream that went well, `write_error`
    // one that did not; `write_whole` is the one answer of a request without stream (generate_whole).
    void (*write_first)(struct generation *g, struct strbuf *out);
    void (*write_piece)(struct generation *g, const struct piece *p, struct strbuf *out);
    void (*write_end)(struct generation *g, struct strbuf *out);
    void (*write_last)(struct generation *g, struct strbuf *out);
    void (*write_whole)(struct generation *g, struct strbuf *out);
    // A line that clients skip, while the request waits; NULL: the dialect has none.
    void (*write_comment)(struct slice text, struct strbuf *out);
    void (*write_error)(struct generation *g, const struct err *err, struct strbuf *out);
};

struct kept_logprobs; // all of a whole answer

struct choice {
    struct generation *g;
    uint32_t index;
    // with the lock of the generation
    struct job *job; // dropped by choice_end(), or by who sent the cancellation
    bool is_ended, is_cancel_sent;
    // on the host's thread
    uint32_t n_pieces; // written so far
    uint32_t n_generated;
    uint32_t n_thought; // tokens of what was or may become thinking
    bool has_thought;   // it was
    uint32_t stop_i;    // 1 + index of the stop string that was found
    enum done_reason reason;
    size_t n_characters; // sent so far; kept by dialects that count them
    // Kept by dialects whose answers have parts: the one that is open, how many were begun, where in all that
    // was said of its kind the open one begins, and what the finished ones were.
    enum part_kind open_part;
    uint32_t n_parts;
    size_t part_start;
    json_t *items;
    struct reply *reply; // reads what the model says; NULL: all is content
    struct strbuf text, thinking;
    struct tool_call *calls; // of a stream too
    uint32_t n_calls;
    struct kept_logprobs *logprobs;
};

struct vector { // of an input
    float *at;
    uint32_t n;
};

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
    bool is_on_worker;    // this is no thread of the sockets
    char blob_digest[80]; // of its model, once known
    bool has_request;     // else it only wants a model loaded
    struct params params; // as admitted, for the log

    struct choice *choices; // made at the submission
    uint32_t n_choices;
    struct choice *at; // whose event it is

    pthread_mutex_t lock;
    uint32_t n_open;   // choices that have not ended
    bool is_cancelled; // somebody asked
    atomic_bool is_admission_logged, is_end_logged;

    int64_t queue_ns, load_ns; // waited for a slot, and for the model; as the latest event said
    int64_t start_ns, prompt_ns, first_token_ns; // monotonic; prompt_ns: the prompt was accepted
    int64_t created_s;                           // wall
    bool has_drawn_seed;
    uint64_t seed;

    bool is_streaming;                                     // the stream has begun
    bool is_cut;                                           // the client read too slowly
    bool has_failed;                                       // of one choice: the others are not heard any more
    uint32_t n_done;                                       // choices that ended well
    uint32_t n_prompt, n_cached, n_truncated, n_generated; // n_generated: of all choices
    uint32_t n_events; // written so far; kept by dialects that number them
    int64_t prompt_eval_ns, eval_ns;
    const struct event *event; // being read
    uint32_t *ids;             // wants_ids: prompt, then generated
    size_t n_ids, ids_capacity;
    struct vector *vectors; // one for each of ask.inputs
    size_t vectors_bytes;
    struct strbuf out;
};

// A handler's whole work for a route of generation.
void generate_start(struct app *app, struct http_request *r, const struct dialect *d);

// ---- For dialects ----
int64_t generate_elapsed_ns(const struct generation *g);
// All that a choice said; valid until the next event.
struct piece generate_whole(const struct choice *c);
// Tokens of the thinking of all choices, tags included.
uint32_t generate_count_thought(const struct generation *g);
// "stop", "length", "load", "unload"
const char *generate_reason_text(enum done_reason reason);

// ---- The object (generation.c) ----
struct generation *generation_new(struct app *app, struct http_request *r, const struct dialect *d);
void generation_ref(struct generation *g);
void generation_unref(void *generation);
void generation_make_choices(struct generation *g, uint32_t n);
void generation_end(struct generation *g);           // the work is over; drops its reference
void choice_end(struct choice *c);                   // one choice is; the last one ends the generation
void generation_log_admission(struct generation *g); // once, before any other line; any thread
// At the level debug; the order of these lines is the order in which a model's requests began to run.
void generation_log_start(const struct generation *g);
void generation_log_refusal(const struct generation *g, const struct err *err);
void generation_log_end(struct generation *g, const char *outcome, const struct err *err); // once

// ---- What a choice says (said.c): on the host's thread ----
void said_open(struct choice *c, const struct reply_form *form); // how its answer is to be read
// Reads what an event says: each piece is kept as far as it is wanted, and written in a stream.
void said_take(struct choice *c, const struct event *e);
void said_finish(struct choice *c); // what was held back
void said_fini(struct choice *c);

// ---- Clients that go (leave.c) ----
void leave_on_gone(void *generation, struct http_request *r); // http_gone_fn
void leave_send(
    struct generation *g); // cancels the jobs if the client is known to be gone; not inside an event
void leave_from_event(struct generation *g); // nothing more can be written; inside an event
