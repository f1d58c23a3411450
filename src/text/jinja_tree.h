// SPDX-License-Identifier: MIT
// The tree of a template: what the parser makes and the evaluator walks. Nodes live in the template's arena
// and never change.
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "text/jinja_arena.h"
#include "text/jinja_value.h"

enum {
    JINJA_SOURCE_BYTES = 1 << 20,
    JINJA_TREE_BYTES = 192 << 20,
    JINJA_NESTING = 150,    // brackets and blocks within each other
    JINJA_TREE_DEPTH = 500, // nodes within nodes; a chain a + b + c + ... is as deep as it is long
};

enum jinja_token_type {
    JINJA_TOKEN_END,
    JINJA_TOKEN_DATA,
    JINJA_TOKEN_BLOCK_BEGIN,
    JINJA_TOKEN_BLOCK_END,
    JINJA_TOKEN_PRINT_BEGIN,
    JINJA_TOKEN_PRINT_END,
    JINJA_TOKEN_NAME,
    JINJA_TOKEN_STRING, // with its quotes
    JINJA_TOKEN_INTEGER,
    JINJA_TOKEN_FLOAT,
    JINJA_TOKEN_SIGN, // an operator or bracket; the text says which
};

struct jinja_token {
    enum jinja_token_type type;
    uint32_t line;
    struct slice text;
};

// What each node uses. a, b, c: parts; list: a chain by `next`.
enum jinja_node_type {
    // expressions
    JINJA_NODE_CONST,   // value
    JINJA_NODE_NAME,    // name, id, row: the global function of that name or NULL
    JINJA_NODE_LIST,    // list
    JINJA_NODE_TUPLE,   // list
    JINJA_NODE_DICT,    // list: key, value, key, value, ...
    JINJA_NODE_COND,    // b ? a : c (c may be NULL)
    JINJA_NODE_AND,     // a, b
    JINJA_NODE_OR,      // a, b
    JINJA_NODE_NOT,     // a
    JINJA_NODE_MINUS,   // a
    JINJA_NODE_PLUS,    // a
    JINJA_NODE_BINARY,  // op, a, b
    JINJA_NODE_CONCAT,  // list
    JINJA_NODE_COMPARE, // a, list of PART
    JINJA_NODE_PART,    // op, a
    JINJA_NODE_ATTR,    // a, name
    JINJA_NODE_ITEM,    // a, b
    JINJA_NODE_CUT,     // a, and list: from, to, step (CONST none where not given)
    JINJA_NODE_CALL,    // a, list of ARG
    JINJA_NODE_ARG,     // a, op (how), name
    JINJA_NODE_FILTER,  // a, name, row, list of ARG
    JINJA_NODE_TEST,    // a, name, row, list of ARG
    JINJA_NODE_INPUT,   // what a filter block filters
    // statements
    JINJA_NODE_DATA,         // value
    JINJA_NODE_PRINT,        // a
    JINJA_NODE_IF,           // list of BRANCH
    JINJA_NODE_BRANCH,       // a (NULL: else), list
    JINJA_NODE_FOR,          // a target, b over what, c condition or NULL, list, other: else
    JINJA_NODE_SET,          // a target, b
    JINJA_NODE_SET_BLOCK,    // a target, b filters or NULL, list
    JINJA_NODE_NS_TARGET,    // id and name of the namespace, value: attribute
    JINJA_NODE_MACRO,        // name, id, other: list of PARAM, list, uses
    JINJA_NODE_PARAM,        // name, id, a default or NULL
    JINJA_NODE_CALL_BLOCK,   // a CALL, b MACRO of the body
    JINJA_NODE_FILTER_BLOCK, // a, list
    JINJA_NODE_WITH,         // other: list of SET, list
    JINJA_NODE_SCOPE,        // list
    JINJA_NODE_BREAK,
    JINJA_NODE_CONTINUE,
};

enum jinja_op {
    JINJA_OP_NONE,
    JINJA_OP_ADD,
    JINJA_OP_SUB,
    JINJA_OP_MUL,
    JINJA_OP_DIV,
    JINJA_OP_FLOORDIV,
    JINJA_OP_MOD,
    JINJA_OP_POW,
    JINJA_OP_EQ,
    JINJA_OP_NE,
    JINJA_OP_LT,
    JINJA_OP_LE,
    JINJA_OP_GT,
    JINJA_OP_GE,
    JINJA_OP_IN,
    JINJA_OP_NOT_IN,
    JINJA_OP_ARG_PLAIN,
    JINJA_OP_ARG_KEYWORD,
    JINJA_OP_ARG_SPREAD,
    JINJA_OP_ARG_SPREAD_KEYWORDS,
};

// Names that a macro may read without declaring them.
enum { JINJA_USES_VARARGS = 1, JINJA_USES_KWARGS = 2, JINJA_USES_CALLER = 4 };

struct jinja_row;

struct jinja_node {
    enum jinja_node_type type;
    enum jinja_op op;
    uint32_t line;
    uint32_t id; // of name, in the table of names
    uint32_t uses;
    uint32_t depth;
    struct jinja_node *next;
    struct jinja_node *a, *b, *c, *list, *other;
    struct slice name;
    struct jinja_value value;
    const struct jinja_row *row; // NULL: unknown, an error when reached
};

struct jinja_tree {
    struct jinja_arena arena;
    struct jinja_node *body;
    struct map names; // of variables, to ids
    uint32_t n_names;
};

// The names that the parser itself knows of, first in the table.
enum { JINJA_NAME_LOOP, JINJA_NAME_VARARGS, JINJA_NAME_KWARGS, JINJA_NAME_CALLER, JINJA_NAME_COUNT };

// Cuts the source (line ends already made "\n") into tokens. Returns the array, its last one JINJA_TOKEN_END,
// or NULL.
struct jinja_token *jinja_lex(struct jinja_arena *arena, struct slice source, size_t *n_tokens,
                              struct err *err);

// Both parse into *tree, which is freed by jinja_tree_fini in either case.
int jinja_parse(struct jinja_tree *tree, struct slice source, struct err *err);
void jinja_tree_fini(struct jinja_tree *tree);
