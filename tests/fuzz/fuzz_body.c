// SPDX-License-Identifier: MIT
// Bodies of requests: the first byte chooses the dialect, the rest is the body. What a dialect reads becomes
// the neutral request, crosses the wire and comes back the same; its messages go through the template of
// models that have none.
#include "fuzz.h"

#include "frames/request.h"
#include "json/json.h"
#include "server/anthropic.h"
#include "server/build.h"
#include "server/ollama.h"
#include "server/openai.h"
#include "text/template.h"

static const struct dialect *const dialects[] = {
    &ollama_generate_dialect,    &ollama_chat_dialect,        &openai_chat_dialect,
    &openai_completions_dialect, &ollama_embed_dialect,       &ollama_embeddings_dialect,
    &ollama_tokenize_dialect,    &ollama_detokenize_dialect,  &openai_embeddings_dialect,
    &openai_responses_dialect,   &anthropic_messages_dialect, &anthropic_count_dialect,
};

static void render(const struct request *r)
{
    struct err err = {0};
    struct strbuf text = STRBUF_INIT(64 << 20);
    struct template *t = NULL;
    FUZZ_CHECK(template_new(&t, slice_of(template_default()), &err) == 0);
    json_t *messages = json_parse(slice_of(r->messages_json), &err);
    FUZZ_CHECK(messages != NULL); // what we wrote, we can read
    struct template_input in = {.messages = messages, .add_generation_prompt = true};
    fuzz_check_result(template_render(t, &in, &text, &err), &err);
    json_decref(messages);
    template_free(t);
    strbuf_fini(&text);
}

static void cross_the_wire(const struct request *r)
{
    struct err err = {0};
    struct request other;
    struct strbuf sent = STRBUF_INIT(96 << 20), again = STRBUF_INIT(96 << 20);
    request_encode(r, &sent);
    int rc = request_decode(&other, sent.at, sent.n, &err);
    FUZZ_CHECK(rc == 0);
    request_encode(&other, &again);
    FUZZ_CHECK(slice_equals(strbuf_slice(&sent), strbuf_slice(&again)));
    request_fini(&other);
    strbuf_fini(&sent);
    strbuf_fini(&again);
}

static void build(const struct ask *a, const struct dialect *d)
{
    static const struct stored_model model = {
        .display_name = "m:latest",
        .family = (char *)"llama",
        .system_text = (char *)"Be brief.",
        .params_json = (char *)"{\"stop\":[\"<e>\"],\"temperature\":0}",
        .messages_json = (char *)"[{\"role\":\"user\",\"content\":\"Hi\"}]",
    };
    static const struct template_traits traits = {true, true, true, true};
    struct err err = {0};
    bool is_drawn = false;
    if (build_check(a, &model, &traits, d->verb, &err) != 0)
        return;
    struct request *r = build_request(a, &model, &is_drawn, &err);
    fuzz_check_result(r != NULL ? 0 : -1, &err);
    if (r == NULL)
        return;
    cross_the_wire(r);
    if (r->messages_json != NULL)
        render(r);
    request_fini(r);
    free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct err err = {0};
    struct slice rest = slice_make(bytes, n);
    const struct dialect *d = dialects[fuzz_take_choice(&rest, COUNT_OF(dialects))];
    struct ask a = {.body = fields_parse(rest, d->go_type, d->empty_text, &err)};
    fuzz_check_result(a.body != NULL ? 0 : -1, &err);
    if (a.body != NULL && d->read(&a, &err) == 0 && err.code == ERR_NONE)
        build(&a, d);
    ask_fini(&a);
    return 0;
}
