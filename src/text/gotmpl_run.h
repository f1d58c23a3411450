// SPDX-License-Identifier: MIT
// One render: its memory, its bounds, its first error. After a failure every function returns at once with no
// value, so callers go on without a check except in loops. One thread per render; the template is shared and
// never changes.
#pragma once

#include "base/err.h"
#include "base/strbuf.h"
#include "text/gotmpl_tree.h"
#include "text/gotmpl_value.h"

enum {
    GOTMPL_RENDER_BYTES = 256 << 20,
    GOTMPL_TEXT_BYTES = 64 << 20,    // of one value made in a template
    GOTMPL_STEPS = 20 * 1000 * 1000, // a step: a node evaluated, or some 32 bytes looked at
    GOTMPL_DEPTH = 1500,             // nodes within nodes, through calls of templates
    GOTMPL_DATA_DEPTH = 200,         // values within values
    GOTMPL_VARIABLES = 1 << 16,
    GOTMPL_MAX_FIXED = 2,
};

struct gotmpl_variable {
    struct slice name;
    struct gotmpl_value value;
};

struct gotmpl_run {
    struct jinja_arena arena;
    struct err *err;
    bool failed;
    uint64_t steps;
    int depth;
    const struct gotmpl_tree *tree;
    struct slice name;            // of the template that runs
    const struct gotmpl_node *at; // what a message speaks of
    struct gotmpl_variable *variables;
    size_t n_variables, capacity;
    size_t first_variable; // of the template that runs
    struct strbuf *out;
    int64_t now_s;
};

struct gotmpl_call {
    const char *name;
    const struct gotmpl_value *arg;
    size_t n;
    const struct gotmpl_node *callee; // what `call` shall call
};

typedef struct gotmpl_value gotmpl_fn(struct gotmpl_run *r, const struct gotmpl_call *c);

// A row of the table of functions. The parameters by their types, 'v' any value as it is, 'a' an interface,
// 's' a text: those that must be there, then the one that may repeat or 0.
struct gotmpl_row {
    const char *name;
    gotmpl_fn *fn; // NULL: `and` and `or`, which the evaluator itself cuts short
    char fixed[GOTMPL_MAX_FIXED + 1];
    char rest;
};

const struct gotmpl_row *gotmpl_row_find(struct slice name);

// Fails the run with Go's words about the node at hand; the first error wins. Returns no value.
struct gotmpl_value gotmpl_fail(struct gotmpl_run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// Fails because a bound is reached (ERR_TOO_LARGE).
struct gotmpl_value gotmpl_fail_bound(struct gotmpl_run *r, const char *what);
// Fails a call: the message names the function.
struct gotmpl_value gotmpl_fail_call(struct gotmpl_run *r, const struct gotmpl_call *c, const char *format,
                                     ...) __attribute__((format(printf, 3, 4)));
// Counts steps; false once the run has failed or used up its bounds.
bool gotmpl_step(struct gotmpl_run *r, size_t n);
void *gotmpl_alloc(struct gotmpl_run *r, size_t count, size_t size_bytes); // NULL after failing
// The buffer's text as a value of the run; the buffer is freed.
struct gotmpl_value gotmpl_take_text(struct gotmpl_run *r, struct strbuf *text);

// Runs the template `root` on `data`, which is both dot and $.
void gotmpl_exec(struct gotmpl_run *r, const struct gotmpl_node *root, struct gotmpl_value data);
struct gotmpl_value gotmpl_eval_pipe(struct gotmpl_run *r, struct gotmpl_value dot,
                                     const struct gotmpl_node *pipe);
void gotmpl_variable_push(struct gotmpl_run *r, struct slice name, struct gotmpl_value value);
void gotmpl_variable_set(struct gotmpl_run *r, struct slice name, struct gotmpl_value value);

// What fmt makes of values. Print: spaces only between two that are no texts; println: always, and a line
// end.
void gotmpl_print(struct gotmpl_run *r, struct strbuf *out, const struct gotmpl_value *at, size_t n);
void gotmpl_println(struct gotmpl_run *r, struct strbuf *out, const struct gotmpl_value *at, size_t n);
void gotmpl_printf(struct gotmpl_run *r, struct strbuf *out, struct slice format,
                   const struct gotmpl_value *at, size_t n);
void gotmpl_put_plain(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v); // %v
// As Go's encoding/json writes it.
void gotmpl_put_json(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v, int depth);
