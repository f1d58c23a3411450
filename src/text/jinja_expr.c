// SPDX-License-Identifier: MIT
// Expressions: recursive descent in jinja2's order of binding: ternary, or, and, not, comparison, + -, ~, * /
// // %, **, sign, then what follows a value (.name [item] (call) |filter `is` test). Depth is bounded by
// jinja_parser_enter and by the depth of the tree.
#include <assert.h>
#include <ctype.h>
#include <errno.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_parser.h"

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filter);

static bool is_type(const struct jinja_parser *p, enum jinja_token_type type)
{
    return jinja_parser_look(p, 0)->type == type;
}

static struct jinja_node *make_const(struct jinja_parser *p, struct jinja_value value)
{
    struct jinja_node *n = jinja_parser_node(p, JINJA_NODE_CONST);
    n->value = value;
    return n;
}

static struct jinja_value make_text(struct jinja_parser *p, struct slice bytes)
{
    struct jinja_text *t = jinja_arena_new(&p->tree->arena, sizeof *t);
    *t = (struct jinja_text){bytes.at, bytes.n, utf8_count(bytes), NULL};
    return (struct jinja_value){.kind = JINJA_TEXT, .text = t};
}

static struct jinja_node *unexpected(struct jinja_parser *p)
{
    const struct jinja_token *t = jinja_parser_look(p, 0);
    if (t->type == JINJA_TOKEN_END)
        return jinja_parser_fail(p, ERR_FORMAT, "unexpected end of template");
    return jinja_parser_fail(p, ERR_FORMAT, "unexpected '%.*s'", (int)MIN(t->text.n, 40), t->text.at);
}

// ---- literals ----

// The value of a hexadecimal digit; another character's is larger than any base.
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

// Up to `max` hexadecimal (or octal) digits at *at; false if there are fewer than `min`.
static bool read_digits(struct slice s, size_t *at, int base, int min, int max, uint32_t *out)
{
    int n = 0;
    for (*out = 0; n < max && *at < s.n; n++, (*at)++) {
        int digit = digit_of(s.at[*at]);
        if (digit >= base)
            break;
        *out = *out * (uint32_t)base + (uint32_t)digit;
    }
    return n >= min;
}

// The escape that starts after the backslash at s.at[*at]. Writes at most 4 bytes; false: broken.
static bool read_escape(struct slice s, size_t *at, char out[4], size_t *n_out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = s.at[*at];
    const char *simple = c != 0 ? strchr(from, c) : NULL;
    uint32_t code = 0;
    *n_out = 1;
    if (simple != NULL) {
        out[0] = to[simple - from];
        (*at)++;
        return true;
    }
    if (c == '\n') { // a line that goes on
        *n_out = 0;
        (*at)++;
        return true;
    }
    if (c >= '0' && c <= '7') {
        read_digits(s, at, 8, 1, 3, &code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        int n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        (*at)++;
        if (!read_digits(s, at, 16, n, n, &code))
            return false;
    } else if (c == 'N') {
        return false; // names of characters
    } else {          // unknown: the backslash stays
        out[0] = '\\';
        return true;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return false;
    *n_out = utf8_encode(code, out);
    return true;
}

// Appends the text between the quotes to out, which has room for as many bytes.
static bool decode_string(struct slice quoted, char *out, size_t *n)
{
    struct slice s = slice_make(quoted.at + 1, quoted.n - 2);
    for (size_t i = 0; i < s.n;) {
        if (s.at[i] != '\\') {
            out[(*n)++] = s.at[i++];
            continue;
        }
        char bytes[4];
        size_t n_bytes;
        i++;
        if (i >= s.n || !read_escape(s, &i, bytes, &n_bytes))
            return false;
        memcpy(out + *n, bytes, n_bytes);
        *n += n_bytes;
    }
    return true;
}

// One string literal or several side by side.
static struct jinja_node *parse_string(struct jinja_parser *p)
{
    size_t size = 0, n = 0, count = 0;
    while (jinja_parser_look(p, count)->type == JINJA_TOKEN_STRING)
        size += jinja_parser_look(p, count++)->text.n;
    char *bytes = jinja_arena_try(&p->tree->arena, size);
    if (bytes == NULL)
        return jinja_parser_fail(p, ERR_TOO_LARGE, "the template is too large");
    for (size_t i = 0; i < count; i++)
        if (!decode_string(jinja_parser_look(p, i)->text, bytes, &n))
            return jinja_parser_fail(p, ERR_FORMAT, "a broken escape in a string");
    struct jinja_node *node = make_const(p, make_text(p, slice_make(bytes, n)));
    p->at += count;
    return node;
}

static struct jinja_node *parse_number(struct jinja_parser *p)
{
    struct slice t = jinja_parser_look(p, 0)->text;
    bool is_float = is_type(p, JINJA_TOKEN_FLOAT);
    char digits[400];
    size_t n = 0;
    for (size_t i = 0; i < t.n && n < sizeof digits - 1; i++)
        if (t.at[i] != '_')
            digits[n++] = t.at[i];
    digits[n] = 0;
    if (n == sizeof digits - 1)
        return jinja_parser_fail(p, ERR_UNSUPPORTED, "a number of so many digits");
    if (is_float) {
        p->at++;
        return make_const(p, jinja_float(strtod(digits, NULL)));
    }
    char prefix = n > 1 ? (char)tolower((unsigned char)digits[1]) : 0;
    int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    char *end;
    errno = 0;
    long long value = strtoll(digits + (base == 10 ? 0 : 2), &end, base);
    if (errno == ERANGE)
        return jinja_parser_fail(p, ERR_UNSUPPORTED, "integer %s, beyond 64 bits,", digits);
    if (*end != 0 || (base == 10 && n > 1 && digits[0] == '0' && value != 0))
        return unexpected(p);
    p->at++;
    return make_const(p, jinja_int(value));
}

// ---- brackets ----

// Expressions up to the closing sign as a list of `type`; a comma at the end is allowed.
static struct jinja_node *parse_items(struct jinja_parser *p, enum jinja_node_type type, const char *close)
{
    struct jinja_node *node = jinja_parser_node(p, type), **tail = &node->list;
    p->at++;
    while (!p->failed && !jinja_parser_is_sign(p, close)) {
        *tail = jinja_parser_adopt(p, node, jinja_expr(p));
        tail = &(*tail)->next;
        if (type == JINJA_NODE_DICT) {
            jinja_parser_expect_sign(p, ":");
            *tail = jinja_parser_adopt(p, node, jinja_expr(p));
            tail = &(*tail)->next;
        }
        if (!jinja_parser_is_sign(p, close))
            jinja_parser_expect_sign(p, ",");
    }
    jinja_parser_expect_sign(p, close);
    return node;
}

static struct jinja_node *parse_round(struct jinja_parser *p)
{
    p->at++;
    struct jinja_node *node;
    if (jinja_parser_is_sign(p, ")"))
        node = jinja_parser_node(p, JINJA_NODE_TUPLE);
    else
        node = jinja_expr_tuple(p, true);
    jinja_parser_expect_sign(p, ")");
    return node;
}

static struct jinja_node *parse_name(struct jinja_parser *p)
{
    struct slice name = jinja_parser_look(p, 0)->text;
    static const struct {
        const char *word;
        struct jinja_value value;
    } words[] = {{"true", {.kind = JINJA_BOOL, .flag = true}},
                 {"True", {.kind = JINJA_BOOL, .flag = true}},
                 {"false", {.kind = JINJA_BOOL, .flag = false}},
                 {"False", {.kind = JINJA_BOOL, .flag = false}},
                 {"none", {.kind = JINJA_NONE}},
                 {"None", {.kind = JINJA_NONE}}};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (slice_is(name, words[i].word)) {
            struct jinja_node *node = make_const(p, words[i].value);
            p->at++;
            return node;
        }
    }
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_NAME);
    node->name = name;
    node->id = jinja_parser_name(p, name);
    node->row = jinja_function_find(name);
    if (p->macro != NULL && node->id >= JINJA_NAME_VARARGS && node->id <= JINJA_NAME_CALLER)
        p->macro->uses |= 1u << (node->id - JINJA_NAME_VARARGS);
    p->at++;
    return node;
}

struct jinja_node *jinja_expr_primary(struct jinja_parser *p)
{
    if (!jinja_parser_enter(p))
        return &p->nothing;
    struct jinja_node *node;
    if (is_type(p, JINJA_TOKEN_NAME))
        node = parse_name(p);
    else if (is_type(p, JINJA_TOKEN_STRING))
        node = parse_string(p);
    else if (is_type(p, JINJA_TOKEN_INTEGER) || is_type(p, JINJA_TOKEN_FLOAT))
        node = parse_number(p);
    else if (jinja_parser_is_sign(p, "("))
        node = parse_round(p);
    else if (jinja_parser_is_sign(p, "["))
        node = parse_items(p, JINJA_NODE_LIST, "]");
    else if (jinja_parser_is_sign(p, "{"))
        node = parse_items(p, JINJA_NODE_DICT, "}");
    else
        node = unexpected(p);
    jinja_parser_leave(p);
    return node;
}

// ---- what follows a value ----

static bool at_end_of_part(const struct jinja_parser *p)
{
    return jinja_parser_is_sign(p, ":") || jinja_parser_is_sign(p, "]") || jinja_parser_is_sign(p, ",");
}

static struct jinja_node *parse_attr(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_ATTR);
    p->at++;
    node->a = jinja_parser_adopt(p, node, of);
    if (is_type(p, JINJA_TOKEN_INTEGER)) {
        node->type = JINJA_NODE_ITEM;
        node->b = parse_number(p);
        return node;
    }
    node->name = jinja_parser_expect_name(p);
    return node;
}

static struct jinja_node *parse_subscript(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_ITEM);
    p->at++;
    node->a = jinja_parser_adopt(p, node, of);
    struct jinja_node *first = NULL;
    if (!jinja_parser_is_sign(p, ":"))
        first = jinja_parser_adopt(p, node, jinja_expr(p));
    if (jinja_parser_is_sign(p, ":")) {
        node->type = JINJA_NODE_CUT;
        node->list = first != NULL ? first : make_const(p, jinja_none());
        struct jinja_node **tail = &node->list->next;
        for (int i = 0; i < 2; i++) {
            bool is_given = jinja_parser_skip_sign(p, ":") && !at_end_of_part(p);
            *tail = is_given ? jinja_parser_adopt(p, node, jinja_expr(p)) : make_const(p, jinja_none());
            tail = &(*tail)->next;
        }
    } else if (jinja_parser_is_sign(p, ",")) {
        return jinja_parser_fail(p, ERR_UNSUPPORTED, "a subscript of several parts");
    } else {
        node->b = first;
    }
    jinja_parser_expect_sign(p, "]");
    return node;
}

static struct jinja_node *parse_arg(struct jinja_parser *p, struct jinja_node *call)
{
    struct jinja_node *arg = jinja_parser_node(p, JINJA_NODE_ARG);
    const struct jinja_token *second = jinja_parser_look(p, 1);
    if (jinja_parser_skip_sign(p, "**")) {
        arg->op = JINJA_OP_ARG_SPREAD_KEYWORDS;
    } else if (jinja_parser_skip_sign(p, "*")) {
        arg->op = JINJA_OP_ARG_SPREAD;
    } else if (is_type(p, JINJA_TOKEN_NAME) && second->type == JINJA_TOKEN_SIGN &&
               slice_is(second->text, "=")) {
        arg->op = JINJA_OP_ARG_KEYWORD;
        arg->name = jinja_parser_look(p, 0)->text;
        p->at += 2;
    } else {
        arg->op = JINJA_OP_ARG_PLAIN;
    }
    arg->a = jinja_parser_adopt(p, arg, jinja_expr(p));
    return jinja_parser_adopt(p, call, arg);
}

// (a, b, name=c, *d, **e): kinds must come in this order.
static void parse_args(struct jinja_parser *p, struct jinja_node *call)
{
    struct jinja_node **tail = &call->list;
    enum jinja_op last = JINJA_OP_ARG_PLAIN;
    p->at++;
    while (!p->failed && !jinja_parser_is_sign(p, ")")) {
        struct jinja_node *arg = parse_arg(p, call);
        bool is_fine =
            arg->op == JINJA_OP_ARG_PLAIN ? last == JINJA_OP_ARG_PLAIN : last != JINJA_OP_ARG_SPREAD_KEYWORDS;
        if (!is_fine)
            jinja_parser_fail(p, ERR_FORMAT, "invalid syntax for function call expression");
        last = arg->op;
        *tail = arg;
        tail = &arg->next;
        if (!jinja_parser_is_sign(p, ")"))
            jinja_parser_expect_sign(p, ",");
    }
    jinja_parser_expect_sign(p, ")");
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *callee)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_CALL);
    node->a = jinja_parser_adopt(p, node, callee);
    parse_args(p, node);
    return node;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *node)
{
    while (!p->failed) {
        if (jinja_parser_is_sign(p, "."))
            node = parse_attr(p, node);
        else if (jinja_parser_is_sign(p, "["))
            node = parse_subscript(p, node);
        else if (jinja_parser_is_sign(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

struct jinja_node *jinja_expr_filters(struct jinja_parser *p, struct jinja_node *input, bool is_inside)
{
    while (!p->failed && (is_inside || jinja_parser_skip_sign(p, "|"))) {
        struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_FILTER);
        is_inside = false;
        node->name = jinja_parser_expect_name(p);
        node->row = jinja_filter_find(node->name);
        node->a = jinja_parser_adopt(p, node, input);
        if (jinja_parser_is_sign(p, "("))
            parse_args(p, node);
        input = node;
    }
    return input;
}

// A test may take one argument without brackets: `x is divisibleby 3`.
static bool at_bare_argument(const struct jinja_parser *p)
{
    switch (jinja_parser_look(p, 0)->type) {
    case JINJA_TOKEN_NAME:
        return !jinja_parser_is_word(p, "else") && !jinja_parser_is_word(p, "or") &&
               !jinja_parser_is_word(p, "and");
    case JINJA_TOKEN_STRING:
    case JINJA_TOKEN_INTEGER:
    case JINJA_TOKEN_FLOAT:
        return true;
    default:
        return jinja_parser_is_sign(p, "[") || jinja_parser_is_sign(p, "{");
    }
}

static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_TEST), *negation = NULL;
    p->at++; // is
    if (jinja_parser_skip_word(p, "not"))
        negation = jinja_parser_node(p, JINJA_NODE_NOT);
    node->name = jinja_parser_expect_name(p);
    node->row = jinja_test_find(node->name);
    node->a = jinja_parser_adopt(p, node, of);
    if (jinja_parser_is_sign(p, "(")) {
        parse_args(p, node);
    } else if (at_bare_argument(p)) {
        if (jinja_parser_is_word(p, "is"))
            return jinja_parser_fail(p, ERR_FORMAT, "tests cannot be chained with `is`");
        struct jinja_node *arg = jinja_parser_node(p, JINJA_NODE_ARG);
        arg->op = JINJA_OP_ARG_PLAIN;
        arg->a = jinja_parser_adopt(p, arg, parse_postfix(p, jinja_expr_primary(p)));
        node->list = jinja_parser_adopt(p, node, arg);
    }
    if (negation == NULL)
        return node;
    negation->a = jinja_parser_adopt(p, negation, node);
    return negation;
}

static struct jinja_node *parse_filters_and_tests(struct jinja_parser *p, struct jinja_node *node)
{
    while (!p->failed) {
        if (jinja_parser_is_sign(p, "|"))
            node = jinja_expr_filters(p, node, false);
        else if (jinja_parser_is_word(p, "is"))
            node = parse_test(p, node);
        else if (jinja_parser_is_sign(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

// ---- operators ----

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filter)
{
    if (!jinja_parser_enter(p))
        return &p->nothing;
    struct jinja_node *node;
    if (jinja_parser_is_sign(p, "-") || jinja_parser_is_sign(p, "+")) {
        node = jinja_parser_node(p, jinja_parser_is_sign(p, "-") ? JINJA_NODE_MINUS : JINJA_NODE_PLUS);
        p->at++;
        node->a = jinja_parser_adopt(p, node, parse_unary(p, false));
    } else {
        node = jinja_expr_primary(p);
    }
    node = parse_postfix(p, node);
    if (with_filter)
        node = parse_filters_and_tests(p, node);
    jinja_parser_leave(p);
    return node;
}

static struct jinja_node *parse_operand(struct jinja_parser *p)
{
    return parse_unary(p, true);
}

struct operator
{
    const char *sign;
    enum jinja_op op;
};

static const struct operator pow_operators[] = {{"**", JINJA_OP_POW}, {NULL, JINJA_OP_NONE}};
static const struct operator product_operators[] = {{"*", JINJA_OP_MUL},
                                                    {"/", JINJA_OP_DIV},
                                                    {"//", JINJA_OP_FLOORDIV},
                                                    {"%", JINJA_OP_MOD},
                                                    {NULL, JINJA_OP_NONE}};
static const struct operator sum_operators[] = {
    {"+", JINJA_OP_ADD}, {"-", JINJA_OP_SUB}, {NULL, JINJA_OP_NONE}};
static const struct operator compare_operators[] = {
    {"==", JINJA_OP_EQ}, {"!=", JINJA_OP_NE}, {"<", JINJA_OP_LT},   {"<=", JINJA_OP_LE},
    {">", JINJA_OP_GT},  {">=", JINJA_OP_GE}, {NULL, JINJA_OP_NONE}};

static enum jinja_op operator_at(const struct jinja_parser *p, const struct operator* table)
{
    for (; table->sign != NULL; table++)
        if (jinja_parser_is_sign(p, table->sign))
            return table->op;
    return JINJA_OP_NONE;
}

typedef struct jinja_node *parse_fn(struct jinja_parser *p);

// a op b op c ..., grouped from the left.
static struct jinja_node *parse_chain(struct jinja_parser *p, parse_fn *operand, const struct operator* table)
{
    struct jinja_node *left = operand(p);
    enum jinja_op op;
    while ((op = operator_at(p, table)) != JINJA_OP_NONE) {
        struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_BINARY);
        node->op = op;
        p->at++;
        node->a = jinja_parser_adopt(p, node, left);
        node->b = jinja_parser_adopt(p, node, operand(p));
        left = node;
    }
    return left;
}

static struct jinja_node *parse_pow(struct jinja_parser *p)
{
    return parse_chain(p, parse_operand, pow_operators);
}

static struct jinja_node *parse_product(struct jinja_parser *p)
{
    return parse_chain(p, parse_pow, product_operators);
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
    struct jinja_node *first = parse_product(p);
    if (!jinja_parser_is_sign(p, "~"))
        return first;
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_CONCAT);
    node->list = jinja_parser_adopt(p, node, first);
    struct jinja_node **tail = &first->next;
    while (jinja_parser_skip_sign(p, "~")) {
        *tail = jinja_parser_adopt(p, node, parse_product(p));
        tail = &(*tail)->next;
    }
    return node;
}

static struct jinja_node *parse_sum(struct jinja_parser *p)
{
    return parse_chain(p, parse_concat, sum_operators);
}

static enum jinja_op take_comparison(struct jinja_parser *p)
{
    enum jinja_op op = operator_at(p, compare_operators);
    const struct jinja_token *second = jinja_parser_look(p, 1);
    if (op != JINJA_OP_NONE) {
        p->at++;
    } else if (jinja_parser_skip_word(p, "in")) {
        op = JINJA_OP_IN;
    } else if (jinja_parser_is_word(p, "not") && second->type == JINJA_TOKEN_NAME &&
               slice_is(second->text, "in")) {
        op = JINJA_OP_NOT_IN;
        p->at += 2;
    }
    return op;
}

static struct jinja_node *parse_compare(struct jinja_parser *p)
{
    struct jinja_node *first = parse_sum(p);
    enum jinja_op op = take_comparison(p);
    if (op == JINJA_OP_NONE)
        return first;
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_COMPARE), **tail = &node->list;
    node->a = jinja_parser_adopt(p, node, first);
    for (; op != JINJA_OP_NONE; op = take_comparison(p)) {
        struct jinja_node *part = jinja_parser_node(p, JINJA_NODE_PART);
        part->op = op;
        part->a = jinja_parser_adopt(p, part, parse_sum(p));
        *tail = jinja_parser_adopt(p, node, part);
        tail = &part->next;
    }
    return node;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
    if (!jinja_parser_is_word(p, "not"))
        return parse_compare(p);
    if (!jinja_parser_enter(p))
        return &p->nothing;
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_NOT);
    p->at++;
    node->a = jinja_parser_adopt(p, node, parse_not(p));
    jinja_parser_leave(p);
    return node;
}

static struct jinja_node *parse_words(struct jinja_parser *p, parse_fn *operand, const char *word,
                                      enum jinja_node_type type)
{
    struct jinja_node *left = operand(p);
    while (jinja_parser_is_word(p, word)) {
        struct jinja_node *node = jinja_parser_node(p, type);
        p->at++;
        node->a = jinja_parser_adopt(p, node, left);
        node->b = jinja_parser_adopt(p, node, operand(p));
        left = node;
    }
    return left;
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
    return parse_words(p, parse_not, "and", JINJA_NODE_AND);
}

struct jinja_node *jinja_expr_or(struct jinja_parser *p)
{
    return parse_words(p, parse_and, "or", JINJA_NODE_OR);
}

struct jinja_node *jinja_expr(struct jinja_parser *p)
{
    if (!jinja_parser_enter(p))
        return &p->nothing;
    struct jinja_node *node = jinja_expr_or(p);
    while (jinja_parser_is_word(p, "if")) {
        struct jinja_node *cond = jinja_parser_node(p, JINJA_NODE_COND);
        p->at++;
        cond->a = jinja_parser_adopt(p, cond, node);
        cond->b = jinja_parser_adopt(p, cond, jinja_expr_or(p));
        if (jinja_parser_skip_word(p, "else"))
            cond->c = jinja_parser_adopt(p, cond, jinja_expr(p));
        node = cond;
    }
    jinja_parser_leave(p);
    return node;
}

static bool at_tuple_end(const struct jinja_parser *p)
{
    enum jinja_token_type type = jinja_parser_look(p, 0)->type;
    return type == JINJA_TOKEN_PRINT_END || type == JINJA_TOKEN_BLOCK_END || type == JINJA_TOKEN_END ||
           jinja_parser_is_sign(p, ")") || jinja_parser_is_word(p, "recursive");
}

struct jinja_node *jinja_expr_tuple(struct jinja_parser *p, bool with_ternary)
{
    struct jinja_node *first = with_ternary ? jinja_expr(p) : jinja_expr_or(p);
    if (!jinja_parser_is_sign(p, ","))
        return first;
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_TUPLE);
    node->list = jinja_parser_adopt(p, node, first);
    struct jinja_node **tail = &first->next;
    while (jinja_parser_skip_sign(p, ",") && !at_tuple_end(p)) {
        *tail = jinja_parser_adopt(p, node, with_ternary ? jinja_expr(p) : jinja_expr_or(p));
        tail = &(*tail)->next;
    }
    return node;
}
