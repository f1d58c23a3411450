// SPDX-License-Identifier: MIT
// Expressions of a Go template: pipelines, commands, chains of fields, calls. The rules and the messages are
// those of Go's package; a value that comes out of an interface stays boxed until a pipeline ends, because
// messages speak of its static type.
#include "base/mem.h"
#include "text/gotmpl_run.h"

// The value that the stage before hands on, if there is one.
struct piped {
    bool is_given;
    struct gotmpl_value value;
};

static const struct piped nothing;

static struct gotmpl_value eval_arg(struct gotmpl_run *r, struct gotmpl_value dot, char type,
                                    const struct gotmpl_node *n);

static void fail_node(struct gotmpl_run *r, const char *before, const struct gotmpl_node *n)
{
    struct strbuf text = STRBUF_INIT(300);
    gotmpl_put_node(&text, n);
    gotmpl_fail(r, "%s%s", before, strbuf_text(&text));
    strbuf_fini(&text);
}

static bool takes_arguments(struct gotmpl_run *r, const struct gotmpl_node *first, struct piped final)
{
    if (first->next == NULL && !final.is_given)
        return false;
    fail_node(r, "can't give argument to non-function ", first);
    return true;
}

static struct gotmpl_value constant(struct gotmpl_run *r, const struct gotmpl_node *n)
{
    const struct gotmpl_number *c = &n->number;
    char text[100];
    bool is_hex = n->quoted.n > 2 && n->quoted.at[0] == '0' && (n->quoted.at[1] | 0x20) == 'x',
         is_real = false;
    size_t length = MIN(n->quoted.n, sizeof text - 1);
    memcpy(text, n->quoted.at, length);
    text[length] = 0;
    is_hex = is_hex && strpbrk(text, "pP") == NULL;
    is_real = c->is_float && !is_hex && !c->is_char && strpbrk(text, ".eEpP") != NULL;
    r->at = n;
    if (is_real)
        return gotmpl_float(c->real);
    if (c->is_int)
        return gotmpl_int(c->integer);
    return gotmpl_fail(r, "%s overflows int", text);
}

// ---- Fields ----
static struct gotmpl_value string_method(struct gotmpl_run *r, struct gotmpl_value v)
{
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    v.type->put(r, &text, v);
    return gotmpl_take_text(r, &text);
}

static struct gotmpl_value map_field(struct gotmpl_run *r, struct gotmpl_value v, struct slice name)
{
    const struct gotmpl_value *found = gotmpl_map_find(v.map, name);
    return found != NULL ? gotmpl_element(v.type, *found) : gotmpl_zero(r, v.type->elem);
}

static struct gotmpl_value field(struct gotmpl_run *r, struct gotmpl_value receiver, struct slice name,
                                 bool has_arguments)
{
    struct gotmpl_value v = receiver;
    const struct gotmpl_value *found;
    v.is_boxed = false;
    if (!gotmpl_is_valid(v))
        return v;
    if (gotmpl_kind_of(v) == GOTMPL_NIL)
        return gotmpl_fail(r, "nil pointer evaluating %s.%.*s", gotmpl_type_name(receiver), (int)name.n,
                           name.at);
    if (v.type->put != NULL && slice_is(name, "String"))
        return string_method(r, v);
    if (v.type->kind == GOTMPL_STRUCT && (found = gotmpl_field_find(v, name)) != NULL) {
        if (has_arguments)
            return gotmpl_fail(r, "%.*s has arguments but cannot be invoked as function", (int)name.n,
                               name.at);
        return v.type->fields[found - v.fields].type == &gotmpl_type_any ? gotmpl_boxed(*found) : *found;
    }
    if (v.type->kind == GOTMPL_MAP) {
        if (has_arguments)
            return gotmpl_fail(r, "%.*s is not a method but has arguments", (int)name.n, name.at);
        return map_field(r, v, name);
    }
    return gotmpl_fail(r, "can't evaluate field %.*s in type %s", (int)name.n, name.at,
                       gotmpl_type_name(receiver));
}

static struct gotmpl_value chain(struct gotmpl_run *r, struct gotmpl_value receiver,
                                 const struct gotmpl_node *n, uint32_t first, bool has_arguments)
{
    for (uint32_t i = first; i < n->n_names && !r->failed; i++)
        receiver = field(r, receiver, n->names[i], has_arguments && i + 1 == n->n_names);
    return receiver;
}

static struct gotmpl_value variable(struct gotmpl_run *r, const struct gotmpl_node *n)
{
    for (size_t i = r->n_variables; i-- > r->first_variable;)
        if (slice_equals(r->variables[i].name, n->names[0]))
            return r->variables[i].value;
    return gotmpl_fail(r, "undefined variable: %.*s", (int)n->names[0].n, n->names[0].at);
}

// ---- Calls ----
// Whether a value fits a parameter; makes it what the function gets.
static struct gotmpl_value fit(struct gotmpl_run *r, struct gotmpl_value v, char type)
{
    if (r->failed || type == 'v' || type == 0)
        return v;
    if (type == 'a') {
        v.is_boxed = false;
        return gotmpl_is_valid(v) ? v : gotmpl_nil();
    }
    if (!gotmpl_is_valid(v))
        return gotmpl_fail(r, "invalid value; expected string");
    v.is_boxed = false;
    if (v.type != &gotmpl_type_text)
        return gotmpl_fail(r, "wrong type for value; expected string; got %s", gotmpl_type_name(v));
    return v;
}

static size_t count_nodes(const struct gotmpl_node *first)
{
    size_t n = 0;
    for (; first != NULL; first = first->next)
        n++;
    return n;
}

static bool has_right_count(struct gotmpl_run *r, const struct gotmpl_row *row, size_t n_written, size_t n)
{
    size_t n_fixed = strlen(row->fixed);
    if (row->rest != 0 && n < n_fixed)
        gotmpl_fail(r, "wrong number of args for %s: want at least %zu got %zu", row->name, n_fixed,
                    n_written);
    if (row->rest == 0 && n != n_fixed)
        gotmpl_fail(r, "wrong number of args for %s: want %zu got %zu", row->name, n_fixed, n);
    return !r->failed;
}

// `and` and `or`: the first argument that decides, else the last; those behind it are not evaluated.
static struct gotmpl_value decide(struct gotmpl_run *r, struct gotmpl_value dot, bool is_or,
                                  const struct gotmpl_node *args, struct piped final)
{
    struct gotmpl_value v = gotmpl_invalid();
    for (const struct gotmpl_node *a = args; a != NULL && !r->failed; a = a->next) {
        v = eval_arg(r, dot, 'v', a);
        if (gotmpl_is_true(gotmpl_unbox(v)) == is_or)
            return v;
    }
    return final.is_given ? final.value : v;
}

static struct gotmpl_value call(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n,
                                const struct gotmpl_node *whole, const struct gotmpl_node *args,
                                struct piped final)
{
    const struct gotmpl_row *row = n->row;
    size_t n_written = count_nodes(args), n_all = n_written + final.is_given, n_fixed = strlen(row->fixed);
    r->at = n;
    if (!has_right_count(r, row, n_written, n_all))
        return gotmpl_invalid();
    if (row->fn == NULL)
        return decide(r, dot, row->name[0] == 'o', args, final);
    struct gotmpl_value *at = gotmpl_alloc(r, n_all, sizeof *at);
    size_t i = 0;
    for (const struct gotmpl_node *a = args; a != NULL && at != NULL && !r->failed; a = a->next, i++)
        at[i] = eval_arg(r, dot, i < n_fixed ? row->fixed[i] : row->rest, a);
    if (final.is_given && at != NULL && !r->failed)
        at[i] = fit(r, final.value, i < n_fixed ? row->fixed[i] : row->rest);
    if (r->failed)
        return gotmpl_invalid();
    const struct gotmpl_node *before = r->at;
    r->at = whole; // where a failure of the function itself is
    struct gotmpl_value out = row->fn(r, &(struct gotmpl_call){row->name, at, n_all, args});
    if (!r->failed)
        r->at = before;
    return out;
}

// ---- Arguments and commands ----
static struct gotmpl_value literal(struct gotmpl_run *r, char type, const struct gotmpl_node *n)
{
    if (type == 's' && n->type != GOTMPL_NODE_STRING) {
        fail_node(r, "expected string; found ", n);
        return gotmpl_invalid();
    }
    if (n->type == GOTMPL_NODE_STRING)
        return gotmpl_text(n->text);
    return n->type == GOTMPL_NODE_BOOL ? gotmpl_bool(n->flag) : constant(r, n);
}

static struct gotmpl_value eval_arg(struct gotmpl_run *r, struct gotmpl_value dot, char type,
                                    const struct gotmpl_node *n)
{
    r->at = n;
    if (!gotmpl_step(r, 1))
        return gotmpl_invalid();
    switch (n->type) {
    case GOTMPL_NODE_DOT:
        return fit(r, dot, type);
    case GOTMPL_NODE_NIL:
        if (type == 's')
            return gotmpl_fail(r, "cannot assign nil to string");
        return type == 'a' ? gotmpl_nil() : gotmpl_invalid();
    case GOTMPL_NODE_FIELD:
        return fit(r, chain(r, dot, n, 0, false), type);
    case GOTMPL_NODE_VARIABLE:
        return fit(r, chain(r, variable(r, n), n, 1, false), type);
    case GOTMPL_NODE_PIPE:
        return fit(r, gotmpl_eval_pipe(r, dot, n), type);
    case GOTMPL_NODE_IDENTIFIER:
        return fit(r, call(r, dot, n, n, NULL, nothing), type);
    case GOTMPL_NODE_CHAIN: {
        struct gotmpl_value receiver = eval_arg(r, dot, 0, n->pipe);
        return fit(r, chain(r, receiver, n, 0, false), type);
    }
    default:
        return literal(r, type, n);
    }
}

static struct gotmpl_value eval_chain(struct gotmpl_run *r, struct gotmpl_value dot,
                                      const struct gotmpl_node *n, bool has_arguments)
{
    r->at = n;
    struct gotmpl_value receiver = eval_arg(r, dot, 0, n->pipe);
    return chain(r, receiver, n, 0, has_arguments);
}

static struct gotmpl_value command(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *c,
                                   struct piped final)
{
    const struct gotmpl_node *n = c->list;
    bool has_arguments = n->next != NULL || final.is_given;
    switch (n->type) {
    case GOTMPL_NODE_FIELD:
        r->at = n;
        return chain(r, dot, n, 0, has_arguments);
    case GOTMPL_NODE_CHAIN:
        return eval_chain(r, dot, n, has_arguments);
    case GOTMPL_NODE_IDENTIFIER:
        return call(r, dot, n, c, n->next, final);
    case GOTMPL_NODE_PIPE:
        return takes_arguments(r, n, final) ? gotmpl_invalid() : gotmpl_eval_pipe(r, dot, n);
    case GOTMPL_NODE_VARIABLE:
        r->at = n;
        if (n->n_names == 1 && takes_arguments(r, n, final))
            return gotmpl_invalid();
        return chain(r, variable(r, n), n, 1, has_arguments);
    default:
        break;
    }
    r->at = n;
    if (takes_arguments(r, n, final))
        return gotmpl_invalid();
    if (n->type == GOTMPL_NODE_DOT)
        return dot;
    if (n->type == GOTMPL_NODE_NIL)
        return gotmpl_fail(r, "nil is not a command");
    return literal(r, 'a', n);
}

struct gotmpl_value gotmpl_eval_pipe(struct gotmpl_run *r, struct gotmpl_value dot,
                                     const struct gotmpl_node *pipe)
{
    struct piped final = {0};
    r->at = pipe;
    if (++r->depth > GOTMPL_DEPTH)
        gotmpl_fail(r, "exceeded maximum template depth (%d)", GOTMPL_DEPTH);
    for (const struct gotmpl_node *c = pipe->list; c != NULL && gotmpl_step(r, 1); c = c->next)
        final = (struct piped){true, gotmpl_unbox(command(r, dot, c, final))};
    r->depth--;
    for (const struct gotmpl_node *v = pipe->declares; v != NULL && !r->failed; v = v->next) {
        if (pipe->flag)
            gotmpl_variable_set(r, v->names[0], final.value);
        else
            gotmpl_variable_push(r, v->names[0], final.value);
    }
    return r->failed ? gotmpl_invalid() : final.value;
}
