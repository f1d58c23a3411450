// SPDX-License-Identifier: MIT
// Replies of every family, as models write them: read whole, cut in two at every place, and byte by byte,
// they give the same parts. What comes out is written as  think(...) say(...) call(name {arguments} id).
#include "../test.h"

#include "base/mem.h"
#include "text/reply.h"
#include "text/reply_internal.h"

struct said {
    struct strbuf parts;
    enum reply_kind last;
    bool is_open;
    uint32_t n_calls;
};

static void close_text(struct said *s)
{
    if (s->is_open)
        strbuf_push_text(&s->parts, ")");
    s->is_open = false;
}

static void on_part(void *user, const struct reply_part *part)
{
    struct said *s = user;
    if (part->kind == REPLY_CALL) {
        close_text(s);
        assert_int_equal(part->call.index, s->n_calls++);
        assert_true(part->call.name.n > 0);
        strbuf_printf(&s->parts, "call(%.*s %.*s", (int)part->call.name.n, part->call.name.at,
                      (int)part->call.arguments.n, part->call.arguments.at);
        if (part->call.id.n > 0)
            strbuf_printf(&s->parts, " %.*s", (int)part->call.id.n, part->call.id.at);
        strbuf_push_text(&s->parts, ")");
        return;
    }
    assert_true(part->text.n > 0);
    if (!s->is_open || s->last != part->kind) {
        close_text(s);
        strbuf_push_text(&s->parts, part->kind == REPLY_THINKING ? "think(" : "say(");
        s->is_open = true;
        s->last = part->kind;
    }
    strbuf_push_slice(&s->parts, part->text);
}

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"hot\":{\"type\":"
    "\"boolean\"},"
    "\"at\":{\"type\":\"number\"},\"tags\":{\"type\":\"array\"},\"box\":{\"type\":\"object\"},"
    "\"any\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"add\",\"parameters\":{\"type\":\"object\","
    "\"properties\":"
    "{\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}}}}}]";

// In pieces of `step` bytes behind the first `cut`.
static char *read_reply(const struct reply_spec *spec, json_t *tools, const char *text, size_t cut,
                        size_t step)
{
    struct said s = {.parts = STRBUF_INIT(4 << 20)};
    struct reply *r = reply_new(spec, tools, on_part, &s);
    struct slice rest = slice_of(text);
    reply_push(r, slice_make(rest.at, cut));
    for (rest = reply_behind(rest, cut); rest.n > 0; rest = reply_behind(rest, step))
        reply_push(r, slice_make(rest.at, MIN(step, rest.n)));
    reply_finish(r);
    reply_free(r);
    close_text(&s);
    char *copy = xstrdup(strbuf_text(&s.parts));
    strbuf_fini(&s.parts);
    return copy;
}

struct reply_case {
    const char *text, *parts;
};

static void check_case(const struct reply_spec *spec, json_t *tools, const struct reply_case *c)
{
    size_t n = strlen(c->text);
    char *whole = read_reply(spec, tools, c->text, 0, n + 1);
    assert_string_equal(whole, c->parts);
    free(whole);
    for (size_t cut = 0; cut <= n; cut++) {
        char *parts = read_reply(spec, tools, c->text, cut, n + 1);
        if (strcmp(parts, c->parts) != 0)
            fail_msg("cut at byte %zu of <%s>:\n%s\nnot\n%s", cut, c->text, parts, c->parts);
        free(parts);
    }
    char *bytes = read_reply(spec, tools, c->text, 0, 1);
    assert_string_equal(bytes, c->parts);
    free(bytes);
}

static void check_cases(const struct reply_spec *spec, bool has_tools, const struct reply_case *cases)
{
    struct err err = {0};
    json_t *tools = has_tools ? json_parse(slice_of(tools_text), &err) : NULL;
    for (; cases->text != NULL; cases++)
        check_case(spec, tools, cases);
    json_decref(tools);
}

static struct reply_spec of_jinja(const char *family, const char *source)
{
    struct reply_spec spec = reply_spec_of_jinja(slice_of(source));
    assert_string_equal(reply_family_name(spec.family), family);
    return spec;
}

static struct reply_spec of_go(const char *source)
{
    struct gotmpl *t = NULL;
    struct err err = {0};
    assert_int_equal(gotmpl_new(&t, slice_of(source), &err), 0);
    struct reply_spec spec = reply_spec_of_go(t);
    gotmpl_free(t);
    return spec;
}

// ---- Thinking ----
static void thinking_is_told_from_content(void **state)
{
    static const struct reply_case cases[] = {
        {"<think>\nLet me see.\n</think>\n\nHello", "think(Let me see.)say(Hello)"},
        {"  <think>a < b</think>c", "think(a < b)say(c)"},
        {"<think>\n\n</think>\n\nHello", "say(Hello)"},
        {"Hello <think>no</think>", "say(Hello <think>no</think>)"},
        {"  Hello\n", "say(  Hello\n)"},
        {"<think>it never ends ", "think(it never ends)"},
        {"<think>a</thi", "think(a</thi)"},
        {"<thi", "say(<thi)"},
        {"<think>a</think>b</think>c", "think(a)say(b</think>c)"},
        {"<think>é</think>ü", "think(é)say(ü)"},
        {"", ""},
        {NULL, NULL}};
    struct reply_spec spec = of_jinja("plain", "<think>{{ m }}</think>");
    check_cases(&spec, false, cases);
}

static void a_prompt_may_have_opened_thinking(void **state)
{
    static const struct reply_case cases[] = {
        {"Let me see.\n</think>\n\nHello", "think(Let me see.)say(Hello)"},
        {"\n<think>\nonce more</think>x", "think(once more)say(x)"},
        {"</think>x", "say(x)"},
        {"no end", "think(no end)"},
        {NULL, NULL}};
    struct reply_spec spec = of_jinja("plain", "<think>{{ m }}</think>");
    reply_spec_see_prompt(&spec, slice_of("<|assistant|>\n<think>\n"));
    assert_true(spec.in_thinking);
    check_cases(&spec, false, cases);
    reply_spec_see_prompt(&spec, slice_of("<|assistant|>\n<think>\n</think>"));
    assert_false(spec.in_thinking);
}

static void go_templates_name_their_tags(void **state)
{
    static const struct reply_case cases[] = {{"<thought> hm </thought> yes", "think(hm)say(yes)"},
                                              {"<think>hm</think>", "say(<think>hm</think>)"},
                                              {NULL, NULL}};
    struct reply_spec spec =
        of_go("{{ range .Messages }}{{ if .Thinking }}<thought>{{ .Thinking }}</thought>{{ end }}{{ end }}");
    check_cases(&spec, false, cases);
    reply_spec_forget_thinking(&spec);
    static const struct reply_case off[] = {{"<thought>x</thought>", "say(<thought>x</thought>)"},
                                            {NULL, NULL}};
    check_cases(&spec, false, off);
}

// ---- Ollama's generic parser ----
static void go_templates_name_the_tag_of_calls(void **state)
{
    static const struct reply_case cases[] = {
        {"<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}</tool_call>",
         "call(get_weather {\"city\":\"Rome\"})"},
        {"Well.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2.5}}\n</tool_call>\n"
         "<tool_call>\n{\"name\": \"get\", \"parameters\": {}}\n</tool_call>",
         "say(Well.\n)call(add {\"a\":1,\"b\":2.5})call(get {})"},
        {"<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"x\\\": true}\"}</tool_call>",
         "call(get {\"x\":true})"},
        {"<tool_call>get_weather\n{\"city\": \"Oslo\"}</tool_call>", "call(get_weather {\"city\":\"Oslo\"})"},
        {"<tool_call>[{\"get\": {\"x\": 1}}]", "call(get {\"x\":1})"},
        {"<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
         "say({\"name\": \"unknown\", \"arguments\": {}}</tool_call>)"},
        {"no call <tool", "say(no call <tool)"},
        {"{\"name\": \"get\"}", "say({\"name\": \"get\"})"},
        {NULL, NULL}};
    struct reply_spec spec =
        of_go("{{ .Tools }}{{ range .Messages }}{{ if .ToolCalls }}<tool_call>\n{\"name\": "
              "{{ .Content }}}{{ end }}{{ end }}");
    assert_string_equal(reply_family_name(spec.family), "go");
    assert_string_equal(spec.tag, "<tool_call>");
    check_cases(&spec, true, cases);
    static const struct reply_case without[] = {
        {"<tool_call>{}</tool_call>", "say(<tool_call>{}</tool_call>)"}, {NULL, NULL}};
    check_cases(&spec, false, without);
}

static void a_bracket_may_be_the_tag(void **state)
{
    static const struct reply_case cases[] = {
        {"{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}",
         "call(get_weather {\"city\":\"Rome\"})"},
        {" {\"name\": \"get\", \"parameters\": {}} done", "call(get {})say(done)"},
        {"{\"answer\": 42} is it", "say({\"answer\": 42} is it)"},
        {"It is {\"name\": \"get\", \"parameters\": {}}",
         "say(It is {\"name\": \"get\", \"parameters\": {}})"},
        {"{\"name\": \"get\"", "say({\"name\": \"get\")"},
        {NULL, NULL}};
    struct reply_spec spec = of_go(
        "{{ .Tools }}{{ range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}{{ .Function }}{{ end }}"
        "{{ end }}{{ end }}");
    assert_string_equal(spec.tag, "{");
    check_cases(&spec, true, cases);
}

// ---- Families ----
static void hermes(void **state)
{
    static const struct reply_case cases[] = {
        {"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": "
         "3}}\n</tool_call>",
         "call(get_weather {\"city\":\"Rome\",\"days\":3})"},
        {"I look.\n\n<tool_call>\n{\"name\": \"get\", \"arguments\": "
         "{}}\n</tool_call>\n<tool_call>\n{\"name\": "
         "\"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\nDone.",
         "say(I look.)call(get {})call(add {\"a\":1})say(Done.)"},
        {"<tool_call>{'name': 'get', 'arguments': {'x': True, 'y': None}}</tool_call>",
         "call(get {\"x\":true,\"y\":null})"},
        {"<tool_call>{\"name\": \"get\", \"arguments\": {\"s\": \"</tool_call>\"}}</tool_call>",
         "call(get {\"s\":\"\\u003c/tool_call\\u003e\"})"},
        {"<tool_call>{\"name\": \"get\", \"arguments\": {}}", "call(get {})"},
        {"<tool_call>{\"name\": \"get\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
         "call(get {\"a\":1})"},
        {"<tool_call>no json</tool_call> x", "say(no json x)"},
        {"{\"name\": \"get\", \"arguments\": {\"k\": 1}}", "call(get {\"k\":1})"},
        {"```json\n{\"name\": \"get\", \"arguments\": {}}\n```\nSo.", "call(get {})say(So.)"},
        {"{\"name\": \"Bob\", \"age\": 3}", "say({\"name\": \"Bob\", \"age\": 3})"},
        {"{\"result\": 1}", "say({\"result\": 1})"},
        {"```json\n{\"x\": 1}\n```", "say(```json\n{\"x\": 1}\n```)"},
        {"```c\nint x;\n```", "say(```c\nint x;\n```)"},
        {"1 <2 and <tool", "say(1 <2 and <tool)"},
        {NULL, NULL}};
    struct reply_spec spec = of_jinja("hermes", "{{ tools }}<tool_call>\n{{ x }}</tool_call>");
    check_cases(&spec, true, cases);
}

static void qwen3_thinks_before_it_calls(void **state)
{
    static const struct reply_case cases[] = {
        {"<think>\nI need it.\n</think>\n\n<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>",
         "think(I need it.)call(get {})"},
        {"<think>I forget\n<tool_call>{\"name\": \"get\", \"arguments\": {}}</tool_call>",
         "think(I forget)call(get {})"},
        {NULL, NULL}};
    struct reply_spec spec = of_jinja("hermes", "<think></think>{{ tools }}<tool_call></tool_call>");
    check_cases(&spec, true, cases);
}

// ---- Bounds ----
static void an_endless_call_becomes_content(void **state)
{
    struct strbuf text = STRBUF_INIT(4 << 20);
    struct reply_spec spec = of_jinja("hermes", "{{ tools }}<tool_call></tool_call>");
    struct err err = {0};
    json_t *tools = json_parse(slice_of(tools_text), &err);
    strbuf_push_text(&text, "<tool_call>{\"name\": \"get\", \"arguments\": {\"x\": \"");
    for (int i = 0; i < 300000; i++)
        strbuf_push_text(&text, "filler");
    char *parts = read_reply(&spec, tools, strbuf_text(&text), 0, 700);
    assert_memory_equal(parts, "say({\"name\"", 11);
    assert_int_equal(strlen(parts), text.n - strlen("<tool_call>") + strlen("say()"));
    free(parts);
    strbuf_fini(&text);
    json_decref(tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thinking_is_told_from_content), cmocka_unit_test(a_prompt_may_have_opened_thinking),
        cmocka_unit_test(go_templates_name_their_tags),  cmocka_unit_test(go_templates_name_the_tag_of_calls),
        cmocka_unit_test(a_bracket_may_be_the_tag),      cmocka_unit_test(hermes),
        cmocka_unit_test(qwen3_thinks_before_it_calls),  cmocka_unit_test(an_endless_call_becomes_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
