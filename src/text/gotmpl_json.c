// SPDX-License-Identifier: MIT
// JSON of template values as Go's encoding/json writes it: compact, keys of maps in order, structs by their
// tags, `<`, `>` and `&` escaped.
#include "json/writer.h"
#include "text/gotmpl_run.h"

static bool is_empty(struct gotmpl_value v)
{
    return gotmpl_kind_of(v) != GOTMPL_STRUCT && !gotmpl_is_true(v);
}

static void put_text(struct strbuf *out, struct slice text)
{
    struct json_writer w = json_writer_make(out);
    json_put_slice(&w, text);
}

static void put_struct(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v, int depth)
{
    char separator = '{';
    for (uint32_t i = 0; i < v.type->n_fields && gotmpl_step(r, 1); i++) {
        const struct gotmpl_field *f = &v.type->fields[i];
        if (f->omits_empty && is_empty(v.fields[i]))
            continue;
        strbuf_push_char(out, separator);
        put_text(out, slice_of(f->json));
        strbuf_push_char(out, ':');
        gotmpl_put_json(r, out, v.fields[i], depth + 1);
        separator = ',';
    }
    strbuf_push_text(out, separator == '{' ? "{}" : "}");
}

static void put_slice(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v, int depth)
{
    for (size_t i = 0; i < v.list->n && gotmpl_step(r, 1); i++) {
        strbuf_push_char(out, i == 0 ? '[' : ',');
        gotmpl_put_json(r, out, v.list->at[i], depth + 1);
    }
    strbuf_push_text(out, v.list->n == 0 ? "[]" : "]");
}

static void put_map(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v, int depth)
{
    for (size_t i = 0; i < v.map->n && gotmpl_step(r, 1); i++) {
        strbuf_push_char(out, i == 0 ? '{' : ',');
        put_text(out, v.map->pairs[i].key);
        strbuf_push_char(out, ':');
        gotmpl_put_json(r, out, v.map->pairs[i].value, depth + 1);
    }
    strbuf_push_text(out, v.map->n == 0 ? "{}" : "}");
}

static void put_kind(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v, int depth)
{
    struct json_writer w = json_writer_make(out);
    switch (gotmpl_kind_of(v)) {
    case GOTMPL_INVALID:
    case GOTMPL_NIL:
        json_put_null(&w);
        break;
    case GOTMPL_BOOL:
        json_put_bool(&w, v.flag);
        break;
    case GOTMPL_INT:
    case GOTMPL_UINT:
        json_put_int(&w, v.integer);
        break;
    case GOTMPL_FLOAT:
        json_put_double(&w, v.real);
        break;
    case GOTMPL_TEXT:
        json_put_slice(&w, v.text);
        break;
    case GOTMPL_SLICE:
        if (v.list == NULL)
            json_put_null(&w);
        else
            put_slice(r, out, v, depth);
        break;
    case GOTMPL_MAP:
    case GOTMPL_OPAQUE:
        if (v.map == NULL)
            json_put_null(&w);
        else
            put_map(r, out, v, depth);
        break;
    case GOTMPL_STRUCT:
        put_struct(r, out, v, depth);
        break;
    }
}

void gotmpl_put_json(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v, int depth)
{
    size_t before = out->n;
    if (r->failed)
        return;
    if (depth > GOTMPL_DATA_DEPTH + 20) // what a struct of tools adds to the depth of the data
        gotmpl_fail_bound(r, "values are nested too deep");
    else if (v.type != NULL && v.type->put_json != NULL)
        v.type->put_json(r, out, v);
    else
        put_kind(r, out, v, depth);
    if (gotmpl_kind_of(v) == GOTMPL_TEXT)
        gotmpl_step(r, (out->n - before) / 32);
}
