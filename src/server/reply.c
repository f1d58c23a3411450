// SPDX-License-Identifier: MIT
// Bodies of errors and small answers. A 503 always says when to come back; who knows better sets Retry-After
// before.
#include "server/reply.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "json/writer.h"

static const char *openai_type(int status)
{
    return status == 404                   ? "not_found_error"
           : status >= 400 && status < 499 ? "invalid_request_error"
                                           : "api_error";
}

static const char *anthropic_type(int status)
{
    switch (status) {
    case 400:
        return "invalid_request_error";
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 503:
        return "overloaded_error";
    default:
        return "api_error";
    }
}

static void write_anthropic(struct json_writer *w, int status, const char *message)
{
    unsigned char bytes[12] = {0};
    char id[4 + 2 * sizeof bytes + 1] = "req_";
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 4 + 2 * i, 3, "%02x", bytes[i]);
    json_begin_object(w);
    json_member_text(w, "type", "error");
    json_key(w, "error");
    json_begin_object(w);
    json_member_text(w, "type", anthropic_type(status));
    json_member_text(w, "message", message);
    json_end_object(w);
    json_member_text(w, "request_id", id);
    json_end_object(w);
}

void reply_write_error(struct strbuf *out, enum error_shape shape, const struct err *err, const char *code)
{
    const char *message = err->message[0] ? err->message : err_text(err->code);
    struct json_writer w = json_writer_make(out);
    if (shape == ERRORS_ANTHROPIC) {
        write_anthropic(&w, err_http_status(err->code), message);
        return;
    }
    json_begin_object(&w);
    json_key(&w, "error");
    if (shape == ERRORS_OLLAMA) {
        json_put_text(&w, message);
    } else {
        json_begin_object(&w);
        json_member_text(&w, "message", message);
        json_member_text(&w, "type", openai_type(err_http_status(err->code)));
        json_member_text(&w, "param", NULL);
        json_member_text(&w, "code", code);
        json_end_object(&w);
    }
    json_end_object(&w);
}

const char *reply_error_code(const struct err *err)
{
    bool is_long = err->code == ERR_INVALID && strstr(err->message, "context length") &&
                   strstr(err->message, "too long");
    return is_long ? "context_length_exceeded" : err->code == ERR_UNAUTHORIZED ? "invalid_api_key" : NULL;
}

void reply_error(struct http_request *r, enum error_shape shape, const struct err *err, const char *code)
{
    struct strbuf body = STRBUF_INIT(16 << 10);
    reply_write_error(&body, shape, err, code ? code : reply_error_code(err));
    http_reply(r, err_http_status(err->code), REPLY_JSON, strbuf_slice(&body));
    strbuf_fini(&body);
}

void reply_json(struct http_request *r, struct strbuf *body)
{
    if (body->overflow) {
        struct err err = {0};
        err_set(&err, ERR_INTERNAL, "the answer is larger than %zu bytes", body->cap);
        reply_error(r, ERRORS_OLLAMA, &err, NULL);
    } else {
        http_reply(r, 200, REPLY_JSON, strbuf_slice(body));
    }
    strbuf_fini(body);
}

void reply_text(struct http_request *r, int status, const char *text)
{
    http_reply(r, status, REPLY_TEXT, slice_of(text));
}

static enum err_code code_of(int status)
{
    for (int code = ERR_NONE; code < ERR_CODE_COUNT; code++)
        if (err_http_status((enum err_code)code) == status)
            return (enum err_code)code;
    return status < 500 ? ERR_INVALID : ERR_INTERNAL;
}

size_t reply_error_body(enum error_shape shape, int status, const char *message, char *out, size_t n)
{
    struct strbuf body = STRBUF_INIT(4096);
    struct err err = {0};
    err_set(&err, code_of(status), "%s", message);
    reply_write_error(&body, shape, &err, reply_error_code(&err));
    size_t length = MIN(body.n, n);
    if (length > 0)
        memcpy(out, body.at, length);
    strbuf_fini(&body);
    return length;
}
