// SPDX-License-Identifier: MIT
// What the two halves of the parser share: the position among the tokens, the first error, and the making of
// nodes.
#pragma once

#include "text/jinja_run.h"

struct jinja_parser {
    struct jinja_tree *tree;
    const struct jinja_token *tokens;
    size_t at;
    struct err *err;
    bool failed;
    int nesting;
    int loops;                 // for blocks that a break would leave
    struct jinja_node *macro;  // the innermost macro whose body is read
    struct jinja_node nothing; // returned after an error
};

// Sets the error with the current line and returns a node that may be used but means nothing.
struct jinja_node *jinja_parser_fail(struct jinja_parser *p, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_type type);
// Takes `child` into account for the depth of `parent`; returns child.
struct jinja_node *jinja_parser_adopt(struct jinja_parser *p, struct jinja_node *parent,
                                      struct jinja_node *child);
uint32_t jinja_parser_name(struct jinja_parser *p, struct slice name); // its id
bool jinja_parser_enter(struct jinja_parser *p);                       // false (failed) when nested too deep
void jinja_parser_leave(struct jinja_parser *p);

// After a failure every look is at the end of the source, so that no loop goes on.
const struct jinja_token *jinja_parser_look(const struct jinja_parser *p, size_t ahead);
bool jinja_parser_is_sign(const struct jinja_parser *p, const char *sign);
bool jinja_parser_is_word(const struct jinja_parser *p, const char *word);
bool jinja_parser_skip_sign(struct jinja_parser *p, const char *sign); // true: it was there and is taken
bool jinja_parser_skip_word(struct jinja_parser *p, const char *word);
void jinja_parser_expect_sign(struct jinja_parser *p, const char *sign);
struct slice jinja_parser_expect_name(struct jinja_parser *p);

// Expressions (jinja_expr.c).
struct jinja_node *jinja_expr(struct jinja_parser *p);                          // with the ternary
struct jinja_node *jinja_expr_or(struct jinja_parser *p);                       // without it
struct jinja_node *jinja_expr_tuple(struct jinja_parser *p, bool with_ternary); // a, b, ... without brackets
struct jinja_node *jinja_expr_primary(struct jinja_parser *p);
// `name(args)|name...` applied to `input`; the first bar is already taken if is_inside.
struct jinja_node *jinja_expr_filters(struct jinja_parser *p, struct jinja_node *input, bool is_inside);
