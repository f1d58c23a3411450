// SPDX-License-Identifier: MIT
// Parsed into nodes first, because a counted repeat writes its part several times; then written as an NFA.
#include "text/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum node_kind { NODE_EMPTY, NODE_SET, NODE_SEQUENCE, NODE_EITHER, NODE_REPEAT };

struct node {
    enum node_kind kind;
    uint32_t a, b; // parts; NODE_SET: first range and how many
    uint32_t min, max;
};

struct range {
    uint32_t lo, hi;
};

struct parser {
    struct slice text;
    size_t at;
    struct node *nodes;
    struct range *ranges;
    uint32_t n_nodes, node_capacity, n_ranges, range_capacity, depth;
    struct err *err;
    bool failed;
};

static const struct range digit[] = {{'0', '9'}};
static const struct range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct range space[] = {{9, 13},          {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                                     {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                     {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
static const struct range line_end[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static uint32_t fail(struct parser *p, const char *what)
{
    if (!p->failed)
        err_set(p->err, ERR_INVALID, "%s at byte %zu", what, p->at);
    p->failed = true;
    return 0;
}

static bool has(const struct parser *p, const char *text)
{
    return !p->failed && slice_starts_with(slice_make(p->text.at + p->at, p->text.n - p->at), slice_of(text));
}

static bool take(struct parser *p, const char *text)
{
    bool is_there = has(p, text);
    if (is_there)
        p->at += strlen(text);
    return is_there;
}

static bool is_at_end(const struct parser *p)
{
    return p->failed || p->at >= p->text.n;
}

static uint32_t next_char(struct parser *p)
{
    uint32_t c = 0;
    if (is_at_end(p))
        return fail(p, "it ends too early");
    p->at += utf8_decode(p->text.at + p->at, p->text.n - p->at, &c);
    return c == UTF8_INVALID ? fail(p, "no valid UTF-8") : c;
}

static uint32_t add_node(struct parser *p, struct node node)
{
    if (p->n_nodes == p->node_capacity) {
        p->node_capacity = MAX(32, p->node_capacity * 2);
        p->nodes = xrealloc(p->nodes, p->node_capacity * sizeof *p->nodes);
    }
    p->nodes[p->n_nodes] = node;
    return p->n_nodes++;
}

static void add_range(struct parser *p, uint32_t lo, uint32_t hi)
{
    if (p->n_ranges == p->range_capacity) {
        p->range_capacity = MAX(32, p->range_capacity * 2);
        p->ranges = xrealloc(p->ranges, p->range_capacity * sizeof *p->ranges);
    }
    p->ranges[p->n_ranges++] = (struct range){lo, hi};
}

// ---- Sets ----

static int by_lo(const void *va, const void *vb)
{
    const struct range *a = va, *b = vb;
    return (a->lo > b->lo) - (a->lo < b->lo);
}

// The ranges from `first` on become what they leave out.
static void invert(struct parser *p, uint32_t first)
{
    uint32_t n = p->n_ranges - first, next = 0;
    struct range *old = xcalloc(n + 1ul, sizeof *old);
    if (n > 0)
        memcpy(old, p->ranges + first, n * sizeof *old);
    qsort(old, n, sizeof *old, by_lo);
    p->n_ranges = first;
    for (uint32_t i = 0; i < n; i++) {
        if (old[i].lo > next)
            add_range(p, next, old[i].lo - 1);
        next = MAX(next, old[i].hi + 1);
    }
    if (next <= CODE_POINT_MAX)
        add_range(p, next, CODE_POINT_MAX);
    free(old);
}

static void add_known(struct parser *p, const struct range *ranges, size_t n, bool inverted)
{
    uint32_t first = p->n_ranges;
    for (size_t i = 0; i < n; i++)
        add_range(p, ranges[i].lo, ranges[i].hi);
    if (inverted)
        invert(p, first);
}

static uint32_t hex(struct parser *p, int n_digits)
{
    uint32_t value = 0;
    for (int i = 0; i < n_digits; i++) {
        uint32_t c = next_char(p) | 0x20;
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else
            fail(p, "not a hexadecimal digit");
    }
    return value;
}

static uint32_t braced_hex(struct parser *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 8 && !has(p, "}"); i++)
        value = value * 16 + hex(p, 1);
    if (!take(p, "}") || value > CODE_POINT_MAX)
        fail(p, "not a code point");
    return value;
}

static uint32_t utf16(struct parser *p)
{
    uint32_t high = hex(p, 4);
    if (high >= 0xD800 && high < 0xDC00 && take(p, "\\u"))
        return 0x10000 + ((high - 0xD800) << 10) + ((hex(p, 4) - 0xDC00) & 0x3FF);
    return high;
}

// After the backslash: a class adds its ranges and gives false, a single character is put out.
static bool escaped_char(struct parser *p, uint32_t *c)
{
    static const char names[] = "tnrfv0", values[] = "\t\n\r\f\v";
    *c = next_char(p);
    switch (*c) {
    case 'd':
    case 'D':
        add_known(p, digit, COUNT_OF(digit), *c == 'D');
        return false;
    case 'w':
    case 'W':
        add_known(p, word, COUNT_OF(word), *c == 'W');
        return false;
    case 's':
    case 'S':
        add_known(p, space, COUNT_OF(space), *c == 'S');
        return false;
    case 'x':
        *c = hex(p, 2);
        return true;
    case 'u':
        *c = take(p, "{") ? braced_hex(p) : utf16(p);
        return true;
    case 'c':
        *c = next_char(p) % 32;
        return true;
    default:
        break;
    }
    const char *known = *c < 128 && *c > 0 ? strchr(names, (int)*c) : NULL;
    if (known != NULL)
        *c = (uint32_t)values[known - names]; // the terminator is the last one's
    else if ((*c >= '1' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'))
        fail(p, *c == 'b' || *c == 'B'   ? "\\b and \\B are not supported"
                : *c == 'p' || *c == 'P' ? "\\p is not supported"
                : *c >= '1' && *c <= '9' ? "back references are not supported"
                                         : "an unknown escape");
    return true;
}

static uint32_t set_since(struct parser *p, uint32_t first)
{
    return add_node(p, (struct node){.kind = NODE_SET, .a = first, .b = p->n_ranges - first});
}

static bool class_item(struct parser *p, uint32_t *c)
{
    if (!take(p, "\\")) {
        *c = next_char(p);
        return true;
    }
    if (take(p, "b")) {
        *c = 8;
        return true;
    }
    return escaped_char(p, c);
}

static uint32_t parse_class(struct parser *p)
{
    uint32_t first = p->n_ranges, lo, hi;
    bool inverted = take(p, "^");
    while (!take(p, "]") && !p->failed) {
        if (!class_item(p, &lo))
            continue;
        hi = lo;
        if (has(p, "-") && !has(p, "-]")) {
            p->at++;
            if (!class_item(p, &hi))
                return fail(p, "a class as the end of a range");
            if (hi < lo)
                return fail(p, "a range from high to low");
        }
        add_range(p, lo, hi);
    }
    if (inverted)
        invert(p, first);
    return set_since(p, first);
}

// ---- Structure ----

static uint32_t parse_either(struct parser *p);

static uint32_t parse_group(struct parser *p)
{
    if (take(p, "?")) {
        bool is_plain = take(p, ":");
        if (!is_plain && (has(p, "=") || has(p, "!") || has(p, "<=") || has(p, "<!")))
            return fail(p, "look-around is not supported");
        if (!is_plain && !take(p, "<"))
            return fail(p, "an unknown kind of group");
        while (!is_plain && !take(p, ">") && !p->failed)
            next_char(p);
    }
    if (++p->depth > PATTERN_MAX_DEPTH)
        return fail(p, "groups are nested too deeply");
    uint32_t node = parse_either(p);
    p->depth--;
    if (!take(p, ")"))
        return fail(p, "a group is not closed");
    return node;
}

static uint32_t parse_atom(struct parser *p)
{
    uint32_t first = p->n_ranges, c;
    if (take(p, "("))
        return parse_group(p);
    if (take(p, "["))
        return parse_class(p);
    if (take(p, ".")) {
        add_known(p, line_end, COUNT_OF(line_end), true);
        return set_since(p, first);
    }
    if (has(p, "^") || has(p, "$"))
        return fail(p, "an anchor inside is not supported");
    if (has(p, "*") || has(p, "+") || has(p, "?"))
        return fail(p, "nothing to repeat");
    if (!take(p, "\\"))
        c = next_char(p);
    else if (!escaped_char(p, &c))
        return set_since(p, first);
    add_range(p, c, c);
    return set_since(p, first);
}

static bool parse_number(struct parser *p, uint32_t *n)
{
    size_t start = p->at;
    for (*n = 0; p->at < p->text.n && p->text.at[p->at] >= '0' && p->text.at[p->at] <= '9'; p->at++)
        *n = MIN(*n * 10 + (uint32_t)(p->text.at[p->at] - '0'), (uint32_t)PATTERN_MAX_COUNT + 1);
    return p->at > start;
}

// "{2}", "{2,}", "{2,5}"; anything else is text.
static bool parse_counts(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t start = p->at;
    if (!take(p, "{"))
        return false;
    bool is_count = parse_number(p, min);
    *max = *min;
    if (is_count && take(p, ",") && !parse_number(p, max))
        *max = UINT32_MAX;
    if (is_count && take(p, "}")) {
        if (*min > PATTERN_MAX_COUNT || (*max != UINT32_MAX && *max > PATTERN_MAX_COUNT))
            fail(p, "a count is too large");
        if (*max < *min)
            fail(p, "counts from high to low");
        return true;
    }
    p->at = start;
    return false;
}

static uint32_t parse_repeated(struct parser *p)
{
    uint32_t node = parse_atom(p), min = 0, max = UINT32_MAX;
    for (;;) {
        if (take(p, "*"))
            min = 0, max = UINT32_MAX;
        else if (take(p, "+"))
            min = 1, max = UINT32_MAX;
        else if (take(p, "?"))
            min = 0, max = 1;
        else if (!parse_counts(p, &min, &max))
            return node;
        take(p, "?"); // as few as possible: the same texts
        if (has(p, "*") || has(p, "+") || has(p, "?"))
            return fail(p, "nothing to repeat");
        node = add_node(p, (struct node){.kind = NODE_REPEAT, .a = node, .min = min, .max = max});
    }
}

static uint32_t parse_sequence(struct parser *p)
{
    uint32_t node = add_node(p, (struct node){.kind = NODE_EMPTY});
    while (!is_at_end(p) && !has(p, "|") && !has(p, ")") && !(p->depth == 0 && has(p, "$"))) {
        uint32_t next = parse_repeated(p);
        node = add_node(p, (struct node){.kind = NODE_SEQUENCE, .a = node, .b = next});
    }
    return node;
}

static uint32_t parse_either(struct parser *p)
{
    uint32_t node = parse_sequence(p);
    while (take(p, "|")) {
        uint32_t next = parse_sequence(p);
        node = add_node(p, (struct node){.kind = NODE_EITHER, .a = node, .b = next});
    }
    return node;
}

// ---- Writing the NFA ----

static uint32_t write(const struct parser *p, struct nfa *n, uint32_t id, uint32_t from);

static uint32_t write_repeat(const struct parser *p, struct nfa *n, const struct node *node, uint32_t from)
{
    for (uint32_t i = 0; i < node->min && !n->is_full; i++)
        from = write(p, n, node->a, from);
    uint32_t end = nfa_add_state(n);
    nfa_add_jump(n, from, end);
    if (node->max == UINT32_MAX) {
        nfa_add_jump(n, write(p, n, node->a, end), end);
        return end;
    }
    for (uint32_t i = node->min; i < node->max && !n->is_full; i++) {
        from = write(p, n, node->a, from);
        nfa_add_jump(n, from, end);
    }
    return end;
}

// Gives the state where the node ends. No edge leads back to `from`.
static uint32_t write(const struct parser *p, struct nfa *n, uint32_t id, uint32_t from)
{
    const struct node *node = &p->nodes[id];
    uint32_t to;
    if (n->is_full)
        return from;
    switch (node->kind) {
    case NODE_SET:
        to = nfa_add_state(n);
        for (uint32_t i = 0; i < node->b; i++)
            nfa_add_edge(n, from, p->ranges[node->a + i].lo, p->ranges[node->a + i].hi, to);
        return to;
    case NODE_SEQUENCE:
        return write(p, n, node->b, write(p, n, node->a, from));
    case NODE_EITHER:
        to = nfa_add_state(n);
        nfa_add_jump(n, write(p, n, node->a, from), to);
        nfa_add_jump(n, write(p, n, node->b, from), to);
        return to;
    case NODE_REPEAT:
        return write_repeat(p, n, node, from);
    case NODE_EMPTY:
        break;
    }
    return from;
}

// A state that goes on with any text.
static uint32_t write_anything(struct nfa *n, uint32_t from)
{
    uint32_t state = nfa_add_state(n);
    nfa_add_jump(n, from, state);
    nfa_add_edge(n, state, 0, CODE_POINT_MAX, state);
    return state;
}

// The alternatives of the whole: each is anchored by itself.
static void write_alternatives(struct parser *p, struct nfa *n)
{
    do {
        bool begins = take(p, "^");
        uint32_t node = parse_sequence(p);
        bool ends = take(p, "$");
        if (has(p, ")"))
            fail(p, "a group is closed that was not opened");
        else if (!is_at_end(p) && !has(p, "|"))
            fail(p, "an anchor inside is not supported");
        if (p->failed)
            return;
        uint32_t state = write(p, n, node, begins ? 0 : write_anything(n, 0));
        nfa_accept(n, ends ? state : write_anything(n, state));
    } while (take(p, "|"));
}

struct automaton *pattern_compile(struct slice text, uint64_t *work, struct err *err)
{
    struct parser p = {.text = text, .err = err};
    struct nfa *n = nfa_new();
    struct automaton *a = NULL;
    if (text.n > PATTERN_MAX_BYTES)
        fail(&p, "it is longer than 4096 bytes");
    else
        write_alternatives(&p, n);
    if (!p.failed)
        a = automaton_of(n, work, err);
    nfa_free(n);
    free(p.nodes);
    free(p.ranges);
    return a;
}

// ---- Formats ----

#define YEAR   "[1-9][0-9]{3}"
#define DAY_28 "0[1-9]|1[0-9]|2[0-8]"
#define LEAP   "[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00"
#define DATE                                                                                                 \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:" DAY_28 "|29|3[01])|(?:0[469]|11)-(?:" DAY_28                     \
    "|29|30)|02-(?:" DAY_28 "))|(?:" LEAP ")-02-29)"
#define HOUR     "(?:[01][0-9]|2[0-3])"
#define TIME     HOUR ":[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]" HOUR ":[0-5][0-9])"
#define HEX4     "[0-9a-fA-F]{4}"
#define OCTET    "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4     "(?:" OCTET "\\.){3}" OCTET
#define HEXTET   "[0-9a-fA-F]{1,4}"
#define LABEL    "[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
#define ATOM     "[A-Za-z0-9_+-]+"
#define URI_CHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration",
     "^P(?:[0-9]{1,4}W|(?:[0-9]{1,4}D|[0-9]{1,4}M(?:[0-9]{1,4}D)?|[0-9]{1,4}Y(?:[0-9]{1,4}M(?:[0-9]{1,4}D)?"
     ")?)(?:T(?:[0-9]{1,4}S|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?))?|"
     "T(?:[0-9]{1,4}S|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?))$"},
    {"uuid", "^" HEX4 HEX4 "-" HEX4 "-" HEX4 "-" HEX4 "-" HEX4 HEX4 HEX4 "$"},
    {"email", "^" ATOM "(?:\\." ATOM ")*@" LABEL "(?:\\." LABEL ")+$"},
    {"hostname", "^" LABEL "(?:\\." LABEL ")*$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^(?:(?:" HEXTET ":){7}" HEXTET "|(?:" HEXTET ":){1,6}(?::" HEXTET ")|(?:" HEXTET
             ":){1,7}:|::(?:" HEXTET ":){0,6}" HEXTET "|::)$"},
    {"uri", "^[A-Za-z][A-Za-z0-9+.-]*:" URI_CHAR "+$"},
};

const char *pattern_of_format(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (slice_is(name, formats[i].name))
            return formats[i].pattern;
    return NULL;
}
