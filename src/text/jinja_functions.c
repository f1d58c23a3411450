// SPDX-License-Identifier: MIT
// Functions that every template may call.
#include <locale.h>
#include <time.h>

#include "base/mem.h"
#include "text/jinja_tables.h"

static struct jinja_value function_range(struct jinja_run *r, const struct jinja_call *c)
{
    int64_t bound[3] = {0, 0, 1};
    if (c->raw.n < 1 || c->raw.n > 3 || c->raw.n_keywords > 0)
        return jinja_fail(r, ERR_FORMAT, "range() takes one to three arguments");
    for (size_t i = 0; i < c->raw.n; i++)
        if (!jinja_as_int(c->raw.at[i], &bound[c->raw.n == 1 ? 1 : i]))
            return jinja_fail(r, ERR_FORMAT, "range() of a %s", jinja_type_name(c->raw.at[i]));
    if (bound[2] == 0)
        return jinja_fail(r, ERR_FORMAT, "range() arg 3 must not be zero");
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_RANGE);
    for (int64_t i = bound[0]; (bound[2] > 0 ? i < bound[1] : i > bound[1]) && jinja_step(r, 1);) {
        if (out.list->n >= JINJA_RANGE_ITEMS)
            return jinja_fail(r, ERR_TOO_LARGE, "a range of more than %d items", JINJA_RANGE_ITEMS);
        jinja_list_push(r, out.list, jinja_int(i));
        if (__builtin_add_overflow(i, bound[2], &i))
            break;
    }
    return out;
}

// dict(pairs or dict, name=value, ...)
static struct jinja_value function_dict(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value out = jinja_dict_new(r);
    if (c->raw.n > 1)
        return jinja_fail(r, ERR_FORMAT, "dict expected at most 1 argument, got %zu", c->raw.n);
    if (c->raw.n == 1 && c->raw.at[0].kind == JINJA_DICT) {
        const struct jinja_dict *d = c->raw.at[0].dict;
        for (size_t i = 0; i < d->n && jinja_step(r, 1); i++)
            jinja_dict_set(r, out.dict, d->pairs[i].key, d->pairs[i].value);
    } else if (c->raw.n == 1) {
        const struct jinja_list *pairs = jinja_items(r, c->raw.at[0]);
        for (size_t i = 0; i < pairs->n && jinja_step(r, 1); i++) {
            const struct jinja_list *pair = jinja_items(r, pairs->at[i]);
            if (!r->failed && pair->n != 2)
                jinja_fail(r, ERR_FORMAT, "dict() wants pairs");
            if (!r->failed)
                jinja_dict_set(r, out.dict, pair->at[0], pair->at[1]);
        }
    }
    for (size_t i = 0; i < c->raw.n_keywords; i++)
        jinja_dict_set(r, out.dict, jinja_text_borrow(r, c->raw.keywords[i].name), c->raw.keywords[i].value);
    return out;
}

static struct jinja_value function_namespace(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value out = function_dict(r, c);
    if (!r->failed)
        out.kind = JINJA_NAMESPACE;
    return out;
}

static struct jinja_value function_raise_exception(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice message = jinja_slice(jinja_str(r, c->arg[0]));
    return jinja_fail(r, ERR_INVALID, "%.*s", (int)MIN(message.n, 700), message.at);
}

// Names of days and months are English whatever the locale; the clock is the caller's, in UTC.
static struct jinja_value function_strftime_now(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice format = jinja_arg_text(r, c, 0, slice_of(""));
    char given[256], text[2048];
    time_t now = (time_t)r->now_s;
    struct tm tm;
    if (r->failed || format.n == 0)
        return jinja_text_borrow(r, slice_of(""));
    if (format.n >= sizeof given || memchr(format.at, 0, format.n) != NULL)
        return jinja_fail(r, ERR_UNSUPPORTED, "strftime_now() with such a format");
    memcpy(given, format.at, format.n);
    given[format.n] = 0;
    for (const char *p = strchr(given, '%'); p != NULL; p = strchr(p + 2, '%')) {
        const char *kind = p[1] == '-' ? p + 2 : p + 1;
        if (*kind == 0 || strchr("aAbBdHIjmMpSyYeFTDRu%", *kind) == NULL)
            return jinja_fail(r, ERR_UNSUPPORTED, "strftime_now() with '%%%.2s'", p + 1);
    }
    locale_t english = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    size_t n = 0;
    if (english != (locale_t)0 && gmtime_r(&now, &tm) != NULL)
        n = strftime_l(text, sizeof text, given, &tm, english);
    if (english != (locale_t)0)
        freelocale(english);
    if (n == 0)
        return jinja_fail(r, ERR_FORMAT, "strftime_now() with a format or clock that gives nothing");
    return jinja_text_copy(r, slice_make(text, n));
}

static const struct jinja_row functions[] = {
    {"cycler", NULL, "*"},
    {"dict", function_dict, "*"},
    {"joiner", NULL, "*"},
    {"lipsum", NULL, "*"},
    {"namespace", function_namespace, "*"},
    {"raise_exception", function_raise_exception, "message"},
    {"range", function_range, "*"},
    {"strftime_now", function_strftime_now, "format"},
};

const struct jinja_row *jinja_function_find(struct slice name)
{
    return jinja_row_find(functions, COUNT_OF(functions), name);
}
