// SPDX-License-Identifier: MIT
// Names of requests and clients. Pure functions of the request's headers, its number and the server's start.
#include "server/request_id.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"

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

static const char *key_of(const struct http_request *r)
{
    const char *authorization = http_request_header(r, "Authorization");
    if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0 && authorization[7])
        return authorization + 7;
    const char *key = http_request_header(r, "X-Api-Key");
    return key && key[0] ? key : NULL;
}

void request_client(const struct http_request *r, char out[CLIENT_BYTES])
{
    const char *key = key_of(r), *peer = http_request_peer(r), *colon = strrchr(peer, ':');
    if (key)
        snprintf(out, CLIENT_BYTES, "key-%08" PRIx32, (uint32_t)map_hash(key, strlen(key)));
    else
        snprintf(out, CLIENT_BYTES, "%.*s", (int)(colon ? colon - peer : (ptrdiff_t)strlen(peer)), peer);
}
