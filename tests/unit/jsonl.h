// SPDX-License-Identifier: MIT
// Reads gzipped JSON Lines of tests/data: the first line is a head, every further line is given to a
// function.
#pragma once

#include "test.h"

#include <jansson.h>
#include <zlib.h>

#include "base/slice.h"
#include "json/json.h"

typedef void jsonl_line_fn(void *arg, const json_t *line);

static inline int jsonl_each(const char *path, jsonl_line_fn *fn, void *arg)
{
    enum { MAX_LINE = 1 << 20 };
    gzFile f = gzopen(path, "rb");
    char *text = malloc(MAX_LINE);
    int n = -1; // the head is not counted
    if (f == NULL)
        fail_msg("cannot open %s", path);
    while (gzgets(f, text, MAX_LINE) != NULL) {
        struct err err = {0};
        json_t *line = json_parse(slice_of(text), &err);
        if (line == NULL)
            fail_msg("%s: %s", path, err.message);
        if (n++ >= 0)
            fn(arg, line);
        json_decref(line);
    }
    gzclose(f);
    free(text);
    return n;
}

static inline int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

// The bytes are the caller's to free.
static inline struct slice base64_decode(const char *text)
{
    char *out = malloc(strlen(text) + 1);
    size_t n = 0;
    unsigned held = 0;
    int n_bits = 0;
    for (; base64_digit(*text) >= 0; text++) {
        held = held << 6 | (unsigned)base64_digit(*text);
        n_bits += 6;
        if (n_bits >= 8)
            out[n++] = (char)(held >> (n_bits -= 8));
    }
    return slice_make(out, n);
}
