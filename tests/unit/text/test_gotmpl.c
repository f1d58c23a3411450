// SPDX-License-Identifier: MIT
// Go templates against what Go's own package makes of them: a table of templates with the data of the line
// "data" before them, what is written and what the error says.
#include "../jsonl.h"

#include "base/mem.h"
#include "text/gotmpl.h"
#include "text/traits.h"

struct table {
    json_t *data;
    int n, n_wrong;
};

static void wrong(struct table *t, const char *source, const char *what, const char *wanted, const char *got)
{
    printf("%s\n  wanted %s %s\n  got    %s\n", source, what, wanted, got);
    t->n_wrong++;
}

static const char *text_of(const json_t *line, const char *key)
{
    return json_is_string(json_object_get(line, key)) ? json_string_value(json_object_get(line, key)) : "";
}

static void check_line(void *arg, const json_t *line)
{
    struct table *t = arg;
    struct strbuf out = STRBUF_INIT(1 << 20);
    struct err err = {0};
    if (json_object_get(line, "data") != NULL) {
        json_decref(t->data);
        t->data = json_deep_copy(json_object_get(line, "data"));
        return;
    }
    const char *source = text_of(line, "t"), *error = text_of(line, "e");
    gotmpl_run_plain(json_slice(json_object_get(line, "t")), t->data, &out, &err);
    if (strcmp(text_of(line, "o"), strbuf_text(&out)) != 0)
        wrong(t, source, "text ", text_of(line, "o"), strbuf_text(&out));
    if (strcmp(error, err.message) != 0)
        wrong(t, source, "error", error, err.message);
    strbuf_fini(&out);
    t->n++;
}

static void language_is_go_s(void **state)
{
    struct table t = {0};
    jsonl_each(TEST_DATA "/gotmpl/language.jsonl.gz", check_line, &t);
    json_decref(t.data);
    printf("%d templates\n", t.n);
    assert_true(t.n > 300);
    assert_int_equal(t.n_wrong, 0);
}

static struct gotmpl_input input_of(const json_t *in)
{
    const json_t *think = json_object_get(in, "think");
    struct gotmpl_input out = {.messages = json_object_get(in, "messages"),
                               .tools = json_object_get(in, "tools"),
                               .prompt = json_slice(json_object_get(in, "prompt")),
                               .suffix = json_slice(json_object_get(in, "suffix")),
                               .is_think_set = think != NULL,
                               .think = json_is_true(think) || json_is_string(think),
                               .now_s = 1767323045}; // 2026-01-02 03:04:05 UTC
    out.think_level = json_is_string(think) ? json_slice(think) : slice_of(out.think ? "medium" : "");
    return out;
}

static void check_prompt(void *arg, const json_t *line)
{
    struct table *t = arg;
    struct strbuf out = STRBUF_INIT(1 << 20);
    struct err err = {0};
    struct gotmpl *g = NULL;
    if (json_object_get(line, "input") != NULL) {
        json_decref(t->data);
        t->data = json_deep_copy(json_object_get(line, "input"));
        return;
    }
    const char *source = text_of(line, "t"), *error = text_of(line, "e");
    struct gotmpl_input in = input_of(t->data);
    if (gotmpl_new(&g, slice_of(source), &err) == 0)
        gotmpl_render(g, &in, &out, &err);
    if (strcmp(error, err.message) != 0)
        wrong(t, source, "error", error, err.message);
    else if (error[0] == 0 && strcmp(text_of(line, "o"), strbuf_text(&out)) != 0)
        wrong(t, source, "text ", text_of(line, "o"), strbuf_text(&out));
    gotmpl_free(g);
    strbuf_fini(&out);
    t->n++;
}

static void prompts_follow_ollama_s_rules(void **state)
{
    struct table t = {0};
    jsonl_each(TEST_DATA "/gotmpl/prompts.jsonl.gz", check_prompt, &t);
    json_decref(t.data);
    assert_true(t.n > 250);
    assert_int_equal(t.n_wrong, 0);
}

// What a template says of a model without being run.
static void capabilities_are_read_off_the_tree(void **state)
{
    static const struct {
        const char *source;
        bool messages, tools, results, suffix;
        const char *opening, *closing, *tool_tag;
    } table[] = {
        {"{{ .Prompt }}", false, false, false, false, "", "", "{"},
        {"{{ .Prompt }}{{ .suffix }}", false, false, false, true, "", "", "{"},
        {"{{ range .Messages }}{{ .Content }}{{ end }}{{ if $.Tools }}{{ end }}", true, true, false, false,
         "", "", "{"},
        {"{{ range .Messages }}{{ if eq .Role \"tool\" }}{{ end }}{{ end }}", true, false, true, false, "",
         "", "{"},
        {"{{ range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}\n<call>{\"name\": {{ end }}{{ end "
         "}}{{ end }}",
         true, false, false, false, "", "", "<call>"},
        {"{{ range .Messages }}{{ if .ToolCalls }}{\"name\"{{ end }}{{ end }}", true, false, false, false, "",
         "", "{"},
        {"{{ range .Messages }}{{ if .Thinking }} <think>\n{{ .Thinking }}\n</think> {{ end }}{{ end }}",
         true, false, false, false, "<think>", "</think>", "{"},
        {"{{ range $i, $m := .Messages }}{{ if $m.Thinking }}<t>{{ $m.Thinking }}</t>{{ end }}{{ end }}",
         true, false, false, false, "", "", "{"},
        {"{{ if .Thinking }}<t>{{ .Thinking }}</t>{{ end }}{{ .Response }}", false, false, false, false, "",
         "", "{"},
        {"{{ define \"t\" }}{{ .Tools }}{{ end }}{{ template \"t\" . }}{{ .Response }}", false, true, false,
         false, "", "", "{"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct gotmpl *g = NULL;
        struct err err = {0};
        assert_int_equal(gotmpl_new(&g, slice_of(table[i].source), &err), 0);
        struct gotmpl_traits t = gotmpl_traits(g);
        if (t.takes_messages != table[i].messages || t.takes_tools != table[i].tools ||
            t.takes_tool_results != table[i].results || t.takes_suffix != table[i].suffix ||
            t.takes_thinking != (table[i].opening[0] != 0) || !slice_is(t.opening_tag, table[i].opening) ||
            !slice_is(t.closing_tag, table[i].closing) || !slice_is(t.tool_tag, table[i].tool_tag))
            fail_msg("%s: tool tag %.*s", table[i].source, (int)t.tool_tag.n, t.tool_tag.at);
        gotmpl_free(g);
    }
}

static struct template_traits go_traits(const char *source)
{
    struct gotmpl *g = NULL;
    struct err err = {0};
    assert_int_equal(gotmpl_new(&g, slice_of(source), &err), 0);
    struct template_traits t = traits_of_go(g);
    gotmpl_free(g);
    return t;
}

static void a_file_s_template_that_does_more_is_preferred(void **state)
{
    static const char plain[] = "{{ range .Messages }}{{ .Content }}{{ end }}",
                      tools[] = "{{ .Tools }}{{ range .Messages }}{{ .Content }}{{ end }}",
                      results[] =
                          "{{ .Tools }}{{ range .Messages }}{{ if eq .Role \"tool\" }}{{ end }}{{ end }}";
    struct template_traits none = traits_of_jinja(slice_of("{{ messages }}")),
                           some = traits_of_jinja(slice_of("{% if tools %}{% endif %}")),
                           more = traits_of_jinja(slice_of("{% if tools %}{{ role == 'tool' }}{% endif %}")),
                           thinks = traits_of_jinja(slice_of("<think></think>"));
    const enum go_template_use use = GO_TEMPLATE_AUTOMATIC;
    assert_false(traits_choose_jinja(use, go_traits(plain), none));
    assert_true(traits_choose_jinja(use, go_traits(plain), some));
    assert_true(traits_choose_jinja(use, go_traits(plain), thinks));
    assert_false(traits_choose_jinja(use, go_traits(tools), none));
    assert_false(traits_choose_jinja(use, go_traits(tools), some));
    assert_true(traits_choose_jinja(use, go_traits(tools), more));
    assert_false(traits_choose_jinja(use, go_traits(tools), thinks)); // tools would be lost
    assert_false(traits_choose_jinja(use, go_traits(results), some));
    assert_false(traits_choose_jinja(use, go_traits(results), more));
    assert_false(traits_choose_jinja(traits_read_option("1"), go_traits(plain), more));
    assert_true(traits_choose_jinja(traits_read_option("false"), go_traits(results), none));
    assert_int_equal(traits_read_option(""), GO_TEMPLATE_AUTOMATIC);
}

static void languages_are_told_apart(void **state)
{
    static const char *const go[] = {"",
                                     "no action",
                                     "{{ .Prompt }}",
                                     "{{- if .System }}",
                                     "{{$x := 1}}",
                                     "{{ json . }}",
                                     "{{- /* note */ -}}{{ .Prompt }}",
                                     "{{ .Nope",
                                     "{{ `{%` }}"},
                             *const jinja[] = {"{{ messages }}",
                                               "{% for m in messages %}{{ m.content }}{% endfor %}",
                                               "{{ bos_token }}{% if tools %}.{% endif %}",
                                               "{# note #}{{ x }}", "{{- messages[0]['content'] }}"};
    for (size_t i = 0; i < COUNT_OF(go); i++)
        assert_true(traits_text_is_go(slice_of(go[i])));
    for (size_t i = 0; i < COUNT_OF(jinja); i++)
        assert_false(traits_text_is_go(slice_of(jinja[i])));
}

static void expect_bound(const char *source, const char *says)
{
    struct strbuf out = STRBUF_INIT(1 << 16);
    struct err err = {0};
    json_t *data = json_pack("{s:[i,i,i,i,i,i,i,i,i,i]}", "L", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    assert_int_equal(gotmpl_run_plain(slice_of(source), data, &out, &err), -1);
    if (strstr(err.message, says) == NULL)
        fail_msg("%s", err.message);
    json_decref(data);
    strbuf_fini(&out);
}

static void every_bound_is_an_error(void **state)
{
    struct strbuf deep = STRBUF_INIT(1 << 20);
    expect_bound("{{ range 1000000000 }}{{ end }}", "runs too long");
    expect_bound("{{ range 1000000000 }}{{ . }}{{ end }}", "writes too much");
    expect_bound("{{ define \"T\" }}{{ template \"T\" . }}{{ end }}{{ template \"T\" . }}",
                 "exceeded maximum template depth");
    expect_bound("{{ $x := \"aaaaaaaa\" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}", "too ");
    expect_bound(
        "{{ printf \"%1000000d\" 1 | len }}{{ range 1000 }}{{ $x := printf \"%1000000d\" 1 }}{{ end }}",
        "too ");
    for (int i = 0; i < 1000; i++)
        strbuf_push_text(&deep, "{{ if (");
    expect_bound(strbuf_text(&deep), "template: :1: ");
    strbuf_reset(&deep);
    for (int i = 0; i < 1000; i++)
        strbuf_push_text(&deep, "{{ if true }}");
    expect_bound(strbuf_text(&deep), "max expression depth exceeded");
    strbuf_fini(&deep);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_is_go_s),
        cmocka_unit_test(prompts_follow_ollama_s_rules),
        cmocka_unit_test(capabilities_are_read_off_the_tree),
        cmocka_unit_test(a_file_s_template_that_does_more_is_preferred),
        cmocka_unit_test(languages_are_told_apart),
        cmocka_unit_test(every_bound_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
