// SPDX-License-Identifier: MIT
// Names are cut from the right: the tag behind the last ':' that has no '/' after it, then model, namespace
// and host at '/'. Parts begin with a letter, digit or '_', so no part is ever "." or ".." or holds a '/': a
// name is safe as a path. Pure.
#include "store/name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/slice.h"

static const char *const default_host = "registry.ollama.ai", *const default_ns = "library",
                         *const default_tag = "latest";

enum part { PART_HOST, PART_NS, PART_MODEL, PART_TAG };

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool part_allows(enum part kind, char c)
{
    if (c == '.')
        return kind != PART_NS;
    if (c == ':')
        return kind == PART_HOST;
    return is_word(c) || c == '-';
}

static bool take_part(enum part kind, struct slice text, char *out)
{
    size_t most = kind == PART_HOST ? 350 : 80;
    if (text.n < 1 || text.n > most || !is_word(text.at[0]))
        return false;
    for (size_t i = 1; i < text.n; i++)
        if (!part_allows(kind, text.at[i]))
            return false;
    memcpy(out, text.at, text.n);
    out[text.n] = 0;
    return true;
}

// Cuts `rest` at its last `separator`: `after` is what follows, `rest` what stands before. False: there is
// none.
static bool cut_last(struct slice *rest, char separator, struct slice *after)
{
    const char *at = memrchr(rest->at, separator, rest->n);
    if (at == NULL)
        return false;
    size_t n = (size_t)(at - rest->at);
    *after = slice_make(at + 1, rest->n - n - 1);
    rest->n = n;
    return true;
}

static bool parse(struct model_name *out, const char *text)
{
    struct slice rest = slice_of(text), model, ns, tag;
    const char *colon = strrchr(text, ':'), *slash = strrchr(text, '/');
    snprintf(out->host, sizeof out->host, "%s", default_host);
    snprintf(out->ns, sizeof out->ns, "%s", default_ns);
    snprintf(out->tag, sizeof out->tag, "%s", default_tag);

    bool has_tag = colon != NULL && (slash == NULL || colon > slash);
    if (has_tag && (!cut_last(&rest, ':', &tag) || !take_part(PART_TAG, tag, out->tag)))
        return false;
    if (!cut_last(&rest, '/', &model))
        return take_part(PART_MODEL, rest, out->model);
    if (!take_part(PART_MODEL, model, out->model))
        return false;
    if (!cut_last(&rest, '/', &ns))
        return take_part(PART_NS, rest, out->ns);
    const char *scheme_end = memmem(rest.at, rest.n, "://", 3);
    if (scheme_end != NULL && scheme_end > rest.at)
        rest = slice_make(scheme_end + 3, rest.n - (size_t)(scheme_end + 3 - rest.at));
    return take_part(PART_NS, ns, out->ns) && take_part(PART_HOST, rest, out->host);
}

int name_parse(struct model_name *out, const char *text, struct err *err)
{
    *out = (struct model_name){0};
    if (text == NULL || !parse(out, text)) {
        *out = (struct model_name){0};
        return err_set(err, ERR_INVALID, "invalid model name");
    }
    return 0;
}

void name_format(const struct model_name *n, char out[640])
{
    bool own_host = strcasecmp(n->host, default_host) != 0;
    bool own_ns = own_host || strcasecmp(n->ns, default_ns) != 0;
    snprintf(out, 640, "%s%s%s%s%s:%s", own_host ? n->host : "", own_host ? "/" : "", own_ns ? n->ns : "",
             own_ns ? "/" : "", n->model, n->tag);
}

void name_format_full(const struct model_name *n, char out[640])
{
    snprintf(out, 640, "%s/%s/%s:%s", n->host, n->ns, n->model, n->tag);
}
