// SPDX-License-Identifier: MIT
// A request from its handler to its end: answers, streams, leaving. The rules of states and locks stand in
// http_internal.h.
#include "net/http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/http_internal.h"

enum {
    ADDED_HEADERS_MAX_BYTES = 8192,
    STREAM_BLOCK_BYTES = 8192,
    KEPT_PENDING_BYTES = 16384,
    ERROR_BODY_MAX_BYTES = 1024
};

static const char TEXT_PLAIN[] = "text/plain; charset=utf-8";

// --- birth and death ---

struct http_request *request_new(struct http_server *s, struct MHD_Connection *connection, const char *target)
{
    static atomic_ullong last_id;
    struct http_request *r = xcalloc(1, sizeof *r);
    atomic_init(&r->refs, 1);
    atomic_init(&r->owners, 0);
    atomic_fetch_add(&s->refs, 1);
    r->server = s;
    r->id = atomic_fetch_add(&last_id, 1) + 1;
    r->connection = connection;
    char *copy = xstrdup(target);
    r->target = slice_of(copy);
    r->path = xcalloc(1, r->target.n + 2);
    r->query = "";
    r->added = STRBUF_INIT(ADDED_HEADERS_MAX_BYTES);
    r->pending = STRBUF_INIT(2 * s->options.max_stream_bytes + 64);
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_lock(&s->lock);
    list_push(&s->requests, &r->node);
    pthread_mutex_unlock(&s->lock);
    return r;
}

void request_ref(struct http_request *r)
{
    atomic_fetch_add(&r->refs, 1);
}

void request_unref(struct http_request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    if (r->free_user != NULL)
        r->free_user(r->user);
    http_request_drop_body(r);
    free((char *)r->target.at);
    free(r->path);
    free(r->header_text);
    strbuf_fini(&r->added);
    strbuf_fini(&r->pending);
    pthread_mutex_destroy(&r->lock);
    server_unref(r->server);
    free(r);
}

struct http_request *http_request_ref(struct http_request *r)
{
    request_ref(r);
    atomic_fetch_add(&r->owners, 1);
    return r;
}

// --- what holds under r->lock ---

static bool is_live(const struct http_request *r) // somebody may still answer or write
{
    return (r->state == REQUEST_OPEN || r->state == REQUEST_STREAMING) && !r->gone;
}

static bool is_head(const struct http_request *r)
{
    return strcmp(r->method, "HEAD") == 0;
}

static void wake(struct http_request *r)
{
    if (!r->asleep)
        return;
    r->asleep = false;
    MHD_resume_connection(r->connection);
}

static void sleep_now(struct http_request *r)
{
    assert(!r->asleep);
    r->asleep = true;
    MHD_suspend_connection(r->connection);
}

static void drop_pending(struct http_request *r)
{
    strbuf_fini(&r->pending);
    r->n_taken = 0;
}

static size_t pending_bytes(const struct http_request *r)
{
    return r->pending.n - r->n_taken;
}

// --- responses ---

static void add_headers(struct http_request *r, struct MHD_Response *response, const char *content_type)
{
    if (content_type != NULL)
        MHD_add_response_header(response, "Content-Type", content_type);
    for (size_t i = 0; i < r->added.n;) {
        const char *name = r->added.at + i, *value = name + strlen(name) + 1;
        MHD_add_response_header(response, name, value);
        i = (size_t)(value - r->added.at) + strlen(value) + 1;
    }
}

static struct MHD_Response *make_whole(struct http_request *r, const char *content_type, struct slice body)
{
    void *copy = NULL;
    if (body.n > 0 && (copy = malloc(body.n)) != NULL)
        memcpy(copy, body.at, body.n);
    if (body.n > 0 && copy == NULL)
        return NULL;
    struct MHD_Response *response =
        body.n > 0 ? MHD_create_response_from_buffer(body.n, copy, MHD_RESPMEM_MUST_FREE)
                   : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response != NULL)
        add_headers(r, response, content_type);
    else
        free(copy);
    return response;
}

// The library wants bytes of a stream: gives some, or sleeps until there are any. On the connection's thread.
static ssize_t read_stream(void *user, uint64_t position, char *out, size_t room)
{
    struct http_request *r = user;
    ssize_t n = 0;
    pthread_mutex_lock(&r->lock);
    if (r->gone || r->state == REQUEST_CUT) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (pending_bytes(r) > 0) {
        size_t taken = MIN(room, pending_bytes(r));
        memcpy(out, r->pending.at + r->n_taken, taken);
        r->n_taken += taken;
        n = (ssize_t)taken;
    } else if (r->state == REQUEST_ENDING) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        if (r->pending.capacity > KEPT_PENDING_BYTES)
            strbuf_fini(&r->pending);
        strbuf_reset(&r->pending);
        r->n_taken = 0;
        sleep_now(r);
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

static void release_stream(void *user)
{
    request_unref(user);
}

static struct MHD_Response *make_stream(struct http_request *r, const char *content_type)
{
    if (is_head(r)) // the library would send an end of chunks, which HEAD must not have
        return make_whole(r, content_type, slice_make("", 0));
    request_ref(r); // the response's, until release_stream
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                                      read_stream, r, release_stream);
    if (response != NULL)
        add_headers(r, response, content_type);
    else
        request_unref(r);
    return response;
}

// --- the server's side ---

enum MHD_Result request_settle(struct http_request *r)
{
    struct MHD_Response *response = NULL;
    enum MHD_Result result = MHD_NO;
    pthread_mutex_lock(&r->lock);
    if (r->response != NULL && !r->gone && r->state != REQUEST_CUT) {
        response = r->response;
        r->response = NULL;
        if (r->state == REQUEST_STREAMING)
            watch_arm(r->server->watch, r->wire, r);
    } else if (r->state == REQUEST_OPEN && !r->gone && !atomic_load(&r->server->is_stopping)) {
        sleep_now(r);
        watch_arm(r->server->watch, r->wire, r);
        result = MHD_YES;
    }
    struct MHD_Connection *connection = r->connection;
    unsigned status = r->status;
    pthread_mutex_unlock(&r->lock);
    if (response == NULL)
        return result;
    if (atomic_load(&r->server->is_draining))
        MHD_add_response_header(response, "Connection", "close");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static void prepare(struct http_request *r)
{
    const struct http_server_options *o = &r->server->options;
    if (!r->is_prepared && o->prepare != NULL)
        o->prepare(o->user, r);
    r->is_prepared = true;
}

static void tell_answered(const struct http_request *r, int status)
{
    const struct http_server_options *o = &r->server->options;
    if (o->answered != NULL)
        o->answered(o->user, r, status);
}

enum MHD_Result request_handle(struct http_request *r)
{
    r->is_handled = true;
    prepare(r);
    pthread_mutex_lock(&r->lock);
    r->state = REQUEST_OPEN;
    pthread_mutex_unlock(&r->lock);
    http_request_ref(r);
    r->server->options.handler(r->server->options.user, r);
    http_request_unref(r);
    return request_settle(r); // NOLINT(clang-analyzer-unix.Malloc): the connection holds a reference
}

void request_leave(struct http_request *r)
{
    http_gone_fn *on_gone = NULL;
    pthread_mutex_lock(&r->lock);
    if (is_live(r)) {
        r->gone = true;
        on_gone = r->on_gone;
        drop_pending(r);
        wake(r);
    }
    pthread_mutex_unlock(&r->lock);
    if (on_gone != NULL)
        on_gone(r->on_gone_user, r);
}

void request_close(struct http_request *r)
{
    struct http_server *s = r->server;
    http_gone_fn *on_gone = NULL;
    if (r->wire != NULL)
        watch_disarm(s->watch, r->wire);
    pthread_mutex_lock(&r->lock);
    if (is_live(r)) {
        r->gone = true;
        // A stream for HEAD is over after its headers, and the client still there.
        on_gone = is_head(r) && r->state == REQUEST_STREAMING ? NULL : r->on_gone;
    }
    struct MHD_Response *unused = r->response; // a stream's holds a reference to this request
    r->response = NULL;
    r->state = REQUEST_CLOSED;
    r->asleep = false;
    r->connection = NULL;
    r->wire = NULL;
    drop_pending(r);
    pthread_mutex_unlock(&r->lock);
    if (unused != NULL)
        MHD_destroy_response(unused);
    if (on_gone != NULL)
        on_gone(r->on_gone_user, r);
    pthread_mutex_lock(&s->lock);
    list_remove(&r->node);
    pthread_mutex_unlock(&s->lock);
    request_unref(r);
}

// --- answers of the server's own ---

static size_t error_body(const struct http_server *s, const struct http_request *r, int status,
                         const char *message, char out[ERROR_BODY_MAX_BYTES])
{
    if (s->options.error_body != NULL) {
        size_t n = s->options.error_body(s->options.user, r, status, message, out, ERROR_BODY_MAX_BYTES);
        return MIN(n, (size_t)ERROR_BODY_MAX_BYTES);
    }
    return (size_t)snprintf(out, ERROR_BODY_MAX_BYTES, "%.900s\n", message);
}

static const char *error_content_type(const struct http_server *s)
{
    if (s->options.error_body == NULL)
        return TEXT_PLAIN;
    return s->options.error_content_type != NULL ? s->options.error_content_type
                                                 : "application/json; charset=utf-8";
}

void request_refuse(struct http_request *r, int status, const char *message)
{
    char body[ERROR_BODY_MAX_BYTES];
    size_t n = error_body(r->server, r, status, message, body);
    log_debug("net", "request %llu from %s refused with %d: %s", (unsigned long long)r->id, r->peer, status,
              message);
    pthread_mutex_lock(&r->lock);
    if (r->state == REQUEST_RECEIVING)
        r->state = REQUEST_OPEN;
    pthread_mutex_unlock(&r->lock);
    prepare(r);
    http_add_header(r, "Connection", "close");
    if (status == 503)
        http_add_header(r, "Retry-After", "1");
    http_reply(r, status, error_content_type(r->server), slice_make(body, n));
}

// The headers of every answer, as lines.
static void write_added(const struct http_request *r, struct strbuf *out)
{
    for (size_t i = 0; i < r->added.n;) {
        const char *name = r->added.at + i, *value = name + strlen(name) + 1;
        strbuf_printf(out, "%s: %s\r\n", name, value);
        i = (size_t)(value - r->added.at) + strlen(value) + 1;
    }
}

void request_say_late(const struct http_server *s, const struct http_request *r, int fd)
{
    char body[ERROR_BODY_MAX_BYTES], text[ERROR_BODY_MAX_BYTES + 512];
    size_t n_body = error_body(s, r, 408, "the request did not come in in time", body);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: %s\r\n"
                     "Content-Length: %zu\r\n\r\n%.*s",
                     error_content_type(s), n_body, (int)n_body, body);
    if (r != NULL)
        tell_answered(r, 408);
    send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void request_refuse_midway(struct http_request *r, int status, const char *message)
{
    char body[ERROR_BODY_MAX_BYTES];
    struct strbuf text = STRBUF_INIT(ERROR_BODY_MAX_BYTES + ADDED_HEADERS_MAX_BYTES + 2048);
    prepare(r);
    size_t n_body = error_body(r->server, r, status, message, body);
    log_debug("net", "request %llu from %s refused with %d: %s", (unsigned long long)r->id, r->peer, status,
              message);
    strbuf_printf(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\n%s", status,
                  MHD_get_reason_phrase_for((unsigned)status), error_content_type(r->server),
                  status == 503 ? "Retry-After: 1\r\n" : "");
    write_added(r, &text);
    strbuf_printf(&text, "Content-Length: %zu\r\n\r\n%.*s", n_body, (int)n_body, body);
    r->is_refused = true;
    watch_set_phase(r->server->watch, r->wire, WATCH_SILENT, NULL);
    http_request_drop_body(r);
    tell_answered(r, status);
    // Nothing of an answer was sent before, and the library will send none. The client may go on sending for
    // a while without a reset.
    send(r->wire->fd, text.at, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(r->wire->fd, SHUT_WR);
    strbuf_fini(&text);
}

// --- the door: looking ---

const char *http_request_method(const struct http_request *r)
{
    return r->method;
}

const char *http_request_path(const struct http_request *r)
{
    return r->path;
}

const char *http_request_query(const struct http_request *r)
{
    return r->query;
}

const char *http_request_peer(const struct http_request *r)
{
    return r->peer;
}

uint64_t http_request_id(const struct http_request *r)
{
    return r->id;
}

static const char *find_header(const struct http_request *r, const char *name, bool is_last)
{
    const char *found = NULL;
    for (size_t i = 0; i < r->n_header_bytes && (is_last || found == NULL);) {
        const char *key = r->header_text + i, *value = key + strlen(key) + 1;
        if (strcasecmp(key, name) == 0)
            found = value;
        i = (size_t)(value - r->header_text) + strlen(value) + 1;
    }
    return found;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    return find_header(r, name, false);
}

const char *http_request_last_header(const struct http_request *r, const char *name)
{
    return find_header(r, name, true);
}

struct slice http_request_body(const struct http_request *r)
{
    return slice_make(r->body != NULL ? r->body : "", r->n_body);
}

void http_request_set_sink(struct http_request *r, http_sink_fn *sink, void *user)
{
    r->sink = sink;
    r->sink_user = user;
}

void http_request_drop_body(struct http_request *r)
{
    free(r->body);
    atomic_fetch_sub(&r->server->waiting_body_bytes, r->body_capacity);
    r->body = NULL;
    r->n_body = r->body_capacity = 0;
}

void http_request_set_user(struct http_request *r, void *user, void (*free_user)(void *user))
{
    r->user = user;
    r->free_user = free_user;
}

void *http_request_user(const struct http_request *r)
{
    return r->user;
}

bool http_request_on_gone(struct http_request *r, http_gone_fn *on_gone, void *user)
{
    pthread_mutex_lock(&r->lock);
    bool ok = is_live(r);
    if (ok) {
        r->on_gone = on_gone;
        r->on_gone_user = user;
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool http_request_is_gone(const struct http_request *r)
{
    struct http_request *locked = (struct http_request *)r;
    pthread_mutex_lock(&locked->lock);
    bool gone = r->gone;
    pthread_mutex_unlock(&locked->lock);
    return gone;
}

// --- the door: answering ---

static bool is_clean(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != 0; c++) {
        if ((*c < 0x20 && *c != '\t') || *c == 0x7F)
            return false;
    }
    return true;
}

void http_add_header(struct http_request *r, const char *name, const char *value)
{
    size_t n_name = strlen(name) + 1, n_value = strlen(value) + 1;
    if (!is_clean(value) || value[0] == 0)
        return;
    pthread_mutex_lock(&r->lock);
    if (r->added.n + n_name + n_value <= ADDED_HEADERS_MAX_BYTES) {
        strbuf_push(&r->added, name, n_name);
        strbuf_push(&r->added, value, n_value);
    }
    pthread_mutex_unlock(&r->lock);
}

// Puts an answer in place if nobody was first.
static bool answer(struct http_request *r, int status, const char *content_type, const struct slice *body)
{
    pthread_mutex_lock(&r->lock);
    bool ok = r->state == REQUEST_OPEN && !r->gone;
    if (ok) {
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): make_stream gives back only the reference that it took
        r->response = body != NULL ? make_whole(r, content_type, *body) : make_stream(r, content_type);
        r->status = (unsigned)status;
        ok = r->response != NULL;
        r->state = !ok ? REQUEST_CUT : body != NULL ? REQUEST_ANSWERED : REQUEST_STREAMING;
        if (ok)
            tell_answered(r, status);
        wake(r);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool http_reply(struct http_request *r, int status, const char *content_type, struct slice body)
{
    return answer(r, status, content_type, &body);
}

bool http_stream_begin(struct http_request *r, int status, const char *content_type)
{
    return answer(r, status, content_type, NULL);
}

static void cut(struct http_request *r)
{
    r->state = REQUEST_CUT;
    r->gone = true;
    drop_pending(r);
    wake(r);
}

// Room for n more bytes at the end; false if the bound forbids.
static bool make_room(struct http_request *r, size_t n)
{
    size_t most = r->server->options.max_stream_bytes;
    if (n > most || pending_bytes(r) > most - n)
        return false;
    if (r->n_taken > 0 && r->n_taken >= pending_bytes(r)) { // moves each byte at most once
        strbuf_drop_front(&r->pending, r->n_taken);
        r->n_taken = 0;
    }
    return true;
}

bool http_stream_write(struct http_request *r, struct slice bytes)
{
    pthread_mutex_lock(&r->lock);
    bool ok = r->state == REQUEST_STREAMING && !r->gone;
    if (ok && !make_room(r, bytes.n)) {
        log_info("net", "request %llu: %s reads too slowly, its connection is cut", (unsigned long long)r->id,
                 r->peer);
        cut(r);
        ok = false;
    }
    if (ok && bytes.n > 0) {
        strbuf_push(&r->pending, bytes.at, bytes.n);
        wake(r);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

size_t http_stream_pending_bytes(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    size_t n = pending_bytes(r);
    pthread_mutex_unlock(&r->lock);
    return n;
}

void http_stream_end(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->state == REQUEST_STREAMING && !r->gone) {
        r->state = REQUEST_ENDING;
        wake(r);
    }
    pthread_mutex_unlock(&r->lock);
}

void http_abort(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    if (is_live(r))
        cut(r);
    pthread_mutex_unlock(&r->lock);
}

void http_request_unref(struct http_request *r)
{
    if (r == NULL)
        return;
    if (atomic_fetch_sub(&r->owners, 1) == 1) {
        pthread_mutex_lock(&r->lock);
        bool is_unanswered = r->state == REQUEST_OPEN && !r->gone;
        pthread_mutex_unlock(&r->lock);
        if (is_unanswered)
            request_refuse(r, 500, "the request was dropped without an answer");
        else
            http_abort(r);
    }
    request_unref(r);
}
