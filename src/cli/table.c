// SPDX-License-Identifier: MIT
// Cells are kept until the widths are known. Width is counted in terminal columns.
#include "cli/table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cli/wrap.h"

enum { GAP = 4 };

void table_init(struct table *t, size_t n_columns)
{
    *t = (struct table){.n_columns = MIN(n_columns, TABLE_MAX_COLUMNS)};
}

void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

void table_add(struct table *t, const char *cell)
{
    if (t->n_cells == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 32;
        t->cells = xrealloc(t->cells, t->capacity * sizeof *t->cells);
    }
    t->cells[t->n_cells++] = xstrdup(cell);
}

void table_print(const struct table *t, const char *indent, FILE *out)
{
    size_t widths[TABLE_MAX_COLUMNS] = {0};
    for (size_t i = 0; i < t->n_cells; i++)
        widths[i % t->n_columns] = MAX(widths[i % t->n_columns], wrap_width(slice_of(t->cells[i])));
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t column = i % t->n_columns;
        bool is_last = column == t->n_columns - 1;
        size_t blanks = is_last ? 0 : widths[column] + GAP - wrap_width(slice_of(t->cells[i]));
        fputs(column == 0 ? indent : "", out);
        wrap_print(out, slice_of(t->cells[i]));
        fprintf(out, "%*s%s", (int)blanks, "", is_last ? "\n" : "");
    }
}
