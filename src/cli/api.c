// SPDX-License-Identifier: MIT
// One base URL from the options, one way to read errors. Lines of a stream are cut here: a piece of the body
// may hold half a line or many.
#include "cli/api.h"

#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "base/program.h"
#include "json/writer.h"
#include "net/client.h"
#include "net/hosts.h"

enum {
    PROBE_TIMEOUT_S = 5,
    MAX_LINE_BYTES = 8 << 20,
    MAX_PRINTED_BYTES = 64 << 20,
    URL_BYTES = HOSTS_URL_BYTES + 256,
    KEY_HEADER_BYTES = 1024
};

static const char as_json[] = "Content-Type: application/json";
static const char user_agent[] = "User-Agent: drover/" DROVER_VERSION;

// Where a call goes and the headers that all have; must outlive it.
struct aim {
    char url[URL_BYTES], key[KEY_HEADER_BYTES];
    struct hosts_address address;
    const char *headers[4];
};

static int take_aim(struct aim *to, struct http_client_call *call, const char *path, const char *content_type,
                    struct err *err)
{
    static bool is_ready;
    char base[HOSTS_URL_BYTES];
    const char *key = options_text(OPT_API_KEY);
    size_t n = 0;
    if (!is_ready && http_client_init(err) != 0)
        return -1;
    is_ready = true;
    to->address = hosts_parse(options_text(OPT_HOST));
    if (to->address.port_is_bad)
        fprintf(stderr, "Warning: %s \"%s\": no valid port, using %u\n", options_source(OPT_HOST),
                options_text(OPT_HOST), to->address.port);
    if (strlen(key) > KEY_HEADER_BYTES - 64 || strpbrk(key, "\r\n") != NULL)
        return err_set(err, ERR_INVALID, "%s is no API key", options_source(OPT_API_KEY));
    hosts_format_client_url(&to->address, base);
    snprintf(to->url, sizeof to->url, "%s%s", base, path);
    snprintf(to->key, sizeof to->key, "Authorization: Bearer %s", key);
    to->headers[n++] = content_type;
    to->headers[n++] = user_agent;
    if (key[0] != 0)
        to->headers[n++] = to->key;
    to->headers[n] = NULL;
    call->url = to->url;
    call->unix_path = hosts_is_unix(&to->address) ? to->address.path : NULL;
    call->headers = to->headers;
    return 0;
}

static enum err_code code_of(int status)
{
    switch (status) {
    case 400:
        return ERR_INVALID;
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 503:
        return ERR_BUSY;
    default:
        return ERR_INTERNAL;
    }
}

// What the server said of a status that is no success.
static int refuse(const struct http_client_reply *reply, struct err *err)
{
    struct err why = {0};
    json_t *body = json_parse_first(strbuf_slice(&reply->body), &why);
    const char *text = json_string_value(json_object_get(body, "error"));
    if (text == NULL)
        text = json_string_value(json_object_get(json_object_get(body, "error"), "message"));
    if (text == NULL)
        text = json_string_value(json_object_get(body, "reason")); // of a probe
    if (text != NULL)
        err_set(err, code_of(reply->status), "%s", text);
    else
        err_set(err, code_of(reply->status), "the server answered with status %d", reply->status);
    json_decref(body);
    return -1;
}

static int request(const struct http_client_call *call, struct http_client_reply *reply, struct err *err)
{
    struct err why = {0};
    if (http_client_request(call, reply, &why) != 0) {
        if (reply->end == HTTP_CLIENT_REFUSED)
            return err_set(err, ERR_BUSY, "could not connect to %s server, run '%s serve' to start it",
                           program_name(), program_name());
        return err_set(err, why.code, "%s", why.message);
    }
    if (reply->status < 200 || reply->status > 299)
        return refuse(reply, err);
    return 0;
}

// `*answer` gets the body's value, where it is wanted.
static int call_json(struct http_client_call *call, const char *path, json_t **answer, struct err *err)
{
    struct aim aim;
    struct http_client_reply reply = {0};
    json_t *value = NULL;
    if (take_aim(&aim, call, path, as_json, err) != 0)
        return -1;
    int rc = request(call, &reply, err);
    if (rc == 0 && answer != NULL) {
        struct err why = {0};
        value = json_parse_first(strbuf_slice(&reply.body), &why);
        if (value == NULL)
            rc = err_set(err, ERR_INTERNAL, "the server's answer is not JSON: %s", why.message);
    }
    if (answer != NULL)
        *answer = value;
    http_client_reply_fini(&reply);
    return rc;
}

int api_call(const char *path, struct slice body, json_t **answer, struct err *err)
{
    struct http_client_call call = {.body = body};
    if (body.n == 0)
        call.body.at = NULL;
    return call_json(&call, path, answer, err);
}

int api_get_text(const char *path, struct strbuf *answer, struct err *err)
{
    struct aim aim;
    struct http_client_reply reply = {0};
    struct http_client_call call = {0};
    if (take_aim(&aim, &call, path, as_json, err) != 0)
        return -1;
    int rc = request(&call, &reply, err);
    strbuf_reset(answer);
    strbuf_push_slice(answer, strbuf_slice(&reply.body));
    http_client_reply_fini(&reply);
    return rc;
}

int api_send(const char *method, const char *path, struct slice body, struct err *err)
{
    struct http_client_call call = {.method = method, .body = body};
    if (body.n == 0)
        call.body.at = NULL;
    return call_json(&call, path, NULL, err);
}

int api_send_file(const char *path, const struct http_client_file *file, struct err *err)
{
    struct aim aim;
    struct http_client_reply reply = {0};
    struct http_client_call call = {.method = "POST", .file = file};
    if (take_aim(&aim, &call, path, "Content-Type: application/octet-stream", err) != 0)
        return -1;
    int rc = request(&call, &reply, err);
    http_client_reply_fini(&reply);
    return rc;
}

int api_probe(const char *path, struct err *err)
{
    struct aim aim;
    struct http_client_reply reply = {0};
    struct http_client_call call = {.connect_timeout_ms = PROBE_TIMEOUT_S * 1000,
                                    .stall_timeout_s = PROBE_TIMEOUT_S};
    if (take_aim(&aim, &call, path, as_json, err) != 0)
        return -1;
    int rc = request(&call, &reply, err);
    http_client_reply_fini(&reply);
    return rc;
}

// ---- Streams ----

struct stream {
    struct strbuf rest; // of a line whose end has not come yet
    api_line_fn *on_line;
    void *user;
    struct err err;
};

static int take_line(struct stream *s, struct slice text)
{
    if (text.n == 0)
        return 0;
    json_t *line = json_parse(text, &s->err);
    if (line == NULL)
        return err_prefix(&s->err, "the server's answer is not JSON");
    const char *failure = json_string_value(json_object_get(line, "error"));
    int rc =
        failure != NULL ? err_set(&s->err, ERR_INTERNAL, "%s", failure) : s->on_line(s->user, line, &s->err);
    json_decref(line);
    return rc;
}

static bool on_data(void *user, struct slice bytes)
{
    struct stream *s = user;
    while (bytes.n > 0) {
        const char *end = memchr(bytes.at, '\n', bytes.n);
        size_t n = end != NULL ? (size_t)(end - bytes.at) : bytes.n;
        strbuf_push(&s->rest, bytes.at, n);
        if (s->rest.overflow) {
            err_set(&s->err, ERR_TOO_LARGE, "a line of the server's answer is too long");
            return false;
        }
        if (end == NULL)
            return true;
        if (take_line(s, strbuf_slice(&s->rest)) != 0)
            return false;
        strbuf_reset(&s->rest);
        bytes = slice_make(end + 1, bytes.n - n - 1);
    }
    return true;
}

int api_stream(const char *path, struct slice body, const volatile sig_atomic_t *cancel, api_line_fn *on_line,
               void *user, struct err *err)
{
    struct aim aim;
    struct http_client_reply reply = {0};
    struct stream s = {.rest = STRBUF_INIT(MAX_LINE_BYTES), .on_line = on_line, .user = user};
    struct http_client_call call = {.body = body, .cancel = cancel, .on_data = on_data, .user = &s};
    if (take_aim(&aim, &call, path, as_json, err) != 0)
        return -1;
    struct err why = {0};
    int rc = request(&call, &reply, &why);
    if (rc == 0)
        rc = take_line(&s, strbuf_slice(&s.rest)); // a single object comes without a newline
    if (s.err.code != ERR_NONE)
        rc = err_set(err, s.err.code, "%s", s.err.message);
    else if (rc != 0)
        err_set(err, why.code, "%s", why.message);
    strbuf_fini(&s.rest);
    http_client_reply_fini(&reply);
    return rc;
}

const char *api_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

uint64_t api_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

void api_print_json(const json_t *value)
{
    struct strbuf text = STRBUF_INIT(MAX_PRINTED_BYTES);
    struct json_writer w = json_writer_make(&text);
    json_put_value(&w, value);
    puts(strbuf_text(&text));
    strbuf_fini(&text);
}

int api_fail(const struct err *err)
{
    fprintf(stderr, "Error: %s\n", err->message[0] ? err->message : err_text(err->code));
    return 1;
}
