// SPDX-License-Identifier: MIT
// One render: its memory, its bounds, its first error. After a failure every function returns at once with an
// undefined value, so callers go on without a check except in loops. One thread per render; the template is
// shared and never changes.
#pragma once

#include "base/err.h"
#include "base/strbuf.h"
#include "text/jinja_arena.h"
#include "text/jinja_tree.h"
#include "text/jinja_value.h"

enum {
    JINJA_RENDER_BYTES = 256 << 20,
    JINJA_STEPS =
        40 * 1000 * 1000,   // a step: a node evaluated, an item looked at, some 32 bytes compared or copied
    JINJA_DEPTH = 1500,     // nodes within nodes, macro calls included
    JINJA_DATA_DEPTH = 200, // lists within lists
    JINJA_RANGE_ITEMS = 100000, // as jinja2's sandbox
    JINJA_MAX_PARAMS = 5,
};

// Text under construction in the arena.
struct jinja_sink {
    char *at;
    size_t n, capacity;
};

struct jinja_variable {
    uint32_t id;
    struct jinja_value value;
};

// Variables of one scope; lookups go on in the parent. The outermost one holds one value per name of the
// template instead.
struct jinja_frame {
    struct jinja_frame *parent;
    struct jinja_variable *at;
    size_t n, capacity;
    bool is_captured; // a macro holds on to it
};

enum jinja_flow { JINJA_FLOW_NEXT, JINJA_FLOW_BREAK, JINJA_FLOW_CONTINUE };

struct jinja_run {
    struct jinja_arena arena;
    struct err *err;
    bool failed;
    uint64_t steps;
    int depth;
    uint32_t line;
    struct jinja_frame *frame;
    struct jinja_value *globals; // by name id
    struct strbuf *out;
    struct jinja_sink *capture;     // where output goes instead of `out`, if not NULL
    struct jinja_value block_input; // what the innermost filter of a filter block reads
    int64_t now_s;
};

struct jinja_keyword {
    struct slice name;
    struct jinja_value value;
};

struct jinja_args {
    const struct jinja_value *at;
    size_t n;
    const struct jinja_keyword *keywords;
    size_t n_keywords;
};

// What a filter, test, method or function is called with. arg[] follows the row's parameters; what was not
// given is JINJA_MISSING.
struct jinja_call {
    struct jinja_value self; // what is filtered, tested, or whose method it is
    struct jinja_value arg[JINJA_MAX_PARAMS];
    struct jinja_args raw;
    const char *name;
};

typedef struct jinja_value jinja_fn(struct jinja_run *r, const struct jinja_call *c);

// A row of a table. params: names separated by spaces, a `?` after those that may be left out; "*": takes
// what it gets from `raw`. fn == NULL: Python has it, drover does not: a clear error when reached.
struct jinja_row {
    const char *name;
    jinja_fn *fn;
    const char *params;
};

const struct jinja_row *jinja_row_find(const struct jinja_row *table, size_t n, struct slice name);
struct jinja_value jinja_row_call(struct jinja_run *r, const struct jinja_row *row, struct jinja_value self,
                                  const struct jinja_args *args);

// The tables.
const struct jinja_row *jinja_filter_find(struct slice name);
const struct jinja_row *jinja_test_find(struct slice name);
const struct jinja_row *jinja_function_find(struct slice name);
const struct jinja_row *jinja_method_find(enum jinja_kind kind, enum jinja_flavor flavor, struct slice name);

// Fails the render ("line N: ..."), first error wins; returns an undefined value. A template can be wrong or
// its data not what it expects (ERR_FORMAT), use what drover lacks (ERR_UNSUPPORTED), raise (ERR_INVALID) or
// be too large (ERR_TOO_LARGE).
struct jinja_value jinja_fail(struct jinja_run *r, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct jinja_value jinja_fail_undefined(struct jinja_run *r, struct jinja_value v);
// Counts steps; false once the render has failed or used up its bounds.
bool jinja_step(struct jinja_run *r, size_t n);
void *jinja_new(struct jinja_run *r, size_t size_bytes);           // as jinja_arena_new
void *jinja_alloc(struct jinja_run *r, size_t count, size_t size); // NULL after failing

// Sinks.
void jinja_put(struct jinja_run *r, struct jinja_sink *s, const void *bytes, size_t n);
void jinja_put_slice(struct jinja_run *r, struct jinja_sink *s, struct slice text);
void jinja_put_str(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v);  // Python's str()
void jinja_put_repr(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v); // Python's repr()
void jinja_put_float(struct jinja_run *r, struct jinja_sink *s, double real);
void jinja_put_code_point(struct jinja_run *r, struct jinja_sink *s, uint32_t c);
struct jinja_value jinja_sink_text(struct jinja_run *r, struct jinja_sink *s); // the sink is used up

// Text of any value, str(); texts pass unchanged.
struct jinja_value jinja_str(struct jinja_run *r, struct jinja_value v);
struct jinja_value jinja_escape(struct jinja_run *r,
                                struct jinja_value v); // & < > " ' written for HTML, marked safe
// How many bytes of white space (Python's meaning) start or end the text; 0: none.
size_t jinja_space_at(struct slice text);
size_t jinja_space_before(struct slice text);
// Line ends as Python's splitlines() sees them: bytes up to the next one, and the bytes of the line end
// itself.
size_t jinja_line_length(struct slice text, size_t *end_bytes);

// Operations (jinja_ops.c).
bool jinja_truth(struct jinja_run *r, struct jinja_value v);
bool jinja_equals(struct jinja_run *r, struct jinja_value a, struct jinja_value b);
int jinja_compare(struct jinja_run *r, struct jinja_value a, struct jinja_value b,
                  const char *sign); // <0, 0, >0; 2: unordered
bool jinja_contains(struct jinja_run *r, struct jinja_value item, struct jinja_value in);
struct jinja_value jinja_binary(struct jinja_run *r, enum jinja_op op, struct jinja_value a,
                                struct jinja_value b);
struct jinja_value jinja_negate(struct jinja_run *r, struct jinja_value v, bool minus);
struct jinja_value jinja_percent(struct jinja_run *r, struct jinja_value format,
                                 struct jinja_value args); // text % args
bool jinja_as_int(struct jinja_value v, int64_t *out);     // of an int or bool
double jinja_as_real(struct jinja_value v);                // of a number

// Access (jinja_access.c).
struct jinja_value jinja_attr(struct jinja_run *r, struct jinja_value v, struct slice name);      // v.name
struct jinja_value jinja_item(struct jinja_run *r, struct jinja_value v, struct jinja_value key); // v[key]
// v[from:to:step]; parts that are not given are JINJA_NONE.
struct jinja_value jinja_cut(struct jinja_run *r, struct jinja_value v, const struct jinja_value part[3]);
// The items that a loop over v sees, as a list of their own; fails if v cannot be iterated.
struct jinja_list *jinja_items(struct jinja_run *r, struct jinja_value v);
size_t jinja_length(struct jinja_run *r, struct jinja_value v); // len(); fails without one

// JSON (jinja_json.c).
struct jinja_json_style {
    bool ascii, sort_keys;
    int64_t indent;           // -1: on one line
    struct slice indent_text; // used instead if at != NULL
    struct slice comma, colon;
};
void jinja_put_json(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v,
                    const struct jinja_json_style *style, int depth);

// Evaluation (jinja_eval.c, jinja_exec.c, jinja_call.c).
struct jinja_value jinja_eval(struct jinja_run *r, const struct jinja_node *node);
enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_node *list);
struct jinja_value jinja_call_node(struct jinja_run *r, const struct jinja_node *node,
                                   const struct jinja_keyword *extra);
struct jinja_value jinja_call_value(struct jinja_run *r, struct jinja_value callee,
                                    const struct jinja_args *args);
struct jinja_value jinja_filter_node(struct jinja_run *r, const struct jinja_node *node);
struct jinja_value jinja_test_node(struct jinja_run *r, const struct jinja_node *node);
struct jinja_value jinja_macro_new(struct jinja_run *r, const struct jinja_node *node);
struct jinja_value jinja_capture(struct jinja_run *r,
                                 const struct jinja_node *list); // what the statements print
void jinja_emit(struct jinja_run *r, struct slice text);

// Scopes (jinja_scope.c). The caller puts r->frame back.
void jinja_scope_enter(struct jinja_run *r, struct jinja_frame *parent);
struct jinja_value jinja_scope_get(struct jinja_run *r, const struct jinja_node *name);
void jinja_scope_set(struct jinja_run *r, uint32_t id, struct jinja_value value);
void jinja_scope_assign(struct jinja_run *r, const struct jinja_node *target,
                        struct jinja_value value); // unpacks

// Loops (jinja_loop.c).
enum jinja_flow jinja_loop_exec(struct jinja_run *r, const struct jinja_node *node);
// loop.index and the like; JINJA_MISSING: no such attribute.
struct jinja_value jinja_loop_attr(struct jinja_run *r, struct jinja_loop *loop, struct slice name);
struct jinja_value jinja_loop_cycle(struct jinja_run *r, const struct jinja_call *c);
struct jinja_value jinja_loop_changed(struct jinja_run *r, const struct jinja_call *c);
