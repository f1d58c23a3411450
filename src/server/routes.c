// SPDX-License-Identifier: MIT
// A route is a row: path, handler or dialect, methods. A path that ends in '/' takes what follows it as a
// parameter.
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "net/cors.h"
#include "server/access.h"
#include "server/anthropic.h"
#include "server/app.h"
#include "server/generate.h"
#include "server/health.h"
#include "server/ollama.h"
#include "server/metrics.h"
#include "server/openai.h"
#include "server/reply.h"
#include "server/requests.h"
#include "server/worker.h"

enum method { METHOD_GET = 1, METHOD_HEAD = 2, METHOD_POST = 4, METHOD_DELETE = 8 };
enum {
    ROUTE_SLOW = 1,      // runs on a worker: it may read a card
    ROUTE_UNCOUNTED = 2, // probes and scrapes: reading them changes no counter
    ROUTE_DRAINS = 4,    // also takes what is no GET while the server drains
    ROUTE_OPEN = 8,      // asks for no API key; all others do where there are keys
    ROUTE_ADMIN = 16,    // asks for one of role admin
    ROUTE_CHANGES = 32   // what is no GET or HEAD changes the store
};
enum { ROUTE_MANAGES = ROUTE_ADMIN | ROUTE_CHANGES };

typedef void route_fn(struct app *app, struct http_request *r);

struct route {
    const char *path;
    route_fn *handle;              // or
    const struct dialect *dialect; // a generation
    unsigned methods;
    unsigned flags;
    route_fn *on_head; // before the body comes: may take it as it comes
};

static const struct route routes[] = {
    {"/", health_root, NULL, METHOD_GET | METHOD_HEAD, ROUTE_OPEN},
    {"/health", health_ready, NULL, METHOD_GET | METHOD_HEAD, ROUTE_UNCOUNTED | ROUTE_OPEN},
    {"/health/ready", health_ready, NULL, METHOD_GET | METHOD_HEAD, ROUTE_UNCOUNTED | ROUTE_OPEN},
    {"/health/live", health_live, NULL, METHOD_GET | METHOD_HEAD, ROUTE_UNCOUNTED | ROUTE_OPEN},
    {"/health/capacity", health_capacity, NULL, METHOD_GET | METHOD_HEAD, ROUTE_UNCOUNTED | ROUTE_OPEN},
    {"/metrics", metrics_scrape, NULL, METHOD_GET | METHOD_HEAD, ROUTE_UNCOUNTED},
    {"/api/queue", requests_queue, NULL, METHOD_GET, 0},
    {"/api/requests", requests_list, NULL, METHOD_GET, 0},
    {"/api/requests/", requests_one, NULL, METHOD_GET | METHOD_DELETE, ROUTE_DRAINS},
    {"/api/version", ollama_version, NULL, METHOD_GET | METHOD_HEAD, 0},
    {"/api/status", ollama_status, NULL, METHOD_GET, 0},
    {"/api/tags", ollama_tags, NULL, METHOD_GET | METHOD_HEAD, ROUTE_SLOW},
    {"/api/ps", ollama_ps, NULL, METHOD_GET, 0},
    {"/api/show", ollama_show, NULL, METHOD_POST, ROUTE_SLOW},
    {"/api/copy", ollama_copy, NULL, METHOD_POST, ROUTE_SLOW | ROUTE_MANAGES},
    {"/api/delete", ollama_delete, NULL, METHOD_DELETE, ROUTE_SLOW | ROUTE_MANAGES},
    {"/api/create", ollama_create, NULL, METHOD_POST, ROUTE_MANAGES},
    {"/api/pull", ollama_pull, NULL, METHOD_POST, ROUTE_MANAGES},
    {"/api/push", ollama_push, NULL, METHOD_POST, ROUTE_ADMIN},
    {"/api/blobs/", ollama_blob, NULL, METHOD_HEAD | METHOD_POST, ROUTE_MANAGES, ollama_blob_begin},
    {"/api/generate", NULL, &ollama_generate_dialect, METHOD_POST, 0},
    {"/api/chat", NULL, &ollama_chat_dialect, METHOD_POST, 0},
    {"/api/embed", NULL, &ollama_embed_dialect, METHOD_POST, 0},
    {"/api/embeddings", NULL, &ollama_embeddings_dialect, METHOD_POST, 0},
    {"/api/tokenize", NULL, &ollama_tokenize_dialect, METHOD_POST, 0},
    {"/api/detokenize", NULL, &ollama_detokenize_dialect, METHOD_POST, 0},
    {"/v1/embeddings", NULL, &openai_embeddings_dialect, METHOD_POST, 0},
    {"/v1/chat/completions", NULL, &openai_chat_dialect, METHOD_POST, 0},
    {"/v1/completions", NULL, &openai_completions_dialect, METHOD_POST, 0},
    {"/v1/responses", NULL, &openai_responses_dialect, METHOD_POST, 0},
    {"/v1/messages", NULL, &anthropic_messages_dialect, METHOD_POST, 0},
    {"/v1/messages/count_tokens", NULL, &anthropic_count_dialect, METHOD_POST, 0},
    {"/v1/models", openai_models, NULL, METHOD_GET, 0},
    {"/v1/models/", openai_model, NULL, METHOD_GET, 0},
};

_Static_assert(COUNT_OF(routes) < TALLY_ROUTES, "room to count each route, and what is none");

static unsigned method_bit(const char *method)
{
    return strcmp(method, "GET") == 0      ? METHOD_GET
           : strcmp(method, "HEAD") == 0   ? METHOD_HEAD
           : strcmp(method, "POST") == 0   ? METHOD_POST
           : strcmp(method, "DELETE") == 0 ? METHOD_DELETE
                                           : 0;
}

static bool route_matches(const struct route *route, const char *path)
{
    size_t n = strlen(route->path);
    bool takes_rest = n > 1 && route->path[n - 1] == '/';
    return takes_rest ? strncmp(path, route->path, n) == 0 && path[n] != '\0'
                      : strcmp(path, route->path) == 0;
}

static const struct route *find(const char *path)
{
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (route_matches(&routes[i], path))
            return &routes[i];
    return NULL;
}

static void add_allow(struct http_request *r, unsigned methods)
{
    struct strbuf text = STRBUF_INIT(64);
    if (methods & METHOD_HEAD)
        strbuf_push_text(&text, "HEAD");
    if (methods & METHOD_GET)
        strbuf_printf(&text, "%sGET", text.n ? ", " : "");
    if (methods & METHOD_POST)
        strbuf_printf(&text, "%sPOST", text.n ? ", " : "");
    if (methods & METHOD_DELETE)
        strbuf_printf(&text, "%sDELETE", text.n ? ", " : "");
    http_add_header(r, "Allow", strbuf_text(&text));
    strbuf_fini(&text);
}

static struct cors_answer ask_guard(struct app *app, struct http_request *r)
{
    struct cors_question question = {
        .listens_on_loopback = app->listens_on_loopback,
        .method = http_request_method(r),
        .host = http_request_header(r, "Host"),
        .origin = http_request_header(r, "Origin"),
    };
    return cors_decide(app->cors, &question);
}

static void add_guard_headers(struct http_request *r, const struct cors_answer *answer)
{
    for (size_t i = 0; i < answer->n_headers; i++)
        http_add_header(r, answer->headers[i].name, answer->headers[i].value);
}

// The answer is empty, as Ollama's; who runs the server is told why a browser or a proxy gets it.
static void log_guard(const struct http_request *r)
{
    const char *host = http_request_header(r, "Host"), *origin = http_request_header(r, "Origin");
    struct log_line l = log_begin(LOG_INFO, "server", "request refused");
    log_add_int(&l, "status", 403);
    log_add_text(&l, "method", http_request_method(r));
    log_add_text(&l, "route", http_request_path(r));
    log_add_text(&l, "remote", http_request_peer(r));
    log_add_text(&l, "host", host);
    log_add_text(&l, "origin", origin);
    log_add_text(&l, "error",
                 cors_host_is_allowed(host)
                     ? "the origin is not allowed, OLLAMA_ORIGINS lists those that are"
                     : "the host is neither an address of this machine nor a local name");
    log_end(&l);
}

// True when the answer was given.
static bool guard_refuses(struct app *app, struct http_request *r)
{
    struct cors_answer answer = ask_guard(app, r);
    add_guard_headers(r, &answer);
    if (answer.verdict == CORS_PASS)
        return false;
    if (answer.verdict == CORS_REFUSE)
        log_guard(r);
    http_reply(r, answer.verdict == CORS_REFUSE ? 403 : 204, NULL, slice_of(""));
    return true;
}

static enum error_shape shape_of(const struct http_request *r)
{
    const char *path = http_request_path(r);
    const struct route *route = find(path);
    return route && route->dialect         ? route->dialect->errors
           : strncmp(path, "/v1/", 4) == 0 ? ERRORS_OPENAI
                                           : ERRORS_OLLAMA;
}

// Keys and the read-only mode. The reason of a refusal, whose headers are added, or NULL.
static const char *access_refuses(const struct app *app, struct http_request *r, const struct route *route,
                                  enum err_code *code)
{
    enum access_need need = route->flags & ROUTE_OPEN    ? ACCESS_OPEN
                            : route->flags & ROUTE_ADMIN ? ACCESS_ADMIN
                                                         : ACCESS_KEY;
    bool looks_in = (method_bit(http_request_method(r)) & (METHOD_GET | METHOD_HEAD)) != 0;
    const char *why = access_refusal(app, r, need, (route->flags & ROUTE_CHANGES) && !looks_in, code);
    if (why && *code == ERR_UNAUTHORIZED)
        http_add_header(r, "WWW-Authenticate", "Bearer realm=\"drover\"");
    return why;
}

// "/api/tags/" becomes "/api/tags" where that is a route.
static bool redirects(struct http_request *r, const char *path)
{
    size_t n = strlen(path);
    bool is_get = strcmp(http_request_method(r), "GET") == 0;
    if (n < 2 || path[n - 1] != '/')
        return false;
    char *shorter = xstrndup(path, n - 1);
    bool is_route = find(shorter) != NULL && shorter[strlen(shorter) - 1] != '/';
    if (is_route) {
        struct strbuf to = STRBUF_INIT(16 << 10), body = STRBUF_INIT(32 << 10);
        const char *query = http_request_query(r);
        strbuf_printf(&to, "%s%s%s", shorter, query[0] ? "?" : "", query);
        http_add_header(r, "Location", strbuf_text(&to));
        if (is_get) // the routes' own paths and nothing of the client's is echoed
            strbuf_printf(&body, "<a href=\"%s\">Moved Permanently</a>.\n\n", shorter);
        http_reply(r, is_get ? 301 : 307, is_get ? "text/html; charset=utf-8" : NULL, strbuf_slice(&body));
        strbuf_fini(&to);
        strbuf_fini(&body);
    }
    free(shorter);
    return is_route;
}

struct slow_call {
    struct app *app;
    const struct route *route;
    struct http_request *request;
};

static void call_inside(struct app *app, struct http_request *r, const struct route *route)
{
    struct err err = {0};
    if (app_enter(app)) {
        route->handle(app, r);
        app_leave(app);
        return;
    }
    err_set(&err, ERR_DRAINING, "server is shutting down");
    reply_error(r, ERRORS_OLLAMA, &err, NULL);
}

static void run_slow(void *user)
{
    struct slow_call *call = user;
    call_inside(call->app, call->request, call->route);
    http_request_unref(call->request);
    free(call);
}

// Looking in goes on while the server drains, work that begins does not. True: refused.
static bool drain_refuses(struct app *app, struct http_request *r, const struct route *route)
{
    struct err err = {0};
    bool looks_in = (method_bit(http_request_method(r)) & (METHOD_GET | METHOD_HEAD)) != 0;
    if (!atomic_load(&app->is_draining) || looks_in || (route->flags & ROUTE_DRAINS))
        return false;
    err_set(&err, ERR_DRAINING, "server is shutting down");
    http_add_header(r, "Retry-After", "1");
    reply_error(r, ERRORS_OLLAMA, &err, NULL);
    return true;
}

static void call_route(struct app *app, struct http_request *r, const struct route *route)
{
    struct err refusal = {0};
    enum err_code code;
    const char *why = access_refuses(app, r, route, &code);
    if (why) {
        err_set(&refusal, code, "%s", why);
        reply_error(r, shape_of(r), &refusal, NULL);
        return;
    }
    if (route->dialect) { // refuses while draining, in its own words
        generate_start(app, r, route->dialect);
        return;
    }
    if (drain_refuses(app, r, route))
        return;
    if (!(route->flags & ROUTE_SLOW)) {
        call_inside(app, r, route);
        return;
    }
    struct slow_call *call = xcalloc(1, sizeof *call);
    *call = (struct slow_call){app, route, http_request_ref(r)};
    if (!worker_push(app->worker, run_slow, call)) {
        struct err err = {0};
        err_set(&err, ERR_UNREAD, "server busy: too many requests wait to be read");
        http_add_header(r, "Retry-After", "1");
        reply_error(r, ERRORS_OLLAMA, &err, NULL);
        http_request_unref(call->request);
        free(call);
    }
}

void routes_handle(void *user, struct http_request *r)
{
    struct app *app = user;
    const char *path = http_request_path(r);
    const struct route *route = find(path);
    bool fits = route && (route->methods & method_bit(http_request_method(r)));
    log_debug("server", "request method=%s path=%.200s remote=%s", http_request_method(r), path,
              http_request_peer(r));
    if (route && !fits)
        add_allow(r, route->methods);
    if (guard_refuses(app, r))
        return;
    if (fits)
        call_route(app, r, route);
    else if (route)
        http_reply(r, 405, "text/plain", slice_of("405 method not allowed"));
    else if (!redirects(r, path))
        http_reply(r, 404, "text/plain", slice_of("404 page not found"));
}

size_t routes_count(void)
{
    return COUNT_OF(routes) + 1;
}

const char *routes_name(size_t i)
{
    return i < COUNT_OF(routes) ? routes[i].path : "other";
}

void routes_answered(void *user, const struct http_request *r, int status)
{
    struct app *app = user;
    const struct route *route = find(http_request_path(r));
    if (route == NULL)
        tally_count_answer(&app->tally, COUNT_OF(routes), status);
    else if (!(route->flags & ROUTE_UNCOUNTED))
        tally_count_answer(&app->tally, (size_t)(route - routes), status);
}

size_t routes_error_body(void *user, const struct http_request *r, int status, const char *message, char *out,
                         size_t n)
{
    return reply_error_body(r ? shape_of(r) : ERRORS_OLLAMA, status, message, out, n);
}

// Who may not send a body is told so before it comes. What is wrong otherwise the handler says.
int routes_on_head(void *user, struct http_request *r, const char **why)
{
    struct app *app = user;
    enum err_code code;
    const struct route *route = find(http_request_path(r));
    struct cors_answer guard = ask_guard(app, r);
    if (!route || !(route->methods & method_bit(http_request_method(r))) || guard.verdict != CORS_PASS)
        return 0;
    const char *refusal = access_refuses(app, r, route, &code);
    if (refusal) {
        add_guard_headers(r, &guard);
        *why = refusal;
        return err_http_status(code);
    }
    if (route->on_head)
        route->on_head(app, r);
    return 0;
}
