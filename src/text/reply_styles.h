// SPDX-License-Identifier: MIT
// What the hooks' ways of writing differ in: `style` of a row.
#pragma once

#include <stdbool.h>

// reply_xml.c
struct reply_xml {
    const char *call_open;                   // before the name; "": the name comes at once
    const char *name_end;                    // NULL: a tag or the end of the line
    const char *call_close;                  // NULL: none but the row's closer
    const char *param_open, *param_name_end; // a name in quotes may be followed by attributes
    const char *value_open;                  // NULL: the value comes at once
    const char *param_close;
};

// reply_named.c: NAME, perhaps an id, then an object
struct reply_named {
    const char *name_end[3]; // the first that comes
    const char *id_mark;     // between name and id; NULL: none
    const char *kind;        // a word in the name's place, then the name follows: "function"
    bool has_index;          // functions.NAME:0, which is the id
    bool id_first;           // the id comes before the mark, the name behind it
};

// reply_gemma.c
struct reply_gemma {
    const char *quote;
};
