// SPDX-License-Identifier: MIT
// The forms of OLLAMA_HOST, as Ollama reads them: everything is optional, and what cannot be read falls back
// to the default instead of failing. Pure but for a warning.
#include "base/options.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool is_ip(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

// "host:port" or "[host]:port" into its two parts; false when it has not exactly this form.
static bool split_port(const char *text, char host[256], const char **port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    size_t n = (size_t)(colon - text);
    if (text[0] == '[') {
        if (n < 2 || colon[-1] != ']')
            return false;
        text++;
        n -= 2;
        if (memchr(text, '[', n) || memchr(text, ']', n))
            return false;
    } else if (memchr(text, ':', n)) {
        return false; // a bare IPv6 address
    }
    if (n >= 256)
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    *port = colon + 1;
    return true;
}

static void strip_brackets(char *text)
{
    size_t n = strlen(text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        memmove(text, text + 1, n - 2);
        text[n - 2] = 0;
    }
}

void options_address_parse(struct options_address *out, const char *text)
{
    char copy[512];
    uint16_t default_port = 11434;
    *out = (struct options_address){.scheme = "http", .host = "127.0.0.1"};
    text += strspn(text, " \t");
    const char *scheme_end = strstr(text, "://");
    if (scheme_end != NULL) {
        bool is_https = scheme_end - text == 5 && strncmp(text, "https", 5) == 0;
        if (is_https)
            strcpy(out->scheme, "https");
        default_port = is_https ? 443 : 80;
        text = scheme_end + 3;
    }
    snprintf(copy, sizeof copy, "%s", text);
    char *slash = strchr(copy, '/');
    if (slash != NULL) {
        snprintf(out->path, sizeof out->path, "%s", slash);
        *slash = 0;
        for (size_t n = strlen(out->path); n > 0 && out->path[n - 1] == '/'; n--)
            out->path[n - 1] = 0;
    }
    for (size_t n = strlen(copy); n > 0 && (copy[n - 1] == ' ' || copy[n - 1] == '\t'); n--)
        copy[n - 1] = 0;

    const char *port = NULL;
    out->port = default_port;
    if (split_port(copy, out->host, &port)) {
        char *end = NULL;
        unsigned long value = strtoul(port, &end, 10);
        bool is_number = *port >= '0' && *port <= '9' && *end == 0;
        if (is_number && value <= 65535)
            out->port = (uint16_t)value;
        else
            log_warn("options", "invalid port \"%s\", using %u", port, default_port);
        return;
    }
    strip_brackets(copy);
    if (copy[0] != 0)
        snprintf(out->host, sizeof out->host, "%.255s", copy);
}

void options_address_url(const struct options_address *a, char out[640])
{
    const char *host = a->host;
    if (host[0] == 0 || strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    bool is_v6 = strchr(host, ':') != NULL && is_ip(host);
    snprintf(out, 640, is_v6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s", a->scheme, host, a->port, a->path);
}
