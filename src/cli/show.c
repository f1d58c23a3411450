// SPDX-License-Identifier: MIT
// `drover show`: sections of two-column rows, as Ollama lays them out. Everything comes from the one answer
// of /api/show.
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/table.h"
#include "cli/wrap.h"
#include "json/writer.h"

static const char *const texts[] = {"license", "modelfile", "parameters", "template", "system"};

const struct args_flag cli_show_flags[] = {
    {"license", 0, ARGS_SWITCH, NULL, "the licence"},
    {"modelfile", 0, ARGS_SWITCH, NULL, "a Modelfile that makes this model"},
    {"parameters", 0, ARGS_SWITCH, NULL, "the parameters"},
    {"template", 0, ARGS_SWITCH, NULL, "the chat template"},
    {"system", 0, ARGS_SWITCH, NULL, "the system message"},
    {"verbose", 'v', ARGS_SWITCH, NULL, "metadata and tensors too"},
    {"memory", 0, ARGS_SWITCH, NULL, "the memory that it takes when loaded, and whether there is room"},
    {"ctx", 0, ARGS_UINT, "N", "with --memory: for requests of that context"},
    {"slots", 0, ARGS_UINT, "N", "with --memory: for that many requests at once"},
    {"json", 0, ARGS_SWITCH, NULL, "print the server's answer as JSON"},
    {NULL},
};

int show_request(const char *model, bool verbose, json_t **answer, struct err *err)
{
    struct strbuf body = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", model);
    if (verbose)
        json_member_bool(&w, "verbose", true);
    json_end_object(&w);
    int rc = api_call("/api/show", strbuf_slice(&body), answer, err);
    strbuf_fini(&body);
    return rc;
}

// A value as one cell: text plain, the rest as JSON; long lists shortened.
static void format_value(const json_t *value, struct strbuf *out)
{
    enum { MANY = 3 };
    if (json_is_string(value)) {
        strbuf_push_slice(out, json_slice(value));
        return;
    }
    struct json_writer w = json_writer_make(out);
    if (!json_is_array(value) || json_array_size(value) <= MANY) {
        json_put_value(&w, value);
        return;
    }
    strbuf_push_char(out, '[');
    for (size_t i = 0; i < MANY; i++) {
        struct json_writer item = json_writer_make(out);
        json_put_value(&item, json_array_get(value, i));
        strbuf_push_text(out, ", ");
    }
    strbuf_printf(out, "...+%zu more]", json_array_size(value) - MANY);
}

static void add_value(struct table *t, const char *name, const json_t *value)
{
    struct strbuf text = STRBUF_INIT(64 << 10);
    if (value == NULL || json_is_null(value))
        return;
    format_value(value, &text);
    if (text.n > 0) {
        table_add(t, name);
        table_add(t, strbuf_text(&text));
    }
    strbuf_fini(&text);
}

static void print_section(const char *title, struct table *t)
{
    if (t->n_cells > 0) {
        printf("  %s\n", title);
        table_print(t, "    ", stdout);
        printf("\n");
    }
    table_fini(t);
}

// "llama.context_length" for whatever architecture.
static const json_t *find_info(const json_t *info, const char *name)
{
    char key[160];
    const char *architecture = json_string_value(json_object_get(info, "general.architecture"));
    snprintf(key, sizeof key, "%.100s.%.50s", architecture ? architecture : "", name);
    return json_object_get(info, key);
}

static void print_model(const json_t *answer)
{
    struct table t;
    const json_t *info = json_object_get(answer, "model_info"), *details = json_object_get(answer, "details");
    const json_t *architecture = json_object_get(info, "general.architecture");
    table_init(&t, 2);
    add_value(&t, "architecture", architecture ? architecture : json_object_get(details, "family"));
    add_value(&t, "parameters", json_object_get(details, "parameter_size"));
    add_value(&t, "context length", find_info(info, "context_length"));
    add_value(&t, "embedding length", find_info(info, "embedding_length"));
    add_value(&t, "quantization", json_object_get(details, "quantization_level"));
    print_section("Model", &t);
}

// What turns images into what the model reads; few models have it.
static void print_projector(const json_t *answer)
{
    static const char *const keys[][2] = {{"architecture", "general.architecture"},
                                          {"embedding length", "clip.vision.embedding_length"},
                                          {"dimensions", "clip.vision.projection_dim"}};
    char count[FORMAT_BYTES];
    struct table t;
    const json_t *info = json_object_get(answer, "projector_info");
    uint64_t n = api_number(info, "general.parameter_count");
    table_init(&t, 2);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        add_value(&t, keys[i][0], json_object_get(info, keys[i][1]));
        if (i == 0 && n > 0) {
            snprintf(count, sizeof count, n < 1000000000 ? "%.2fM" : "%.2fB",
                     (double)n / (n < 1000000000 ? 1e6 : 1e9));
            table_add(&t, "parameters");
            table_add(&t, count);
        }
    }
    print_section("Projector", &t);
}

static void print_list(const char *title, const json_t *list)
{
    size_t i;
    json_t *item;
    struct table t;
    table_init(&t, 1);
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item))
            table_add(&t, json_string_value(item));
    }
    print_section(title, &t);
}

// "name     value" lines become rows.
static void print_parameters(const char *text)
{
    struct table t;
    table_init(&t, 2);
    while (text != NULL && *text != 0) {
        char line[512], *value;
        size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)MIN(n, sizeof line - 1), text);
        text += n + (text[n] == '\n');
        value = line + strcspn(line, " ");
        if (*value != 0)
            *value++ = 0;
        table_add(&t, line);
        table_add(&t, value + strspn(value, " "));
    }
    print_section("Parameters", &t);
}

// The first lines of a long text that are not empty.
static void print_excerpt(const char *title, const char *text, int n_lines)
{
    if (text == NULL || text[strspn(text, " \t\r\n")] == 0)
        return;
    printf("  %s\n", title);
    for (int i = 0; *text != 0;) {
        text += strspn(text, " \t\r");
        size_t n = strcspn(text, "\n");
        if (n > 0 && i++ == n_lines) {
            printf("    ...\n");
            break;
        }
        if (n > 0) {
            printf("    ");
            wrap_print(stdout, slice_make(text, n));
            printf("\n");
        }
        text += n + (text[n] == '\n');
    }
    printf("\n");
}

static void print_metadata(const json_t *answer)
{
    struct table t;
    const char *key;
    json_t *value;
    size_t i;
    table_init(&t, 2);
    json_object_foreach(json_object_get(answer, "model_info"), key, value)
    {
        add_value(&t, key, value);
    }
    print_section("Metadata", &t);
    table_init(&t, 3);
    json_array_foreach(json_object_get(answer, "tensors"), i, value)
    {
        const char *name = json_string_value(json_object_get(value, "name")),
                   *type = json_string_value(json_object_get(value, "type"));
        struct strbuf shape = STRBUF_INIT(4096);
        struct json_writer w = json_writer_make(&shape);
        json_put_value(&w, json_object_get(value, "shape"));
        table_add(&t, name ? name : "");
        table_add(&t, type ? type : "");
        table_add(&t, strbuf_text(&shape));
        strbuf_fini(&shape);
    }
    print_section("Tensors", &t);
}

void show_print_info(const json_t *answer, bool verbose)
{
    print_model(answer);
    print_list("Capabilities", json_object_get(answer, "capabilities"));
    print_projector(answer);
    print_parameters(json_string_value(json_object_get(answer, "parameters")));
    if (verbose)
        print_metadata(answer);
    print_excerpt("System", json_string_value(json_object_get(answer, "system")), 2);
    print_excerpt("License", json_string_value(json_object_get(answer, "license")), 2);
}

bool show_print_text(const json_t *answer, const char *which)
{
    const char *text = json_string_value(json_object_get(answer, which));
    if (text == NULL || text[0] == 0)
        return false;
    wrap_print(stdout, slice_of(text));
    if (text[strlen(text) - 1] != '\n')
        printf("\n");
    return true;
}

// ---- --memory ----
static int ask_memory(const struct args *a, json_t **answer, struct err *err)
{
    struct strbuf body = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", a->operands[0]);
    json_key(&w, "memory");
    json_begin_object(&w);
    json_member_int(&w, "slots", (int64_t)MIN(args_uint(a, "slots", 0), (uint64_t)INT32_MAX));
    json_member_int(&w, "num_ctx", (int64_t)MIN(args_uint(a, "ctx", 0), (uint64_t)INT32_MAX));
    json_end_object(&w);
    json_end_object(&w);
    int rc = api_call("/api/show", strbuf_slice(&body), answer, err);
    strbuf_fini(&body);
    return rc;
}

static void add_mib(struct table *t, const char *name, const json_t *memory, const char *key)
{
    char text[40];
    snprintf(text, sizeof text, "%8.1f MiB",
             (double)json_integer_value(json_object_get(memory, key)) / (1 << 20));
    table_add(t, name);
    table_add(t, text);
}

static const char *fits_words(const char *fits)
{
    return fits == NULL                 ? "no"
           : strcmp(fits, "now") == 0   ? "yes"
           : strcmp(fits, "never") == 0 ? "no"
                                        : "when other models have gone";
}

// A row for each part, the sum, and what there is.
static void print_memory(const json_t *answer)
{
    const json_t *memory = json_object_get(answer, "memory");
    const char *reduced = json_string_value(json_object_get(memory, "reduced"));
    struct table t;
    if (json_object_get(memory, "error") != NULL) {
        printf("  cannot be loaded: %s\n", json_string_value(json_object_get(memory, "error")));
        return;
    }
    table_init(&t, 2);
    add_mib(&t, "weights", memory, "weights_bytes");
    add_mib(&t, "cached tokens", memory, "pool_bytes");
    add_mib(&t, "activations", memory, "scratch_bytes");
    add_mib(&t, "process", memory, "process_bytes");
    add_mib(&t, "server's buffers", memory, "front_bytes");
    add_mib(&t, "sum", memory, "total_bytes");
    print_section("Memory", &t);
    table_init(&t, 2);
    add_value(&t, "slots", json_object_get(memory, "slots"));
    add_value(&t, "cached tokens", json_object_get(memory, "pool_tokens"));
    add_value(&t, "type of cache", json_object_get(memory, "kv_type"));
    add_value(&t, "context", json_object_get(memory, "context_length"));
    if (reduced != NULL && reduced[0] != 0)
        add_value(&t, "reduced", json_object_get(memory, "reduced"));
    print_section("For", &t);
    table_init(&t, 2);
    add_mib(&t, "for all models", memory, "budget_bytes");
    add_mib(&t, "available now", memory, "available_bytes");
    table_add(&t, "fits");
    table_add(&t, fits_words(json_string_value(json_object_get(memory, "fits"))));
    print_section("Available", &t);
}

int cli_show(const struct args *a)
{
    struct err err = {0};
    json_t *answer = NULL;
    const char *which = NULL;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!args_has(a, texts[i]))
            continue;
        if (which != NULL) {
            fprintf(stderr, "Error: only one of '--license', '--modelfile', '--parameters', '--system', or "
                            "'--template' can be specified\n");
            return 2;
        }
        which = texts[i];
    }
    bool memory = args_has(a, "memory");
    if ((args_has(a, "ctx") || args_has(a, "slots")) && !memory) {
        fprintf(stderr, "Error: '--ctx' and '--slots' go with '--memory'\n");
        return 2;
    }
    int rc = memory ? ask_memory(a, &answer, &err)
                    : show_request(a->operands[0], args_has(a, "verbose"), &answer, &err);
    if (rc != 0)
        return api_fail(&err);
    if (args_has(a, "json")) {
        struct strbuf text = STRBUF_INIT(256 << 20);
        struct json_writer w = json_writer_make(&text);
        json_put_value(&w, answer);
        puts(strbuf_text(&text));
        strbuf_fini(&text);
    } else if (memory) {
        print_memory(answer);
    } else if (which != NULL) {
        show_print_text(answer, which);
    } else {
        show_print_info(answer, args_has(a, "verbose"));
    }
    json_decref(answer);
    return 0;
}
