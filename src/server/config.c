// SPDX-License-Identifier: MIT
// Between the option table (base/, which knows no model names) and host and people.
#include "server/config.h"

#include <string.h>

#include "base/mem.h"
#include "json/writer.h"
#include "store/name.h"

enum { PRINT_BYTES = 4 << 20 };

int config_name_model(const char *text, char out[OPTION_MODEL_NAME_BYTES], struct err *err)
{
    struct model_name name;
    char shown[640];
    if (name_parse(&name, text, err) != 0)
        return -1;
    name_format(&name, shown);
    snprintf(out, OPTION_MODEL_NAME_BYTES, "%s", shown);
    return 0;
}

static uint32_t u32_of(const struct model_value *v)
{
    return v->line ? (uint32_t)MIN(v->uint, (uint64_t)UINT32_MAX) : 0;
}

struct host_model_settings config_model_settings(const char *display_name)
{
    struct model_settings m;
    if (!options_find_model(display_name, &m))
        return (struct host_model_settings){0};
    const struct model_value *at = m.at;
    return (struct host_model_settings){
        .num_parallel = u32_of(&at[MODEL_PARALLEL]),
        .context_length = u32_of(&at[MODEL_CONTEXT]),
        .kv_type = at[MODEL_KV_TYPE].line ? at[MODEL_KV_TYPE].text : NULL,
        .n_threads = (int)MIN(u32_of(&at[MODEL_THREADS]), (uint32_t)INT32_MAX),
        .has_keep_alive = at[MODEL_KEEP_ALIVE].line != 0,
        .keep_alive_ns = at[MODEL_KEEP_ALIVE].duration_ns,
        .is_pinned = at[MODEL_PIN].uint != 0,
    };
}

// ---- Printing ----

static void print_rows(FILE *out)
{
    struct model_settings m;
    fprintf(out, "%-20s %-24s %s\n", "OPTION", "VALUE", "SOURCE");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const char *text = options_shown((enum option_id)i);
        fprintf(out, "%-20s %-24s %s\n", options_name((enum option_id)i), text[0] ? text : "-",
                options_source((enum option_id)i));
    }
    for (size_t i = 0; options_read_model_at(i, &m); i++) {
        fprintf(out, "\n[model %s] %s:%u\n", m.name, m.file, m.line);
        for (int k = 0; k < MODEL_SETTING_COUNT; k++)
            if (m.at[k].line != 0)
                fprintf(out, "%-20s %-24s %s:%u\n", options_model_setting_name((enum model_setting)k),
                        m.at[k].text, m.file, m.at[k].line);
    }
}

static void write_value(struct json_writer *w, const char *name, const char *value, const char *source)
{
    json_key(w, name);
    json_begin_object(w);
    json_member_text(w, "value", value);
    json_member_text(w, "source", source);
    json_end_object(w);
}

static void write_models(struct json_writer *w)
{
    struct model_settings m;
    char source[4096 + 16];
    for (size_t i = 0; options_read_model_at(i, &m); i++) {
        json_key(w, m.name);
        json_begin_object(w);
        for (int k = 0; k < MODEL_SETTING_COUNT; k++) {
            snprintf(source, sizeof source, "%s:%u", m.file, m.at[k].line);
            if (m.at[k].line != 0)
                write_value(w, options_model_setting_name((enum model_setting)k), m.at[k].text, source);
        }
        json_end_object(w);
    }
}

static void print_json(FILE *out)
{
    struct strbuf text = STRBUF_INIT(PRINT_BYTES);
    struct json_writer w = json_writer_make(&text);
    json_begin_object(&w);
    json_member_text(&w, "file", options_file());
    json_key(&w, "options");
    json_begin_object(&w);
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = (enum option_id)i;
        write_value(&w, options_name(id), options_shown(id), options_source(id));
    }
    json_end_object(&w);
    json_key(&w, "models");
    json_begin_object(&w);
    write_models(&w);
    json_end_object(&w);
    json_end_object(&w);
    fprintf(out, "%s\n", strbuf_text(&text));
    strbuf_fini(&text);
}

void config_print(FILE *out, bool as_json)
{
    if (as_json)
        print_json(out);
    else
        print_rows(out);
}
