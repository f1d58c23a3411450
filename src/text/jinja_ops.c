// SPDX-License-Identifier: MIT
// Truth, equality, order, arithmetic: Python's rules, with integers of 64 bits whose overflow is an error.
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "text/jinja_run.h"

bool jinja_as_int(struct jinja_value v, int64_t *out)
{
    if (v.kind != JINJA_BOOL && v.kind != JINJA_INT)
        return false;
    *out = v.kind == JINJA_BOOL ? v.flag : v.integer;
    return true;
}

double jinja_as_real(struct jinja_value v)
{
    int64_t i;
    return jinja_as_int(v, &i) ? (double)i : v.real;
}

bool jinja_truth(struct jinja_run *r, struct jinja_value v)
{
    switch (v.kind) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v.flag;
    case JINJA_INT:
        return v.integer != 0;
    case JINJA_FLOAT:
        return v.real != 0;
    case JINJA_TEXT:
        return v.text->n_bytes > 0;
    case JINJA_LIST:
        return v.list->n > 0 || v.list->flavor == JINJA_FLAVOR_GENERATOR;
    case JINJA_DICT:
        return v.dict->n > 0;
    default:
        return true;
    }
}

// ---- equality and order ----

static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    int64_t x, y;
    if (jinja_as_int(a, &x) && jinja_as_int(b, &y))
        return (x > y) - (x < y);
    long double p = a.kind == JINJA_FLOAT ? a.real : (jinja_as_int(a, &x), (long double)x);
    long double q = b.kind == JINJA_FLOAT ? b.real : (jinja_as_int(b, &y), (long double)y);
    if (p != p || q != q)
        return 2;
    return (p > q) - (p < q);
}

static bool equals(struct jinja_run *r, struct jinja_value a, struct jinja_value b, int depth);

static bool equal_lists(struct jinja_run *r, const struct jinja_list *a, const struct jinja_list *b,
                        int depth)
{
    if (a == b)
        return true;
    bool same_type =
        a->flavor == b->flavor && a->flavor != JINJA_FLAVOR_VIEW && a->flavor != JINJA_FLAVOR_GENERATOR;
    bool same = same_type && a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = equals(r, a->at[i], b->at[i], depth + 1);
    return same;
}

static bool equal_dicts(struct jinja_run *r, const struct jinja_dict *a, const struct jinja_dict *b,
                        int depth)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && a != b && i < a->n; i++) {
        struct jinja_value *other = jinja_dict_find(r, b, a->pairs[i].key);
        same = other != NULL && equals(r, a->pairs[i].value, *other, depth + 1);
    }
    return same;
}

static bool equals(struct jinja_run *r, struct jinja_value a, struct jinja_value b, int depth)
{
    if (depth > JINJA_DATA_DEPTH)
        jinja_fail(r, ERR_TOO_LARGE, "a value nested too deep");
    if (!jinja_step(r, 1))
        return false;
    if (jinja_is_number(a) && jinja_is_number(b))
        return compare_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JINJA_TEXT:
        if (a.text->n_bytes != b.text->n_bytes)
            return false;
        jinja_step(r, a.text->n_bytes / 32);
        return slice_equals(jinja_slice(a), jinja_slice(b));
    case JINJA_LIST:
        return equal_lists(r, a.list, b.list, depth);
    case JINJA_DICT:
        return equal_dicts(r, a.dict, b.dict, depth);
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    default:
        return a.text == b.text; // identity
    }
}

bool jinja_equals(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    return equals(r, a, b, 0);
}

static int compare_slices(struct slice a, struct slice b) // UTF-8 keeps the order of code points
{
    int order = memcmp(a.at, b.at, MIN(a.n, b.n));
    return order != 0 ? (order > 0) - (order < 0) : (a.n > b.n) - (a.n < b.n);
}

static int compare(struct jinja_run *r, struct jinja_value a, struct jinja_value b, const char *sign,
                   int depth)
{
    if (depth > JINJA_DATA_DEPTH)
        jinja_fail(r, ERR_TOO_LARGE, "a value nested too deep");
    if (!jinja_step(r, 1))
        return 2;
    if (jinja_is_number(a) && jinja_is_number(b))
        return compare_numbers(a, b);
    if (a.kind == JINJA_TEXT && b.kind == JINJA_TEXT) {
        jinja_step(r, MIN(a.text->n_bytes, b.text->n_bytes) / 32);
        return compare_slices(jinja_slice(a), jinja_slice(b));
    }
    bool are_lists = a.kind == JINJA_LIST && b.kind == JINJA_LIST && a.list->flavor == b.list->flavor &&
                     (a.list->flavor == JINJA_FLAVOR_LIST || a.list->flavor == JINJA_FLAVOR_TUPLE);
    if (are_lists) {
        for (size_t i = 0; i < MIN(a.list->n, b.list->n) && !r->failed; i++)
            if (!equals(r, a.list->at[i], b.list->at[i], depth + 1))
                return compare(r, a.list->at[i], b.list->at[i], sign, depth + 1);
        return (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(r, a.kind == JINJA_UNDEFINED ? a : b);
    jinja_fail(r, ERR_FORMAT, "'%s' not supported between instances of '%s' and '%s'", sign,
               jinja_type_name(a), jinja_type_name(b));
    return 2;
}

int jinja_compare(struct jinja_run *r, struct jinja_value a, struct jinja_value b, const char *sign)
{
    return compare(r, a, b, sign, 0);
}

bool jinja_contains(struct jinja_run *r, struct jinja_value item, struct jinja_value in)
{
    if (in.kind == JINJA_DICT)
        return jinja_dict_find(r, in.dict, item) != NULL;
    if (in.kind == JINJA_TEXT) {
        struct slice part = jinja_slice(item), whole = jinja_slice(in);
        if (item.kind != JINJA_TEXT) {
            jinja_fail(r, ERR_FORMAT, "'in <string>' requires string as left operand, not %s",
                       jinja_type_name(item));
            return false;
        }
        jinja_step(r, whole.n / 32);
        return part.n == 0 || memmem(whole.at, whole.n, part.at, part.n) != NULL;
    }
    if (in.kind == JINJA_UNDEFINED)
        return false;
    if (in.kind != JINJA_LIST) {
        jinja_fail(r, ERR_FORMAT, "argument of type '%s' is not iterable", jinja_type_name(in));
        return false;
    }
    const struct jinja_list *l = jinja_items(r, in);
    for (size_t i = 0; i < l->n && !r->failed; i++)
        if (jinja_equals(r, item, l->at[i]))
            return true;
    return false;
}

// ---- arithmetic ----

static struct jinja_value bad_operands(struct jinja_run *r, const char *sign, struct jinja_value a,
                                       struct jinja_value b)
{
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, a.kind == JINJA_UNDEFINED ? a : b);
    return jinja_fail(r, ERR_FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", sign,
                      jinja_type_name(a), jinja_type_name(b));
}

static struct jinja_value overflow(struct jinja_run *r)
{
    return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

static struct jinja_value int_pow(struct jinja_run *r, int64_t base, int64_t exponent)
{
    if (exponent < 0)
        return base == 0 ? jinja_fail(r, ERR_FORMAT, "0.0 cannot be raised to a negative power")
                         : jinja_float(pow((double)base, (double)exponent));
    int64_t out = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(out, base, &out))
            return overflow(r);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            return overflow(r);
    }
    return jinja_int(out);
}

static struct jinja_value int_binary(struct jinja_run *r, enum jinja_op op, int64_t a, int64_t b)
{
    int64_t out = 0;
    bool is_over = false;
    if ((op == JINJA_OP_DIV || op == JINJA_OP_FLOORDIV || op == JINJA_OP_MOD) && b == 0)
        return jinja_fail(r, ERR_FORMAT, "division by zero");
    switch (op) {
    case JINJA_OP_ADD:
        is_over = __builtin_add_overflow(a, b, &out);
        break;
    case JINJA_OP_SUB:
        is_over = __builtin_sub_overflow(a, b, &out);
        break;
    case JINJA_OP_MUL:
        is_over = __builtin_mul_overflow(a, b, &out);
        break;
    case JINJA_OP_DIV:
        return jinja_float((double)a / (double)b);
    case JINJA_OP_FLOORDIV:
        is_over = a == INT64_MIN && b == -1;
        out = is_over ? 0 : floor_div(a, b);
        break;
    case JINJA_OP_MOD:
        out = b == -1 ? 0 : a - b * floor_div(a, b);
        break;
    default:
        return int_pow(r, a, b);
    }
    return is_over ? overflow(r) : jinja_int(out);
}

static struct jinja_value float_binary(struct jinja_run *r, enum jinja_op op, double a, double b)
{
    double rest;
    if ((op == JINJA_OP_DIV || op == JINJA_OP_FLOORDIV || op == JINJA_OP_MOD) && b == 0)
        return jinja_fail(r, ERR_FORMAT, "float division by zero");
    switch (op) {
    case JINJA_OP_ADD:
        return jinja_float(a + b);
    case JINJA_OP_SUB:
        return jinja_float(a - b);
    case JINJA_OP_MUL:
        return jinja_float(a * b);
    case JINJA_OP_DIV:
        return jinja_float(a / b);
    case JINJA_OP_FLOORDIV:
    case JINJA_OP_MOD:
        rest = fmod(a, b);
        if (rest != 0 && (rest < 0) != (b < 0))
            rest += b;
        return jinja_float(op == JINJA_OP_MOD ? rest : round((a - rest) / b));
    default:
        if (a < 0 && b != floor(b))
            return jinja_fail(r, ERR_UNSUPPORTED, "a complex number");
        return jinja_float(pow(a, b));
    }
}

// text * n and list * n
static struct jinja_value repeat(struct jinja_run *r, struct jinja_value v, int64_t count)
{
    size_t n = v.kind == JINJA_TEXT ? v.text->n_bytes : v.list->n;
    size_t times = count < 0 ? 0 : (size_t)count, total;
    if (!mem_mul(n, times, &total) || total > JINJA_RENDER_BYTES)
        return jinja_fail(r, ERR_TOO_LARGE, "a repetition makes too large a value");
    if (v.kind == JINJA_TEXT) {
        char *at = jinja_alloc(r, total, 1);
        for (size_t i = 0; i < times && n > 0 && at != NULL && jinja_step(r, 1 + n / 32); i++)
            memcpy(at + i * n, v.text->at, n);
        struct jinja_value out =
            jinja_text_borrow(r, slice_make(at != NULL ? at : "", at != NULL ? total : 0));
        out.markup = v.markup;
        return out;
    }
    struct jinja_value out = jinja_list_new(r, total, v.list->flavor);
    for (size_t i = 0; i < total && jinja_step(r, 1); i++)
        jinja_list_push(r, out.list, v.list->at[i % n]);
    return out;
}

static bool is_sequence(struct jinja_value v)
{
    return v.kind == JINJA_LIST &&
           (v.list->flavor == JINJA_FLAVOR_LIST || v.list->flavor == JINJA_FLAVOR_TUPLE);
}

static struct jinja_value add_texts(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    if (!a.markup && !b.markup)
        return jinja_text_concat(r, a, b);
    struct jinja_value out = jinja_text_concat(r, jinja_escape(r, a), jinja_escape(r, b));
    out.markup = true;
    return out;
}

struct jinja_value jinja_binary(struct jinja_run *r, enum jinja_op op, struct jinja_value a,
                                struct jinja_value b)
{
    static const char *const signs[] = {"", "+", "-", "*", "/", "//", "%", "**"};
    int64_t x, y;
    if (r->failed)
        return a;
    if (jinja_as_int(a, &x) && jinja_as_int(b, &y))
        return int_binary(r, op, x, y);
    if (jinja_is_number(a) && jinja_is_number(b))
        return float_binary(r, op, jinja_as_real(a), jinja_as_real(b));
    if (op == JINJA_OP_ADD && a.kind == JINJA_TEXT && b.kind == JINJA_TEXT)
        return add_texts(r, a, b);
    if (op == JINJA_OP_ADD && is_sequence(a) && is_sequence(b) && a.list->flavor == b.list->flavor)
        return jinja_list_concat(r, a.list, b.list);
    if (op == JINJA_OP_MUL && (a.kind == JINJA_TEXT || is_sequence(a)) && jinja_as_int(b, &y))
        return repeat(r, a, y);
    if (op == JINJA_OP_MUL && (b.kind == JINJA_TEXT || is_sequence(b)) && jinja_as_int(a, &x))
        return repeat(r, b, x);
    if (op == JINJA_OP_MOD && a.kind == JINJA_TEXT)
        return jinja_percent(r, a, b);
    if (op == JINJA_OP_ADD && a.kind == JINJA_TEXT && b.kind != JINJA_UNDEFINED)
        return jinja_fail(r, ERR_FORMAT, "can only concatenate str (not \"%s\") to str", jinja_type_name(b));
    return bad_operands(r, signs[op], a, b);
}

struct jinja_value jinja_negate(struct jinja_run *r, struct jinja_value v, bool minus)
{
    int64_t i;
    if (jinja_as_int(v, &i))
        return minus && i == INT64_MIN ? overflow(r) : jinja_int(minus ? -i : i);
    if (v.kind == JINJA_FLOAT)
        return jinja_float(minus ? -v.real : v.real);
    if (v.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, v);
    return jinja_fail(r, ERR_FORMAT, "bad operand type for unary %c: '%s'", minus ? '-' : '+',
                      jinja_type_name(v));
}

// ---- text % values ----

// One conversion "%..x" of `spec`, its star-free flags included.
static void put_conversion(struct jinja_run *r, struct jinja_sink *s, const char *spec, char kind,
                           struct jinja_value v)
{
    char text[512], with_length[24];
    int64_t i = 0;
    int n = 0;
    if (kind == 's' || kind == 'r' || kind == 'a') {
        if (spec[1] != kind || kind == 'a')
            jinja_fail(r, ERR_UNSUPPORTED, "the conversion %s", spec);
        else if (kind == 's')
            jinja_put_str(r, s, v);
        else
            jinja_put_repr(r, s, v);
        return;
    }
    if (!jinja_is_number(v)) {
        jinja_fail(r, ERR_FORMAT, "%s format: a real number is required, not %s", spec, jinja_type_name(v));
        return;
    }
    if (strchr("eEfFgG", kind) != NULL) {
        n = snprintf(text, sizeof text, spec, jinja_as_real(v));
    } else if (strchr("dixX", kind) != NULL) {
        if (v.kind == JINJA_FLOAT && fabs(v.real) < 9e18)
            i = (int64_t)v.real;
        else
            jinja_as_int(v, &i);
        snprintf(with_length, sizeof with_length, "%.*sll%c", (int)strlen(spec) - 1, spec, kind);
        n = snprintf(text, sizeof text, with_length, (long long)i);
    } else {
        n = (int)sizeof text;
    }
    if (n < 0 || n >= (int)sizeof text)
        jinja_fail(r, ERR_UNSUPPORTED, "the conversion %s", spec);
    else
        jinja_put(r, s, text, (size_t)n);
}

// Copies "%" flags width.precision kind to spec; the bytes read, 0: not one that is known.
static size_t read_conversion(struct slice format, char spec[16])
{
    size_t n = 1;
    while (n < format.n && n < 8 && strchr("-+ #0123456789.", format.at[n]) != NULL && format.at[n] != 0)
        n++;
    if (n >= format.n || n >= 8)
        return 0;
    memcpy(spec, format.at, n + 1);
    spec[n + 1] = 0;
    return n + 1;
}

struct jinja_value jinja_percent(struct jinja_run *r, struct jinja_value format, struct jinja_value args)
{
    struct slice f = jinja_slice(format);
    struct jinja_sink out = {0};
    bool is_tuple = args.kind == JINJA_LIST && args.list->flavor == JINJA_FLAVOR_TUPLE;
    size_t n_args = is_tuple ? args.list->n : 1, used = 0;
    if (format.markup)
        return jinja_fail(r, ERR_UNSUPPORTED, "%% on a text marked safe");
    for (size_t i = 0; i < f.n && jinja_step(r, 1);) {
        const char *next = memchr(f.at + i, '%', f.n - i);
        size_t plain = next != NULL ? (size_t)(next - f.at) - i : f.n - i;
        jinja_put(r, &out, f.at + i, plain);
        i += plain;
        if (next == NULL)
            break;
        char spec[16] = "";
        size_t n = read_conversion(slice_make(next, f.n - i), spec);
        if (n == 0)
            return jinja_fail(r, ERR_UNSUPPORTED, "this conversion after %%");
        i += n;
        if (spec[n - 1] == '%')
            jinja_put(r, &out, "%", 1);
        else if (used >= n_args)
            return jinja_fail(r, ERR_FORMAT, "not enough arguments for format string");
        else
            put_conversion(r, &out, spec, spec[n - 1], is_tuple ? args.list->at[used] : args), used++;
    }
    bool is_mapping =
        args.kind == JINJA_DICT || (args.kind == JINJA_LIST && !is_tuple && !jinja_is_generator(args));
    if (used < n_args && !(used == 0 && is_mapping))
        return jinja_fail(r, ERR_FORMAT, "not all arguments converted during string formatting");
    return jinja_sink_text(r, &out);
}
