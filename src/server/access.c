// SPDX-License-Identifier: MIT
#include "server/access.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/options.h"

static const char *find_secret(const struct http_request *r)
{
    static const char scheme[] = "Bearer ";
    const char *given = http_request_header(r, "Authorization");
    if (given && strncasecmp(given, scheme, sizeof scheme - 1) == 0)
        return given + sizeof scheme - 1 + strspn(given + sizeof scheme - 1, " ");
    return http_request_header(r, "x-api-key");
}

bool access_read_caller(const struct app *app, const struct http_request *r, struct access_caller *out)
{
    struct key key;
    *out = (struct access_caller){.is_admin = app->keys == NULL};
    if (!app->keys)
        return true;
    const char *secret = find_secret(r);
    if (!secret || !keyring_find(app->keys, secret, &key))
        return false;
    out->is_admin = key.role == KEY_ADMIN;
    memcpy(out->name, key.name, sizeof out->name);
    return true;
}

static const char *judge(const struct app *app, const struct http_request *r, enum access_need need,
                         bool changes, struct access_caller *caller, enum err_code *code)
{
    bool is_known = access_read_caller(app, r, caller);
    *code = need != ACCESS_OPEN && !is_known ? ERR_UNAUTHORIZED : ERR_FORBIDDEN;
    if (*code == ERR_UNAUTHORIZED)
        return find_secret(r)
                   ? "this API key is not valid"
                   : "this server asks for an API key: send the header Authorization: Bearer KEY, or "
                     "x-api-key: KEY";
    if (need == ACCESS_ADMIN && !caller->is_admin)
        return "this API key may ask models, but not manage them: that takes a key of role admin";
    if (changes && options_uint(OPT_READ_ONLY))
        return "this server is read-only (option read_only): no model is pulled, created, copied or deleted";
    return NULL;
}

const char *access_refusal(const struct app *app, const struct http_request *r, enum access_need need,
                           bool changes, enum err_code *code)
{
    struct access_caller caller;
    const char *why = judge(app, r, need, changes, &caller, code);
    if (!why)
        return NULL;
    struct log_line l = log_begin(LOG_INFO, "server", "request refused");
    log_add_int(&l, "status", err_http_status(*code));
    log_add_text(&l, "method", http_request_method(r));
    log_add_text(&l, "route", http_request_path(r));
    log_add_text(&l, "client", caller.name);
    log_add_text(&l, "remote", http_request_peer(r));
    log_add_text(&l, "error", why);
    log_end(&l);
    return why;
}
