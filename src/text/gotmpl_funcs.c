// SPDX-License-Identifier: MIT
// The functions of Go's package and Ollama's own, one row each. A failing call's message names the function.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gotmpl_run.h"

struct gotmpl_value gotmpl_fail_call(struct gotmpl_run *r, const struct gotmpl_call *c, const char *format,
                                     ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return gotmpl_fail(r, "error calling %s: %s", c->name, text);
}

static struct gotmpl_value not_(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return gotmpl_bool(!gotmpl_is_true(gotmpl_unbox(c->arg[0])));
}

// ---- Comparison ----
static bool is_basic(struct gotmpl_value v)
{
    enum gotmpl_kind kind = gotmpl_kind_of(v);
    return kind >= GOTMPL_BOOL && kind <= GOTMPL_TEXT;
}

static bool is_nothing(struct gotmpl_value v)
{
    enum gotmpl_kind kind = gotmpl_kind_of(v);
    return kind <= GOTMPL_NIL || (kind == GOTMPL_SLICE && v.list == NULL) ||
           (kind == GOTMPL_MAP && v.map == NULL);
}

static bool same_basic(struct gotmpl_value a, struct gotmpl_value b)
{
    switch (gotmpl_kind_of(a)) {
    case GOTMPL_BOOL:
        return a.flag == b.flag;
    case GOTMPL_FLOAT:
        return a.real == b.real;
    case GOTMPL_TEXT:
        return slice_equals(a.text, b.text);
    default:
        return a.integer == b.integer;
    }
}

static bool are_integers(struct gotmpl_value a, struct gotmpl_value b)
{
    enum gotmpl_kind x = gotmpl_kind_of(a), y = gotmpl_kind_of(b);
    return (x == GOTMPL_INT || x == GOTMPL_UINT) && (y == GOTMPL_INT || y == GOTMPL_UINT);
}

static void fail_incompatible(struct gotmpl_run *r, const struct gotmpl_call *c, struct gotmpl_value a,
                              struct gotmpl_value b)
{
    gotmpl_fail_call(r, c, "incompatible types for comparison: %s and %s", gotmpl_type_name(a),
                     gotmpl_type_name(b));
}

static void fail_compound(struct gotmpl_run *r, const struct gotmpl_call *c, struct gotmpl_value v)
{
    struct strbuf text = STRBUF_INIT(200);
    gotmpl_printf(r, &text, slice_of("%s"), &v, 1);
    gotmpl_fail_call(r, c, "non-comparable type %s: %s", strbuf_text(&text), gotmpl_type_name(v));
    strbuf_fini(&text);
}

static bool same(struct gotmpl_run *r, const struct gotmpl_call *c, struct gotmpl_value a,
                 struct gotmpl_value b)
{
    a = gotmpl_unbox(a);
    b = gotmpl_unbox(b);
    size_t looked_at = gotmpl_kind_of(a) == GOTMPL_TEXT ? a.text.n / 32 : 0;
    if (!gotmpl_step(r, looked_at))
        return false;
    if (are_integers(a, b) || (is_basic(a) && gotmpl_kind_of(a) == gotmpl_kind_of(b)))
        return same_basic(a, b);
    if (is_basic(a) || is_basic(b)) {
        if (gotmpl_is_valid(a) && gotmpl_is_valid(b))
            fail_incompatible(r, c, a, b);
        return false;
    }
    if (is_nothing(a) || is_nothing(b))
        return is_nothing(a) && is_nothing(b);
    bool is_pointer = gotmpl_kind_of(b) == GOTMPL_STRUCT && b.type->is_pointer;
    if (is_pointer)
        return a.type == b.type && a.fields == b.fields;
    fail_compound(r, c, b);
    return false;
}

static struct gotmpl_value eq(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    if (c->n < 2)
        return gotmpl_fail_call(r, c, "missing argument for comparison");
    for (size_t i = 1; i < c->n && !r->failed; i++)
        if (same(r, c, c->arg[0], c->arg[i]))
            return gotmpl_bool(true);
    return gotmpl_bool(false);
}

static struct gotmpl_value ne(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return gotmpl_bool(!same(r, c, c->arg[0], c->arg[1]));
}

// Below 0, 0, above 0 as a is less than, equal to, greater than b; 2: not ordered (NaN).
static int order(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct gotmpl_value a = gotmpl_unbox(c->arg[0]), b = gotmpl_unbox(c->arg[1]);
    if (!is_basic(a) || !is_basic(b)) {
        gotmpl_fail_call(r, c, "invalid type for comparison");
        return 0;
    }
    if (are_integers(a, b))
        return (a.integer > b.integer) - (a.integer < b.integer);
    if (gotmpl_kind_of(a) != gotmpl_kind_of(b)) {
        fail_incompatible(r, c, a, b);
        return 0;
    }
    if (gotmpl_kind_of(a) == GOTMPL_FLOAT)
        return a.real < b.real ? -1 : a.real == b.real ? 0 : a.real > b.real ? 1 : 2;
    if (gotmpl_kind_of(a) == GOTMPL_BOOL) {
        gotmpl_fail_call(r, c, "invalid type for comparison");
        return 0;
    }
    size_t n = MIN(a.text.n, b.text.n);
    int sign = n > 0 ? memcmp(a.text.at, b.text.at, n) : 0;
    gotmpl_step(r, n / 32);
    return sign != 0 ? (sign > 0) - (sign < 0) : (a.text.n > b.text.n) - (a.text.n < b.text.n);
}

static struct gotmpl_value lt(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return gotmpl_bool(order(r, c) == -1);
}

static struct gotmpl_value le(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return gotmpl_bool(order(r, c) <= 0);
}

static struct gotmpl_value gt(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return gotmpl_bool(order(r, c) > 0);
}

static struct gotmpl_value ge(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return gotmpl_bool(order(r, c) != -1);
}

// ---- Parts ----
static struct gotmpl_value len(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct gotmpl_value v = c->arg[0];
    enum gotmpl_kind kind = gotmpl_kind_of(v);
    v.is_boxed = false;
    if (kind == GOTMPL_TEXT || kind == GOTMPL_SLICE || kind == GOTMPL_MAP)
        return gotmpl_int((int64_t)gotmpl_length(v));
    if (kind <= GOTMPL_NIL)
        return gotmpl_fail_call(r, c,
                                kind == GOTMPL_NIL ? "len of nil pointer"
                                                   : "reflect: call of reflect.Value.Type on zero Value");
    return gotmpl_fail_call(r, c, "len of type %s", gotmpl_type_name(v));
}

// False: no index within 0..cap.
static bool read_index(struct gotmpl_run *r, const struct gotmpl_call *c, struct gotmpl_value index,
                       size_t cap, size_t *out)
{
    enum gotmpl_kind kind = gotmpl_kind_of(index);
    if (kind == GOTMPL_INVALID)
        gotmpl_fail_call(r, c, "cannot index slice/array with nil");
    else if (index.is_boxed || (kind != GOTMPL_INT && kind != GOTMPL_UINT))
        gotmpl_fail_call(r, c, "cannot index slice/array with type %s", gotmpl_type_name(index));
    else if (index.integer < 0 || (uint64_t)index.integer > cap)
        gotmpl_fail_call(r, c, "index out of range: %lld", (long long)index.integer);
    *out = r->failed ? 0 : (size_t)index.integer;
    return !r->failed;
}

static struct gotmpl_value index_one(struct gotmpl_run *r, const struct gotmpl_call *c,
                                     struct gotmpl_value item, struct gotmpl_value index)
{
    size_t i;
    enum gotmpl_kind kind = gotmpl_kind_of(item);
    item.is_boxed = false;
    if (kind == GOTMPL_NIL)
        return gotmpl_fail_call(r, c, "index of nil pointer");
    if (kind == GOTMPL_MAP) {
        if (!gotmpl_is_valid(index))
            return gotmpl_fail_call(r, c, "value is nil; should be of type string");
        if (index.type != &gotmpl_type_text)
            return gotmpl_fail_call(r, c, "value has type %s; should be string", gotmpl_type_name(index));
        const struct gotmpl_value *found = gotmpl_map_find(item.map, index.text);
        return found != NULL ? gotmpl_element(item.type, *found) : gotmpl_zero(r, item.type->elem);
    }
    if (kind != GOTMPL_SLICE && kind != GOTMPL_TEXT)
        return gotmpl_fail_call(r, c, "can't index item of type %s", gotmpl_type_name(item));
    if (!read_index(r, c, index, gotmpl_length(item), &i))
        return gotmpl_invalid();
    if (i == gotmpl_length(item)) // where Go's own reflect package refuses
        return gotmpl_fail_call(r, c, "reflect: %s index out of range",
                                kind == GOTMPL_TEXT ? "string" : "slice");
    if (kind == GOTMPL_SLICE)
        return gotmpl_element(item.type, item.list->at[i]);
    return (struct gotmpl_value){.type = &gotmpl_type_byte, .integer = (unsigned char)item.text.at[i]};
}

static struct gotmpl_value index_(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct gotmpl_value item = gotmpl_unbox(c->arg[0]);
    if (!gotmpl_is_valid(item))
        return gotmpl_fail_call(r, c, "index of untyped nil");
    for (size_t i = 1; i < c->n && !r->failed; i++)
        item = index_one(r, c, item, gotmpl_unbox(c->arg[i]));
    return item;
}

static struct gotmpl_value slice_(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct gotmpl_value item = gotmpl_unbox(c->arg[0]);
    size_t at[3] = {0, gotmpl_length(item), 0};
    enum gotmpl_kind kind = gotmpl_kind_of(item);
    if (kind == GOTMPL_INVALID)
        return gotmpl_fail_call(r, c, "slice of untyped nil");
    if (c->n > 4)
        return gotmpl_fail_call(r, c, "too many slice indexes: %zu", c->n - 1);
    if (kind == GOTMPL_TEXT && c->n == 4)
        return gotmpl_fail_call(r, c, "cannot 3-index slice a string");
    if (kind != GOTMPL_TEXT && kind != GOTMPL_SLICE)
        return gotmpl_fail_call(r, c, "can't slice item of type %s", gotmpl_type_name(item));
    for (size_t i = 1; i < c->n; i++)
        if (!read_index(r, c, c->arg[i], gotmpl_length(item), &at[i - 1]))
            return gotmpl_invalid();
    if (at[0] > at[1] || (c->n == 4 && at[1] > at[2]))
        return gotmpl_fail_call(r, c, "invalid slice index: %zu > %zu", at[at[0] <= at[1]],
                                at[1 + (at[0] <= at[1])]);
    if (kind == GOTMPL_TEXT)
        return gotmpl_text(slice_make(item.text.at + at[0], at[1] - at[0]));
    if (item.list == NULL)
        return item;
    return gotmpl_list_new(r, item.type, item.list->at + at[0], at[1] - at[0]);
}

// ---- Texts ----
static struct gotmpl_value print(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    gotmpl_print(r, &text, c->arg, c->n);
    return gotmpl_take_text(r, &text);
}

static struct gotmpl_value println(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    gotmpl_println(r, &text, c->arg, c->n);
    return gotmpl_take_text(r, &text);
}

static struct gotmpl_value printf_(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    gotmpl_printf(r, &text, c->arg[0].text, c->arg + 1, c->n - 1);
    return gotmpl_take_text(r, &text);
}

// The arguments as `print` shows them, but no value as "<no value>": what the escapers work on.
static struct gotmpl_value joined(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct gotmpl_value *shown = gotmpl_alloc(r, c->n, sizeof *shown);
    for (size_t i = 0; i < c->n && shown != NULL; i++)
        shown[i] = gotmpl_is_valid(gotmpl_unbox(c->arg[i])) ? c->arg[i] : gotmpl_text(slice_of("<no value>"));
    return print(r, &(struct gotmpl_call){c->name, shown, shown != NULL ? c->n : 0, NULL});
}

static struct gotmpl_value html(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    static const char from[] = "\"'&<>";
    static const char *const to[] = {"&#34;", "&#39;", "&amp;", "&lt;", "&gt;"};
    struct strbuf out = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    struct slice in = joined(r, c).text;
    for (size_t i = 0; i < in.n && !r->failed; i++) {
        const char *found = in.at[i] != 0 ? strchr(from, in.at[i]) : NULL;
        if (in.at[i] == 0)
            strbuf_push_text(&out, "\xEF\xBF\xBD");
        else if (found != NULL)
            strbuf_push_text(&out, to[found - from]);
        else
            strbuf_push_char(&out, in.at[i]);
    }
    return gotmpl_take_text(r, &out);
}

static void put_js_char(struct strbuf *out, uint32_t c)
{
    char bytes[4];
    if (c == '\\' || c == '\'' || c == '"')
        strbuf_printf(out, "\\%c", (int)c);
    else if (c < 0x20 || (c < 0x80 && strchr("<>&=", (int)c) != NULL))
        strbuf_printf(out, "\\u%04X", (unsigned)c);
    else if (c < 0x80 || gotmpl_is_printable(c))
        strbuf_push(out, bytes, utf8_encode(c, bytes));
    else
        strbuf_printf(out, "\\u%04X", (unsigned)c);
}

static struct gotmpl_value js(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf out = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    struct slice in = joined(r, c).text;
    for (size_t i = 0; i < in.n && !r->failed;) {
        uint32_t code;
        i += utf8_decode(in.at + i, in.n - i, &code);
        put_js_char(&out, code == UTF8_INVALID ? UTF8_REPLACEMENT : code);
    }
    return gotmpl_take_text(r, &out);
}

static struct gotmpl_value urlquery(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf out = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    struct slice in = joined(r, c).text;
    for (size_t i = 0; i < in.n && !r->failed; i++) {
        unsigned char b = (unsigned char)in.at[i];
        bool is_plain = (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z') || b == '-' ||
                        b == '_' || b == '.' || b == '~';
        if (is_plain || b == ' ')
            strbuf_push_char(&out, b == ' ' ? '+' : (char)b);
        else
            strbuf_printf(&out, "%%%02X", b);
    }
    return gotmpl_take_text(r, &out);
}

// No value of a template is a function.
static struct gotmpl_value call(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct gotmpl_value v = gotmpl_unbox(c->arg[0]);
    struct strbuf text = STRBUF_INIT(200);
    if (!gotmpl_is_valid(v))
        return gotmpl_fail_call(r, c, "call of nil");
    if (c->callee != NULL)
        gotmpl_put_node(&text, c->callee);
    else
        gotmpl_put_plain(r, &text, v);
    gotmpl_fail_call(r, c, "non-function %s of type %s", strbuf_text(&text), gotmpl_type_name(v));
    strbuf_fini(&text);
    return gotmpl_invalid();
}

// ---- Ollama's ----
static struct gotmpl_value json(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf out = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    gotmpl_put_json(r, &out, c->arg[0], 0);
    return gotmpl_take_text(r, &out);
}

static struct gotmpl_value date(struct gotmpl_run *r, int days)
{
    struct strbuf out = STRBUF_INIT(64);
    struct tm day;
    time_t now = (time_t)r->now_s;
    char text[32] = "";
    if (localtime_r(&now, &day) != NULL) {
        day.tm_mday += days;
        day.tm_isdst = -1;
        mktime(&day); // brings the day into its month
        strftime(text, sizeof text, "%Y-%m-%d", &day);
    }
    strbuf_push_text(&out, text);
    return gotmpl_take_text(r, &out);
}

static struct gotmpl_value current_date(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return date(r, 0);
}

static struct gotmpl_value yesterday_date(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    return date(r, -1);
}

static const char *type_script_name(struct slice type)
{
    static const char *const names[][2] = {{"string", "string"},
                                           {"number", "number"},
                                           {"integer", "number"},
                                           {"boolean", "boolean"},
                                           {"array", "any[]"},
                                           {"null", "null"},
                                           {"object", "Record<string, any>"}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_is(type, names[i][0]))
            return names[i][1];
    return "any";
}

static void put_type_script(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value property)
{
    struct gotmpl_value any_of = *gotmpl_field_find(property, slice_of("AnyOf"));
    struct gotmpl_value types = *gotmpl_field_find(property, slice_of("Type"));
    struct gotmpl_value list = gotmpl_length(any_of) > 0 ? any_of : types;
    for (size_t i = 0; i < gotmpl_length(list) && gotmpl_step(r, 1); i++) {
        strbuf_push_text(out, i > 0 ? " | " : "");
        if (list.list == any_of.list)
            put_type_script(r, out, list.list->at[i]);
        else
            strbuf_push_text(out, type_script_name(list.list->at[i].text));
    }
    if (gotmpl_length(list) == 0)
        strbuf_push_text(out, "any");
}

static struct gotmpl_value to_type_script(struct gotmpl_run *r, const struct gotmpl_call *c)
{
    struct strbuf out = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    if (c->arg[0].type == &gotmpl_type_property)
        put_type_script(r, &out, c->arg[0]);
    else
        strbuf_push_text(&out, "any");
    return gotmpl_take_text(r, &out);
}

// ---- The table ----
static const struct gotmpl_row rows[] = {
    {"and", NULL, "v", 'v'},
    {"call", call, "v", 'v'},
    {"currentDate", current_date, "", 's'},
    {"eq", eq, "v", 'v'},
    {"ge", ge, "vv", 0},
    {"gt", gt, "vv", 0},
    {"html", html, "", 'a'},
    {"index", index_, "v", 'v'},
    {"js", js, "", 'a'},
    {"json", json, "a", 0},
    {"le", le, "vv", 0},
    {"len", len, "v", 0},
    {"lt", lt, "vv", 0},
    {"ne", ne, "vv", 0},
    {"not", not_, "v", 0},
    {"or", NULL, "v", 'v'},
    {"print", print, "", 'a'},
    {"printf", printf_, "s", 'a'},
    {"println", println, "", 'a'},
    {"slice", slice_, "v", 'v'},
    {"toTypeScriptType", to_type_script, "a", 0},
    {"urlquery", urlquery, "", 'a'},
    {"yesterdayDate", yesterday_date, "", 's'},
};

const struct gotmpl_row *gotmpl_row_find(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_is(name, rows[i].name))
            return &rows[i];
    return NULL;
}
