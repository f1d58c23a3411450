// SPDX-License-Identifier: MIT
// See registry.h. A token is only ever sent to the registry's own host: redirects lose it (libcurl), and the
// place that gives tokens must be on the same host.
#include "store/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"
#include "store/identity.h"

enum { MAX_REPLY_BYTES = 8 << 20, N_TRIES = 3, STALL_S = 60 };

// Registries that serve Ollama's clients look for this name.
static const char *const user_agent = "User-Agent: ollama/0.33.0 (amd64 linux) drover/" DROVER_VERSION;

static bool has_scheme(const char *name, const char *scheme)
{
    return strncasecmp(name, scheme, strlen(scheme)) == 0;
}

int registry_open(struct registry *r, const char *name, bool insecure, const volatile sig_atomic_t *cancel,
                  struct err *err)
{
    *r = (struct registry){.cancel = cancel};
    if (name_parse(&r->name, name, err) != 0)
        return -1;
    if (has_scheme(name, "http://") && !insecure)
        return err_set(err, ERR_INVALID, "insecure protocol http");
    r->is_http = insecure;
    snprintf(r->host, sizeof r->host, "%s", r->name.host);
    return 0;
}

void registry_fini(struct registry *r)
{
    free(r->token);
    r->token = NULL;
}

void registry_url(const struct registry *r, const char *rest, char out[REGISTRY_URL_BYTES])
{
    snprintf(out, REGISTRY_URL_BYTES, "%s://%s/v2/%s/%s/%s", r->is_http ? "http" : "https", r->host,
             r->name.ns, r->name.model, rest);
}

void registry_headers(const struct registry *r, const char *const *more, struct strbuf *auth,
                      const char *out[REGISTRY_HEADERS])
{
    size_t n = 0;
    out[n++] = user_agent;
    if (r->token != NULL) {
        strbuf_reset(auth);
        strbuf_printf(auth, "Authorization: Bearer %s", r->token);
        out[n++] = strbuf_text(auth);
    }
    for (; more != NULL && *more != NULL && n + 1 < REGISTRY_HEADERS; more++)
        out[n++] = *more;
    out[n] = NULL;
}

// ---- Asking ----

static void sleep_s(const struct registry *r, int seconds)
{
    struct timespec tick = {.tv_nsec = 50 * NS_PER_MS};
    for (int i = 0; i < seconds * 20 && !(r->cancel != NULL && *r->cancel != 0); i++)
        nanosleep(&tick, NULL);
}

static bool may_repeat(const struct http_client_call *call)
{
    return call->method == NULL || strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0;
}

static bool is_passing(const struct http_client_reply *reply)
{
    return reply->end == HTTP_CLIENT_BROKEN || reply->end == HTTP_CLIENT_TIMEOUT ||
           (reply->end == HTTP_CLIENT_OK && (reply->status >= 500 || reply->status == 429));
}

static int send_once(struct registry *r, struct http_client_call *call, const char *const *more,
                     struct http_client_reply *reply, struct err *err)
{
    const char *headers[REGISTRY_HEADERS];
    struct strbuf auth = STRBUF_INIT(64 << 10);
    registry_headers(r, more, &auth, headers);
    call->headers = headers;
    call->cancel = r->cancel;
    call->allows_http = r->is_http;
    call->max_body_bytes = MAX_REPLY_BYTES;
    if (call->stall_timeout_s == 0)
        call->stall_timeout_s = STALL_S;
    int rc = http_client_request(call, reply, err);
    call->headers = NULL;
    strbuf_fini(&auth);
    return rc;
}

// That another server is busy or has not something is no answer about this one.
static enum err_code code_of_failure(enum err_code code)
{
    return code == ERR_CANCELLED || code == ERR_INVALID ? code : ERR_INTERNAL;
}

static int send_patiently(struct registry *r, struct http_client_call *call, const char *const *more,
                          struct http_client_reply *reply, struct err *err)
{
    for (int i = 1;; i++) {
        struct err why = {0};
        int rc = send_once(r, call, more, reply, &why);
        if (i == N_TRIES || !may_repeat(call) || !is_passing(reply))
            return rc == 0 ? 0 : err_set(err, code_of_failure(why.code), "%s", why.message);
        http_client_reply_fini(reply);
        sleep_s(r, i);
    }
}

int registry_send(struct registry *r, struct http_client_call *call, const char *const *more,
                  struct http_client_reply *reply, struct err *err)
{
    if (send_patiently(r, call, more, reply, err) != 0)
        return -1;
    if (reply->status != 401)
        return 0;
    char *challenge = http_client_find_header(reply, "WWW-Authenticate");
    int rc = registry_authorize(r, challenge != NULL ? challenge : "", err);
    free(challenge);
    if (rc != 0)
        return -1;
    http_client_reply_fini(reply);
    if (send_patiently(r, call, more, reply, err) != 0)
        return -1;
    return reply->status == 401 ? err_set(err, ERR_UNAUTHORIZED, "unauthorized: access denied") : 0;
}

// ---- Tokens ----

// The value of `key` in `Bearer realm="...",service="..."`, or "".
static void find_value(const char *challenge, const char *key, char *out, size_t n)
{
    char wanted[32];
    size_t length = (size_t)snprintf(wanted, sizeof wanted, "%s=\"", key);
    out[0] = 0;
    for (const char *at = challenge; (at = strcasestr(at, wanted)) != NULL; at += length) {
        if (at > challenge && strchr(" ,\t", at[-1]) == NULL)
            continue;
        const char *from = at + length, *end = strchr(from, '"');
        if (end != NULL && (size_t)(end - from) < n) {
            memcpy(out, from, (size_t)(end - from));
            out[end - from] = 0;
        }
        return;
    }
}

static void push_query(struct strbuf *url, const char *key, const char *value)
{
    strbuf_push_char(url, memchr(url->at, '?', url->n) != NULL ? '&' : '?');
    strbuf_printf(url, "%s=", key);
    for (; *value != 0; value++) {
        unsigned char c = (unsigned char)*value;
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        strchr("-_.~", c) != NULL;
        if (is_plain)
            strbuf_push_char(url, (char)c);
        else
            strbuf_printf(url, "%%%02X", c);
    }
}

// The host, with its port, of an http(s) URL; "" for another.
static void host_of(const char *url, char *out, size_t n)
{
    const char *from = has_scheme(url, "https://") ? url + 8 : has_scheme(url, "http://") ? url + 7 : "";
    snprintf(out, n, "%.*s", (int)MIN(strcspn(from, "/?#"), n - 1), from);
}

static void make_token_url(const char *challenge, const char *realm, struct strbuf *url)
{
    char service[512], scope[1024], number[32], nonce[32];
    char *rest = scope;
    find_value(challenge, "service", service, sizeof service);
    find_value(challenge, "scope", scope, sizeof scope);
    strbuf_push_text(url, realm);
    if (service[0] != 0)
        push_query(url, "service", service);
    for (char *part; (part = strsep(&rest, " ")) != NULL;)
        if (part[0] != 0)
            push_query(url, "scope", part);
    snprintf(number, sizeof number, "%lld", (long long)(clock_wall_ns() / NS_PER_S));
    identity_nonce(nonce);
    push_query(url, "ts", number);
    push_query(url, "nonce", nonce);
}

static char *read_token(const struct http_client_reply *reply)
{
    struct err ignored = {0};
    json_t *body = json_parse_first(strbuf_slice(&reply->body), &ignored);
    const char *token = json_string_value(json_object_get(body, "token"));
    if (token == NULL)
        token = json_string_value(json_object_get(body, "access_token"));
    bool is_clean = token != NULL && strpbrk(token, "\r\n") == NULL;
    char *copy = is_clean ? xstrdup(token) : NULL;
    json_decref(body);
    return copy;
}

static int ask_for_token(struct registry *r, const char *url, struct err *err)
{
    struct http_client_reply reply = {0};
    struct strbuf signature = STRBUF_INIT(4096);
    char *token = NULL;
    struct err why = {0};
    if (identity_sign(url, &signature, err) != 0)
        return -1;
    const char *const headers[] = {user_agent, strbuf_text(&signature), NULL};
    struct http_client_call call = {.url = url,
                                    .headers = headers,
                                    .cancel = r->cancel,
                                    .max_body_bytes = 1 << 20,
                                    .stall_timeout_s = STALL_S};
    int rc = http_client_request(&call, &reply, &why);
    if (rc != 0)
        err_set(err, why.code, "%s", why.message);
    else if (reply.status < 200 || reply.status > 299 || (token = read_token(&reply)) == NULL)
        rc = err_set(err, ERR_UNAUTHORIZED, "unauthorized: access denied");
    if (rc == 0) {
        free(r->token);
        r->token = token;
    }
    http_client_reply_fini(&reply);
    strbuf_fini(&signature);
    return rc;
}

int registry_authorize(struct registry *r, const char *challenge, struct err *err)
{
    char realm[1024], host[352];
    struct strbuf url = STRBUF_INIT(REGISTRY_URL_BYTES);
    if (strncasecmp(challenge, "Bearer ", 7) != 0)
        return err_set(err, ERR_UNAUTHORIZED, "unauthorized: access denied");
    find_value(challenge, "realm", realm, sizeof realm);
    host_of(realm, host, sizeof host);
    if (host[0] == 0 || strcasecmp(host, r->host) != 0 || (has_scheme(realm, "http://") && !r->is_http))
        return err_set(err, ERR_UNAUTHORIZED,
                       "unauthorized: the registry %s names another host for tokens: \"%s\"", r->host, host);
    make_token_url(challenge, realm, &url);
    int rc = url.overflow
                 ? err_set(err, ERR_UNAUTHORIZED, "unauthorized: the registry's challenge is too long")
                 : ask_for_token(r, strbuf_text(&url), err);
    strbuf_fini(&url);
    return rc;
}
