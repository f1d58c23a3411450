// SPDX-License-Identifier: MIT
// An append-only JSON writer over a strbuf: commas and quotes are its business. Strings are made valid UTF-8
// (ill-formed bytes become U+FFFD) and `<`, `>`, `&`, U+2028 and U+2029 are escaped as Go's encoder does.
// Floats print the shortest text that reads back equal.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/strbuf.h"
#include "json/json.h"

enum { JSON_WRITER_DEPTH = 64 };

struct json_writer {
    struct strbuf *out;
    int depth;
    bool has_items[JSON_WRITER_DEPTH];
    bool after_key;
};

struct json_writer json_writer_make(struct strbuf *out);
void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_put_slice(struct json_writer *w, struct slice text);
void json_put_text(struct json_writer *w, const char *text); // NULL writes null
void json_put_int(struct json_writer *w, int64_t value);
void json_put_uint(struct json_writer *w, uint64_t value);
void json_put_double(struct json_writer *w, double value); // NaN and infinities: null
void json_put_float(struct json_writer *w, float value);   // shortest for fp32
void json_put_bool(struct json_writer *w, bool value);
void json_put_null(struct json_writer *w);
void json_put_raw(struct json_writer *w, struct slice json); // one value, already JSON
void json_put_value(struct json_writer *w, const json_t *value);

// key + value in one call
void json_member_text(struct json_writer *w, const char *key, const char *text);
void json_member_slice(struct json_writer *w, const char *key, struct slice text);
void json_member_int(struct json_writer *w, const char *key, int64_t value);
void json_member_bool(struct json_writer *w, const char *key, bool value);
