// SPDX-License-Identifier: MIT
// See opening.h. Nothing listens before it is known who may ask.
#include "server/opening.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "net/hosts.h"
#include "server/request_id.h"
#include "server/routes.h"

enum {
    LONGEST_S = 7 * 86400,
    LEAST_HEADER_BYTES = 1024,
    MOST_HEADER_BYTES = 1 << 20,
    MOST_CONNECTIONS = 1 << 20
};

// The log's line and the service manager's status.
static void say_listening(const struct app *app, struct http_server *http, struct hosts_address *address,
                          struct service *service, bool was_passed_on)
{
    char shown[HOSTS_URL_BYTES], status[HOSTS_URL_BYTES + 32];
    uint16_t port = http_server_port(http);
    address->port = port;
    hosts_format(address, shown);
    if (was_passed_on)
        snprintf(shown, sizeof shown, port != 0 ? "passed-on-socket port=%u" : "passed-on-socket", port);
    log_info("server", "listening url=%s version=%s models=%s", shown, DROVER_VERSION,
             store_directory(app->store));
    snprintf(status, sizeof status, "listening on %s", shown);
    service_ready(service, status);
}

// What a person reads who has just set OLLAMA_HOST=0.0.0.0, as for Ollama.
static int refuse_exposure(const char *where, struct err *err)
{
    return err_set(
        err, ERR_FORBIDDEN,
        "drover does not listen on %s without API keys: whoever reaches that address could use, change and "
        "delete your models.\n"
        "  for this machine alone:         OLLAMA_HOST=127.0.0.1:11434, which is the default\n"
        "  for others, each with a key:    drover key new --role admin --name YOU --file KEYS\n"
        "                                  drover serve --api-keys KEYS (or DROVER_API_KEYS=KEYS)\n"
        "  for all, as Ollama has it:      drover serve --insecure (or DROVER_INSECURE=1), in a network that "
        "you trust",
        where);
}

int opening_read_keys(struct key_list *list, struct err *err)
{
    const char *path = options_text(OPT_API_KEYS);
    *list = (struct key_list){0};
    return path[0] ? key_list_read(list, path, err) : 0;
}

void opening_take_keys(struct app *app, struct key_list *list)
{
    if (!app->keys)
        return;
    keyring_take(app->keys, list);
    log_info("server", "API keys are asked for keys=%zu file=%s", keyring_count(app->keys),
             options_text(OPT_API_KEYS));
}

int opening_start_keys(struct app *app, struct err *err)
{
    struct key_list list;
    if (opening_read_keys(&list, err) != 0)
        return err_prefix(err, "api_keys");
    if (list.n > 0)
        app->keys = keyring_new();
    opening_take_keys(app, &list);
    return 0;
}

// Whole seconds, at least one; no limit is a limit of days.
static int read_seconds(enum option_id id)
{
    int64_t ns = options_duration_ns(id);
    return ns <= 0 || ns / NS_PER_S > LONGEST_S ? LONGEST_S : (int)MAX(ns / NS_PER_S, 1);
}

static int read_limits(struct http_server_options *o, struct err *err)
{
    if (options_uint(OPT_MAX_BODY) > OPENING_MAX_WAITING_BYTES)
        return err_set(err, ERR_INVALID, "max_body: at most %d MiB", OPENING_MAX_WAITING_BYTES >> 20);
    if (options_uint(OPT_MAX_HEADER) < LEAST_HEADER_BYTES || options_uint(OPT_MAX_HEADER) > MOST_HEADER_BYTES)
        return err_set(err, ERR_INVALID, "max_header: between %d and %d bytes", LEAST_HEADER_BYTES,
                       MOST_HEADER_BYTES);
    if (options_uint(OPT_MAX_HEADERS) < 1 || options_uint(OPT_MAX_HEADERS) > HTTP_MOST_HEADERS)
        return err_set(err, ERR_INVALID, "max_headers: between 1 and %d", HTTP_MOST_HEADERS);
    if (options_uint(OPT_MAX_CONNECTIONS) < 1 || options_uint(OPT_MAX_CONNECTIONS) > MOST_CONNECTIONS)
        return err_set(err, ERR_INVALID, "max_connections: between 1 and %d", MOST_CONNECTIONS);
    o->max_body_bytes = options_uint(OPT_MAX_BODY);
    o->max_header_bytes = options_uint(OPT_MAX_HEADER);
    o->max_headers = options_uint(OPT_MAX_HEADERS);
    o->max_connections = (int)options_uint(OPT_MAX_CONNECTIONS);
    o->max_connections_per_address =
        (int)MIN(options_uint(OPT_MAX_CONNECTIONS_PER_ADDRESS), (uint64_t)MOST_CONNECTIONS);
    o->header_timeout_s = read_seconds(OPT_HEADER_TIMEOUT);
    o->body_timeout_s = read_seconds(OPT_BODY_TIMEOUT);
    o->idle_timeout_s = read_seconds(OPT_IDLE_TIMEOUT);
    return 0;
}

// The Host guard is against browsers, which reach no Unix socket; a proxy that does passes any host on.
static void on_listening(void *user, struct http_server *http)
{
    struct app *app = user;
    app->http = http;
    app->listens_on_loopback = http_server_is_loopback(http) && http_server_port(http) != 0;
}

int opening_start_http(struct http_server **http, struct app *app, struct service *service, struct err *err)
{
    struct hosts_address address = hosts_parse(options_text(OPT_HOST));
    struct http_server_options options = HTTP_SERVER_OPTIONS_DEFAULT;
    char shown[HOSTS_URL_BYTES];
    options.listen_fd = service_take_socket(service, err);
    if (err->code != ERR_NONE)
        return -1;
    if (address.port_is_bad)
        log_warn("server", "host=%s has no usable port: using %u", options_text(OPT_HOST), address.port);
    if (strcmp(address.scheme, "https") == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: drover serves plain HTTP; put a proxy in front of it for https",
                       options_text(OPT_HOST));
    if (read_limits(&options, err) != 0)
        return -1;
    options.host = address.host;
    options.port = address.port;
    options.unix_path = hosts_is_unix(&address) ? address.path : NULL;
    options.loopback_only = !app->keys && !options_uint(OPT_INSECURE);
    options.max_stream_bytes = app->max_stream_bytes + (64 << 10); // the server asks before; this never cuts
    options.max_waiting_body_bytes = OPENING_MAX_WAITING_BYTES;
    options.is_proxy = request_is_proxy;
    options.on_head = routes_on_head;
    options.handler = routes_handle;
    options.error_body = routes_error_body;
    options.listening = on_listening;
    options.prepare = request_id_prepare;
    options.answered = routes_answered;
    options.user = app;
    *http = http_server_new(&options, err);
    if (!*http) {
        app->http = NULL;
        hosts_format(&address, shown);
        if (err->code == ERR_UNAUTHORIZED) {
            err_clear(err);
            return refuse_exposure(options.listen_fd >= 0 ? "the socket that was passed on" : shown, err);
        }
        if (err->code == ERR_CONFLICT)
            err_prefix(
                err,
                "%s is already in use; another server runs there (set DROVER_HOST or --host to another port)",
                shown);
        return -1;
    }
    say_listening(app, *http, &address, service, options.listen_fd >= 0);
    return 0;
}
