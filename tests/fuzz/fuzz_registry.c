// SPDX-License-Identifier: MIT
// What a registry answers: the header WWW-Authenticate, 0xff, the body that holds the token. No byte of it
// can end a header line of ours or name another host than the registry's.
#include "fuzz.h"

#include "store/registry.c"

static void check_challenge(const char *challenge)
{
    char realm[1024], host[352];
    struct strbuf url = STRBUF_INIT(REGISTRY_URL_BYTES);
    find_value(challenge, "realm", realm, sizeof realm);
    host_of(realm, host, sizeof host);
    FUZZ_CHECK(strpbrk(host, "/?#") == NULL);
    make_token_url(challenge, realm, &url);
    FUZZ_CHECK(strncmp(strbuf_text(&url), realm, strlen(realm)) == 0);
    strbuf_fini(&url);
}

static void check_token(struct slice body)
{
    struct http_client_reply reply = {.body = STRBUF_INIT(1 << 20)};
    strbuf_push_slice(&reply.body, body);
    char *token = read_token(&reply);
    FUZZ_CHECK(token == NULL || strpbrk(token, "\r\n") == NULL);
    free(token);
    strbuf_fini(&reply.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct slice rest = slice_make(bytes, n), first = fuzz_take_part(&rest);
    char *challenge = xstrndup(first.at, first.n);
    check_challenge(challenge);
    check_token(rest);
    free(challenge);
    return 0;
}
