// SPDX-License-Identifier: MIT
// Addresses as OLLAMA_HOST writes them: `host`, `host:port`, `:port`, `[v6]:port`, bare v6,
// `http(s)://host[:port][/path]`, and of ours `unix:///path`. Blanks and quotes around are dropped. Pure
// functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOSTS_DEFAULT_PORT = 11434, HOSTS_URL_BYTES = 640 };

struct hosts_address {
    char scheme[6]; // "http", "https", "unix": then `path` is the socket's and the host 127.0.0.1
    char host[256]; // without brackets; "": all interfaces
    uint16_t port;
    char path[256];   // "" or "/..." without a '/' at its end; of a Unix socket as it was written
    bool port_is_bad; // the text had a port that is no port: the default was taken, worth a warning
};

// Never fails: what makes no sense becomes the default (127.0.0.1:11434; with http:// port 80, with https://
// 443).
struct hosts_address hosts_parse(const char *text); // NULL: as ""
bool hosts_is_unix(const struct hosts_address *a);
// As written for a person or a log: "http://[::1]:11434/path", the host as given; "unix:///path".
void hosts_format(const struct hosts_address *a, char out[HOSTS_URL_BYTES]);
// What a client connects to: an unspecified address ("", 0.0.0.0, ::) becomes loopback; over a Unix socket
// (a.path) it asks http://localhost.
void hosts_format_client_url(const struct hosts_address *a, char out[HOSTS_URL_BYTES]);
bool hosts_is_loopback(const char *host); // 127.0.0.0/8, ::1 (mapped too), "localhost"
