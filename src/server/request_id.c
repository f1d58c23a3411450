// SPDX-License-Identifier: MIT
// Names of requests and clients. Pure functions of the request's headers, its number and the server's start.
#include "server/request_id.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/networks.h"
#include "base/options.h"
#include "server/access.h"

static bool is_usable(const char *given)
{
    size_t n = 0;
    while (n <= REQUEST_ID_MAX && given[n] &&
           (isalnum((unsigned char)given[n]) || strchr("-_.:/+=@", given[n])))
        n++;
    return n > 0 && n <= REQUEST_ID_MAX && given[n] == '\0';
}

void request_id_read(const struct app *app, const struct http_request *r, char out[REQUEST_ID_BYTES])
{
    const char *given = http_request_header(r, "X-Request-Id");
    if (given && is_usable(given))
        snprintf(out, REQUEST_ID_BYTES, "%s", given);
    else
        snprintf(out, REQUEST_ID_BYTES, "req-%" PRIx64 "-%" PRIu64, (uint64_t)app->started_wall_ns / 1000,
                 http_request_id(r));
}

void request_id_prepare(void *app, struct http_request *r)
{
    char id[REQUEST_ID_BYTES];
    request_id_read(app, r, id);
    http_add_header(r, "X-Request-Id", id);
}

// Without the port.
static void peer_address(const struct http_request *r, char out[CLIENT_BYTES])
{
    const char *peer = http_request_peer(r), *colon = strrchr(peer, ':');
    if (peer[0] == '[') // [::1]:50312
        snprintf(out, CLIENT_BYTES, "%.*s", (int)strcspn(peer + 1, "]"), peer + 1);
    else
        snprintf(out, CLIENT_BYTES, "%.*s", (int)(colon ? colon - peer : (ptrdiff_t)strlen(peer)), peer);
}

// The last of a list: what stands before it the client may have sent itself.
static bool read_last(const char *list, char out[CLIENT_BYTES])
{
    const char *comma = list ? strrchr(list, ',') : NULL, *name = comma ? comma + 1 : list;
    size_t n = 0;
    while (name && *name == ' ')
        name++;
    while (name && name[n] > ' ' && name[n] < 0x7f && name[n] != '"' && n < CLIENT_BYTES)
        n++;
    if (n == 0 || n >= CLIENT_BYTES || name[n + strspn(name + n, " ")] != 0)
        return false;
    memcpy(out, name, n);
    out[n] = 0;
    return true;
}

bool request_is_proxy(void *app, const char *address)
{
    (void)app;
    const char *trusted = options_text(OPT_TRUSTED_PROXIES);
    return trusted[0] && networks_contain(trusted, address);
}

void request_client(const struct app *app, const struct http_request *r, char out[CLIENT_BYTES])
{
    struct access_caller caller;
    char named[CLIENT_BYTES];
    const char *header = options_text(OPT_CLIENT_HEADER);
    peer_address(r, out);
    if (header[0] && request_is_proxy(NULL, out) && read_last(http_request_last_header(r, header), named))
        memcpy(out, named, CLIENT_BYTES);
    if (access_read_caller(app, r, &caller) && caller.name[0])
        snprintf(out, CLIENT_BYTES, "%s", caller.name);
}

int request_priority(const struct http_request *r, enum sched_priority *out, struct err *err)
{
    static const char *const names[SCHED_PRIORITY_COUNT] = {"interactive", "normal", "batch"};
    const char *said = http_request_header(r, "X-Priority");
    bool is_used = options_uint(OPT_PRIORITIES) != 0;
    *out = SCHED_PRIORITY_NORMAL;
    for (int i = 0; is_used && i < SCHED_PRIORITY_COUNT; i++)
        if (strcmp(options_text(OPT_DEFAULT_PRIORITY), names[i]) == 0)
            *out = (enum sched_priority)i;
    if (!said)
        return 0;
    for (int i = 0; i < SCHED_PRIORITY_COUNT; i++)
        if (strcasecmp(said, names[i]) == 0) {
            *out = is_used ? (enum sched_priority)i : SCHED_PRIORITY_NORMAL;
            return 0;
        }
    return err_set(err, ERR_INVALID, "invalid X-Priority \"%.40s\": use interactive, normal or batch", said);
}
