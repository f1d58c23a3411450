// SPDX-License-Identifier: MIT
// From the library's callbacks to a checked, whole request: the guard, the limits, the body. All on the
// connection's own thread.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_internal.h"

enum {
    BODY_SLOWEST_BYTES_S = 16 << 10, // a body may take longer than its time by what came at this rate
    REFUSED_GRACE_S = 10,
    FIRST_BODY_BYTES = 4096,
};

struct header_list {
    struct guard_header *headers;
    size_t n;
};

static enum MHD_Result collect_header(void *user, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                      const char *value, size_t value_n)
{
    struct header_list *list = user;
    if (list->n == HTTP_MOST_HEADERS + 1)
        return MHD_NO;
    list->headers[list->n++] =
        (struct guard_header){slice_make(name, name_n), slice_make(value ? value : "", value_n)};
    return MHD_YES;
}

// The guard has let them pass, so there is no NUL inside.
static void keep_headers(struct http_request *r, const struct header_list *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->headers[i].name.n + list->headers[i].value.n + 2;
    char *at = r->header_text = xcalloc(1, n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const struct guard_header *h = &list->headers[i];
        memcpy(at, h->name.at, h->name.n);
        at += h->name.n + 1;
        struct slice value = guard_trim(h->value);
        memcpy(at, value.at, value.n);
        at += value.n + 1;
    }
    r->n_header_bytes = (size_t)(at - r->header_text);
}

static void describe_peer(struct http_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    char text[PEERS_ADDRESS_BYTES];
    peers_format(address, text);
    if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) {
        snprintf(r->peer, sizeof r->peer, "%s", text);
        return;
    }
    in_port_t port = address->sa_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                                   : ((const struct sockaddr_in6 *)address)->sin6_port;
    snprintf(r->peer, sizeof r->peer, strchr(text, ':') != NULL ? "[%s]:%u" : "%s:%u", text, ntohs(port));
}

static size_t header_bytes(const struct http_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info != NULL ? info->header_size : 0;
}

// The library splits the head in place, `method` is where it begins.
static bool layout_is_right(const struct http_request *r, const char *method, const char *version,
                            const struct header_list *list)
{
    struct guard_layout layout = {.start = method, .n_bytes = header_bytes(r)};
    layout.n_request_line = strlen(method) + 1 + r->target.n + 1 + strlen(version) + 2;
    return guard_check_layout(&layout, list->headers, list->n);
}

// 0, or the status to refuse with.
static int check_request(struct http_request *r, const char *method, const char *version,
                         const struct header_list *list, const char **why)
{
    size_t query;
    snprintf(r->method, sizeof r->method, "%s", method);
    if (r->wire->excess != NULL) {
        *why = r->wire->excess;
        return 503;
    }
    if (!guard_is_token(slice_of(method)) || strlen(method) >= sizeof r->method) {
        *why = "malformed method";
        return 400;
    }
    if (list->n > r->server->options.max_headers) {
        *why = "too many request headers";
        return 431;
    }
    if (header_bytes(r) > r->server->options.max_header_bytes) {
        *why = "request headers too large";
        return 431;
    }
    int status = guard_check(list->headers, list->n, strcmp(version, "HTTP/1.0") != 0, &r->facts, why);
    if (status != 0)
        return status;
    if (r->server->layout_is_known && !layout_is_right(r, method, version, list)) {
        *why = "malformed header lines";
        return 400;
    }
    keep_headers(r, list);
    status = guard_split_target(r->target, slice_of(http_request_header(r, "Host")), r->path, &query, why);
    if (status == 0)
        r->query = r->target.at + query;
    if (status == 0 && r->facts.has_body && r->server->options.on_head != NULL)
        status = r->server->options.on_head(r->server->options.user, r, why);
    if (status == 0 && r->sink == NULL && r->facts.content_length > r->server->options.max_body_bytes) {
        *why = "request body too large";
        return 413;
    }
    return status;
}

static void set_deadline(struct http_request *r, int64_t seconds)
{
    atomic_store(&r->wire->deadline_ns, seconds == 0 ? 0 : clock_monotonic_ns() + seconds * NS_PER_S);
}

// While a body comes in only the watcher looks at the clock: it has an answer for who is late.
static void begin_body(struct http_request *r)
{
    if (!r->facts.has_body)
        return;
    watch_set_phase(r->server->watch, r->wire, WATCH_BODY, r);
    MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
}

static void end_body(struct http_request *r)
{
    set_deadline(r, 0);
    if (!r->facts.has_body)
        return;
    watch_set_phase(r->server->watch, r->wire, WATCH_SILENT, NULL);
    MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              (unsigned)r->server->options.idle_timeout_s);
}

static enum MHD_Result take_headers(struct http_request *r, const char *method, const char *version)
{
    struct guard_header headers[HTTP_MOST_HEADERS + 1];
    struct header_list list = {.headers = headers};
    const char *why = "";
    r->has_headers = true;
    r->wire = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    describe_peer(r);
    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, collect_header, &list);
    int status = check_request(r, method, version, &list, &why);
    r->body_start_ns = clock_monotonic_ns();
    set_deadline(r, r->server->options.body_timeout_s);
    if (status == 0) {
        begin_body(r);
        return MHD_YES;
    }
    if (r->facts.has_body && !r->facts.expects_continue) {
        // The body is on its way: answered and closed at once, the client's kernel might drop the answer for
        // a reset.
        request_refuse_midway(r, status, why);
        set_deadline(r, REFUSED_GRACE_S);
        return MHD_YES;
    }
    request_refuse(r, status, why);
    return request_settle(r);
}

// Room for n more bytes. 0, or the status to refuse with.
static int grow_body(struct http_request *r, size_t n)
{
    const struct http_server_options *o = &r->server->options;
    if (n > o->max_body_bytes - r->n_body)
        return 413;
    if (r->n_body + n <= r->body_capacity)
        return 0;
    size_t most = r->facts.is_chunked ? o->max_body_bytes : (size_t)r->facts.content_length;
    size_t capacity = MAX(MIN(MAX(r->body_capacity * 2, FIRST_BODY_BYTES), most), r->n_body + n);
    size_t added = capacity - r->body_capacity;
    size_t before = atomic_fetch_add(&r->server->waiting_body_bytes, added);
    char *body = before + added <= o->max_waiting_body_bytes ? realloc(r->body, capacity) : NULL;
    if (body == NULL) {
        atomic_fetch_sub(&r->server->waiting_body_bytes, added);
        return 503;
    }
    r->body = body;
    r->body_capacity = capacity;
    return 0;
}

static int collect(struct http_request *r, const char *bytes, size_t n, const char **why)
{
    int status = grow_body(r, n);
    if (status != 0) {
        *why = status == 413 ? "request body too large" : "server busy, too many request bodies are waiting";
        return status;
    }
    memcpy(r->body + r->n_body, bytes, n);
    r->n_body += n;
    return 0;
}

static enum MHD_Result take_body(struct http_request *r, const char *bytes, size_t n)
{
    if (r->is_refused) {
        r->n_discarded += n;
        return r->n_discarded <= r->server->options.max_body_bytes ? MHD_YES : MHD_NO;
    }
    const char *why = "";
    int status =
        r->sink != NULL ? r->sink(r->sink_user, slice_make(bytes, n), &why) : collect(r, bytes, n, &why);
    if (status != 0) {
        request_refuse_midway(r, status, why);
        set_deadline(r, REFUSED_GRACE_S);
        return MHD_YES;
    }
    r->n_received += n;
    int64_t allowed_s = r->server->options.body_timeout_s + (int64_t)(r->n_received / BODY_SLOWEST_BYTES_S);
    atomic_store(&r->wire->deadline_ns, r->body_start_ns + allowed_s * NS_PER_S);
    return MHD_YES;
}

enum MHD_Result intake_access(struct http_request *r, const char *method, const char *version,
                              const char *bytes, size_t n)
{
    if (!r->has_headers)
        return take_headers(r, method, version);
    if (n > 0)
        return take_body(r, bytes, n);
    if (r->is_refused)
        return MHD_NO;
    if (r->is_handled)
        return request_settle(r);
    end_body(r);
    return atomic_load(&r->server->is_stopping) ? MHD_NO : request_handle(r);
}
