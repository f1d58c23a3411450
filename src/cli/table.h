// SPDX-License-Identifier: MIT
// A table on stdout: columns as wide as their widest cell, left aligned, four blanks apart, no rules. Private
// to the cli room.
#pragma once

#include <stddef.h>
#include <stdio.h>

enum { TABLE_MAX_COLUMNS = 12 };

struct table {
    size_t n_columns, n_cells, capacity;
    char **cells; // row after row
};

void table_init(struct table *t, size_t n_columns);
void table_fini(struct table *t);
void table_add(struct table *t, const char *cell); // copied; n_columns of them make a row
void table_print(const struct table *t, const char *indent, FILE *out);
