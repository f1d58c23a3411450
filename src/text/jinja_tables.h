// SPDX-License-Identifier: MIT
// Helpers that filters, tests, methods and functions share. A new one is a function in its file and a row in
// that file's table.
#pragma once

#include "text/jinja_run.h"

enum jinja_case { JINJA_UPPER, JINJA_LOWER, JINJA_TITLE, JINJA_CAPITALIZE, JINJA_SWAPCASE };

struct jinja_value jinja_case_map(struct jinja_run *r, struct jinja_value text,
                                  enum jinja_case how); // jinja_case.c
bool jinja_case_is(struct jinja_run *r, struct slice text,
                   enum jinja_case how); // has cased letters, all of them upper or lower

// Argument number i as an integer or text, `absent` when it was not given; fails on another type.
int64_t jinja_arg_int(struct jinja_run *r, const struct jinja_call *c, int i, int64_t absent);
struct slice jinja_arg_text(struct jinja_run *r, const struct jinja_call *c, int i, struct slice absent);
bool jinja_arg_truth(struct jinja_run *r, const struct jinja_call *c, int i, bool absent);

// jinja_strings.c, used by filters too
struct jinja_value jinja_strip(struct jinja_run *r, struct jinja_value text, struct jinja_value chars,
                               bool left, bool right);
struct jinja_value jinja_replace(struct jinja_run *r, struct slice s, struct slice old, struct slice new,
                                 int64_t count);
struct jinja_value jinja_split_lines(struct jinja_run *r, struct slice s);
struct jinja_value jinja_pad(struct jinja_run *r, struct jinja_value text, int64_t width, struct slice fill,
                             int side);
const struct jinja_row *jinja_string_method_find(struct slice name);

// item.a.b.0, as filters take attributes; an integer is an index. `absent` (if given) stands for what is
// undefined.
struct jinja_value jinja_attr_path(struct jinja_run *r, struct jinja_value item, struct jinja_value path,
                                   struct jinja_value absent);
