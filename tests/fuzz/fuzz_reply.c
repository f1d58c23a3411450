// SPDX-License-Identifier: MIT
// Replies of every family: the first byte chooses the family, the next whether there are tools and where
// thinking stands, the third how the text is cut. However it is cut, the parts are the same; every call has a
// name and an object.
#include "fuzz.h"

#include "text/reply.h"
#include "text/reply_internal.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"properties\":{\"a\":{\"type\":"
    "\"integer\"},\"b\":{\"type\":[\"boolean\",\"array\"]},\"c\":{\"anyOf\":[{\"type\":\"object\"}]}},"
    "\"required\":"
    "[\"a\"]}}},{\"function\":{\"name\":\"get_all\"}},{\"function\":5},7]";

struct said {
    struct strbuf parts;
    enum reply_kind last;
    uint32_t n_calls;
};

static void on_part(void *user, const struct reply_part *part)
{
    struct said *s = user;
    if (part->kind != s->last)
        strbuf_printf(&s->parts, "\n%d:", part->kind);
    s->last = part->kind;
    if (part->kind != REPLY_CALL) {
        FUZZ_CHECK(part->text.n > 0);
        strbuf_push_slice(&s->parts, part->text);
        return;
    }
    struct err err = {0};
    json_t *arguments = json_parse(part->call.arguments, &err);
    FUZZ_CHECK(part->call.index == s->n_calls++ && part->call.name.n > 0 && json_is_object(arguments));
    json_decref(arguments);
    strbuf_push_slice(&s->parts, part->call.id);
    strbuf_push_slice(&s->parts, part->call.name);
    strbuf_push_slice(&s->parts, part->call.arguments);
}

static void read_reply(const struct reply_spec *spec, json_t *tools, struct slice text, size_t step,
                       struct said *s)
{
    struct reply *r = reply_new(spec, tools, on_part, s);
    s->last = (enum reply_kind) - 1;
    for (; text.n > 0; text = reply_behind(text, step))
        reply_push(r, slice_make(text.at, MIN(step, text.n)));
    reply_finish(r);
    reply_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const tags[] = {"<tool_call>", "{", "["};
    struct slice rest = slice_make(bytes, n);
    struct err err = {0};
    struct reply_spec spec = {.family = (uint8_t)fuzz_take_choice(&rest, (unsigned)reply_n_rows)};
    unsigned flags = fuzz_take_choice(&rest, 256), step = fuzz_take_choice(&rest, 64) + 1;
    json_t *tools = flags & 1 ? json_parse(slice_of(tools_text), &err) : NULL;
    if (flags & 2) {
        snprintf(spec.opening, sizeof spec.opening, "<think>");
        snprintf(spec.closing, sizeof spec.closing, "</think>");
        spec.in_thinking = flags & 4;
    }
    if (spec.family == REPLY_GO_TAG)
        snprintf(spec.tag, sizeof spec.tag, "%s", tags[(flags >> 4) % 3]);
    struct said whole = {.parts = STRBUF_INIT(1 << 24)}, cut = {.parts = STRBUF_INIT(1 << 24)};
    read_reply(&spec, tools, rest, rest.n + 1, &whole);
    read_reply(&spec, tools, rest, step, &cut);
    FUZZ_CHECK(slice_equals(strbuf_slice(&whole.parts), strbuf_slice(&cut.parts)));
    strbuf_fini(&whole.parts);
    strbuf_fini(&cut.parts);
    json_decref(tools);
    return 0;
}
