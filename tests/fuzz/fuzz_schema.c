// SPDX-License-Identifier: MIT
// JSON Schemas of clients: the schema, 0xff, then bytes that choose how a text goes on. A text never runs
// into a dead end, and where it may end it is JSON in valid UTF-8.
#include "fuzz.h"

#include "base/utf8.h"
#include "json/json.h"
#include "text/constraint.h"
#include "text/matcher.h"

enum { MAX_TEXT = 600 };

// The chosen byte, or the next one above it that may come; false: none may.
static bool write_byte(struct matcher *m, unsigned choice, struct strbuf *text)
{
    for (unsigned i = 0; i < 256; i++) {
        char byte = (char)((choice + i) % 256);
        bool may = matcher_takes(m, slice_make(&byte, 1));
        FUZZ_CHECK(!may || matcher_push(m, slice_make(&byte, 1)));
        if (may) {
            strbuf_push_char(text, byte);
            return true;
        }
    }
    return false;
}

static void check_whole(const struct strbuf *text)
{
    json_error_t why;
    json_t *value = json_loadb(text->n > 0 ? text->at : "", text->n, JSON_DECODE_ANY, &why);
    FUZZ_CHECK(value != NULL);
    FUZZ_CHECK(utf8_is_valid(strbuf_slice(text)));
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct err err = {0};
    struct slice rest = slice_make(bytes, n), schema = fuzz_take_part(&rest);
    struct constraint *c;
    struct strbuf text = STRBUF_INIT(MAX_TEXT + 1);
    fuzz_check_result(
        constraint_new(&c, &(struct constraint_spec){.format = schema.n ? schema : slice_of("?")}, &err),
        &err);
    if (c == NULL)
        return 0;
    struct matcher *m = matcher_new(constraint_grammar(c));
    bool goes_on = true;
    while (goes_on && text.n < MAX_TEXT && rest.n > 0) {
        if (matcher_may_end(m))
            check_whole(&text);
        goes_on = write_byte(m, fuzz_take_choice(&rest, 256), &text);
        FUZZ_CHECK(goes_on || matcher_must_end(m) || text.n == 0);
    }
    matcher_free(m);
    constraint_free(c);
    strbuf_fini(&text);
    return 0;
}
