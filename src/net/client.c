// SPDX-License-Identifier: MIT
// The client over libcurl's multi interface, driven by the calling thread, so that a cancel flag is seen
// while nothing arrives.
#include "net/client_common.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/client.h"
#include "net/hosts.h"

enum { POLL_MS = 50, HEADERS_MAX_BYTES = 64 << 10 };

struct transfer {
    const struct http_client_call *call;
    struct http_client_reply *reply;
    CURL *easy;
    struct curl_slist *headers;
    uint64_t n_sent; // of call->file
    char where[300]; // "host:port", for sentences
    bool was_cancelled, was_too_large;
};

int http_client_init(struct err *err)
{
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    return rc == CURLE_OK ? 0
                          : err_set(err, ERR_INTERNAL, "cannot start libcurl: %s", curl_easy_strerror(rc));
}

void http_client_fini(void)
{
    curl_global_cleanup();
}

// --- what arrives ---

static size_t on_header(char *bytes, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        strbuf_reset(&t->reply->headers); // a new answer, after a redirect or a 100
    strbuf_push(&t->reply->headers, bytes, n);
    return n;
}

static bool is_success(struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    if (t->call->on_data != NULL && is_success(t)) {
        t->was_cancelled = !t->call->on_data(t->call->user, slice_make(bytes, n));
        return t->was_cancelled ? CURL_WRITEFUNC_ERROR : n;
    }
    strbuf_push(&t->reply->body, bytes, n);
    t->was_too_large = t->reply->body.overflow;
    return t->was_too_large ? CURL_WRITEFUNC_ERROR : n;
}

// --- preparing ---

// Fills `where`; returns whether the host is a loopback address, or -1 for a bad URL.
static int look_at_url(const char *text, char *where, size_t n_where)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL;
    int is_loopback = -1;
    if (url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        snprintf(where, n_where, "%.256s:%s", host, port);
        struct hosts_address a = hosts_parse(host);
        is_loopback = hosts_is_loopback(a.host);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return is_loopback;
}

void client_set_common(CURL *easy, const char *url)
{
    char where[300];
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "drover/" DROVER_VERSION);
    if (look_at_url(url, where, sizeof where) == 1)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static size_t on_read(char *out, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    const struct http_client_file *file = t->call->file;
    uint64_t left = file->size_bytes - t->n_sent;
    ssize_t got = pread(file->fd, out, MIN((uint64_t)n, left), (off_t)(file->offset + t->n_sent));
    if (got < 0 || (got == 0 && left > 0))
        return CURL_READFUNC_ABORT;
    t->n_sent += (uint64_t)got;
    if (file->on_sent != NULL)
        file->on_sent(file->user, t->n_sent);
    return (size_t)got;
}

static void set_headers(struct transfer *t)
{
    bool has_type = false;
    for (const char *const *h = t->call->headers; h != NULL && *h != NULL; h++) {
        t->headers = curl_slist_append(t->headers, *h);
        has_type |= strncasecmp(*h, "Content-Type:", 13) == 0;
    }
    if (t->call->body.at != NULL && !has_type)
        t->headers = curl_slist_append(t->headers, "Content-Type: application/json");
    t->headers = curl_slist_append(t->headers, "Expect:"); // do not ask before sending a body
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_method(struct transfer *t)
{
    const struct http_client_call *call = t->call;
    const char *method = call->method != NULL ? call->method : call->body.at != NULL ? "POST" : "GET";
    if (call->file != NULL) {
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->file->size_bytes);
    } else if (call->body.at != NULL || strcmp(method, "POST") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.n);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, call->body.at != NULL ? call->body.at : "");
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
}

static int prepare(struct transfer *t, struct err *err)
{
    const struct http_client_call *call = t->call;
    if (look_at_url(call->url, t->where, sizeof t->where) < 0)
        return err_set(err, ERR_INVALID, "not a URL: %s", call->url);
    t->easy = curl_easy_init();
    if (t->easy == NULL)
        return err_set(err, ERR_INTERNAL, "cannot start a request");
    client_set_common(t->easy, call->url);
    if (call->unix_path != NULL) {
        snprintf(t->where, sizeof t->where, "%s", call->unix_path);
        curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_path);
    }
    curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, call->allows_http ? "http,https" : "https");
    curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, call->follow_redirects ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     call->connect_timeout_ms > 0 ? (long)call->connect_timeout_ms : 10000L);
    if (call->stall_timeout_s > 0) {
        curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long)call->stall_timeout_s);
    }
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    set_method(t);
    set_headers(t);
    return 0;
}

// --- running ---

static int end_as(struct transfer *t, enum http_client_end end, enum err_code code, const char *sentence,
                  struct err *err)
{
    t->reply->end = end;
    return err_set(err, code, "%s: %s", t->where, sentence);
}

static int judge(struct transfer *t, CURLcode rc, struct err *err)
{
    long os_error = 0;
    if (t->was_cancelled)
        return end_as(t, HTTP_CLIENT_CANCELLED, ERR_CANCELLED, "the request was cancelled", err);
    if (t->was_too_large)
        return end_as(t, HTTP_CLIENT_FAILED, ERR_TOO_LARGE, "the answer is too large", err);
    switch (rc) {
    case CURLE_OK:
        t->reply->end = HTTP_CLIENT_OK;
        return 0;
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);
        if (os_error == ECONNREFUSED || (t->call->unix_path != NULL && os_error == ENOENT))
            return end_as(t, HTTP_CLIENT_REFUSED, ERR_BUSY, "connection refused, no server is running there",
                          err);
        return end_as(t, HTTP_CLIENT_BROKEN, ERR_INTERNAL,
                      os_error ? strerror((int)os_error) : curl_easy_strerror(rc), err);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return end_as(t, HTTP_CLIENT_UNKNOWN, ERR_NOT_FOUND, "no such host", err);
    case CURLE_OPERATION_TIMEDOUT:
        return end_as(t, HTTP_CLIENT_TIMEOUT, ERR_TIMEOUT, "no answer in time", err);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return end_as(t, HTTP_CLIENT_BROKEN, ERR_INTERNAL,
                      "the connection broke before the answer was complete", err);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return end_as(t, HTTP_CLIENT_FAILED, ERR_INVALID, curl_easy_strerror(rc), err);
    default:
        return end_as(t, HTTP_CLIENT_FAILED, ERR_INTERNAL, curl_easy_strerror(rc), err);
    }
}

static bool is_cancelled(const struct transfer *t)
{
    return t->call->cancel != NULL && __atomic_load_n(t->call->cancel, __ATOMIC_RELAXED) != 0;
}

// Until the transfer is over or cancelled; what curl says of it.
static CURLcode drive(struct transfer *t, CURLM *multi)
{
    int n_running = 1, n_left;
    CURLMcode rc = CURLM_OK;
    while (rc == CURLM_OK && n_running > 0) {
        t->was_cancelled |= is_cancelled(t);
        if (t->was_cancelled)
            return CURLE_ABORTED_BY_CALLBACK;
        rc = curl_multi_perform(multi, &n_running);
        if (rc == CURLM_OK && n_running > 0)
            rc = curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
    }
    const CURLMsg *done = curl_multi_info_read(multi, &n_left);
    return rc == CURLM_OK && done != NULL && done->msg == CURLMSG_DONE ? done->data.result
                                                                       : CURLE_FAILED_INIT;
}

int http_client_request(const struct http_client_call *call, struct http_client_reply *reply, struct err *err)
{
    int rc = -1;
    CURLM *multi = NULL;
    struct transfer t = {.call = call, .reply = reply};

    *reply = (struct http_client_reply){.end = HTTP_CLIENT_FAILED};
    reply->headers = STRBUF_INIT(HEADERS_MAX_BYTES);
    reply->body = STRBUF_INIT(call->max_body_bytes > 0 ? call->max_body_bytes : (size_t)64 << 20);
    if (prepare(&t, err) != 0)
        goto out;
    multi = curl_multi_init();
    if (multi == NULL || curl_multi_add_handle(multi, t.easy) != CURLM_OK) {
        err_set(err, ERR_INTERNAL, "cannot start a request");
        goto out;
    }
    rc = judge(&t, drive(&t, multi), err);
    long status = 0;
    curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
    reply->status = (int)status;
    curl_multi_remove_handle(multi, t.easy);
out:
    curl_easy_cleanup(t.easy);
    curl_multi_cleanup(multi);
    curl_slist_free_all(t.headers);
    return rc;
}

void http_client_reply_fini(struct http_client_reply *reply)
{
    strbuf_fini(&reply->headers);
    strbuf_fini(&reply->body);
}

char *http_client_find_header(const struct http_client_reply *reply, const char *name)
{
    struct slice rest = strbuf_slice(&reply->headers);
    size_t n_name = strlen(name);
    while (rest.n > 0) {
        const char *newline = memchr(rest.at, '\n', rest.n);
        size_t n = newline != NULL ? (size_t)(newline - rest.at) + 1 : rest.n;
        if (n > n_name && rest.at[n_name] == ':' && strncasecmp(rest.at, name, n_name) == 0) {
            const char *from = rest.at + n_name + 1, *to = rest.at + n;
            while (from < to && (*from == ' ' || *from == '\t'))
                from++;
            while (to > from && strchr(" \t\r\n", to[-1]) != NULL)
                to--;
            return xstrndup(from, (size_t)(to - from));
        }
        rest = slice_make(rest.at + n, rest.n - n);
    }
    return NULL;
}
