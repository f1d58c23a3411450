// SPDX-License-Identifier: MIT
// The types that Ollama's templates see, and their values. JSON shows a type's members by its tags, in their
// order; what else a tool's schema says is dropped, as Ollama's own types drop it.
#include "text/gotmpl_data.h"

#include <string.h>

#include "base/mem.h"
#include "text/gotmpl_run.h"

// ---- Types ----
static void put_as_json(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v)
{
    gotmpl_put_json(r, out, v, 0);
}

// A map that is not there is an empty object to templates, and null within other JSON.
static void put_map_text(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v)
{
    if (v.map == NULL)
        strbuf_push_text(out, "{}");
    else
        gotmpl_put_json(r, out, v, 0);
}

static struct gotmpl_value as_texts(struct gotmpl_value v)
{
    v.type = &gotmpl_type_texts;
    return v;
}

// The one type of a property is a text, several are a list.
static void put_property_type(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v)
{
    if (gotmpl_length(v) == 1)
        strbuf_push_slice(out, v.list->at[0].text);
    else if (gotmpl_length(v) > 1)
        gotmpl_put_plain(r, out, as_texts(v));
}

static void put_property_type_json(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v)
{
    gotmpl_put_json(r, out, gotmpl_length(v) == 1 ? v.list->at[0] : as_texts(v), 0);
}

static const struct gotmpl_type type_property_type = {GOTMPL_SLICE, "api.PropertyType", &gotmpl_type_text,
                                                      .put = put_property_type,
                                                      .put_json = put_property_type_json};
static const struct gotmpl_type type_any_of = {GOTMPL_SLICE, "[]api.ToolProperty", &gotmpl_type_property};
// Within a property the order of the members is the client's.
static const struct gotmpl_type type_inner_properties = {GOTMPL_OPAQUE, "*api.ToolPropertiesMap",
                                                         &gotmpl_type_property, .put = put_as_json};

static const struct gotmpl_field property_fields[] = {
    {"AnyOf", "anyOf", &type_any_of, true},
    {"Type", "type", &type_property_type, true},
    {"Items", "items", &gotmpl_type_any, true},
    {"Description", "description", &gotmpl_type_text, true},
    {"Enum", "enum", &gotmpl_type_anys, true},
    {"Properties", "properties", &type_inner_properties, true},
    {"Required", "required", &gotmpl_type_texts, true},
};
const struct gotmpl_type gotmpl_type_property = {GOTMPL_STRUCT, "api.ToolProperty", .fields = property_fields,
                                                 .n_fields = 7};

static const struct gotmpl_type type_properties = {GOTMPL_MAP, "template.templateProperties",
                                                   &gotmpl_type_property, .put = put_map_text};
static const struct gotmpl_field parameters_fields[] = {
    {"Type", "type", &gotmpl_type_text, false},
    {"Defs", "$defs", &gotmpl_type_any, true},
    {"Items", "items", &gotmpl_type_any, true},
    {"Required", "required", &gotmpl_type_texts, true},
    {"Properties", "properties", &type_properties, false},
};
static const struct gotmpl_type type_parameters = {GOTMPL_STRUCT, "template.templateToolFunctionParameters",
                                                   .fields = parameters_fields, .n_fields = 5};
static const struct gotmpl_field function_fields[] = {
    {"Name", "name", &gotmpl_type_text, false},
    {"Description", "description", &gotmpl_type_text, false},
    {"Parameters", "parameters", &type_parameters, false},
};
static const struct gotmpl_type type_function = {GOTMPL_STRUCT, "template.templateToolFunction",
                                                 .fields = function_fields, .n_fields = 3};
static const struct gotmpl_field tool_fields[] = {
    {"Type", "type", &gotmpl_type_text, false},
    {"Items", "items", &gotmpl_type_any, true},
    {"Function", "function", &type_function, false},
};
static const struct gotmpl_type type_tool = {GOTMPL_STRUCT, "template.templateTool", .fields = tool_fields,
                                             .n_fields = 3, .put = put_as_json};
static const struct gotmpl_type type_tools = {GOTMPL_SLICE, "template.templateTools", &type_tool,
                                              .put = put_as_json};

static const struct gotmpl_type type_arguments = {GOTMPL_MAP, "template.templateArgs", .put = put_map_text};
static const struct gotmpl_field called_fields[] = {
    {"Index", "Index", &gotmpl_type_int, false},
    {"Name", "Name", &gotmpl_type_text, false},
    {"Arguments", "Arguments", &type_arguments, false},
};
static const struct gotmpl_type type_called = {GOTMPL_STRUCT, "template.templateToolCallFunction",
                                               .fields = called_fields, .n_fields = 3};
static const struct gotmpl_field call_fields[] = {
    {"ID", "ID", &gotmpl_type_text, false},
    {"Function", "Function", &type_called, false},
};
static const struct gotmpl_type type_call = {GOTMPL_STRUCT, "template.templateToolCall",
                                             .fields = call_fields, .n_fields = 2};
static const struct gotmpl_type type_calls = {GOTMPL_SLICE, "[]template.templateToolCall", &type_call};
static const struct gotmpl_type type_image = {GOTMPL_SLICE, "api.ImageData", &gotmpl_type_byte};
static const struct gotmpl_type type_images = {GOTMPL_SLICE, "[]api.ImageData", &type_image};

enum message_field { ROLE, CONTENT, THINKING, IMAGES, TOOL_CALLS, TOOL_NAME, TOOL_CALL_ID, N_MESSAGE_FIELDS };
static const struct gotmpl_field message_fields[N_MESSAGE_FIELDS] = {
    [ROLE] = {"Role", "Role", &gotmpl_type_text, false},
    [CONTENT] = {"Content", "Content", &gotmpl_type_text, false},
    [THINKING] = {"Thinking", "Thinking", &gotmpl_type_text, false},
    [IMAGES] = {"Images", "Images", &type_images, false},
    [TOOL_CALLS] = {"ToolCalls", "ToolCalls", &type_calls, false},
    [TOOL_NAME] = {"ToolName", "ToolName", &gotmpl_type_text, false},
    [TOOL_CALL_ID] = {"ToolCallID", "ToolCallID", &gotmpl_type_text, false},
};
static const struct gotmpl_type type_message = {GOTMPL_STRUCT, "*template.templateMessage",
                                                .fields = message_fields, .n_fields = N_MESSAGE_FIELDS,
                                                .is_pointer = true};
static const struct gotmpl_type type_messages = {GOTMPL_SLICE, "[]*template.templateMessage", &type_message};

// ---- Values ----
static struct gotmpl_value fail_type(struct gotmpl_run *r, const char *key, const char *wanted)
{
    if (!r->failed)
        err_set(r->err, ERR_INVALID, "\"%s\" must be %s", key, wanted);
    r->failed = true;
    return gotmpl_invalid();
}

static struct gotmpl_value read_text(struct gotmpl_run *r, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    if (v != NULL && !json_is_null(v) && !json_is_string(v))
        return fail_type(r, key, "a string");
    return gotmpl_text(json_is_string(v) ? json_slice(v) : slice_of(""));
}

static struct gotmpl_value read_any(struct gotmpl_run *r, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return v != NULL ? gotmpl_from_json(r, v, 0) : gotmpl_nil();
}

typedef struct gotmpl_value reader(struct gotmpl_run *r, const json_t *json, int depth);

// A list of what `read` makes of each; nil when it is not there.
static struct gotmpl_value read_list(struct gotmpl_run *r, const json_t *list, const struct gotmpl_type *type,
                                     reader *read, int depth)
{
    size_t n = json_array_size(list);
    struct gotmpl_value *at;
    if (!json_is_array(list))
        return (struct gotmpl_value){.type = type};
    at = gotmpl_alloc(r, n, sizeof *at);
    for (size_t i = 0; i < n && at != NULL && gotmpl_step(r, 1); i++)
        at[i] = read(r, json_array_get(list, i), depth + 1);
    return r->failed ? gotmpl_invalid() : gotmpl_list_new(r, type, at, n);
}

static struct gotmpl_value read_map(struct gotmpl_run *r, const json_t *object,
                                    const struct gotmpl_type *type, reader *read, int depth)
{
    json_t *o = (json_t *)object; // jansson's iterators want it so; nothing is changed
    struct gotmpl_pair *pairs;
    size_t n = 0;
    if (!json_is_object(object))
        return (struct gotmpl_value){.type = type};
    pairs = gotmpl_alloc(r, json_object_size(object), sizeof *pairs);
    for (void *it = json_object_iter(o); it != NULL && pairs != NULL && gotmpl_step(r, 4);
         it = json_object_iter_next(o, it))
        pairs[n++] = (struct gotmpl_pair){slice_make(json_object_iter_key(it), json_object_iter_key_len(it)),
                                          read(r, json_object_iter_value(it), depth + 1)};
    return r->failed ? gotmpl_invalid() : gotmpl_map_new(r, type, pairs, n);
}

static struct gotmpl_value read_item_text(struct gotmpl_run *r, const json_t *json, int depth)
{
    return json_is_string(json) ? gotmpl_text(json_slice(json)) : fail_type(r, "type", "made of strings");
}

static struct gotmpl_value read_property_type(struct gotmpl_run *r, const json_t *json)
{
    if (!json_is_string(json))
        return read_list(r, json, &type_property_type, read_item_text, 0);
    struct gotmpl_value *at = gotmpl_alloc(r, 1, sizeof *at);
    if (at == NULL)
        return gotmpl_invalid();
    at[0] = gotmpl_text(json_slice(json));
    return gotmpl_list_new(r, &type_property_type, at, 1);
}

static struct gotmpl_value *new_struct(struct gotmpl_run *r, const struct gotmpl_type *type,
                                       struct gotmpl_value *out)
{
    struct gotmpl_value *fields = gotmpl_alloc(r, type->n_fields, sizeof *fields);
    *out = (struct gotmpl_value){.type = type, .fields = fields};
    return fields;
}

static struct gotmpl_value read_property(struct gotmpl_run *r, const json_t *json, int depth)
{
    struct gotmpl_value out, *f = new_struct(r, &gotmpl_type_property, &out);
    if (depth > GOTMPL_DATA_DEPTH)
        return gotmpl_fail_bound(r, "values are nested too deep");
    if (f == NULL)
        return gotmpl_invalid();
    f[0] = read_list(r, json_object_get(json, "anyOf"), &type_any_of, read_property, depth);
    f[1] = read_property_type(r, json_object_get(json, "type"));
    f[2] = read_any(r, json, "items");
    f[3] = read_text(r, json, "description");
    f[4] = read_list(r, json_object_get(json, "enum"), &gotmpl_type_anys, gotmpl_from_json, depth);
    f[5] = read_map(r, json_object_get(json, "properties"), &type_inner_properties, read_property, depth);
    f[6] = read_list(r, json_object_get(json, "required"), &gotmpl_type_texts, read_item_text, depth);
    return out;
}

static struct gotmpl_value read_parameters(struct gotmpl_run *r, const json_t *json)
{
    struct gotmpl_value out, *f = new_struct(r, &type_parameters, &out);
    if (f == NULL)
        return gotmpl_invalid();
    f[0] = read_text(r, json, "type");
    f[1] = read_any(r, json, "$defs");
    f[2] = read_any(r, json, "items");
    f[3] = read_list(r, json_object_get(json, "required"), &gotmpl_type_texts, read_item_text, 0);
    f[4] = read_map(r, json_object_get(json, "properties"), &type_properties, read_property, 0);
    return out;
}

static struct gotmpl_value read_tool(struct gotmpl_run *r, const json_t *json, int depth)
{
    struct gotmpl_value out, function, *f = new_struct(r, &type_tool, &out),
                                       *g = new_struct(r, &type_function, &function);
    const json_t *inner = json_object_get(json, "function");
    if (f == NULL || g == NULL)
        return gotmpl_invalid();
    g[0] = read_text(r, inner, "name");
    g[1] = read_text(r, inner, "description");
    g[2] = read_parameters(r, json_object_get(inner, "parameters"));
    f[0] = read_text(r, json, "type");
    f[1] = read_any(r, json, "items");
    f[2] = function;
    return out;
}

static struct gotmpl_value read_call(struct gotmpl_run *r, const json_t *json, int depth)
{
    struct gotmpl_value out, called, *f = new_struct(r, &type_call, &out),
                                     *g = new_struct(r, &type_called, &called);
    const json_t *inner = json_object_get(json, "function"), *arguments = json_object_get(inner, "arguments");
    if (f == NULL || g == NULL)
        return gotmpl_invalid();
    if (arguments != NULL && !json_is_object(arguments) && !json_is_null(arguments))
        return fail_type(r, "arguments", "an object");
    g[0] = gotmpl_int(json_integer_value(json_object_get(inner, "index")));
    g[1] = read_text(r, inner, "name");
    g[2] = read_map(r, arguments, &type_arguments, gotmpl_from_json, 0);
    f[0] = read_text(r, json, "id");
    f[1] = called;
    return out;
}

// A picture is a place to templates: they count them, the bytes go another way.
static struct gotmpl_value read_image(struct gotmpl_run *r, const json_t *json, int depth)
{
    return (struct gotmpl_value){.type = &type_image};
}

static struct gotmpl_value read_message(struct gotmpl_run *r, const json_t *json, int depth)
{
    struct gotmpl_value out, *f = new_struct(r, &type_message, &out);
    if (f == NULL)
        return gotmpl_invalid();
    f[ROLE] = read_text(r, json, "role");
    f[CONTENT] = read_text(r, json, "content");
    f[THINKING] = read_text(r, json, "thinking");
    f[IMAGES] = read_list(r, json_object_get(json, "images"), &type_images, read_image, 0);
    f[TOOL_CALLS] = read_list(r, json_object_get(json, "tool_calls"), &type_calls, read_call, 0);
    f[TOOL_NAME] = read_text(r, json, "tool_name");
    f[TOOL_CALL_ID] = read_text(r, json, "tool_call_id");
    return out;
}

// ---- Messages put together ----
// Adds a text to those joined by blank lines.
static void join(struct strbuf *to, struct slice text, bool is_first)
{
    if (!is_first)
        strbuf_push_text(to, "\n\n");
    strbuf_push_slice(to, text);
}

static struct slice join_system(struct gotmpl_run *r, const struct gotmpl_value *at, size_t n)
{
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    bool is_first = true;
    for (size_t i = 0; i < n; i++) {
        if (!slice_is(at[i].fields[ROLE].text, "system"))
            continue;
        join(&text, at[i].fields[CONTENT].text, is_first);
        is_first = false;
    }
    struct gotmpl_value joined = gotmpl_take_text(r, &text);
    return r->failed ? slice_of("") : joined.text;
}

// The message with the texts of the n - 1 behind it.
static struct gotmpl_value join_messages(struct gotmpl_run *r, const struct gotmpl_value *at, size_t n)
{
    struct gotmpl_value out, *f = new_struct(r, &type_message, &out);
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    if (f == NULL || n == 1)
        return at[0];
    for (size_t i = 0; i < n; i++)
        join(&text, at[i].fields[CONTENT].text, i == 0);
    memcpy(f, at[0].fields, N_MESSAGE_FIELDS * sizeof *f);
    f[CONTENT] = gotmpl_take_text(r, &text);
    return out;
}

static void collate(struct gotmpl_run *r, const struct gotmpl_value *at, size_t n, struct gotmpl_data *out)
{
    struct gotmpl_value *kept = gotmpl_alloc(r, n, sizeof *kept);
    size_t n_kept = 0;
    out->turns = gotmpl_alloc(r, n, sizeof *out->turns);
    for (size_t i = 0, same; i < n && !r->failed; i += same) {
        struct slice role = at[i].fields[ROLE].text;
        same = 1;
        while (i + same < n && !slice_is(role, "tool") && slice_equals(at[i + same].fields[ROLE].text, role))
            same++;
        struct gotmpl_value message = join_messages(r, at + i, same);
        if (r->failed)
            return;
        out->turns[n_kept] = (struct gotmpl_turn){role, message.fields[CONTENT].text};
        kept[n_kept++] = message;
    }
    if (r->failed)
        return;
    out->n_turns = n_kept;
    out->messages = gotmpl_list_new(r, &type_messages, kept, n_kept);
}

void gotmpl_read_data(struct gotmpl_run *r, const struct gotmpl_input *in, struct gotmpl_data *out)
{
    *out = (struct gotmpl_data){.messages = {.type = &type_messages}, .system = slice_of("")};
    out->tools = read_list(r, in->tools, &type_tools, read_tool, 0);
    struct gotmpl_value messages = read_list(r, in->messages, &type_messages, read_message, 0);
    if (r->failed || messages.list == NULL)
        return;
    out->system = join_system(r, messages.list->at, messages.list->n);
    if (!r->failed)
        collate(r, messages.list->at, messages.list->n, out);
}
