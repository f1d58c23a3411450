// SPDX-License-Identifier: MIT
// The filters on sequences, for the table in jinja_filters.c.
#pragma once

#include "text/jinja_run.h"

jinja_fn jinja_filter_batch, jinja_filter_dictsort, jinja_filter_first, jinja_filter_items, jinja_filter_join;
jinja_fn jinja_filter_last, jinja_filter_length, jinja_filter_list, jinja_filter_map, jinja_filter_max;
jinja_fn jinja_filter_min, jinja_filter_reject, jinja_filter_rejectattr, jinja_filter_reverse,
    jinja_filter_select;
jinja_fn jinja_filter_selectattr, jinja_filter_sort, jinja_filter_sum, jinja_filter_unique;
