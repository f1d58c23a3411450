// SPDX-License-Identifier: MIT
// Tests: what stands after `is`.
#include "base/mem.h"
#include "text/jinja_tables.h"

static struct jinja_value test_defined(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind != JINJA_UNDEFINED);
}

static struct jinja_value test_undefined(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_UNDEFINED);
}

static struct jinja_value test_none(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_NONE);
}

static struct jinja_value test_boolean(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_BOOL);
}

static struct jinja_value test_true(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_BOOL && c->self.flag);
}

static struct jinja_value test_false(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_BOOL && !c->self.flag);
}

static struct jinja_value test_integer(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_INT);
}

static struct jinja_value test_float(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_FLOAT);
}

static struct jinja_value test_number(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_is_number(c->self));
}

static struct jinja_value test_string(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_TEXT);
}

static struct jinja_value test_mapping(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_DICT);
}

static struct jinja_value test_iterable(struct jinja_run *r, const struct jinja_call *c)
{
    enum jinja_kind k = c->self.kind;
    return jinja_bool(k == JINJA_TEXT || k == JINJA_LIST || k == JINJA_DICT || k == JINJA_UNDEFINED ||
                      k == JINJA_LOOP);
}

static struct jinja_value test_sequence(struct jinja_run *r, const struct jinja_call *c)
{
    enum jinja_kind k = c->self.kind;
    bool is_list = k == JINJA_LIST && c->self.list->flavor <= JINJA_FLAVOR_RANGE;
    return jinja_bool(k == JINJA_TEXT || is_list || k == JINJA_DICT || k == JINJA_UNDEFINED);
}

static struct jinja_value test_callable(struct jinja_run *r, const struct jinja_call *c)
{
    enum jinja_kind k = c->self.kind;
    return jinja_bool(k == JINJA_MACRO || k == JINJA_METHOD || k == JINJA_FUNCTION || k == JINJA_UNDEFINED);
}

static struct jinja_value test_escaped(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(c->self.kind == JINJA_TEXT && c->self.markup);
}

static struct jinja_value test_lower(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_case_is(r, jinja_slice(jinja_str(r, c->self)), JINJA_LOWER));
}

static struct jinja_value test_upper(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_case_is(r, jinja_slice(jinja_str(r, c->self)), JINJA_UPPER));
}

static struct jinja_value has_remainder(struct jinja_run *r, struct jinja_value v, struct jinja_value by,
                                        int64_t rest)
{
    return jinja_bool(jinja_equals(r, jinja_binary(r, JINJA_OP_MOD, v, by), jinja_int(rest)));
}

static struct jinja_value test_odd(struct jinja_run *r, const struct jinja_call *c)
{
    return has_remainder(r, c->self, jinja_int(2), 1);
}

static struct jinja_value test_even(struct jinja_run *r, const struct jinja_call *c)
{
    return has_remainder(r, c->self, jinja_int(2), 0);
}

static struct jinja_value test_divisibleby(struct jinja_run *r, const struct jinja_call *c)
{
    return has_remainder(r, c->self, c->arg[0], 0);
}

static struct jinja_value test_eq(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_equals(r, c->self, c->arg[0]));
}

static struct jinja_value test_ne(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(!jinja_equals(r, c->self, c->arg[0]));
}

static struct jinja_value test_lt(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_compare(r, c->self, c->arg[0], "<") < 0);
}

static struct jinja_value test_le(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_compare(r, c->self, c->arg[0], "<=") <= 0);
}

static struct jinja_value test_gt(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_compare(r, c->self, c->arg[0], ">") == 1);
}

static struct jinja_value test_ge(struct jinja_run *r, const struct jinja_call *c)
{
    int order = jinja_compare(r, c->self, c->arg[0], ">=");
    return jinja_bool(order == 0 || order == 1);
}

static struct jinja_value test_in(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_contains(r, c->self, c->arg[0]));
}

static struct jinja_value test_sameas(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value a = c->self, b = c->arg[0];
    if (a.kind != b.kind)
        return jinja_bool(false);
    if (a.kind == JINJA_INT || a.kind == JINJA_FLOAT || a.kind == JINJA_TEXT)
        return jinja_fail(r, ERR_UNSUPPORTED, "the test 'sameas' on a %s", jinja_type_name(a));
    if (a.kind == JINJA_BOOL)
        return jinja_bool(a.flag == b.flag);
    return jinja_bool(a.kind == JINJA_NONE || a.list == b.list);
}

static struct jinja_value test_filter(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_filter_find(jinja_slice(c->self)) != NULL);
}

static struct jinja_value test_test(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_test_find(jinja_slice(c->self)) != NULL);
}

static const struct jinja_row tests[] = {
    {"boolean", test_boolean, ""},
    {"callable", test_callable, ""},
    {"defined", test_defined, ""},
    {"divisibleby", test_divisibleby, "num"},
    {"eq", test_eq, "other"},
    {"equalto", test_eq, "other"},
    {"escaped", test_escaped, ""},
    {"even", test_even, ""},
    {"false", test_false, ""},
    {"filter", test_filter, ""},
    {"float", test_float, ""},
    {"ge", test_ge, "other"},
    {"greaterthan", test_gt, "other"},
    {"gt", test_gt, "other"},
    {"in", test_in, "seq"},
    {"integer", test_integer, ""},
    {"iterable", test_iterable, ""},
    {"le", test_le, "other"},
    {"lessthan", test_lt, "other"},
    {"lower", test_lower, ""},
    {"lt", test_lt, "other"},
    {"mapping", test_mapping, ""},
    {"ne", test_ne, "other"},
    {"none", test_none, ""},
    {"number", test_number, ""},
    {"odd", test_odd, ""},
    {"sameas", test_sameas, "other"},
    {"sequence", test_sequence, ""},
    {"string", test_string, ""},
    {"test", test_test, ""},
    {"true", test_true, ""},
    {"undefined", test_undefined, ""},
    {"upper", test_upper, ""},
};

const struct jinja_row *jinja_test_find(struct slice name)
{
    return jinja_row_find(tests, COUNT_OF(tests), name);
}
