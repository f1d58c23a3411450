// SPDX-License-Identifier: MIT
// The chat templates of the real models against reference data, and what bounds a render.
#include "../jsonl.h"

#include "template_check.h"

struct model_check {
    struct template *t;
    json_t *head;
    int n;
};

static void check_line(void *arg, const json_t *line)
{
    struct model_check *c = arg;
    struct strbuf out = STRBUF_INIT(1 << 20);
    struct err err = {0};
    if (template_check_render(c->t, line, NULL, c->head, &out, &err) != 0)
        fail_msg("%s: %s", json_string_value(json_object_get(line, "id")), err.message);
    assert_string_equal(strbuf_text(&out), json_string_value(json_object_get(line, "rendered")));
    strbuf_fini(&out);
    c->n++;
}

static void check_model(const char *model, const char *bos, const char *eos)
{
    char path[1024];
    size_t n = 0;
    struct err err = {0};
    struct model_check c = {.head = json_pack("{s:s, s:s}", "bos_token", bos, "eos_token", eos)};
    snprintf(path, sizeof path, "%s/chat/%s.jinja", TEST_DATA, model);
    char *source = template_check_read(path, &n);
    assert_non_null(source);
    if (template_new(&c.t, slice_make(source, n), &err) != 0)
        fail_msg("%s: %s", model, err.message);
    free(source); // the template keeps nothing of it
    snprintf(path, sizeof path, "%s/chat/%s.jsonl.gz", TEST_DATA, model);
    jsonl_each(path, check_line, &c);
    assert_int_equal(c.n, 30);
    template_free(c.t);
    json_decref(c.head);
}

static void smollm2_renders_exactly(void **state)
{
    check_model("smollm2-135m", "<|im_start|>", "<|im_end|>");
}

static void qwen_renders_exactly(void **state)
{
    check_model("qwen2.5-coder-0.5b", "<|endoftext|>", "<|im_end|>");
}

// Renders with no variables but what `json` holds; the error's code, or ERR_NONE.
static enum err_code render(const char *source, const char *json, struct strbuf *out, struct err *err)
{
    struct template *t = NULL;
    json_t *extra = json_loads(json, 0, NULL);
    struct template_input in = {
        .extra = extra, .bos_token = slice_of("<s>"), .eos_token = slice_of("</s>"), .now_s = TEMPLATE_CLOCK};
    *err = (struct err){0};
    strbuf_reset(out);
    if (template_new(&t, slice_of(source), err) == 0)
        template_render(t, &in, out, err);
    template_free(t);
    json_decref(extra);
    return err->code;
}

static void the_default_is_chatml(void **state)
{
    struct strbuf out = STRBUF_INIT(1000);
    struct err err;
    const char *json =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"add_generation_prompt\": true}";
    assert_int_equal(render(template_default(), json, &out, &err), ERR_NONE);
    assert_string_equal(out.at, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    strbuf_fini(&out);
}

static void errors_name_the_construct_and_the_line(void **state)
{
    static const struct {
        const char *source;
        enum err_code code;
        const char *message;
    } cases[] = {
        {"a\n{% include 'x' %}", ERR_UNSUPPORTED,
         "template line 2: the statement 'include' is not supported"},
        {"{% frobnicate %}", ERR_UNSUPPORTED, "template line 1: the statement 'frobnicate' is not supported"},
        {"{% for x in y recursive %}{% endfor %}", ERR_UNSUPPORTED,
         "template line 1: a recursive loop is not supported"},
        {"{% if a %}\n\n", ERR_FORMAT, "template line 2: the template ends before the 'endif' for line 1"},
        {"{{ 1 + }}", ERR_FORMAT, "template line 1: unexpected '}}'"},
        {"{{ 'abc }}", ERR_FORMAT, "template line 1: a string without its end: 'abc }}"},
        {"\n\n{{ 1|frobnicate }}", ERR_UNSUPPORTED,
         "chat template, line 3: the filter 'frobnicate' is not supported"},
        {"{{ 1 is frobnicate }}", ERR_UNSUPPORTED,
         "chat template, line 1: the test 'frobnicate' is not supported"},
        {"{{ lipsum() }}", ERR_UNSUPPORTED, "chat template, line 1: lipsum() is not supported"},
        {"{{ 'a'.encode() }}", ERR_UNSUPPORTED, "chat template, line 1: encode() is not supported"},
        {"{{ frobnicate() }}", ERR_FORMAT, "chat template, line 1: 'frobnicate' is undefined"},
        {"{{ {}.a.b }}", ERR_FORMAT, "chat template, line 1: 'dict' object has no attribute 'a'"},
        {"{{ raise_exception('No system role!') }}", ERR_INVALID, "No system role!"},
        {"{{ 9223372036854775807 + 1 }}", ERR_UNSUPPORTED,
         "chat template, line 1: an integer beyond 64 bits is not supported"},
        {"{{ {}.__class__ }}", ERR_FORMAT,
         "chat template, line 1: access to attribute '__class__' of 'dict' object is unsafe"},
    };
    struct strbuf out = STRBUF_INIT(1000);
    struct err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(render(cases[i].source, "{}", &out, &err), cases[i].code);
        assert_string_equal(err.message, cases[i].message);
    }
    strbuf_fini(&out);
}

// Sources that want more time, memory, output or stack than a render has.
static void hostile_templates_end(void **state)
{
    static const char *const sources[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{{ m(x + [x]) }}{{ m(x) }}{% endmacro %}{{ m([]) }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ "
        "ns.s }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(99) %}{% set ns.a = [ns.a, ns.a] %}"
        "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{% set k = [] %}{% set _ = k.append(k) %}{{ k == l }}",
        "{{ 'x' * 999999999999 }}",
        "{{ ('x' * 200000000)|list|length }}",
        "{{ [1] * 9223372036854775807 }}",
        "{{ range(9223372036854775807)|list }}",
        "{{ 'x'.center(9223372036854775807) }}",
        "{{ 'a'|indent(99999999999) }}",
        "{% set s = 'a' * 100000000 %}{% for i in range(99999) %}{% set x = 'b' in s %}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{{ s.rsplit('a' * 500000 ~ 'b') }}",
        "{{ [[1, 2]] | tojson(indent=99999999999) }}",
        "{% for i in range(99999) %}{{ 'x' * 10000 }}{% endfor %}",
        "{{ '%999999d' % 1 }}",
        "{{ 2 ** 99999999 }}",
        "{{ dict.__init__ }}",
    };
    struct strbuf out = STRBUF_INIT(1 << 20);
    struct err err;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        enum err_code code = render(sources[i], "{}", &out, &err);
        if (code != ERR_TOO_LARGE && code != ERR_UNSUPPORTED && code != ERR_FORMAT)
            fail_msg("%s: %d %s", sources[i], code, err.message);
    }
    strbuf_fini(&out);
}

// The parser's own bounds: brackets, blocks and chains of 100,000.
static void deep_sources_end(void **state)
{
    static const struct {
        const char *before, *part, *after;
    } cases[] = {
        {"{{ ", "(", ""},         {"{{ ", "[", ""},
        {"{{ ", "-", "1 }}"},     {"{{ ", "not ", "1 }}"},
        {"{{ 1", "+1", " }}"},    {"{{ x", ".x", " }}"},
        {"{{ x", "|e", " }}"},    {"{{ x", "[0]", " }}"},
        {"", "{% if x %}", ""},   {"", "{% for x in y %}", ""},
        {"{{ 1", " if 1", " }}"}, {"{{ 1", " if 1 else 1", " }}"},
        {"{{ x", " is y", " }}"}, {"{{ ", "{1:", ""},
        {"{{ x", "(", ""},        {"", "{% macro m() %}", ""},
        {"{{ x", "(*x)", " }}"},  {"", "{{", ""},
        {"", "{% raw %}", ""},    {"", "{#", ""},
    };
    enum { PARTS = 50000 };
    struct err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf source = STRBUF_INIT(1 << 24), out = STRBUF_INIT(1 << 20);
        strbuf_push_text(&source, cases[i].before);
        for (int k = 0; k < PARTS; k++)
            strbuf_push_text(&source, cases[i].part);
        strbuf_push_text(&source, cases[i].after);
        assert_true(render(strbuf_text(&source), "{}", &out, &err) != ERR_NONE);
        strbuf_fini(&source);
        strbuf_fini(&out);
    }
}

// Cut anywhere, a real template is an error or renders; no crash, nothing read outside.
static void cut_templates_end(void **state)
{
    size_t n = 0;
    char *source = template_check_read(TEST_DATA "/chat/qwen2.5-coder-0.5b.jinja", &n);
    assert_non_null(source);
    for (size_t cut = 0; cut < n; cut++) {
        struct template *t = NULL;
        struct err err = {0};
        char *copy = malloc(cut + 1); // of that size, so that reading further is seen
        memcpy(copy, source, cut);
        if (template_new(&t, slice_make(copy, cut), &err) == 0) {
            struct strbuf out = STRBUF_INIT(1000);
            struct template_input in = {.bos_token = slice_of(""), .eos_token = slice_of("")};
            template_render(t, &in, &out, &err);
            strbuf_fini(&out);
        }
        template_free(t);
        free(copy);
    }
    free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_renders_exactly), cmocka_unit_test(qwen_renders_exactly),
        cmocka_unit_test(the_default_is_chatml),   cmocka_unit_test(errors_name_the_construct_and_the_line),
        cmocka_unit_test(hostile_templates_end),   cmocka_unit_test(deep_sources_end),
        cmocka_unit_test(cut_templates_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
