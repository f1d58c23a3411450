// SPDX-License-Identifier: MIT
// Filters on single values, and the table of all filters. Those on sequences are in jinja_sequences.c.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "json/json.h"
#include "text/jinja_sequences.h"
#include "text/jinja_tables.h"

int64_t jinja_arg_int(struct jinja_run *r, const struct jinja_call *c, int i, int64_t absent)
{
    int64_t out = absent;
    if (jinja_is_given(c->arg[i]) && !jinja_as_int(c->arg[i], &out))
        jinja_fail(r, ERR_FORMAT, "%s() wants an integer, not %s", c->name, jinja_type_name(c->arg[i]));
    return out;
}

struct slice jinja_arg_text(struct jinja_run *r, const struct jinja_call *c, int i, struct slice absent)
{
    if (!jinja_is_given(c->arg[i]))
        return absent;
    if (c->arg[i].kind != JINJA_TEXT)
        jinja_fail(r, ERR_FORMAT, "%s() wants a str, not %s", c->name, jinja_type_name(c->arg[i]));
    return jinja_slice(c->arg[i]);
}

bool jinja_arg_truth(struct jinja_run *r, const struct jinja_call *c, int i, bool absent)
{
    return jinja_is_given(c->arg[i]) ? jinja_truth(r, c->arg[i]) : absent;
}

// ---- text ----

static struct jinja_value filter_upper(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, jinja_str(r, c->self), JINJA_UPPER);
}

static struct jinja_value filter_lower(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, jinja_str(r, c->self), JINJA_LOWER);
}

static struct jinja_value filter_capitalize(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, jinja_str(r, c->self), JINJA_CAPITALIZE);
}

// Words begin after white space and after - ( { [ <; each is capitalised.
static struct jinja_value filter_title(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value text = jinja_str(r, c->self);
    struct slice s = jinja_slice(text);
    struct jinja_sink out = {0};
    for (size_t i = 0; i < s.n && jinja_step(r, 1);) {
        size_t from = i, n = 0;
        while (i < s.n && (strchr("-({[<", s.at[i]) == NULL || s.at[i] == 0) &&
               (n = jinja_space_at(slice_make(s.at + i, s.n - i))) == 0)
            i++;
        struct jinja_value word = jinja_text_borrow(r, slice_make(s.at + from, i - from));
        jinja_put_slice(r, &out, jinja_slice(jinja_case_map(r, word, JINJA_CAPITALIZE)));
        n = i < s.n ? MAX(n, 1) : 0;
        jinja_put(r, &out, s.at + i, n);
        i += n;
    }
    return jinja_sink_text(r, &out);
}

static struct jinja_value filter_trim(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value text = jinja_str(r, c->self);
    return r->failed ? text : jinja_strip(r, text, c->arg[0], true, true);
}

static struct jinja_value filter_string(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_str(r, c->self);
}

static struct jinja_value filter_replace(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = jinja_slice(jinja_str(r, c->self)), old = jinja_slice(jinja_str(r, c->arg[0]));
    struct slice new = jinja_slice(jinja_str(r, c->arg[1]));
    int64_t count = c->arg[2].kind == JINJA_NONE ? -1 : jinja_arg_int(r, c, 2, -1);
    return jinja_replace(r, s, old, new, count);
}

static struct jinja_value filter_center(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_pad(r, jinja_str(r, c->self), jinja_arg_int(r, c, 0, 80), slice_of(" "), 0);
}

static struct jinja_value filter_format(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value args = jinja_list_new(r, c->raw.n, JINJA_FLAVOR_TUPLE);
    if (c->raw.n_keywords > 0)
        return jinja_fail(r, ERR_UNSUPPORTED, "the filter 'format' with keywords");
    for (size_t i = 0; i < c->raw.n; i++)
        jinja_list_push(r, args.list, c->raw.at[i]);
    return jinja_percent(r, jinja_str(r, c->self), args);
}

// All lines but the first (unless asked) get the indent, empty ones only when asked.
static struct jinja_value filter_indent(struct jinja_run *r, const struct jinja_call *c)
{
    bool first = jinja_arg_truth(r, c, 1, false), blank = jinja_arg_truth(r, c, 2, false);
    struct jinja_value text = jinja_str(r, c->self);
    bool is_text = c->arg[0].kind == JINJA_TEXT;
    if (c->self.kind != JINJA_TEXT)
        return jinja_fail(r, ERR_FORMAT, "indent() of a %s", jinja_type_name(c->self));
    int64_t width = is_text ? 0 : jinja_arg_int(r, c, 0, 4);
    struct jinja_value spaces = is_text ? c->arg[0] : jinja_text_borrow(r, slice_of(" "));
    if (!is_text)
        spaces = jinja_binary(r, JINJA_OP_MUL, spaces, jinja_int(width));
    struct jinja_value with_end = jinja_text_concat(r, text, jinja_text_borrow(r, slice_of("\n")));
    if (r->failed)
        return text;
    const struct jinja_list *lines = jinja_split_lines(r, jinja_slice(with_end)).list;
    struct jinja_sink out = {0};
    for (size_t i = 0; i < lines->n && jinja_step(r, 1); i++) {
        struct slice line = jinja_slice(lines->at[i]);
        if (i > 0)
            jinja_put(r, &out, "\n", 1);
        if (i == 0 ? first : blank || line.n > 0)
            jinja_put_slice(r, &out, jinja_slice(spaces));
        jinja_put_slice(r, &out, line);
    }
    return jinja_sink_text(r, &out);
}

static struct jinja_value filter_truncate(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value s = c->self;
    if (s.kind != JINJA_TEXT)
        return jinja_fail(r, ERR_FORMAT, "truncate() of a %s", jinja_type_name(s));
    int64_t length = jinja_arg_int(r, c, 0, 255),
            leeway = jinja_is_given(c->arg[3]) ? jinja_arg_int(r, c, 3, 5) : 5;
    struct jinja_value end =
        jinja_is_given(c->arg[2]) ? jinja_str(r, c->arg[2]) : jinja_text_borrow(r, slice_of("..."));
    if (r->failed)
        return s;
    int64_t n = (int64_t)jinja_text_length(r, s), n_end = (int64_t)jinja_text_length(r, end);
    if (length < n_end || leeway < 0 || length > INT32_MAX || leeway > INT32_MAX)
        return jinja_fail(r, ERR_FORMAT, "truncate() with a length of %lld", (long long)length);
    if (n <= length + leeway)
        return s;
    struct jinja_value cut = jinja_text_cut(r, s, 0, (size_t)(length - n_end));
    struct slice kept = jinja_slice(cut);
    const char *space = jinja_arg_truth(r, c, 1, false) || kept.n == 0 ? NULL : memrchr(kept.at, ' ', kept.n);
    if (space != NULL)
        cut = jinja_text_borrow(r, slice_make(kept.at, (size_t)(space - kept.at)));
    cut.markup = false;
    return jinja_text_concat(r, cut, end);
}

static struct jinja_value filter_safe(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value out = jinja_str(r, c->self);
    out.markup = out.kind == JINJA_TEXT;
    return out;
}

static struct jinja_value filter_escape(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_escape(r, c->self);
}

static struct jinja_value filter_forceescape(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value plain = jinja_str(r, c->self);
    plain.markup = false;
    return jinja_escape(r, plain);
}

// ---- numbers ----

// The text without white space around it and without underscores between digits, terminated; false if too
// long.
static bool number_text(struct jinja_run *r, struct jinja_value v, char out[400])
{
    struct slice s = jinja_slice(jinja_strip(r, v, jinja_none(), true, true));
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool is_between = i > 0 && i + 1 < s.n && s.at[i - 1] != '_';
        if (s.at[i] == '_' && is_between)
            continue;
        if (n >= 399 || s.at[i] == 0)
            return false;
        out[n++] = s.at[i];
    }
    out[n] = 0;
    return n > 0;
}

static bool parse_real(struct jinja_run *r, struct jinja_value v, double *out)
{
    char text[400], *end;
    if (jinja_is_number(v)) {
        *out = jinja_as_real(v);
        return true;
    }
    if (v.kind != JINJA_TEXT || !number_text(r, v, text) || strpbrk(text, "xXpP(") != NULL)
        return false;
    *out = strtod(text, &end);
    return *end == 0;
}

static struct jinja_value real_to_int(struct jinja_run *r, double real)
{
    if (!(fabs(real) < 9.2e18))
        return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
    return jinja_int((int64_t)real);
}

static struct jinja_value filter_int(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value absent = jinja_is_given(c->arg[0]) ? c->arg[0] : jinja_int(0);
    int64_t base = jinja_arg_int(r, c, 1, 10), i;
    char text[400], *end = text;
    double real;
    if (c->self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, c->self);
    if (jinja_as_int(c->self, &i))
        return jinja_int(i);
    if (base < 2 || base > 36)
        return jinja_fail(r, ERR_UNSUPPORTED, "the filter 'int' with base %lld", (long long)base);
    if (c->self.kind == JINJA_TEXT && number_text(r, c->self, text)) {
        errno = 0;
        long long value = strtoll(text, &end, (int)base);
        if (*end == 0 && errno == ERANGE)
            return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
        if (*end == 0)
            return jinja_int(value);
    }
    if (!parse_real(r, c->self, &real) || isnan(real) || (isinf(real) && c->self.kind == JINJA_TEXT))
        return absent;
    return real_to_int(r, real);
}

static struct jinja_value filter_float(struct jinja_run *r, const struct jinja_call *c)
{
    double real;
    if (c->self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, c->self);
    if (parse_real(r, c->self, &real))
        return jinja_float(real);
    return jinja_is_given(c->arg[0]) ? c->arg[0] : jinja_float(0);
}

static struct jinja_value filter_abs(struct jinja_run *r, const struct jinja_call *c)
{
    if (!jinja_is_number(c->self))
        return jinja_fail(r, ERR_FORMAT, "bad operand type for abs(): '%s'", jinja_type_name(c->self));
    return jinja_negate(r, c->self, jinja_as_real(c->self) < 0);
}

// To `places` digits after the point, halves of the exact binary value to even, as Python's round().
static double round_places(double real, int64_t places)
{
    char text[400];
    if (places >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)MIN(places, 40), real);
        return strtod(text, NULL);
    }
    double unit = pow(10, (double)-places);
    return rint(real / unit) * unit;
}

static struct jinja_value filter_round(struct jinja_run *r, const struct jinja_call *c)
{
    int64_t places = jinja_arg_int(r, c, 0, 0);
    struct slice how = jinja_arg_text(r, c, 1, slice_of("common"));
    if (!jinja_is_number(c->self))
        return jinja_fail(r, ERR_FORMAT, "round() of a %s", jinja_type_name(c->self));
    double real = jinja_as_real(c->self);
    if (places > 300 || places < -300 || (places < 0 && c->self.kind != JINJA_FLOAT))
        return jinja_fail(r, ERR_UNSUPPORTED, "the filter 'round' to %lld places", (long long)places);
    if (slice_is(how, "common"))
        return c->self.kind != JINJA_FLOAT ? jinja_negate(r, c->self, false)
                                           : jinja_float(round_places(real, places));
    double unit = pow(10, (double)places);
    if (slice_is(how, "ceil"))
        return jinja_float(ceil(real * unit) / unit);
    if (slice_is(how, "floor"))
        return jinja_float(floor(real * unit) / unit);
    return jinja_fail(r, ERR_FORMAT, "method must be common, ceil or floor");
}

// ---- any value ----

static struct jinja_value filter_default(struct jinja_run *r, const struct jinja_call *c)
{
    bool is_absent =
        c->self.kind == JINJA_UNDEFINED || (jinja_arg_truth(r, c, 1, false) && !jinja_truth(r, c->self));
    if (!is_absent)
        return c->self;
    return jinja_is_given(c->arg[0]) ? c->arg[0] : jinja_text_borrow(r, slice_of(""));
}

static struct jinja_value filter_attr(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice name = jinja_arg_text(r, c, 0, slice_of(""));
    struct jinja_value found = r->failed ? c->self : jinja_attr(r, c->self, name);
    // An attribute, never a key: dicts have methods only.
    if (c->self.kind == JINJA_DICT && found.kind != JINJA_METHOD)
        return jinja_undefined(r, name, "dict");
    return found;
}

static bool read_json_style(struct jinja_run *r, const struct jinja_call *c, struct jinja_json_style *style)
{
    *style = (struct jinja_json_style){.indent = -1, .comma = slice_of(", "), .colon = slice_of(": ")};
    style->ascii = jinja_arg_truth(r, c, 0, false);
    if (jinja_is_given(c->arg[1]) && c->arg[1].kind != JINJA_NONE) {
        style->comma = slice_of(",");
        if (c->arg[1].kind == JINJA_TEXT)
            style->indent_text = jinja_slice(c->arg[1]);
        else
            style->indent = MAX(jinja_arg_int(r, c, 1, 0), 0);
    }
    if (jinja_is_given(c->arg[2]) && c->arg[2].kind != JINJA_NONE) {
        const struct jinja_list *parts = jinja_items(r, c->arg[2]);
        if (!r->failed &&
            (parts->n != 2 || parts->at[0].kind != JINJA_TEXT || parts->at[1].kind != JINJA_TEXT))
            jinja_fail(r, ERR_FORMAT, "separators must be two strings");
        if (r->failed)
            return false;
        style->comma = jinja_slice(parts->at[0]);
        style->colon = jinja_slice(parts->at[1]);
    }
    style->sort_keys = jinja_arg_truth(r, c, 3, false);
    return !r->failed;
}

static struct jinja_value filter_tojson(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_json_style style;
    struct jinja_sink out = {0};
    if (c->self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, c->self);
    if (read_json_style(r, c, &style))
        jinja_put_json(r, &out, c->self, &style, 0);
    return jinja_sink_text(r, &out);
}

// jansson's value dies here, so its texts are copied.
static struct jinja_value copy_texts(struct jinja_run *r, struct jinja_value v)
{
    if (v.kind == JINJA_TEXT)
        return jinja_text_copy(r, jinja_slice(v));
    for (size_t i = 0; v.kind == JINJA_LIST && i < v.list->n; i++)
        v.list->at[i] = copy_texts(r, v.list->at[i]);
    for (size_t i = 0; v.kind == JINJA_DICT && i < v.dict->n; i++) {
        v.dict->pairs[i].key = copy_texts(r, v.dict->pairs[i].key);
        v.dict->pairs[i].value = copy_texts(r, v.dict->pairs[i].value);
    }
    return v;
}

static struct jinja_value filter_from_json(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = jinja_slice(c->self);
    struct err err = {0};
    if (c->self.kind != JINJA_TEXT)
        return jinja_fail(r, ERR_FORMAT, "from_json wants a str, not %s", jinja_type_name(c->self));
    if (!jinja_step(r, s.n))
        return c->self;
    json_t *json = json_parse(s, &err);
    if (json == NULL)
        return jinja_fail(r, ERR_FORMAT, "from_json: %s", err.message);
    struct jinja_value out = copy_texts(r, jinja_from_json(r, json, 0));
    json_decref(json);
    return out;
}

static const struct jinja_row filters[] = {
    {"abs", filter_abs, ""},
    {"attr", filter_attr, "name"},
    {"batch", jinja_filter_batch, "linecount fill_with?"},
    {"capitalize", filter_capitalize, ""},
    {"center", filter_center, "width?"},
    {"count", jinja_filter_length, ""},
    {"d", filter_default, "default_value? boolean?"},
    {"default", filter_default, "default_value? boolean?"},
    {"dictsort", jinja_filter_dictsort, "case_sensitive? by? reverse?"},
    {"e", filter_escape, ""},
    {"escape", filter_escape, ""},
    {"first", jinja_filter_first, ""},
    {"float", filter_float, "default?"},
    {"forceescape", filter_forceescape, ""},
    {"format", filter_format, "*"},
    {"from_json", filter_from_json, ""},
    {"indent", filter_indent, "width? first? blank?"},
    {"int", filter_int, "default? base?"},
    {"items", jinja_filter_items, ""},
    {"join", jinja_filter_join, "d? attribute?"},
    {"last", jinja_filter_last, ""},
    {"length", jinja_filter_length, ""},
    {"list", jinja_filter_list, ""},
    {"lower", filter_lower, ""},
    {"map", jinja_filter_map, "*"},
    {"max", jinja_filter_max, "case_sensitive? attribute?"},
    {"min", jinja_filter_min, "case_sensitive? attribute?"},
    {"reject", jinja_filter_reject, "*"},
    {"rejectattr", jinja_filter_rejectattr, "*"},
    {"replace", filter_replace, "old new count?"},
    {"reverse", jinja_filter_reverse, ""},
    {"round", filter_round, "precision? method?"},
    {"safe", filter_safe, ""},
    {"select", jinja_filter_select, "*"},
    {"selectattr", jinja_filter_selectattr, "*"},
    {"sort", jinja_filter_sort, "reverse? case_sensitive? attribute?"},
    {"string", filter_string, ""},
    {"sum", jinja_filter_sum, "attribute? start?"},
    {"title", filter_title, ""},
    {"tojson", filter_tojson, "ensure_ascii? indent? separators? sort_keys?"},
    {"trim", filter_trim, "chars?"},
    {"truncate", filter_truncate, "length? killwords? end? leeway?"},
    {"unique", jinja_filter_unique, "case_sensitive? attribute?"},
    {"upper", filter_upper, ""},
};

const struct jinja_row *jinja_filter_find(struct slice name)
{
    return jinja_row_find(filters, COUNT_OF(filters), name);
}
