// SPDX-License-Identifier: MIT
// What a grammar makes a model write is what the parser of its family reads: for each family that has a form,
// one call and two, and content.
#include "../test.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "text/matcher.h"
#include "text/reply_form.h"

static const char tools_json[] = "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                                 "\"parameters\":{\"type\":\"object\",\"properties\":{"
                                 "\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}}}]";
#define ARGUMENTS "{\"city\":\"Oslo\"}"

struct heard {
    struct strbuf content;
    size_t n_calls;
};

static void hear(void *user, const struct reply_part *part)
{
    struct heard *h = user;
    if (part->kind == REPLY_CALL) {
        assert_true(slice_is(part->call.name, "get_weather"));
        assert_true(slice_is(part->call.arguments, ARGUMENTS));
        h->n_calls++;
    } else {
        strbuf_push_slice(&h->content, part->text);
    }
}

static struct heard read_reply(const struct reply_spec *spec, struct slice text)
{
    struct heard h = {.content = STRBUF_INIT(1000)};
    json_t *tools = json_loads(tools_json, 0, NULL);
    struct reply *r = reply_new(spec, tools, hear, &h);
    reply_push(r, text);
    reply_finish(r);
    reply_free(r);
    json_decref(tools);
    return h;
}

static bool fits(const struct reply_spec *s, const struct reply_forms *forms, const char *format,
                 struct slice text)
{
    struct constraint_spec spec = {.format = slice_of(format),
                                   .forms = forms->forms,
                                   .n_forms = format != NULL ? 0 : forms->n_forms,
                                   .tools_json = slice_of(tools_json),
                                   .think_begin = slice_of(s->opening),
                                   .think_end = slice_of(s->closing),
                                   .after_thinking = forms->after_thinking,
                                   .before_content = forms->before_content};
    struct constraint *c;
    struct err err = {0};
    if (constraint_new(&c, &spec, &err) != 0)
        fail_msg("%s", err.message);
    struct matcher *m = matcher_new(constraint_grammar(c));
    bool result = matcher_push(m, text) && matcher_may_end(m);
    matcher_free(m);
    constraint_free(c);
    return result;
}

static void push_call(struct strbuf *text, const struct call_form *f)
{
    strbuf_printf(text, "%sget_weather%s", f->before_name, f->before_arguments);
    if (f->before_key != NULL)
        strbuf_printf(text, "%scity%sOslo%s", f->before_key, f->after_key, f->after_value);
    else
        strbuf_push_text(text, ARGUMENTS);
    strbuf_push_text(text, f->after_arguments);
}

static void check_form(const struct reply_spec *s, const struct reply_forms *forms, const struct call_form *f,
                       const char *name)
{
    for (size_t n = 1; n <= (f->between_calls != NULL ? 2 : 1); n++) {
        struct strbuf text = STRBUF_INIT(2000);
        strbuf_push_text(&text, f->before_calls);
        for (size_t i = 0; i < n; i++) {
            strbuf_push_text(&text, i > 0 ? f->between_calls : "");
            push_call(&text, f);
        }
        strbuf_push_text(&text, f->after_calls);
        if (!fits(s, forms, NULL, strbuf_slice(&text)))
            fail_msg("%s: the grammar does not take %s", name, strbuf_text(&text));
        struct heard h = read_reply(s, strbuf_slice(&text));
        if (h.n_calls != n || h.content.n > 0)
            fail_msg("%s: %zu calls and \"%s\" are read from %s", name, h.n_calls, strbuf_text(&h.content),
                     strbuf_text(&text));
        strbuf_fini(&h.content);
        strbuf_fini(&text);
    }
}

static void check_content(const struct reply_spec *s, const struct reply_forms *forms, const char *name)
{
    struct strbuf text = STRBUF_INIT(2000);
    strbuf_push_slice(&text, forms->before_content);
    strbuf_push_text(&text, "{\"answer\": 42}");
    assert_true(fits(s, forms, "\"json\"", strbuf_slice(&text)));
    struct heard h = read_reply(s, strbuf_slice(&text));
    if (h.n_calls != 0 || !slice_is(strbuf_slice(&h.content), "{\"answer\": 42}"))
        fail_msg("%s: \"%s\" is read from %s", name, strbuf_text(&h.content), strbuf_text(&text));
    strbuf_fini(&h.content);
    strbuf_fini(&text);
}

static void what_a_form_writes_its_family_reads(void **state)
{
    size_t n_with_form = 0;
    const char *name;
    for (uint8_t family = 0; (name = reply_family_name(family)) != NULL; family++) {
        struct reply_spec s = {.family = family, .wants_calls = true};
        static struct reply_forms forms;
        reply_forms_of(&forms, &s);
        for (size_t i = 0; i < forms.n_forms; i++)
            check_form(&s, &forms, &forms.forms[i], name);
        n_with_form += forms.n_forms > 0;
        check_content(&s, &forms, name);
    }
    assert_true(n_with_form >= 20);
}

static void the_tag_of_a_go_template_is_written_and_read(void **state)
{
    static const char *const tags[] = {"<tool_call>", "[TOOL_CALLS]", "{", "["};
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        static struct reply_forms forms;
        struct reply_spec s = {.family = 1, .wants_calls = true};
        assert_string_equal(reply_family_name(s.family), "go");
        strcpy(s.tag, tags[i]);
        reply_forms_of(&forms, &s);
        assert_true(forms.n_forms > 0);
        for (size_t k = 0; k < forms.n_forms; k++)
            check_form(&s, &forms, &forms.forms[k], tags[i]);
    }
}

static void thinking_in_channels_leads_to_content(void **state)
{
    struct reply_spec s = reply_spec_of_jinja(slice_of("<|channel|> <|message|> <|start|>"));
    static struct reply_forms forms;
    assert_string_equal(reply_family_name(s.family), "harmony");
    reply_forms_of(&forms, &s);
    struct slice text =
        slice_of("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{}");
    assert_true(fits(&s, &forms, "\"json\"", text));
    struct heard h = read_reply(&s, text);
    assert_string_equal(strbuf_text(&h.content), "Hm.{}"); // thinking, then content
    strbuf_fini(&h.content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_form_writes_its_family_reads),
        cmocka_unit_test(the_tag_of_a_go_template_is_written_and_read),
        cmocka_unit_test(thinking_in_channels_leads_to_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
