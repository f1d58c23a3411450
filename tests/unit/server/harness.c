// SPDX-License-Identifier: MIT
// See harness.h. Blobs get made-up digests: the store does not hash what it reads.
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/reply.h"
#include "server/request_id.h"
#include "server/routes.h"

struct layer {
    const char *kind, *text;
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (!f) {
        perror(path);
        abort();
    }
    fputs(text, f);
    fclose(f);
}

static void write_blob(struct harness *h, unsigned number, const char *text, char digest[80])
{
    char path[256];
    snprintf(digest, 80, "sha256:%064x", number);
    snprintf(path, sizeof path, "%s/blobs/sha256-%064x", h->directory, number);
    write_file(path, text);
}

static void add_model(struct harness *h, const char *path, const char *family, const struct layer *layers)
{
    static unsigned number = 1;
    char digest[80], config[512], file[512], command[600];
    struct strbuf m = STRBUF_INIT(1 << 16);
    snprintf(config, sizeof config,
             "{\"model_format\":\"gguf\",\"model_family\":\"%s\",\"model_families\":[\"%s\"],\"model_type\":"
             "\"90K\",\"file_type\":\"F32\"}",
             family, family);
    write_blob(h, number++, config, digest);
    strbuf_printf(
        &m,
        "{\"schemaVersion\":2,\"mediaType\":\"application/"
        "vnd.docker.distribution.manifest.v2+json\",\"config\":{\"mediaType\":"
        "\"application/vnd.docker.container.image.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
        digest, strlen(config));
    for (size_t i = 0; layers[i].kind; i++) {
        write_blob(h, number++, layers[i].text, digest);
        strbuf_printf(&m,
                      "%s{\"mediaType\":\"application/vnd.ollama.image.%s\",\"digest\":\"%s\",\"size\":%zu}",
                      i ? "," : "", layers[i].kind, digest, strlen(layers[i].text));
    }
    strbuf_push_text(&m, "]}");
    snprintf(file, sizeof file, "%s/manifests/registry.ollama.ai/%s", h->directory, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", file);
    if (system(command) != 0)
        abort();
    write_file(file, strbuf_text(&m));
    strbuf_fini(&m);
}

static void add_models(struct harness *h)
{
    add_model(
        h, "library/tiny/latest", "llama",
        (struct layer[]){
            {"model", "GGUF"},
            {"system", "You are brief."},
            {"license", "A licence text"},
            {"params", "{\"num_predict\":12,\"stop\":[\"<e>\"],\"temperature\":0}"},
            {"messages",
             "[{\"role\":\"user\",\"content\":\"Hello\"},{\"role\":\"assistant\",\"content\":\"Hi there\"}]"},
            {NULL, NULL}});
    add_model(h, "library/plain/latest", "llama", (struct layer[]){{"model", "GGUF"}, {NULL, NULL}});
    add_model(h, "me/other/v2", "llama",
              (struct layer[]){{"model", "GGUF"},
                               {"template", "{% for m in messages %}{{ m.content }}{% endfor %}"},
                               {NULL, NULL}});
    add_model(h, "library/go/latest", "llama",
              (struct layer[]){{"model", "GGUF"},
                               {"template", "{{- if .System }}{{ .System }}{{ end }}{{ .Prompt }}"},
                               {NULL, NULL}});
    add_model(h, "library/clever/latest", "llama",
              (struct layer[]){
                  {"model", "GGUF"},
                  {"template",
                   "{% for m in messages %}{{ m.content }}{% endfor %}{% if tools %}<tool_call>{{ tools }}"
                   "{{ 'tool' }}{% endif %}<think></think>"},
                  {NULL, NULL}});
    add_model(h, "library/bertie/latest", "bert", (struct layer[]){{"model", "GGUF"}, {NULL, NULL}});
}

int harness_setup(void **state)
{
    struct harness *h = xcalloc(1, sizeof *h);
    struct http_server_options options = HTTP_SERVER_OPTIONS_DEFAULT;
    struct host_options host_options = {0};
    struct err err = {0};
    char path[256];
    snprintf(h->directory, sizeof h->directory, "/tmp/drover-test-XXXXXX");
    if (!mkdtemp(h->directory))
        return -1;
    snprintf(path, sizeof path, "%s/blobs", h->directory);
    mkdir(path, 0755);
    add_models(h);
    log_set_level(getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
    host_new(&h->host, &host_options, &err);
    if (store_open(&h->store, h->directory, &err) != 0 || app_init(&h->app, h->host, h->store, "", &err) != 0)
        goto failed;
    options.on_head = routes_on_head;
    options.handler = routes_handle;
    options.error_body = routes_error_body;
    options.prepare = request_id_prepare;
    options.answered = routes_answered;
    options.user = &h->app;
    h->app.max_stream_bytes = 64 << 10;
    h->http = http_server_new(&options, &err);
    if (!h->http)
        goto failed;
    h->app.listens_on_loopback = true;
    *state = h;
    return 0;
failed:
    fprintf(stderr, "%s\n", err.message);
    return -1;
}

int harness_teardown(void **state)
{
    struct harness *h = *state;
    char command[128];
    app_close(&h->app);
    host_free(h->host);
    http_server_free(h->http);
    app_fini(&h->app);
    store_close(h->store);
    snprintf(command, sizeof command, "rm -rf '%s'", h->directory);
    int rc = system(command);
    free(h);
    return rc;
}

int harness_reset(void **state)
{
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    fake_host_set(((struct harness *)*state)->host, &s);
    return 0;
}

const struct request *last_request(void **state)
{
    return &fake_host_last(((struct harness *)*state)->host)->request;
}

static int connect_to(struct harness *h)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(h->http))};
    int small = 4096;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("connect");
        abort();
    }
    return fd;
}

static void send_all(int fd, struct strbuf *text)
{
    for (size_t at = 0; at < text->n;) {
        ssize_t n = write(fd, text->at + at, text->n - at);
        if (n <= 0)
            abort();
        at += (size_t)n;
    }
    strbuf_fini(text);
}

static void remove_chunks(char *body)
{
    char *to = body, *from = body;
    size_t n;
    while ((n = strtoul(from, &from, 16)) > 0) {
        from += 2; // CR LF
        memmove(to, from, n);
        to += n;
        from += n + 2;
    }
    *to = '\0';
}

static void split(struct reply *r)
{
    char *text = (char *)strbuf_text(&r->bytes), *end = strstr(text, "\r\n\r\n");
    if (!end || sscanf(text, "HTTP/1.1 %d", &r->status) != 1) {
        fprintf(stderr, "no answer: %s\n", text);
        abort();
    }
    end[2] = '\0';
    r->head = text;
    r->body = end + 4;
    if (strcasestr(text, "\r\nTransfer-Encoding: chunked\r\n"))
        remove_chunks(r->body);
}

static bool has_line(const char *const *headers, const char *prefix)
{
    for (; headers && *headers; headers++)
        if (strncasecmp(*headers, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

struct reply call(struct harness *h, const char *method, const char *path, const char *body,
                  const char *const *headers)
{
    struct reply r = {.bytes = STRBUF_INIT(256 << 20)};
    struct strbuf text = STRBUF_INIT(64 << 20);
    char piece[65536];
    ssize_t n;
    int fd = connect_to(h);
    strbuf_printf(&text, "%s %s HTTP/1.1\r\nConnection: close\r\n", method, path);
    if (!has_line(headers, "Host:"))
        strbuf_push_text(&text, "Host: localhost\r\n");
    for (; headers && *headers; headers++)
        strbuf_printf(&text, "%s\r\n", *headers);
    if (body)
        strbuf_printf(&text, "Content-Length: %zu\r\n", strlen(body));
    strbuf_push_text(&text, "\r\n");
    strbuf_push_text(&text, body ? body : "");
    send_all(fd, &text);
    while ((n = read(fd, piece, sizeof piece)) > 0)
        strbuf_push(&r.bytes, piece, (size_t)n);
    close(fd);
    split(&r);
    return r;
}

struct reply post(struct harness *h, const char *path, const char *body)
{
    return call(h, "POST", path, body, NULL);
}

void reply_fini(struct reply *r)
{
    strbuf_fini(&r->bytes);
}

char *reply_header(struct reply *r, const char *name)
{
    size_t n = strlen(name);
    for (char *line = r->head; line; line = strstr(line, "\r\n")) {
        line += line == r->head ? 0 : 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return xstrndup(line + n + 2, strcspn(line + n + 2, "\r"));
    }
    return NULL;
}

static const char *line_at(const char *body, size_t i)
{
    while (i-- > 0 && body) {
        body = strchr(body, '\n');
        while (body && *body == '\n')
            body++;
    }
    return body && *body ? body : NULL;
}

json_t *reply_line(struct reply *r, size_t i)
{
    struct err err = {0};
    const char *line = line_at(r->body, i);
    if (!line)
        return NULL;
    if (strncmp(line, "data: ", 6) == 0)
        line += 6;
    return json_parse(slice_make(line, strcspn(line, "\n")), &err);
}

size_t reply_count_lines(struct reply *r)
{
    size_t n = 0;
    while (line_at(r->body, n))
        n++;
    return n;
}

json_t *reply_json_value(struct reply *r)
{
    struct err err = {0};
    json_t *value = json_parse(slice_of(r->body), &err);
    if (!value)
        fprintf(stderr, "no JSON: %s\n", r->body);
    return value;
}

json_t *reply_event(struct reply *r, size_t i)
{
    const char *name = line_at(r->body, 2 * i);
    json_t *value = reply_line(r, 2 * i + 1);
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!name || !type || strncmp(name, "event: ", 7) != 0 || strncmp(name + 7, type, strlen(type)) != 0) {
        fprintf(stderr, "no event %zu: %s\n", i, r->body);
        abort();
    }
    return value;
}

const char *reply_event_names(struct reply *r)
{
    static char text[2048];
    text[0] = '\0';
    for (size_t i = 0; line_at(r->body, 2 * i); i++) {
        const char *line = line_at(r->body, 2 * i) + 7;
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%.*s", n ? " " : "", (int)strcspn(line, "\n"), line);
    }
    return text;
}

const char *keys_of(const json_t *object)
{
    static char text[1024];
    const char *key;
    json_t *value;
    text[0] = '\0';
    json_object_foreach((json_t *)object, key, value)
    {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s", n ? "," : "", key);
    }
    return text;
}

int send_raw(struct harness *h, const char *path, const char *body)
{
    struct strbuf text = STRBUF_INIT(1 << 20);
    int fd = connect_to(h);
    strbuf_printf(&text, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", path,
                  strlen(body), body);
    send_all(fd, &text);
    return fd;
}
