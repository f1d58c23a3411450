// SPDX-License-Identifier: MIT
// The tree of a Go template: what the parser makes and the executor walks. Nodes live in the template's
// arena, the source is copied there too: an error at run time names line, column and text of the node it
// happened at.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/strbuf.h"
#include "text/jinja_arena.h"

enum {
    GOTMPL_SOURCE_BYTES = 1 << 20,
    GOTMPL_TREE_BYTES = 64 << 20,
    GOTMPL_NESTING = 150, // blocks and parentheses within each other
};

enum gotmpl_token_type {
    GOTMPL_TOKEN_ERROR, // text: what is wrong
    GOTMPL_TOKEN_EOF,
    GOTMPL_TOKEN_BOOL,
    GOTMPL_TOKEN_CHAR, // a printable ASCII character that means nothing by itself
    GOTMPL_TOKEN_CHAR_CONSTANT,
    GOTMPL_TOKEN_COMPLEX,
    GOTMPL_TOKEN_ASSIGN,
    GOTMPL_TOKEN_DECLARE,
    GOTMPL_TOKEN_FIELD,
    GOTMPL_TOKEN_IDENTIFIER,
    GOTMPL_TOKEN_LEFT_DELIM,
    GOTMPL_TOKEN_LEFT_PAREN,
    GOTMPL_TOKEN_NUMBER,
    GOTMPL_TOKEN_PIPE,
    GOTMPL_TOKEN_RAW_STRING,
    GOTMPL_TOKEN_RIGHT_DELIM,
    GOTMPL_TOKEN_RIGHT_PAREN,
    GOTMPL_TOKEN_SPACE,
    GOTMPL_TOKEN_STRING, // with its quotes
    GOTMPL_TOKEN_TEXT,
    GOTMPL_TOKEN_VARIABLE,
    GOTMPL_TOKEN_KEYWORD, // every type from here on is one
    GOTMPL_TOKEN_BLOCK = GOTMPL_TOKEN_KEYWORD,
    GOTMPL_TOKEN_BREAK,
    GOTMPL_TOKEN_CONTINUE,
    GOTMPL_TOKEN_DOT,
    GOTMPL_TOKEN_DEFINE,
    GOTMPL_TOKEN_ELSE,
    GOTMPL_TOKEN_END,
    GOTMPL_TOKEN_IF,
    GOTMPL_TOKEN_NIL,
    GOTMPL_TOKEN_RANGE,
    GOTMPL_TOKEN_TEMPLATE,
    GOTMPL_TOKEN_WITH,
};

struct gotmpl_token {
    enum gotmpl_token_type type;
    uint32_t at, line;
    struct slice text;
};

struct gotmpl_lexer {
    struct slice input;
    size_t pos, start;
    uint32_t line, start_line;
    int paren_depth;
    bool is_inside; // an action
    char message[160];
};

// The next token; after an error only the end.
struct gotmpl_token gotmpl_lex(struct gotmpl_lexer *l);

enum gotmpl_node_type {
    GOTMPL_NODE_TEXT,     // text
    GOTMPL_NODE_LIST,     // list
    GOTMPL_NODE_ACTION,   // pipe
    GOTMPL_NODE_IF,       // pipe, body, other: a LIST or NULL
    GOTMPL_NODE_WITH,     // the same
    GOTMPL_NODE_RANGE,    // the same
    GOTMPL_NODE_TEMPLATE, // text: name, pipe or NULL
    GOTMPL_NODE_BREAK,
    GOTMPL_NODE_CONTINUE,
    GOTMPL_NODE_ELSE,       // only while parsing
    GOTMPL_NODE_END,        // only while parsing
    GOTMPL_NODE_PIPE,       // declares: VARIABLEs, list: COMMANDs, flag: `=` instead of `:=`
    GOTMPL_NODE_COMMAND,    // list: arguments, the first is what is evaluated
    GOTMPL_NODE_IDENTIFIER, // text, row
    GOTMPL_NODE_FIELD,      // names
    GOTMPL_NODE_VARIABLE,   // names, the first with its dollar sign
    GOTMPL_NODE_CHAIN,      // pipe: what the fields are of, names
    GOTMPL_NODE_DOT,
    GOTMPL_NODE_NIL,
    GOTMPL_NODE_BOOL,   // flag
    GOTMPL_NODE_NUMBER, // quoted, number
    GOTMPL_NODE_STRING, // text, quoted
};

// An ideal constant: the value under all the kinds that can hold it.
struct gotmpl_number {
    bool is_int, is_uint, is_float, is_char;
    int64_t integer;
    double real;
};

struct gotmpl_row;

struct gotmpl_node {
    enum gotmpl_node_type type;
    bool flag;
    uint32_t at; // byte of the source
    uint32_t n_names;
    struct gotmpl_node *next;
    struct gotmpl_node *list, *declares, *pipe, *body, *other;
    struct slice *names;
    struct slice text, quoted; // quoted: as the source has it
    struct gotmpl_number number;
    const struct gotmpl_row *row;
};

struct gotmpl_def {
    struct slice name;
    struct gotmpl_node *root; // a LIST
    struct gotmpl_def *next;
};

struct gotmpl_tree {
    struct jinja_arena arena;
    struct slice source;
    struct gotmpl_def *defs;
    struct gotmpl_node *root; // of the template without a name
};

// Parses into *tree, which is freed by gotmpl_tree_fini in either case. ERR_FORMAT, in Go's words.
int gotmpl_parse(struct gotmpl_tree *tree, struct slice source, struct err *err);
void gotmpl_tree_fini(struct gotmpl_tree *tree);
const struct gotmpl_def *gotmpl_def_find(const struct gotmpl_tree *tree, struct slice name);
struct gotmpl_node *gotmpl_node_new(struct gotmpl_tree *tree, enum gotmpl_node_type type, size_t at);

// Literals. Both set *err without position; ERR_TOO_LARGE when the tree's memory is full.
int gotmpl_unquote(struct gotmpl_tree *tree, struct slice quoted, struct slice *out, struct err *err);
int gotmpl_read_number(struct gotmpl_number *out, const struct gotmpl_token *token, struct err *err);

// The text of a node as Go prints it, for messages.
void gotmpl_put_node(struct strbuf *out, const struct gotmpl_node *node);
// Go's quoted form of a text (strconv.Quote).
void gotmpl_put_quoted(struct strbuf *out, struct slice text);
void gotmpl_put_quoted_char(struct strbuf *out, uint32_t code_point);
bool gotmpl_is_printable(uint32_t code_point);

// What Ollama reads off a template without running it.
struct slice gotmpl_find_tool_tag(const struct gotmpl_tree *tree);
void gotmpl_find_thinking_tags(const struct gotmpl_tree *tree, struct slice *opening, struct slice *closing);
bool gotmpl_mentions(const struct gotmpl_tree *tree, const char *name); // in any case of its letters
bool gotmpl_has_text(const struct gotmpl_tree *tree, const char *text); // as a literal
// Removes all that follows the first `.Response` of the main template.
void gotmpl_cut_after_response(struct gotmpl_tree *tree);
