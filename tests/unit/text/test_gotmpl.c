// SPDX-License-Identifier: MIT
// Go templates against what Go's own package makes of them: a table of templates with the data of the line
// "data" before them, what is written and what the error says.
#include "../jsonl.h"

#include "base/mem.h"
#include "text/gotmpl.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_is_go_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
