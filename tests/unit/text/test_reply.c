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
    "\"properties\":{}}}},{\"type\":\"function\",\"function\":{\"name\":\"forget_it\"}},"
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
    if (strcmp(whole, c->parts) != 0)
        fail_msg("%s: <%s>:\n%s\nnot\n%s", reply_family_name(spec->family), c->text, whole, c->parts);
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
    struct reply_spec spec = reply_spec_of_go(t, slice_of(source));
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
        {"<tool_call>forget_it {\"x\": 1}", "call(forget_it {\"x\":1})"},
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

// ---- Hermes ----
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
        {"{\"name\": \"get\", \"arguments\": {}}</tool_call> So.", "call(get {})say(So.)"},
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
        {"<think>I forget_it\n<tool_call>{\"name\": \"get\", \"arguments\": {}}</tool_call>",
         "think(I forget_it)call(get {})"},
        {NULL, NULL}};
    struct reply_spec spec = of_jinja("hermes", "<think></think>{{ tools }}<tool_call></tool_call>");
    check_cases(&spec, true, cases);
}

// ---- Families ----
struct family_case {
    const char *family, *source;
    struct reply_case cases[9];
};

static const struct family_case families[] = {
    {"qwen3-coder",
     "{{ tools }}<tool_call>\n<function=x>\n<parameter=y>",
     {{"<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\nYork "
       "<3\n</parameter>\n<parameter=days>\n3\n"
       "</parameter>\n<parameter=hot>\nTrue\n</parameter>\n</function>\n</tool_call>",
       "call(get_weather {\"city\":\"New\\nYork \\u003c3\",\"days\":3,\"hot\":true})"},
      {"So:\n<tool_call>\n<function=get>\n</function>\n</"
       "tool_call>\n<tool_call>\n<function=add>\n<parameter=a>\n1.5\n"
       "</parameter>\n</function>\n</tool_call>",
       "say(So:)call(get {})call(add {\"a\":1.5})"},
      {"<function=get_weather>\n<parameter=tags>\n[\"a\", 1]\n</parameter>\n<parameter=box>\n{\"k\": "
       "null}\n</parameter>"
       "\n<parameter=at>\nsoon\n</parameter>\n<parameter=any>\n7\n</parameter>\n</function>",
       "call(get_weather {\"tags\":[\"a\",1],\"box\":{\"k\":null},\"at\":\"soon\",\"any\":7})"},
      {"<tool_call>\n<function=get_weather>\n<parameter=city>\nRo",
       "say(get_weather>\n<parameter=city>\nRo)"},
      {"<tool_call>\n<function=get>\n</function>", "call(get {})"},
      {"a <function b", "say(a <function b)"},
      {NULL, NULL}}},
    {"seed-oss",
     "<seed:tool_call><function=x>",
     {{"<seed:tool_call>\n<function=add>\n<parameter=a>1</parameter>\n<parameter=b>null</parameter>\n</"
       "function>\n"
       "</seed:tool_call>",
       "call(add {\"a\":1,\"b\":null})"},
      {NULL, NULL}}},
    {"minimax-m2",
     "<minimax:tool_call>\n<invoke name=",
     {{"<minimax:tool_call>\n<invoke name=\"add\">\n<parameter name=\"a\">2</parameter>\n</invoke>\n<invoke "
       "name=\"get\">"
       "\n</invoke>\n</minimax:tool_call>",
       "call(add {\"a\":2})call(get {})"},
      {"<minimax:tool_call>\n<invoke name=\"get\">\n</invoke>\n<invoke name=\"\">\n</invoke>",
       "call(get {})say(<invoke name=\"\">\n</invoke>)"},
      {NULL, NULL}}},
    {"minicpm-5",
     "<function name=\"f\"><param name=\"k\">",
     {{"<function name=\"get_weather\"><param name=\"city\"><![CDATA[a<b]]></param></function>",
       "call(get_weather {\"city\":\"a\\u003cb\"})"},
      {"<function name=\"get\"></function>\n<function name=\"add\"></function> So.",
       "call(get {})call(add {})say(So.)"},
      {NULL, NULL}}},
    {"deepseek-dsml",
     "{{ dsml_token }}DSML function_calls",
     {{"Now <｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter "
       "name=\"city\" string=\"true\">12"
       "</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" "
       "string=\"false\">12</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
       "</｜DSML｜function_calls>",
       "say(Now)call(get_weather {\"city\":\"12\",\"days\":12})"},
      {NULL, NULL}}},
    {"glm",
     "<tool_call><arg_key><arg_value>",
     {{"<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days</"
       "arg_key>\n"
       "<arg_value>2</arg_value>\n</tool_call>",
       "call(get_weather {\"city\":\"Rome\",\"days\":2})"},
      {"<tool_call>get<arg_key>x</arg_key><arg_value>1</arg_value></tool_call>\n<tool_call>get\n</tool_call>",
       "call(get {\"x\":\"1\"})call(get {})"},
      {NULL, NULL}}},
    {"llama-3",
     "<|start_header_id|> tools 'ipython'",
     {{"{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}",
       "call(get_weather {\"city\":\"Rome\"})"},
      {"{\"type\": \"function\", \"name\": \"get\", \"parameters\": {}}; {\"name\": \"add\", \"parameters\": "
       "{\"a\": 1}}",
       "call(get {})call(add {\"a\":1})"},
      {"<|python_tag|>{\"name\": \"get\", \"parameters\": {}}", "call(get {})"},
      {"<|python_tag|>brave_search.call(query=\"cats\")", "call(brave_search {\"query\":\"cats\"})"},
      {"<|python_tag|>get() add(1, 2)\nSo.", "call(get {})call(add {\"a\":1,\"b\":2})say(So.)"},
      {"{\"function\": \"get\", \"parameters\": {}}", "call(get {})"},
      {"{\"city\": \"Rome\"}", "say({\"city\": \"Rome\"})"},
      {NULL, NULL}}},
    {"mistral",
     "[AVAILABLE_TOOLS] [TOOL_CALLS]",
     {{"[TOOL_CALLS][{\"name\": \"get\", \"arguments\": {}, \"id\": \"abcdefghi\"}, {\"name\": \"add\", "
       "\"arguments\": {\"a\": 1}}]",
       "call(get {} abcdefghi)call(add {\"a\":1})"},
      {"[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{\"city\": \"}[\"}",
       "call(get_weather {\"city\":\"}[\"} 123456789)"},
      {"ok[TOOL_CALLS]add[ARGS]{\"a\": 1}[TOOL_CALLS]get[ARGS]{}", "say(ok)call(add {\"a\":1})call(get {})"},
      {"[TOOL_CALLS]add{\"a\": 2}", "call(add {\"a\":2})"},
      {"[TOOL_CALLS]get{}\n```c\n```", "call(get {})say(```c\n```)"},
      {"[TOOL_CALLS]get[ARGS]```json\n{}\n``` So.", "call(get {})say(So.)"},
      {"[TOOL_CALLS]", ""},
      {NULL, NULL}}},
    {"functionary-3.1",
     "<function=example>{}</function>",
     {{"Hi <function=get_weather>{\"city\": \"Rome\"}</function>\n<function=get>{}</function>",
       "say(Hi)call(get_weather {\"city\":\"Rome\"})call(get {})"},
      {NULL, NULL}}},
    {"functionary-3.2",
     ">>>all >>>${recipient}",
     {{"all\nHello\nyou", "say(Hello\nyou)"},
      {"get_weather\n{\"city\": \"Rome\"}", "call(get_weather {\"city\":\"Rome\"})"},
      {"all\nI look.\n>>>get\n{}>>>add\n{\"a\": 1}", "say(I look.)call(get {})call(add {\"a\":1})"},
      {"Hello there\nyou", "say(Hello there\nyou)"},
      {NULL, NULL}}},
    {"command-r",
     "<|CHATBOT_TOKEN|> Action: ```json",
     {{"Action: ```json\n[\n    {\n        \"tool_name\": \"get_weather\",\n        \"parameters\": "
       "{\"city\": \"Rome\"}\n    }\n]```",
       "call(get_weather {\"city\":\"Rome\"})"},
      {NULL, NULL}}},
    {"cohere",
     "<|START_THINKING|><|END_THINKING|><|START_ACTION|>",
     {{"<|START_THINKING|>I call.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
       "\"tool_name\": \"get\", "
       "\"parameters\": {}}\n]<|END_ACTION|>",
       "think(I call.)call(get {} 0)"},
      {"<|START_RESPONSE|>Hello<|END_RESPONSE|>", "say(Hello)"},
      {NULL, NULL}}},
    {"deepseek",
     "<think></think><｜tool▁calls▁begin｜>",
     {{"<think>\nhm\n</"
       "think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"
       "\"city\": "
       "\"Rome\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{}\n```<"
       "｜tool▁call▁end｜>"
       "<｜tool▁calls▁end｜>",
       "think(hm)call(get_weather {\"city\":\"Rome\"})call(get {})"},
      {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": "
       "1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       "call(add {\"a\":1})"},
      {NULL, NULL}}},
    {"harmony",
     "<|start|>assistant<|channel|>final<|message|>",
     {{"<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|"
       "return|>",
       "think(Think.)say(Hello.)"},
      {"<|channel|>analysis<|message|>I need it.<|end|><|start|>assistant<|channel|>commentary "
       "to=functions.get_weather "
       "<|constrain|>json<|message|>{\"city\": \"Rome\"}<|call|>",
       "think(I need it.)call(get_weather {\"city\":\"Rome\"})"},
      {"<|channel|>commentary<|message|>I look.<|end|><|start|>assistant "
       "to=functions.get<|channel|>commentary json<|message|>{}",
       "say(I look.)call(get {})"},
      {"<|channel|>final<|message|>Just so", "say(Just so)"},
      {" to=functions.get<|channel|>commentary json<|message|>{}", "call(get {})"},
      {" to=functions.get<|channel|>commentary<|message|>{}<|call|> So.", "call(get {})say(So.)"},
      {"Hello, no header", "say(Hello, no header)"},
      {"<|channel|>final", ""},
      {NULL, NULL}}},
    {"granite-3",
     "available_tools <|tool_call|>",
     {{"<|tool_call|>[{\"name\": \"get\", \"arguments\": {}}]", "call(get {})"},
      {"<response>Hello</response>", "say(Hello)"},
      {NULL, NULL}}},
    {"gemma-4",
     "'<|tool_call>call:'",
     {{"<|channel>thought\nhm\n<channel|>So <|tool_call>call:get_weather{city:<|\"|>Rome, "
       "{it}<|\"|>,days:3,hot:true}<tool_call|>",
       "think(hm)say(So)call(get_weather {\"city\":\"Rome, {it}\",\"days\":3,\"hot\":true})"},
      {NULL, NULL}}},
    {"functiongemma",
     "<start_function_call>",
     {{"<start_function_call>call:get_weather{city:<escape>Rome<escape>,tags:[1,{a:b}]}<end_function_call>",
       "call(get_weather {\"city\":\"Rome\",\"tags\":[1,{\"a\":\"b\"}]})"},
      {NULL, NULL}}},
    {"gemma",
     "tool_code",
     {{"I call:\n```tool_code\nget_weather(city='Rome', days=2)\n```",
       "say(I call:)call(get_weather {\"city\":\"Rome\",\"days\":2})"},
      {NULL, NULL}}},
    {"kimi-k2",
     "<|tool_calls_section_begin|><|tool_call_begin|>",
     {{"Ok.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:3<|tool_call_argument_begin|>"
       "{\"city\": \"Rome\"}"
       "<|tool_call_end|><|tool_call_begin|>functions.get:4<|tool_call_argument_begin|>{}<|tool_call_end|><|"
       "tool_calls_section_end|>",
       "say(Ok.)call(get_weather {\"city\":\"Rome\"} functions.get_weather:3)call(get {} functions.get:4)"},
      {NULL, NULL}}},
    {"lfm2",
     "<|tool_list_start|><|tool_list_end|><|tool_call_start|>",
     {{"<|tool_call_start|>[get_weather(city=\"Rome\", days=1), get()]<|tool_call_end|>Done",
       "call(get_weather {\"city\":\"Rome\",\"days\":1})call(get {})say(Done)"},
      {"<|tool_call_start|>[add(1, 2.5)]", "call(add {\"a\":1,\"b\":2.5})"},
      {"<|tool_call_start|>get(), add(1, 2); get()<|tool_call_end|>",
       "call(get {})call(add {\"a\":1,\"b\":2})call(get {})"},
      {NULL, NULL}}},
    {"olmo-3",
     "<function_calls>",
     {{"<function_calls>\nget_weather(city=\"Rome\")\nget()\n</function_calls>",
       "call(get_weather {\"city\":\"Rome\"})call(get {})"},
      {NULL, NULL}}},
    {"apertus",
     "<|tools_prefix|>",
     {{"<|tools_prefix|>[{\"add\": {\"a\": 1}}]<|tools_suffix|>", "call(add {\"a\":1})"}, {NULL, NULL}}},
    {"nemotron-nano-2",
     "<TOOLCALL>",
     {{"<TOOLCALL>[{\"name\": \"get\", \"arguments\": {}}]</TOOLCALL>", "call(get {})"}, {NULL, NULL}}},
    {"tool-calls",
     "<tool_calls>",
     {{"<tool_calls>\n{\"name\": \"get\", \"arguments\": {}}\n{\"name\": \"add\", \"arguments\": "
       "{}}\n</tool_calls>",
       "call(get {})call(add {})"},
      {NULL, NULL}}},
    {"functools",
     "functools[",
     {{" functools[{\"name\": \"get\", \"arguments\": {}}]", "call(get {})"}, {NULL, NULL}}},
    {"phi-4-mini",
     "<|tool|><|/tool|>",
     {{"<|tool_call|>[{\"name\": \"get\", \"arguments\": {}}]<|/tool_call|>", "call(get {})"}, {NULL, NULL}}},
    {"gigachat",
     "<|role_sep|><|message_sep|>",
     {{"function call<|role_sep|>\n{\"name\": \"get\", \"arguments\": {}}", "call(get {})"}, {NULL, NULL}}},
    {"gigachat-3.1",
     "<|message_sep|><|function_call|>",
     {{"<|function_call|>{\"name\": \"get\", \"arguments\": {}}", "call(get {})"}, {NULL, NULL}}},
    {"hunyuan-3",
     "':opensource' <tool_sep{}>",
     {{"<tool_calls:opensource>\n<tool_call:opensource>get_weather<tool_sep:opensource>\n<arg_key:opensource>"
       "days"
       "</arg_key:opensource>\n<arg_value:opensource>3</arg_value:opensource>\n</tool_call:opensource>\n"
       "</tool_calls:opensource>",
       "call(get_weather {\"days\":3})"},
      {NULL, NULL}}},
    {"solar-open",
     "<|tool_call:begin|><|tool_call:args|>",
     {{"<|tool_calls|><|tool_call:begin|>abc<|tool_call:name|>get<|tool_call:args|>{}<|tool_call:end|><|"
       "calls|>",
       "call(get {} abc)"},
      {NULL, NULL}}},
    {"apriel",
     "[BEGIN FINAL RESPONSE] <tool_calls>",
     {{"Here are my reasoning steps:\nhm\n[BEGIN FINAL RESPONSE]\nYes <tool_calls>[{\"name\": \"get\", "
       "\"arguments\": {}}]"
       "</tool_calls>",
       "think(hm)say(Yes)call(get {})"},
      {NULL, NULL}}},
    {"json", "{{ tools }}", {{"{\"name\": \"get\", \"arguments\": {}}", "call(get {})"}, {NULL, NULL}}},
};

static void every_family_is_read_however_it_is_cut(void **state)
{
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        struct reply_spec spec = of_jinja(families[i].family, families[i].source);
        check_cases(&spec, true, families[i].cases);
    }
}

// What models let slip: a word put in anywhere gives whatever it gives, but the same however it is cut.
static void check_with_word(const struct reply_spec *spec, json_t *tools, const char *text, const char *word)
{
    for (size_t at = 0; word != NULL && at <= strlen(text); at++) {
        struct strbuf mixed = STRBUF_INIT(4096);
        strbuf_printf(&mixed, "%.*s%s%s", (int)at, text, word, text + at);
        char *whole = read_reply(spec, tools, strbuf_text(&mixed), 0, mixed.n),
             *bytes = read_reply(spec, tools, strbuf_text(&mixed), 0, 1);
        if (strcmp(whole, bytes) != 0)
            fail_msg("%s: <%s>: whole\n%s\nby bytes\n%s", reply_family_name(spec->family),
                     strbuf_text(&mixed), whole, bytes);
        free(whole);
        free(bytes);
        strbuf_fini(&mixed);
    }
}

static void replies_with_a_word_too_much_are_read_however_they_are_cut(void **state)
{
    struct err err = {0};
    json_t *tools = json_parse(slice_of(tools_text), &err);
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        struct reply_spec spec = of_jinja(families[i].family, families[i].source);
        const struct reply_row *row = &reply_rows[spec.family];
        const char *const words[] = {row->openers[0], row->closers[0], ", ", "```"};
        for (const struct reply_case *c = families[i].cases; c->text != NULL; c++)
            for (size_t k = 0; k < COUNT_OF(words); k++)
                check_with_word(&spec, tools, c->text, words[k]);
    }
    json_decref(tools);
}

static void every_family_has_cases(void **state)
{
    const char *name;
    for (uint8_t k = 2; (name = reply_family_name(k)) != NULL; k++) {
        bool is_there = strcmp(name, "hermes") == 0;
        for (size_t i = 0; i < COUNT_OF(families); i++)
            is_there |= strcmp(families[i].family, name) == 0;
        if (!is_there)
            fail_msg("family %s has no cases", name);
    }
}

static void without_tools_nothing_is_a_call(void **state)
{
    static const struct reply_case cases[] = {
        {"<tool_call>{\"name\": \"get\", \"arguments\": {}}</tool_call>",
         "say(<tool_call>{\"name\": \"get\", \"arguments\": {}}</tool_call>)"},
        {"{\"name\": \"get\", \"arguments\": {}}", "say({\"name\": \"get\", \"arguments\": {}})"},
        {NULL, NULL}};
    struct reply_spec spec = of_jinja("hermes", "{{ tools }}<tool_call>");
    check_cases(&spec, false, cases);
}

static void control_tokens_are_kept_where_they_mean_something(void **state)
{
    struct reply_spec spec = of_jinja("harmony", "<|start|>assistant<|channel|>final<|message|>");
    assert_true(reply_spec_keeps(&spec, slice_of("<|channel|>")) &&
                reply_spec_keeps(&spec, slice_of("<|message|>")));
    assert_false(reply_spec_keeps(&spec, slice_of("<|endoftext|>")));
    spec = of_jinja("llama-3", "<|start_header_id|> tools 'ipython'");
    assert_false(reply_spec_keeps(&spec, slice_of("<|python_tag|>")));
    spec.wants_calls = true;
    assert_true(reply_spec_keeps(&spec, slice_of("<|python_tag|>")));
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

// A call that ends just where a block may be no longer, or behind.
static void a_long_call_is_one_or_none_however_it_is_cut(void **state)
{
    enum { LONGEST_BYTES = (1 << 20) - 4096 };
    struct reply_spec spec = of_jinja("functools", "functools[");
    struct err err = {0};
    json_t *tools = json_parse(slice_of(tools_text), &err);
    for (size_t n = LONGEST_BYTES - 1; n <= LONGEST_BYTES + 1; n++) {
        struct strbuf text = STRBUF_INIT(4 << 20);
        strbuf_push_text(&text, "functools{\"name\": \"get\", \"arguments\": {\"x\": \"");
        while (text.n < strlen("functools") + n - strlen("\"}}x"))
            strbuf_push_char(&text, '-');
        strbuf_push_text(&text, "\"}}x");
        static const size_t steps[] = {4 << 20, 4000, 61};
        for (size_t i = 0; i < COUNT_OF(steps); i++) {
            char *parts = read_reply(&spec, tools, strbuf_text(&text), 0, steps[i]);
            assert_memory_equal(parts, n <= LONGEST_BYTES ? "call(get" : "say({\"name", 8);
            free(parts);
        }
        strbuf_fini(&text);
    }
    json_decref(tools);
}

static void endless_white_space_is_not_lost(void **state)
{
    struct reply_spec spec = of_jinja("hermes", "<think></think>{{ tools }}<tool_call></tool_call>");
    struct err err = {0};
    json_t *tools = json_parse(slice_of(tools_text), &err);
    for (int is_behind = 0; is_behind < 2; is_behind++) {
        struct strbuf text = STRBUF_INIT(4 << 20);
        strbuf_push_text(&text, is_behind ? "a" : "");
        for (int i = 0; i < 3 << 19; i++)
            strbuf_push_char(&text, ' ');
        strbuf_push_text(&text, "b");
        for (size_t step = 100; step < 4 << 20; step *= 100) {
            char *parts = read_reply(&spec, tools, strbuf_text(&text), 0, step);
            assert_int_equal(strlen(parts), text.n + strlen("say()"));
            free(parts);
        }
        strbuf_fini(&text);
    }
    json_decref(tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thinking_is_told_from_content),
        cmocka_unit_test(a_prompt_may_have_opened_thinking),
        cmocka_unit_test(go_templates_name_their_tags),
        cmocka_unit_test(go_templates_name_the_tag_of_calls),
        cmocka_unit_test(a_bracket_may_be_the_tag),
        cmocka_unit_test(hermes),
        cmocka_unit_test(qwen3_thinks_before_it_calls),
        cmocka_unit_test(every_family_is_read_however_it_is_cut),
        cmocka_unit_test(replies_with_a_word_too_much_are_read_however_they_are_cut),
        cmocka_unit_test(every_family_has_cases),
        cmocka_unit_test(without_tools_nothing_is_a_call),
        cmocka_unit_test(control_tokens_are_kept_where_they_mean_something),
        cmocka_unit_test(an_endless_call_becomes_content),
        cmocka_unit_test(a_long_call_is_one_or_none_however_it_is_cut),
        cmocka_unit_test(endless_white_space_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
